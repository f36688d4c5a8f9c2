"""Sound handlers over SQLite: one transaction, upserts, a replaced run, a lease, async, a function, SQLAlchemy."""

from __future__ import annotations

import asyncio
import functools
import json
import multiprocessing
import sqlite3
import subprocess
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_quarry.samples.handlers import (
    INSERT,
    KEYED_TABLES,
    UPSERT,
    Notification,
    OneTransaction,
    OrderLoader,
    SqliteHandlerSuite,
    values,
)
from pytest_quarry.samples.reading import Item, Storage, as_item

if TYPE_CHECKING:
    from pytest_quarry.simulation.world import World


Row = tuple[str, str, str, float]
BATCH = 100  # rows, as many as one statement or one request takes


class OneTransactionSuite(SqliteHandlerSuite):
    """Rows and mark in one transaction."""

    loader = OneTransaction


class Upserts(OrderLoader):
    """Keeps no mark: loads whatever it is told of, each row by its key (run_id, event_id)."""

    def load(self, run_id: str, notification: Notification) -> None:
        with self.database:
            self.database.executemany(UPSERT, values(self.items(notification)))


class UpsertsSuite(SqliteHandlerSuite):
    """Upserts by (run_id, event_id)."""

    loader = Upserts
    tables = KEYED_TABLES


class UpsertsRowByRow(OrderLoader):
    """Commits every row by itself, and the mark last: a second attempt overwrites what the first one left."""

    def load(self, run_id: str, notification: Notification) -> None:
        if self.is_loaded(run_id):
            return
        for row in values(self.items(notification)):
            with self.database:
                self.database.execute(UPSERT, row)
        with self.database:
            self.mark(run_id)


class UpsertsRowByRowSuite(SqliteHandlerSuite):
    """Many commits, the mark after the last; each row has a key."""

    loader = UpsertsRowByRow
    tables = KEYED_TABLES


def batches(rows: list[Row]) -> list[list[Row]]:
    """Rows by the hundred; at least one batch, which may be empty."""
    return [rows[first : first + BATCH] for first in range(0, len(rows), BATCH)] or [[]]


class UpsertsInBatches(OrderLoader):
    """Commits a hundred rows at a time, and the mark last: a second attempt overwrites what the first one left."""

    def load(self, run_id: str, notification: Notification) -> None:
        if self.is_loaded(run_id):
            return
        for rows in batches(values(self.items(notification))):
            with self.database:
                self.database.executemany(UPSERT, rows)
        with self.database:
            self.mark(run_id)


class UpsertsInBatchesSuite(SqliteHandlerSuite):
    """Several commits, the mark after the last; each row has a key."""

    loader = UpsertsInBatches
    tables = KEYED_TABLES


class ReplacesTheRun(OrderLoader):
    """Deletes what is there of a run and inserts all of it, in one transaction."""

    def load(self, run_id: str, notification: Notification) -> None:
        items = self.items(notification)
        with self.database:
            self.database.execute("DELETE FROM orders WHERE run_id = ?", (run_id,))
            self.database.executemany(INSERT, values(items))


class ReplacesTheRunSuite(SqliteHandlerSuite):
    """Replaces a run's rows as a whole."""

    loader = ReplacesTheRun


class StillLeased(Exception):
    """Another worker holds this run; it is to be delivered again."""


class Leased(OneTransaction):
    """Claims a run for five minutes before it loads; a claim whose holder died ends by itself."""

    seconds = 300

    def load(self, run_id: str, notification: Notification) -> None:
        if self.is_loaded(run_id):
            return
        now = time.time()
        with self.database:
            self.database.execute("DELETE FROM claims WHERE run_id = ? AND until <= ?", (run_id, now))
            claim = "INSERT OR IGNORE INTO claims VALUES (?, ?)"
            claimed = self.database.execute(claim, (run_id, now + self.seconds)).rowcount
        if not claimed:
            raise StillLeased(run_id)
        items = self.items(notification)
        with self.database:
            self.database.executemany(INSERT, values(items))
            self.mark(run_id)
            self.database.execute("DELETE FROM claims WHERE run_id = ?", (run_id,))


class LeasedSuite(SqliteHandlerSuite):
    """A claim with an end, then rows and mark in one transaction."""

    loader = Leased
    tables = SqliteHandlerSuite.tables + "CREATE TABLE claims (run_id TEXT PRIMARY KEY, until REAL NOT NULL);"


class ExpiringMarks(OneTransaction):
    """Keeps the marks for a week, longer than any queue keeps a message, so that the table stays small."""

    seconds = 7 * 86_400

    def load(self, run_id: str, notification: Notification) -> None:
        with self.database:
            self.database.execute("DELETE FROM marks WHERE at < ?", (time.time() - self.seconds,))
        super().load(run_id, notification)

    def is_loaded(self, run_id: str) -> bool:
        query = "SELECT 1 FROM marks WHERE run_id = ?"
        return self.database.execute(query, (run_id,)).fetchone() is not None

    def mark(self, run_id: str) -> None:
        self.database.execute("INSERT INTO marks VALUES (?, ?)", (run_id, time.time()))


