"""Consumers with one mistake each that shows when two of them are at work: a look and an act with a gap between."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sqlite3
import threading
import time
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_quarry.samples.handlers import (
    INSERT,
    KEYED_TABLES,
    Notification,
    OneTransaction,
    OrderLoader,
    SqliteHandlerSuite,
    values,
)
from pytest_quarry.samples.pollers import Checkpoint, OrderPoller, SqlitePollerSuite, each
from pytest_quarry.samples.reading import FinishedRun, Item, Storage
from pytest_quarry.samples.sound_aws import dynamo
from pytest_quarry.samples.sound_files import FileLoader, as_lines, read_rows, replace_file
from pytest_quarry.samples.sound_handlers import StillLeased
from pytest_quarry.samples.sound_lambdas import DynamoRowsSuite, KeyedRows, as_attributes
from pytest_quarry.samples.sound_pollers import AtomicCheckpoint
from pytest_quarry.samples.sound_together import UNKEYED_TABLES, WaitsItsTurn
from pytest_quarry.suites import EventBusConformance, PollerConformance

if TYPE_CHECKING:
    from pytest_quarry.simulation.world import World


class ChecksThenInsertsSuite(SqliteHandlerSuite):
    """Looks, reads, inserts; no key refuses what another worker inserted meanwhile."""

    tables = UNKEYED_TABLES


class IgnoresTheMark(OneTransaction):
    """Marks by INSERT OR IGNORE, in the same transaction as the rows, and does not ask whether it was ignored."""

    def mark(self, run_id: str) -> None:
        self.database.execute("INSERT OR IGNORE INTO loaded_runs VALUES (?)", (run_id,))


class IgnoresTheMarkSuite(SqliteHandlerSuite):
    """A mark that refuses nobody."""

    loader = IgnoresTheMark


class ClaimsBySelect(OneTransaction):
    """Looks for a claim, and makes one of its own if there is none."""

    seconds = 300

    def load(self, run_id: str, notification: Notification) -> None:
        if self.is_loaded(run_id):
            return
        now = time.time()
        query = "SELECT 1 FROM claims WHERE run_id = ? AND until > ?"
        if self.database.execute(query, (run_id, now)).fetchone():
            raise StillLeased(run_id)
        with self.database:
            self.database.execute("INSERT INTO claims VALUES (?, ?)", (run_id, now + self.seconds))
        super().load(run_id, notification)


class ClaimsBySelectSuite(SqliteHandlerSuite):
    """A claim of one's own, made after a look at those of others."""

    loader = ClaimsBySelect
    tables = UNKEYED_TABLES + "CREATE TABLE claims (run_id TEXT NOT NULL, until REAL NOT NULL);"


class ClaimsTooBriefly(OneTransaction):
    """Claims a run for ten seconds, which is enough on a good day; looks and loads while it has the claim."""

    seconds = 10

    def load(self, run_id: str, notification: Notification) -> None:
        now = time.time()
        with self.database:
            self.database.execute("DELETE FROM claims WHERE run_id = ? AND until <= ?", (run_id, now))
            claim = "INSERT OR IGNORE INTO claims VALUES (?, ?)"
            claimed = self.database.execute(claim, (run_id, now + self.seconds)).rowcount
        if not claimed:
            raise StillLeased(run_id)
        super().load(run_id, notification)
        with self.database:
            self.database.execute("DELETE FROM claims WHERE run_id = ?", (run_id,))


class ClaimsTooBrieflySuite(SqliteHandlerSuite):
    """A claim that ends before the work does."""

    loader = ClaimsTooBriefly
    tables = UNKEYED_TABLES + "CREATE TABLE claims (run_id TEXT PRIMARY KEY, until REAL NOT NULL);"


class LocksItsThreads(OneTransaction):
    """Looks and loads under a lock that other processes do not know of."""

    lock = threading.Lock()

    def load(self, run_id: str, notification: Notification) -> None:
        with self.lock:
            super().load(run_id, notification)


class LocksItsThreadsSuite(SqliteHandlerSuite):
    """A lock of threads among processes."""

    loader = LocksItsThreads
    tables = UNKEYED_TABLES


