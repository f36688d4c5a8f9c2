"""Handlers that lose or repeat runs at a crash or a redelivery: what they remember, and when."""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_quarry.samples.handlers import (
    INSERT,
    Notification,
    OneTransaction,
    OrderLoader,
    SqliteHandlerSuite,
    values,
)
from pytest_quarry.samples.reading import Item, Storage
from pytest_quarry.samples.sound_aws import Event, Load, lambda_handler, notification_in
from pytest_quarry.samples.sound_files import (
    Ledger,
    LedgerSuite,
    MarkerByRename,
    MarkerByRenameSuite,
    as_lines,
    file_name,
)
from pytest_quarry.samples.sound_handlers import ExpiringMarks, ExpiringMarksSuite

if TYPE_CHECKING:
    from pytest_quarry.simulation.world import World

log = logging.getLogger(__name__)


class InsertsAlways(OrderLoader):
    """Inserts whatever it is told of."""

    def load(self, run_id: str, notification: Notification) -> None:
        with self.database:
            self.database.executemany(INSERT, values(self.items(notification)))


class InsertsAlwaysSuite(SqliteHandlerSuite):
    """No deduplication."""

    loader = InsertsAlways


class RemembersInMemory(InsertsAlways):
    """Keeps the runs it has seen in a set."""

    def __init__(self, database: Path, storage: Storage) -> None:
        super().__init__(database, storage)
        self.seen: set[str] = set()

    def load(self, run_id: str, notification: Notification) -> None:
        if run_id not in self.seen:
            super().load(run_id, notification)
            self.seen.add(run_id)


class RemembersInMemorySuite(SqliteHandlerSuite):
    """A set in memory."""

    loader = RemembersInMemory


class MarksFirst(OrderLoader):
    """Marks a run, then loads it."""

    def load(self, run_id: str, notification: Notification) -> None:
        if self.is_loaded(run_id):
            return
        with self.database:
            self.mark(run_id)
        with self.database:
            self.database.executemany(INSERT, values(self.items(notification)))


class MarksFirstSuite(SqliteHandlerSuite):
    """The mark is durable before the rows."""

    loader = MarksFirst


class MarksInASecondCommit(OrderLoader):
    """Loads a run, then marks it."""

    def load(self, run_id: str, notification: Notification) -> None:
        if self.is_loaded(run_id):
            return
        with self.database:
            self.database.executemany(INSERT, values(self.items(notification)))
        with self.database:
            self.mark(run_id)


class MarksInASecondCommitSuite(SqliteHandlerSuite):
    """Rows and mark in two commits."""

    loader = MarksInASecondCommit


class FirstRowMeansLoaded(OrderLoader):
    """Takes a run as loaded when the target has a row of it."""

    def __init__(self, database: Path, storage: Storage) -> None:
        super().__init__(database, storage)
        self.database.isolation_level = None

    def load(self, run_id: str, notification: Notification) -> None:
        query = "SELECT 1 FROM orders WHERE run_id = ? LIMIT 1"
        if self.database.execute(query, (run_id,)).fetchone() is None:
            self.database.executemany(INSERT, values(self.items(notification)))


class FirstRowMeansLoadedSuite(SqliteHandlerSuite):
    """Autocommit, and a check for any row."""

    loader = FirstRowMeansLoaded


class ClaimsForEver(OneTransaction):
    """Claims a run before it loads, and leaves a claimed run to the worker that holds it."""

    def load(self, run_id: str, notification: Notification) -> None:
        if self.is_loaded(run_id):
            return
        with self.database:
            claimed = self.database.execute("INSERT OR IGNORE INTO claims VALUES (?)", (run_id,)).rowcount
        if claimed:
            super().load(run_id, notification)


class ClaimsForEverSuite(SqliteHandlerSuite):
    """A claim without an end."""

    loader = ClaimsForEver
    tables = SqliteHandlerSuite.tables + "CREATE TABLE claims (run_id TEXT PRIMARY KEY);"


class AlreadyInProgress(Exception):
    """Another invocation is at work on this run."""


class ClaimedLoader(OneTransaction):
    """Claims a run before it loads; refuses a claimed one."""

    def load(self, run_id: str, notification: Notification) -> None:
        if self.is_loaded(run_id):
            return
        try:
            with self.database:
                self.database.execute("INSERT INTO claims VALUES (?)", (run_id,))
        except sqlite3.IntegrityError as error:
            raise AlreadyInProgress(run_id) from error
        super().load(run_id, notification)


class RefusesForEverSuite(SqliteHandlerSuite):
    """A Lambda function whose claims have no end: it fails the record until the queue gives up."""

    loader = ClaimedLoader
    tables = ClaimsForEverSuite.tables

    def start(self, world: World) -> Any:
        return lambda_handler(self.loader(world.disk / "orders.sqlite", Storage(world.storage_root)).handle)


class WritesBehind(OrderLoader):
    """Commits at most every half minute."""

    every = 30

    def __init__(self, database: Path, storage: Storage) -> None:
        super().__init__(database, storage)
        self.committed = 0.0

    def load(self, run_id: str, notification: Notification) -> None:
        if self.is_loaded(run_id):
            return
        self.database.executemany(INSERT, values(self.items(notification)))
        self.mark(run_id)
        if time.monotonic() - self.committed >= self.every:
            self.database.commit()
            self.committed = time.monotonic()


