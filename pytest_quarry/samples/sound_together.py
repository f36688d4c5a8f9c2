"""Sound consumers that are safe by a lock: a file lock, a transaction that writes from its beginning, a poller that stands by."""

from __future__ import annotations

import fcntl
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