class UnlocksBeforeCommit(WaitsItsTurn):
    """Looks and inserts under the lock, and commits when it has given the lock back."""

    def load(self, run_id: str, notification: Notification) -> None:
        with open(self.lock, "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self.is_loaded(run_id):
                return
            self.database.executemany(INSERT, values(self.items(notification)))
            self.mark(run_id)
        self.database.commit()


class UnlocksBeforeCommitSuite(SqliteHandlerSuite):
    """A lock that ends before what it guards is durable."""

    loader = UnlocksBeforeCommit
    tables = UNKEYED_TABLES


class LooksBeforeItLocks(WaitsItsTurn):
    """Looks first, to spare itself the lock, and believes with the lock what it saw without."""

    def load(self, run_id: str, notification: Notification) -> None:
        if self.is_loaded(run_id):
            return
        with open(self.lock, "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with self.database:
                self.database.executemany(INSERT, values(self.items(notification)))
                self.mark(run_id)


class LooksBeforeItLocksSuite(SqliteHandlerSuite):
    """A look outside the lock."""

    loader = LooksBeforeItLocks
    tables = UNKEYED_TABLES


class LeavesItsLockFile(WaitsItsTurn):
    """Holds a lock by a file that is there; one that a dead worker left is there for ever."""

    def load(self, run_id: str, notification: Notification) -> None:
        while True:
            try:
                os.close(os.open(self.lock, os.O_CREAT | os.O_EXCL))
                break
            except FileExistsError:
                self.wait()
        try:
            OneTransaction.load(self, run_id, notification)
        finally:
            self.lock.unlink(missing_ok=True)

    def wait(self) -> None:
        """Give whoever holds the lock a moment."""
        time.sleep(1)


class LeavesItsLockFileSuite(SqliteHandlerSuite):
    """A lock file with no holder's name in it, and no end."""

    loader = LeavesItsLockFile


class TakesOldLockFiles(LeavesItsLockFile):
    """Waits for a lock file, and takes it away when it is older than ten seconds: who made it must be dead."""

    seconds = 10

    def wait(self) -> None:
        super().wait()
        self.take_away()

    def take_away(self) -> None:
        """Remove the lock file if it is too old."""
        with contextlib.suppress(FileNotFoundError):
            if time.time() - self.lock.stat().st_mtime > self.seconds:
                self.lock.unlink()


class TakesOldLockFilesSuite(SqliteHandlerSuite):
    """A lock file that ends before the work does."""

    loader = TakesOldLockFiles
    tables = UNKEYED_TABLES


class TakesLocksInAnyOrder(OrderLoader):
    """Takes the lock of the marks, then that of the rows; when it starts and looks after both, the other way round."""

    def __init__(self, database: Path, storage: Storage) -> None:
        super().__init__(database, storage)
        self.locks = database.with_suffix(".marks-lock"), database.with_suffix(".rows-lock")
        with open(self.locks[1], "w") as rows, open(self.locks[0], "w") as marks:
            fcntl.flock(rows, fcntl.LOCK_EX)
            fcntl.flock(marks, fcntl.LOCK_EX)
            with self.database:
                self.database.execute("DELETE FROM orders WHERE run_id NOT IN (SELECT run_id FROM loaded_runs)")

    def load(self, run_id: str, notification: Notification) -> None:
        items = self.items(notification)
        with open(self.locks[0], "w") as marks, open(self.locks[1], "w") as rows:
            fcntl.flock(marks, fcntl.LOCK_EX)
            if self.is_loaded(run_id):
                return
            fcntl.flock(rows, fcntl.LOCK_EX)
            with self.database:
                self.database.executemany(INSERT, values(items))
                self.mark(run_id)


class TakesLocksInAnyOrderSuite(SqliteHandlerSuite):
    """Two locks in two orders."""

    loader = TakesLocksInAnyOrder


class TakesBusyForDone(OneTransaction):
    """Does not wait for a locked database: another worker must be loading the run already."""

    def __init__(self, database: Path, storage: Storage) -> None:
        super().__init__(database, storage)
        self.database = sqlite3.connect(database, timeout=0)

    def load(self, run_id: str, notification: Notification) -> None:
        try:
            super().load(run_id, notification)
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise


class TakesBusyForDoneSuite(SqliteHandlerSuite):
    """An acknowledgement where only a lock was met."""

    loader = TakesBusyForDone


class PutsByChance(KeyedRows):
    """Looks whether the run is marked, then puts each item under a new id; no condition refuses a second copy."""

    def put_once(self, item: Item) -> None:
        row = {"id": str(uuid.uuid4()), "run_id": item.run_id, "event_id": item.event_id}
        dynamo().put_item(TableName="orders", Item=as_attributes(row))


class PutsByChanceSuite(DynamoRowsSuite):
    """Puts that overwrite nothing and refuse nothing."""

    loader = PutsByChance


class RewritesOneDocument(FileLoader):
    """Keeps all runs in one JSON document: reads it, adds a run, replaces it."""

    def load(self, run_id: str, items: list[Item]) -> None:
        path = self.folder / "orders.json"
        runs = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        runs[run_id] = [asdict(item) for item in items]
        replace_file(path, json.dumps(runs))


class RewritesOneDocumentSuite(EventBusConformance):
    """A document whose last writer wins."""

    def start(self, world: World) -> Any:
        return RewritesOneDocument(world.disk, Storage(world.storage_root))

    def rows(self, world: World) -> list[dict[str, Any]]:
        path = world.disk / "orders.json"
        runs = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return [{"run_id": run_id, "item": item["event_id"]} for run_id in runs for item in runs[run_id]]


class PollerChecksThenInsertsSuite(SqlitePollerSuite):
    """A list of loaded runs made at the beginning of a poll, and no key that refuses what another poll inserted."""

    tables = UNKEYED_TABLES


class SharedTemporary(Checkpoint):
    """Replaces the checkpoint by way of `checkpoint.tmp`, which another poll may have open too."""

    def write(self, loaded: set[str]) -> None:
        temporary = self.path.with_suffix(".tmp")
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump({"version": 1, "loaded": sorted(loaded)}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.path)


class SharesATemporaryFile(AtomicCheckpoint):
    """Upserts a run's rows, then replaces the checkpoint."""

    def __init__(self, folder: Path, storage: Storage) -> None:
        super().__init__(folder, storage)
        self.checkpoint = SharedTemporary(folder / "checkpoint.json")


class SharesATemporaryFileSuite(SqlitePollerSuite):
    """One name for the temporary file of every poll."""

    poller = SharesATemporaryFile
    tables = KEYED_TABLES


class NumbersItsOutput:
    """Writes a file per run, by rename, and numbers the files; what is in them says which runs are done."""

    def __init__(self, folder: Path, storage: Storage) -> None:
        self.folder, self.storage = folder / "orders", storage
        self.folder.mkdir(exist_ok=True)

    def poll(self) -> None:
        """Look once."""
        done = {row["run_id"] for file in self.files() for row in read_rows(file)}
        each([run for run in self.storage.finished_runs() if run.run_id not in done], self.load)

    def files(self) -> list[Path]:
        """What was written so far."""
        return sorted(self.folder.glob("*.jsonl"))

    def load(self, run: FinishedRun) -> None:
        """Write the next file."""
        items = self.storage.items(run.folder)
        replace_file(self.folder / f"{len(self.files()):06}.jsonl", as_lines(items))


class NumbersItsOutputSuite(PollerConformance):
    """A number that two polls may both take for the next."""

    def start(self, world: World) -> Any:
        return NumbersItsOutput(world.disk, Storage(world.storage_root))

    def rows(self, world: World) -> list[dict[str, Any]]:
        return [row for file in sorted((world.disk / "orders").glob("*.jsonl")) for row in read_rows(file)]


class LeavesItsLock(OrderPoller):
    """Gives up where a lock file is there: another poll is at work, or once was."""

    def poll(self) -> None:
        lock = self.checkpoint.path.with_name("poller.lock")
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        try:
            super().poll()
        finally:
            lock.unlink()


class LeavesItsLockSuite(SqlitePollerSuite):
    """A lock file that a killed poll leaves behind."""

    poller = LeavesItsLock
