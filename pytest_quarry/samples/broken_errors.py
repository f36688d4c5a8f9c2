"""Samples for which storage is never late, never fails, and holds only what they have seen before."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from typing import Any

from pytest_quarry.samples.handlers import Notification, OneTransaction, SqliteHandlerSuite
from pytest_quarry.samples.pollers import SqlitePollerSuite
from pytest_quarry.samples.reading import RAW_FOLDER, Item, Storage

log = logging.getLogger(__name__)
LODE_LIMIT = 10 << 20  # the longest line that Lode's own reader takes


class MarksEmptyRuns(OneTransaction):
    """Loads what storage shows when it is told."""

    def items(self, notification: Notification) -> list[Item]:
        return self.storage.items(self.storage.folder_of(notification["storage_path"]))


class MarksEmptyRunsSuite(SqliteHandlerSuite):
    """Marks a run as loaded whose data is not there yet."""

    loader = MarksEmptyRuns


class WaitsForTheFolder(MarksEmptyRuns):
    """Raises as long as the run has no folder."""

    def items(self, notification: Notification) -> list[Item]:
        folder = self.storage.root / self.storage.folder_of(notification["storage_path"])
        if not folder.exists():
            raise FileNotFoundError(folder)
        return super().items(notification)


class WaitsForTheFolderSuite(SqliteHandlerSuite):
    """Takes a run as whole when its folder is there."""

    loader = WaitsForTheFolder


class BelievesManifests(Storage):
    """Parses whatever manifest is there."""

    def committed(self) -> list[str]:
        manifests = sorted(self.root.glob("datasets/*/segments/*/manifest.json"))
        return [file["path"] for manifest in manifests for file in json.loads(manifest.read_bytes())["files"]]


class DropsWhatDoesNotParse(OneTransaction):
    """Takes all that does not parse for the notification."""

    def handle(self, notification: Notification) -> None:
        try:
            super().handle(notification)
        except ValueError:
            log.exception("a malformed notification, dropped")


class DropsWhatDoesNotParseSuite(SqliteHandlerSuite):
    """Drops a notification while another run's manifest is being written."""

    loader = DropsWhatDoesNotParse
    reader = BelievesManifests


class SkipsUnreadable(Storage):
    """Goes on with the next file where one cannot be read."""

    def records(self, paths: Iterable[str]) -> Iterator[dict[str, Any]]:
        for path in paths:
            try:
                lines = (self.root / path).read_text(encoding="utf-8").split("\n")
            except OSError:
                continue
            yield from (json.loads(line) for line in lines if line)


class SkipsUnreadableSuite(SqliteHandlerSuite):
    """Loads a run without the files it could not read."""

    reader = SkipsUnreadable


class SkipsUnreadablePollerSuite(SqlitePollerSuite):
    """Loads a run without the files it could not read."""

    reader = SkipsUnreadable


class LiteralPath(Storage):
    """Takes `storage_path` for the path."""

    def folder_of(self, storage_path: str) -> str:
        if RAW_FOLDER.search(storage_path) is None:
            raise ValueError(f"storage_path {storage_path!r} names no run")
        return "datasets/" + storage_path.partition("/datasets/")[2]


class LiteralPathSuite(SqliteHandlerSuite):
    """Follows storage_path to the letter."""

    reader = LiteralPath


class LimitedLines(Storage):
    """Reads lines of 10 MiB at most, as Lode's own reader does."""

    def records(self, paths: Iterable[str]) -> Iterator[dict[str, Any]]:
        for path in paths:
            with open(self.root / path, encoding="utf-8") as file:
                while line := file.readline(LODE_LIMIT):
                    yield json.loads(line)


class LimitedLinesSuite(SqliteHandlerSuite):
    """A limit on the length of lines."""

    reader = LimitedLines


class EveryEvent(Storage):
    """Reads all events of a run, to count its warnings beside the items."""

    def items(self, folder: str) -> list[Item]:
        for record in self.records(self.data_files(folder, "")):
            if record.get("record_kind") == "event":
                self.count(record)
        return super().items(folder)

    def count(self, record: dict[str, Any]) -> None:
        """Count one event."""
        raise NotImplementedError


class CountsTypes(EveryEvent):
    """Has a counter for each type of event there is."""

    counts = dict.fromkeys(("item", "artifact", "checkpoint", "log", "enqueue", "rotate_proxy", "run_complete"), 0)

    def count(self, record: dict[str, Any]) -> None:
        self.counts[record["type"]] += 1


class CountsTypesSuite(SqliteHandlerSuite):
    """Fails at a type of event it does not know."""

    reader = CountsTypes


class CountsWarnings(EveryEvent):
    """Counts the warnings in the logs."""

    warnings = 0

    def count(self, record: dict[str, Any]) -> None:
        if record["type"] == "log":
            self.warnings += record["payload"]["level"] == "warn"


class CountsWarningsSuite(SqlitePollerSuite):
    """Fails at a payload that is null."""

    reader = CountsWarnings


class NeedsItems(Storage):
    """Takes a run without items for one that is broken."""

    def items(self, folder: str) -> list[Item]:
        items = super().items(folder)
        if not items:
            raise ValueError(f"{folder} has no items")
        return items


class NeedsItemsSuite(SqliteHandlerSuite):
    """Raises at a run without items."""

    reader = NeedsItems


class NeedsItemsPollerSuite(SqlitePollerSuite):
    """Raises at a run without items."""

    reader = NeedsItems
