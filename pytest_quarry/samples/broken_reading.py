"""Readers that see a part of a run, or more than is there; the handlers and pollers around them are sound."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pytest_quarry.samples.handlers import (
    INSERT,
    PLAIN_TABLES,
    Notification,
    OneTransaction,
    SqliteHandlerSuite,
    values,
)
from pytest_quarry.samples.pollers import SqlitePollerSuite
from pytest_quarry.samples.reading import DATA_FILE, FinishedRun, FlatStorage, Item, Storage, as_item, listed


class FirstSegment(Storage):
    """Takes the item partition as one file."""

    def item_files(self, folder: str) -> list[str]:
        return super().item_files(folder)[:1]


class FirstSegmentHandlerSuite(SqliteHandlerSuite):
    """Reads the first segment of a run."""

    reader = FirstSegment


class FirstSegmentPollerSuite(SqlitePollerSuite):
    """Reads the first segment of a run."""

    reader = FirstSegment


class NewestSegment(Storage):
    """Takes each snapshot as the whole state of the run, so that the newest holds all."""

    def item_files(self, folder: str) -> list[str]:
        return super().item_files(folder)[-1:]


class NewestSegmentHandlerSuite(SqliteHandlerSuite):
    """Reads the newest segment of a run."""

    reader = NewestSegment


class NewestSegmentPollerSuite(SqlitePollerSuite):
    """Reads the newest segment of a run."""

    reader = NewestSegment


class StopsAtAGap(Storage):
    """Takes a run's events in their order, up to a number that is missing: the rest may be on its way."""

    def items(self, folder: str) -> list[Item]:
        there = self.records(self.data_files(folder, ""))
        records = {record["event_id"]: record for record in there if "seq" in record}
        found: list[Item] = []
        for number, record in enumerate(sorted(records.values(), key=lambda record: int(record["seq"])), 1):
            if int(record["seq"]) > number:
                break
            if record.get("type") == "item":
                found.append(as_item(record))
        return found


class StopsAtAGapSuite(SqliteHandlerSuite):
    """Reads up to the first gap in seq."""

    reader = StopsAtAGap


class TriesAgainInside(OneTransaction):
    """Inserts while it reads, and where a read fails begins the reading again, in the same transaction."""

    def load(self, run_id: str, notification: Notification) -> None:
        if self.is_loaded(run_id):
            return
        files = self.storage.item_files(self.storage.announced(notification["storage_path"]))
        with self.database:
            for attempt in range(3):
                try:
                    for record in self.storage.records(files):
                        self.database.executemany(INSERT, values([as_item(record)]))
                    break
                except OSError:
                    if attempt == 2:
                        raise
                    time.sleep(1)
            self.mark(run_id)


class TriesAgainInsideSuite(SqliteHandlerSuite):
    """A second attempt on top of half a first one."""

    loader = TriesAgainInside
    tables = PLAIN_TABLES


class LinesOfText(Storage):
    """Splits a file where a line of text may end; JSON may hold such characters (U+0085) as they are."""

    def records(self, paths: Iterable[str]) -> Iterator[dict[str, Any]]:
        for path in paths:
            for line in (self.root / path).read_text(encoding="utf-8").splitlines():
                yield json.loads(line)


class LinesOfTextSuite(SqliteHandlerSuite):
    """Reads JSON lines with str.splitlines()."""

    reader = LinesOfText


class TypesByPrefix(Storage):
    """Takes every file for items whose partition begins like theirs."""

    def item_files(self, folder: str) -> list[str]:
        return [path for path in self.data_files(folder, "") if path.startswith(f"{folder}/event_type=item")]


class TypesByPrefixSuite(SqliteHandlerSuite):
    """Reads `event_type=item*`."""

    reader = TypesByPrefix


