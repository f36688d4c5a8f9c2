"""The reader's first pass: which runs are in storage, which of their files are committed. No contents are kept."""

import json
import os
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

__all__ = ["Folder", "Found", "Place", "Readable", "find_flat", "find_lode"]


class Readable(Protocol):
    """What can be read: anything that lists keys and gets bytes."""

    def list(self, prefix: str) -> Iterator[str]:
        """The keys that begin with ``prefix``."""
        ...

    def get(self, key: str) -> bytes:
        """The bytes under ``key``; any exception means they cannot be had."""
        ...


_MANIFEST = re.compile(r"datasets/(?P<dataset>(?!.*/partitions/).+)/segments/(?P<id>[^/]+)/manifest\.json", re.DOTALL)
_PARTITION = re.compile(
    r"datasets/(?P<dataset>.+?)/partitions/source=(?P<source>[^/]*)/category=(?P<category>[^/]*)/day=(?P<day>[^/]*)"
    r"/run_id=(?P<run_id>[^/]*)/event_type=(?P<type>[^/]*)/segments/(?P<id>[^/]+)/(?P<rest>manifest\.json|data/data)",
    re.DOTALL,
)
_FLAT = re.compile(
    r"source=(?P<source>[^/]*)(?:/category=(?P<category>[^/]*))?/day=(?P<day>[^/]*)/run_id=(?P<run_id>[^/]*)"
    r"/event_type=(?P<type>[^/]*)/data\.jsonl",
    re.DOTALL,
)


@dataclass(frozen=True, order=True)
class Place:
    dataset: str
    source: str
    category: str
    day: str
    run_id: str

    @property
    def raw(self) -> str:
        """The run's folder with the values as they are, where its sidecar files go."""
        path = f"source={self.source}/category={self.category}/day={self.day}/run_id={self.run_id}"
        return path if not self.dataset else posixpath.normpath(f"datasets/{self.dataset}/partitions/{path}")


@dataclass
class Found:
    """What the first pass knows of a run: paths, no contents."""

    data: dict[str, int | None] = field(default_factory=dict[str, int | None])
    sidecars: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    rows: int = 0
    committed: bool = False
    complete: bool = True
    damage: list[str] = field(default_factory=list[str])
    orphans: list[str] = field(default_factory=list[str])


class Folder:
    def __init__(self, root: Path) -> None:
        self._root = root

    def list(self, prefix: str) -> Iterator[str]:
        for folder, _, names in os.walk(self._root / prefix):
            for name in names:
                yield Path(folder, name).relative_to(self._root).as_posix()

    def get(self, key: str) -> bytes:
        return (self._root / key).read_bytes()


def find_lode(store: Readable) -> dict[Place, Found]:
    found: dict[Place, Found] = {}
    canonical: list[tuple[str, str, str]] = []
    data: dict[str, Place] = {}
    copies: set[str] = set()
    others: set[str] = set()
    for key in store.list("datasets/"):
        if match := _MANIFEST.fullmatch(key):
            canonical.append((match["dataset"], match["id"], key))
        elif match := _PARTITION.fullmatch(key):
            if match["rest"] == "manifest.json":
                copies.add(key)
            else:
                data[key] = _place(match, match["dataset"])
        else:
            others.add(key)
    for place in data.values():
        found.setdefault(place, Found())
    torn = _commit(store, canonical, data, copies, found)
    for key, place in data.items():
        run = found[place]
        if key not in run.data:
            snapshot = key.split("/")[-3]
            why = torn.get((place.dataset, snapshot), "no canonical manifest")
            run.damage.append(f"snapshot {snapshot} is not committed ({why}): {key}")
    _unlisted(others, found)
    return found


def _place(match: re.Match[str], dataset: str) -> Place:
    values = match.groupdict()
    return Place(dataset, *(_unescape(values[name] or "") for name in ("source", "category", "day", "run_id")))


def _unescape(text: str) -> str:
    return unquote_to_bytes(text).decode(errors="replace")


def _commit(
    store: Readable,
    canonical: list[tuple[str, str, str]],
    data: dict[str, Place],
    copies: set[str],
    found: dict[Place, Found],
) -> dict[tuple[str, str], str]:
    """Enter the committed snapshots into ``found``; why the others are not."""
    torn: dict[tuple[str, str], str] = {}
    for dataset, snapshot, key in sorted(canonical):
        try:
            manifest = json.loads(store.get(key))
            files = {str(entry["path"]): int(entry["size_bytes"]) for entry in manifest["files"]}
            sidecars = list((manifest.get("metadata") or {}).get("sidecar_files") or [])
        except Exception as error:
            torn[dataset, snapshot] = f"its canonical manifest does not parse: {error}"
            continue
        for path, size in files.items():
            match = _PARTITION.fullmatch(path)
            if match is None:
                torn[dataset, snapshot] = f"its canonical manifest names {path!r}, which is in no partition"
                continue
            place = data.get(path) or _place(match, match["dataset"])
            run = found.setdefault(place, Found())
            run.committed = True
            run.data[path] = size
            run.sidecars |= {str(entry.get("path")): entry for entry in sidecars}
            copy = path.removesuffix("data/data") + "manifest.json"
            if copy not in copies or not _parses(store, copy):
                run.complete = False
                run.damage.append(f"snapshot {snapshot} is committed, its copy is missing or torn: {copy}")
    return torn


def _parses(store: Readable, key: str) -> bool:
    try:
        return isinstance(json.loads(store.get(key)), dict)
    except Exception:
        return False


def _unlisted(others: set[str], found: dict[Place, Found]) -> None:
    """Describe sidecar files no committed manifest names."""
    folders = {place.raw: run for place, run in found.items()}
    for key in sorted(others):
        folder, _, name = key.rpartition("/files/")
        run = folders.get(folder)
        if run is None or "/" in name or name.endswith(".meta.json"):
            continue
        if key not in {posixpath.normpath(path) for path in run.sidecars}:
            meta = "" if f"{key}.meta.json" in others else " and has no .meta.json"
            run.damage.append(f"sidecar file is named by no manifest{meta}: {key}")
        elif f"{key}.meta.json" not in others:
            run.damage.append(f"sidecar file has no .meta.json: {key}")


def find_flat(store: Readable) -> dict[Place, Found]:
    found: dict[Place, Found] = {}
    files: list[str] = []
    for key in store.list(""):
        match = _FLAT.fullmatch(key)
        if match is None:
            files.append(key)
            continue
        run = found.setdefault(_place(match, ""), Found(committed=True))
        run.data[key] = None
    folders = {}
    for run in found.values():
        for path in run.data:
            folders[path.rpartition("/event_type=")[0]] = run
    for key in files:
        folder, _, name = key.rpartition("/files/")
        run_or_none = folders.get(folder)
        if run_or_none is not None and not name.endswith(".meta.json"):
            kind = _content_type(store, key)
            run_or_none.sidecars[key] = {"path": key, "filename": name, "content_type": kind, "size": None}
            if kind is None:
                run_or_none.damage.append(f"sidecar file has no .meta.json: {key}")
    return found


def _content_type(store: Readable, key: str) -> str | None:
    try:
        return str(json.loads(store.get(f"{key}.meta.json"))["content_type"])
    except Exception:
        return None