class WritesBehindSuite(SqliteHandlerSuite):
    """Acknowledges what it has not committed."""

    loader = WritesBehind


class ProcessedFile(OrderLoader):
    """Keeps the processed runs in a JSON file that it writes anew for every run."""

    def __init__(self, database: Path, storage: Storage) -> None:
        super().__init__(database, storage)
        self.file = database.with_name("processed.json")

    def processed(self) -> list[str]:
        """The processed runs."""
        return list(json.loads(self.file.read_text(encoding="utf-8"))) if self.file.exists() else []

    def load(self, run_id: str, notification: Notification) -> None:
        processed = self.processed()
        if run_id in processed:
            return
        with self.database:
            self.database.execute("DELETE FROM orders WHERE run_id = ?", (run_id,))
            self.database.executemany(INSERT, values(self.items(notification)))
        self.file.write_text(json.dumps([*processed, run_id]), encoding="utf-8")


class ProcessedFileSuite(SqliteHandlerSuite):
    """A file of processed runs, rewritten in place."""

    loader = ProcessedFile


class LogsAndGoesOn(ProcessedFile):
    """Logs what goes wrong, so that one bad run does not stop the worker."""

    def handle(self, notification: Notification) -> None:
        try:
            super().handle(notification)
        except Exception:
            log.exception("run %s could not be loaded", notification.get("run_id"))


class LogsAndGoesOnSuite(SqliteHandlerSuite):
    """Swallows the error of a damaged file."""

    loader = LogsAndGoesOn


class StartsAnew(OrderLoader):
    """Takes a processed file that it cannot read as an empty one, and only inserts."""

    def __init__(self, database: Path, storage: Storage) -> None:
        super().__init__(database, storage)
        self.file = database.with_name("processed.json")

    def load(self, run_id: str, notification: Notification) -> None:
        try:
            processed = json.loads(self.file.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            processed = []
        if run_id in processed:
            return
        with self.database:
            self.database.executemany(INSERT, values(self.items(notification)))
        self.file.write_text(json.dumps([*processed, run_id]), encoding="utf-8")


class StartsAnewSuite(SqliteHandlerSuite):
    """A damaged file of processed runs counts as empty."""

    loader = StartsAnew


class MarkerMeansStarted(MarkerByRename):
    """Creates the marker exclusively, so that no other worker takes the run, then writes the rows."""

    def load(self, run_id: str, items: list[Item]) -> None:
        try:
            (self.folder / "loaded" / file_name(run_id)).touch(exist_ok=False)
        except FileExistsError:
            return
        (self.folder / "orders" / f"{file_name(run_id)}.jsonl").write_text(as_lines(items), encoding="utf-8")


class MarkerMeansStartedSuite(MarkerByRenameSuite):
    """The marker file comes first."""

    def start(self, world: World) -> Any:
        return MarkerMeansStarted(world.disk, Storage(world.storage_root))


class LedgerWithoutRecovery(Ledger):
    """Reads which runs have an end line, and leaves the rest of the file as it is."""

    def recover(self) -> None:
        if not self.path.exists():
            return
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if "loaded" in entry:
                self.loaded.add(entry["loaded"])


class LedgerWithoutRecoverySuite(LedgerSuite):
    """An append-only file that keeps what a crash cut off."""

    def start(self, world: World) -> Any:
        return LedgerWithoutRecovery(world.disk, Storage(world.storage_root))


class ForgetsAfterAnHour(ExpiringMarks):
    """Keeps the marks for an hour, the default of many an idempotency store."""

    seconds = 3_600


class ForgetsAfterAnHourSuite(ExpiringMarksSuite):
    """Marks that expire earlier than messages do."""

    loader = ForgetsAfterAnHour


class RemembersTheLast(OneTransaction):
    """Skips a run when it is the one that was loaded last."""

    def is_loaded(self, run_id: str) -> bool:
        last = self.database.execute("SELECT run_id FROM loaded_runs").fetchone()
        return last is not None and str(last[0]) == run_id

    def mark(self, run_id: str) -> None:
        self.database.execute("DELETE FROM loaded_runs")
        super().mark(run_id)


class RemembersTheLastSuite(SqliteHandlerSuite):
    """Remembers one run, the last."""

    loader = RemembersTheLast


def batch_handler(load: Load) -> Callable[[Event, Any], dict[str, Any]]:
    """A Lambda function that loads each run of a batch once."""

    def handler(event: Event, context: Any) -> dict[str, Any]:
        runs = {message["run_id"]: message for message in map(notification_in, event["Records"])}
        for message in runs.values():
            load(message)
        return {"batchItemFailures": []}

    return handler


class OncePerBatchSuite(RemembersInMemorySuite):
    """Deduplicates within a batch."""

    def start(self, world: World) -> Any:
        return batch_handler(InsertsAlways(world.disk / "orders.sqlite", Storage(world.storage_root)).handle)