class PolicyOfTheFirstRun(Storage):
    """Learns from the first run whether items share the snapshot of the terminal event, and skips that snapshot if not."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.together: bool | None = None

    def item_files(self, folder: str) -> list[str]:
        files = super().item_files(folder)
        last = self.data_files(folder, "run_complete")[-1:]
        snapshots = {match["snapshot"] for path in last if (match := DATA_FILE.fullmatch(path))}
        with_end = [path for path in files if any(f"/{snapshot}/" in path for snapshot in snapshots)]
        if self.together is None:
            self.together = bool(with_end)
        return files if self.together else [path for path in files if path not in with_end]


class PolicyOfTheFirstRunSuite(SqliteHandlerSuite):
    """Takes the policy of the first run it sees for that of all."""

    reader = PolicyOfTheFirstRun


class FileByFile(Storage):
    """Reads all lines of all files."""

    def items(self, folder: str) -> list[Item]:
        return [as_item(record) for record in self.records(self.item_files(folder))]


class FileByFileHandlerSuite(SqliteHandlerSuite):
    """Loads an event as often as it is stored."""

    reader = FileByFile


class FileByFilePollerSuite(SqlitePollerSuite):
    """Loads an event as often as it is stored."""

    reader = FileByFile


class AllFiles(Storage):
    """Lists the partitions and does not look at the manifests."""

    def committed(self) -> list[str]:
        files = self.root.glob("datasets/*/partitions/*/*/*/*/*/segments/*/data/data")
        return sorted(path.relative_to(self.root).as_posix() for path in files)

    def finished_runs(self) -> list[FinishedRun]:
        return [run for run in super().finished_runs() if self._ends(run)]

    def _ends(self, run: FinishedRun) -> bool:
        path = f"{run.folder}/event_type=run_complete/segments/{run.finished}/data/data"
        return (self.root / path).read_bytes().endswith(b"\n")


class AllFilesSuite(SqlitePollerSuite):
    """Reads data that no manifest commits."""

    reader = AllFiles


class PartitionMeansFinished(Storage):
    """Takes a run as finished when its partition has items."""

    def finished_runs(self) -> list[FinishedRun]:
        matches = [DATA_FILE.fullmatch(path) for path in self.committed()]
        found = {
            match["folder"]: FinishedRun(match["run_id"], match["day"], match["folder"], int(match["snapshot"]))
            for match in matches
            if match and match["type"] == "item"
        }
        return [found[folder] for folder in sorted(found)]


class PartitionMeansFinishedSuite(SqlitePollerSuite):
    """Loads a run as soon as there are items of it."""

    reader = PartitionMeansFinished


class ItemsMeanFinished(FlatStorage):
    """Takes a run of the flat layout as finished when its item file is there."""

    def finished_runs(self) -> list[FinishedRun]:
        found = []
        for path in sorted(self.root.glob("source=*/category=*/day=*/run_id=*/event_type=item/data.jsonl")):
            folder = path.parent.parent
            run_id, day = folder.name.partition("=")[2], folder.parent.name.partition("=")[2]
            name = folder.relative_to(self.root).as_posix()
            found.append(FinishedRun(run_id, day, name, path.stat().st_mtime_ns))
        return found


class ItemsMeanFinishedSuite(SqlitePollerSuite):
    """Does not wait for the terminal event."""

    layout = "flat"
    reader = ItemsMeanFinished


class ListsARunOnce(Storage):
    """Keeps which files a run has from when it first saw it, which may be while it is still going on."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.files: dict[str, list[str]] = {}

    def finished_runs(self) -> list[FinishedRun]:
        for path in self.committed():
            match = DATA_FILE.fullmatch(path)
            if match and match["type"] == "item" and match["folder"] not in self.files:
                self.files[match["folder"]] = super().item_files(match["folder"])
        return super().finished_runs()

    def item_files(self, folder: str) -> list[str]:
        return self.files.get(folder, [])


class ListsARunOnceSuite(SqlitePollerSuite):
    """Lists the files of a run once."""

    reader = ListsARunOnce


class WalksParents(Storage):
    """Follows the snapshots from `latest` through their parents."""

    def committed(self) -> list[str]:
        found: list[str] = []
        for dataset in self.root.glob("datasets/*"):
            latest = dataset / "latest"
            snapshot = latest.read_text(encoding="utf-8") if latest.exists() else None
            while snapshot:
                manifest = dataset / "segments" / snapshot / "manifest.json"
                found[:0] = listed(manifest)
                snapshot = json.loads(manifest.read_bytes()).get("parent_snapshot_id") if listed(manifest) else None
        return found


class WalksParentsSuite(SqlitePollerSuite):
    """Walks from `latest` through the parents."""

    reader = WalksParents


class CopiesOfManifests(Storage):
    """Takes the runs from the canonical manifests and their files from the partitions' copies."""

    def item_files(self, folder: str) -> list[str]:
        files = super().item_files(folder)
        return [path for path in files if listed((self.root / path).parent.parent / "manifest.json")]


class CopiesOfManifestsSuite(SqlitePollerSuite):
    """Waits for the canonical manifest, and then needs copies that come after it."""

    reader = CopiesOfManifests
