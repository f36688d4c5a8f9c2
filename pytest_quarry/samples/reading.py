"""How a careful team reads Quarry's storage: committed snapshots only, every segment, each event once."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

log = logging.getLogger(__name__)
# Go's url.PathEscape leaves these as they are, beside letters and digits.
UNESCAPED = "$&+:=@~-._"
RAW_FOLDER = re.compile(r"source=(.*)/category=(.*)/day=(\d{4}-\d\d-\d\d)/run_id=(.*)$", re.DOTALL)
DATA_FILE = re.compile(
    r"(?P<folder>.*/source=[^/]*/category=[^/]*/day=(?P<day>[^/]*)/run_id=(?P<run_id>[^/]*))"
    r"/event_type=(?P<type>[^/]*)/segments/(?P<snapshot>[^/]+)/data/data"
)

TERMINAL = ("run_complete", "run_error")


class NotVisibleYet(Exception):
    """A run was announced, and storage does not show its end yet: it is to be announced again."""


@dataclass(frozen=True)
class Item:
    """One scraped item, as the loaders store it."""

    run_id: str
    event_id: str
    sku: str
    price: float


@dataclass(frozen=True)
class FinishedRun:
    """A run whose terminal event is committed, and the folder of its partitions, relative to the root."""

    run_id: str
    day: str
    folder: str
    finished: int  # the snapshot of its terminal event: nanoseconds since 1970


class Storage:
    """Reads a storage root in the layout Quarry writes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[Path, list[str]] = {}  # what whole manifests list: they do not change any more

    def finished_runs(self) -> list[FinishedRun]:
        """The runs that completed, in the order of their folders."""
        found = {}
        for path in self.committed():
            match = DATA_FILE.fullmatch(path)
            if match and match["type"] == "run_complete":
                run_id, folder = unquote(match["run_id"]), match["folder"]
                found[folder] = FinishedRun(run_id, unquote(match["day"]), folder, int(match["snapshot"]))
        return [found[folder] for folder in sorted(found)]

    def folder_of(self, storage_path: str) -> str:
        """The folder a notification's `storage_path` means: its values are raw there, escaped on disk."""
        match = RAW_FOLDER.search(storage_path)
        if match is None:
            raise ValueError(f"storage_path {storage_path!r} names no run")
        values = [quote(value, safe=UNESCAPED) for value in match.groups()]
        base = storage_path[: match.start()].partition("/datasets/")[2]
        return "datasets/{}source={}/category={}/day={}/run_id={}".format(base, *values)

    def announced(self, storage_path: str) -> str:
        """The folder of a run that was announced. Raises NotVisibleYet where its terminal event is not committed."""
        folder = self.folder_of(storage_path)
        ends = tuple(f"{folder}/event_type={terminal}/" for terminal in TERMINAL)
        if not any(path.startswith(ends) for path in self.committed()):
            raise NotVisibleYet(f"{folder} has no terminal event yet")
        return folder

    def items(self, folder: str) -> list[Item]:
        """The items of a run, in the order they were emitted; an event that is stored twice counts once."""
        events = {record["event_id"]: record for record in self.records(self.item_files(folder))}
        return [as_item(record) for record in sorted(events.values(), key=lambda record: int(record["seq"]))]

    def item_files(self, folder: str) -> list[str]:
        """The committed data files with a run's items."""
        return self.data_files(folder, "item")

    def data_files(self, folder: str, event_type: str) -> list[str]:
        """The committed data files with one type of a run's events; of every type, where that is empty."""
        prefix = f"{folder}/event_type={event_type}/" if event_type else f"{folder}/"
        return [path for path in self.committed() if path.startswith(prefix)]

    def records(self, paths: Iterable[str]) -> Iterator[dict[str, Any]]:
        """The records in data files."""
        for path in paths:
            with open(self.root / path, encoding="utf-8") as lines:
                for line in lines:
                    yield json.loads(line)

    def committed(self) -> list[str]:
        """The data files of every snapshot whose canonical manifest exists and parses."""
        manifests = sorted(self.root.glob("datasets/*/segments/*/manifest.json"))
        for manifest in manifests:
            if not self._known.get(manifest):
                self._known[manifest] = listed(manifest)
        return [path for manifest in manifests for path in self._known[manifest]]


def listed(manifest: Path) -> list[str]:
    """The files a manifest commits; none while it is still being written."""
    try:
        content = json.loads(manifest.read_bytes())
    except (ValueError, FileNotFoundError):
        return []
    return [str(entry["path"]) for entry in content["files"]]


def as_item(record: dict[str, Any]) -> Item:
    """The item in an event record."""
    data = record["payload"]["data"]
    return Item(record["run_id"], record["event_id"], data["sku"], data["price"])


class FlatStorage(Storage):
    """Reads the layout of Quarry's published examples: one file per event type, the terminal one last."""

    def finished_runs(self) -> list[FinishedRun]:
        found = []
        for path in sorted(self.root.glob("source=*/category=*/day=*/run_id=*/event_type=run_complete/data.jsonl")):
            if not _ends(path):
                continue
            folder = path.parent.parent
            _, _, day, run_id = (part.partition("=")[2] for part in folder.parts[-4:])
            name = folder.relative_to(self.root).as_posix()
            found.append(FinishedRun(unquote(run_id), unquote(day), name, path.stat().st_mtime_ns))
        return found

    def item_files(self, folder: str) -> list[str]:
        path = f"{folder}/event_type=item/data.jsonl"
        return [path] if (self.root / path).exists() else []


def _ends(path: Path) -> bool:
    """Whether the file of a terminal event is whole; one that cannot be read is looked at again at the next poll."""
    try:
        return path.read_bytes().endswith(b"\n")
    except OSError:
        log.exception("%s cannot be read", path)
        return False