class ExpiringMarksSuite(SqliteHandlerSuite):
    """Marks that outlast every duplicate."""

    loader = ExpiringMarks
    tables = SqliteHandlerSuite.tables + "CREATE TABLE marks (run_id TEXT PRIMARY KEY, at REAL NOT NULL);"


class ReadsInThreads(OneTransaction):
    """Reads the segments with a pool of threads, writes in one transaction."""

    def items(self, notification: Notification) -> list[Item]:
        files = self.storage.item_files(self.storage.announced(notification["storage_path"]))
        with ThreadPoolExecutor(4) as pool:
            parts = pool.map(lambda file: list(self.storage.records([file])), files)
            events = {record["event_id"]: record for part in parts for record in part}
        return [as_item(record) for record in events.values()]


class ReadsInThreadsSuite(SqliteHandlerSuite):
    """Threads that read, one that writes."""

    loader = ReadsInThreads


def parsed(storage: Storage, folder: str) -> list[Item]:
    """In a process of the pool: the items of one run."""
    return storage.items(folder)


class ReadsInProcesses(OneTransaction):
    """Parses in a pool of processes, which gets half a minute for a run; writes in one transaction."""

    def items(self, notification: Notification) -> list[Item]:
        folder = self.storage.announced(notification["storage_path"])
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
            return pool.submit(parsed, self.storage, folder).result(timeout=30)


class ReadsInProcessesSuite(SqliteHandlerSuite):
    """Processes that read, one that writes."""

    loader = ReadsInProcesses


class WaitsForItsProgram(OneTransaction):
    """A program puts the files of a run together; meanwhile the handler looks each second whether it is done."""

    def items(self, notification: Notification) -> list[Item]:
        files = self.storage.item_files(self.storage.announced(notification["storage_path"]))
        with tempfile.TemporaryFile() as together:
            words = ["cat", *(str(self.storage.root / file) for file in files)]
            program = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=together)
            while program.poll() is None:
                time.sleep(1)
            if program.returncode:
                raise OSError(f"cat ended with status {program.returncode}")
            together.seek(0)
            events = {record["event_id"]: record for record in map(json.loads, together)}
        return [as_item(record) for record in events.values()]


class WaitsForItsProgramSuite(SqliteHandlerSuite):
    """A program that reads, looked for every second."""

    loader = WaitsForItsProgram


class AsyncLoader:
    """Reads the segments concurrently, writes in one transaction."""

    def __init__(self, database: Path, storage: Storage) -> None:
        self.loader = OneTransaction(database, storage)

    async def handle(self, notification: Notification) -> None:
        """Load the run a notification announces."""
        loader = self.loader
        if not loader.wants(notification) or loader.is_loaded(notification["run_id"]):
            return
        storage = loader.storage
        files = storage.item_files(storage.announced(notification["storage_path"]))
        parts = await asyncio.gather(*(self._read(file) for file in files))
        events = {record["event_id"]: record for part in parts for record in part}
        rows = [
            (
                event["run_id"],
                event["event_id"],
                event["payload"]["data"]["sku"],
                event["payload"]["data"]["price"],
            )
            for event in events.values()
        ]
        with loader.database:
            loader.database.executemany(INSERT, rows)
            loader.mark(notification["run_id"])

    async def _read(self, file: str) -> list[dict[str, Any]]:
        await asyncio.sleep(0)
        return list(self.loader.storage.records([file]))


class AsyncLoaderSuite(SqliteHandlerSuite):
    """A coroutine function as handler."""

    def start(self, world: World) -> Any:
        return AsyncLoader(world.disk / "orders.sqlite", Storage(world.storage_root))


def load_run(notification: Notification, *, database: Path, storage: Storage) -> None:
    """Load one run: a function that opens and closes what it needs."""
    if notification.get("event_type") != "run_completed" or notification.get("outcome") != "success":
        return
    items = storage.items(storage.announced(notification["storage_path"]))
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        claim = "INSERT OR IGNORE INTO loaded_runs VALUES (?)"
        if connection.execute(claim, (notification["run_id"],)).rowcount:
            connection.executemany(INSERT, values(items))
        connection.execute("COMMIT")


class FunctionSuite(SqliteHandlerSuite):
    """A plain function, its settings bound by functools.partial."""

    def start(self, world: World) -> Any:
        database = world.disk / "orders.sqlite"
        return functools.partial(load_run, database=database, storage=Storage(world.storage_root))
