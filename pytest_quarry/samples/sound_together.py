"""Sound consumers that are safe by a lock: a file lock, a transaction that writes from its beginning, a poller that stands by."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import closing
from pathlib import Path

from pytest_quarry.samples.handlers import (
    INSERT,
    Notification,
    OneTransaction,
    OrderLoader,
    SqliteHandlerSuite,
    values,
)
from pytest_quarry.samples.pollers import OrderPoller, SqlitePollerSuite
from pytest_quarry.samples.reading import Storage

# Nothing in these tables refuses a second copy.
UNKEYED_TABLES = """
CREATE TABLE orders (run_id TEXT NOT NULL, event_id TEXT NOT NULL, sku TEXT, price REAL);
CREATE TABLE loaded_runs (run_id TEXT NOT NULL);
"""


class WaitsItsTurn(OneTransaction):
    """Looks and loads while it holds a file lock."""

    def __init__(self, database: Path, storage: Storage) -> None:
        super().__init__(database, storage)
        self.lock = database.with_suffix(".lock")

    def load(self, run_id: str, notification: Notification) -> None:
        with open(self.lock, "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            super().load(run_id, notification)


class WaitsItsTurnSuite(SqliteHandlerSuite):
    """One lock around look and load."""

    loader = WaitsItsTurn
    tables = UNKEYED_TABLES


class LooksInside(OrderLoader):
    """Begins as a writer: what it sees then is what it adds to."""

    def __init__(self, database: Path, storage: Storage) -> None:
        super().__init__(database, storage)
        self.path = database

    def load(self, run_id: str, notification: Notification) -> None:
        items = self.items(notification)
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            query = "SELECT 1 FROM loaded_runs WHERE run_id = ?"
            if connection.execute(query, (run_id,)).fetchone() is None:
                connection.executemany(INSERT, values(items))
                connection.execute("INSERT INTO loaded_runs VALUES (?)", (run_id,))
            connection.execute("COMMIT")


class LooksInsideSuite(SqliteHandlerSuite):
    """Look and load in one transaction that writes from its beginning."""

    loader = LooksInside
    tables = UNKEYED_TABLES


class StandsBy(OrderPoller):
    """Holds a lock for as long as it lives; whoever comes second waits until it is gone."""

    def __init__(self, folder: Path, storage: Storage) -> None:
        super().__init__(folder, storage)
        self.lock = open(folder / "poller.lock", "w")  # noqa: SIM115 - until the process ends
        fcntl.flock(self.lock, fcntl.LOCK_EX)


class StandsBySuite(SqlitePollerSuite):
    """One poller at work, others standing by."""

    poller = StandsBy
    tables = UNKEYED_TABLES


class RunsAlready(RuntimeError):
    """Another process, which is alive, works; this message is to come again."""


class NamesItsProcess(OneTransaction):
    """Looks and loads while a file names its process; that of a process that is gone is no obstacle."""

    def __init__(self, database: Path, storage: Storage) -> None:
        super().__init__(database, storage)
        self.file = database.with_suffix(".pid")

    def load(self, run_id: str, notification: Notification) -> None:
        self.take()
        try:
            super().load(run_id, notification)
        finally:
            self.file.unlink()

    def take(self) -> None:
        """Put the file into place whole, or raise RunsAlready."""
        mine = self.file.with_name(f"{os.getpid()}.mine")
        mine.write_text(str(os.getpid()))
        try:
            os.link(mine, self.file)
        except FileExistsError:
            self.make_way(int(self.file.read_text()))
            os.link(mine, self.file)
        finally:
            mine.unlink()

    def make_way(self, holder: int) -> None:
        """Remove the file of a process that is gone; only while nobody else does, or it might be somebody's who is not."""
        with open(self.file.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self.is_gone(holder) and self.file.read_text() == str(holder):
                self.file.unlink()
                return
        raise RunsAlready(f"process {holder} has {self.file.name}")

    def is_gone(self, holder: int) -> bool:
        """Whether no such process is there; what this one has left there, where it failed, is no obstacle either."""
        if holder == os.getpid():
            return True
        try:
            os.kill(holder, 0)
        except ProcessLookupError:
            return True
        return False


class NamesItsProcessSuite(SqliteHandlerSuite):
    """A file with a process's id, taken over from the dead alone."""

    loader = NamesItsProcess
    tables = UNKEYED_TABLES
