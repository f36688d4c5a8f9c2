"""Handlers and what they do when the disk fails: begin anew, try on, wait a while, or commit once more what is no more."""

from __future__ import annotations

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
from pytest_quarry.samples.reading import Storage
from pytest_quarry.samples.sound_handlers import Upserts, UpsertsSuite

if TYPE_CHECKING:
    from pytest_quarry.simulation.world import World

ATTEMPTS = 3


class CommitsInElse(OrderLoader):
    """Rolls back where loading fails; a COMMIT that fails has done so by itself, as SQLite's documentation says."""

    def __init__(self, database: Path, storage: Storage) -> None:
        super().__init__(database, storage)
        self.database.isolation_level = None
        self.database.execute("PRAGMA journal_mode = wal")  # where a COMMIT waits for no reader

    def load(self, run_id: str, notification: Notification) -> None:
        items = self.items(notification)
        self.database.execute("BEGIN IMMEDIATE")
        try:
            if not self.is_loaded(run_id):
                self.database.executemany(INSERT, values(items))
                self.mark(run_id)
        except BaseException:
            if self.database.in_transaction:
                self.database.execute("ROLLBACK")
            raise
        else:
            self.database.execute("COMMIT")


class CommitsInElseSuite(SqliteHandlerSuite):
    """BEGIN, COMMIT and ROLLBACK by hand in WAL mode; `rows` leaves its connection to the garbage collector."""

    loader = CommitsInElse

    def rows(self, world: World) -> list[dict[str, Any]]:
        found = sqlite3.connect(world.disk / "orders.sqlite").execute("SELECT run_id, event_id FROM orders")
        return [{"run_id": run_id, "item": item} for run_id, item in found]


class TriesUntilItWorks(Upserts):
    """Upserts in one transaction, tried again every five seconds until the database takes it."""

    def load(self, run_id: str, notification: Notification) -> None:
        while True:
            try:
                super().load(run_id, notification)
                return
            except sqlite3.OperationalError:
                time.sleep(5)


class TriesUntilItWorksSuite(UpsertsSuite):
    """A loop around a transaction, without an end of its own."""

    loader = TriesUntilItWorks


class Recent:
    """What happened less than so many seconds ago."""

    def __init__(self, seconds: float, timer: Callable[[], float] = time.monotonic) -> None:
        self.seconds, self.timer = seconds, timer
        self.times: dict[str, float] = {}

    def add(self, key: str) -> None:
        """It happened now."""
        self.times[key] = self.timer()

    def __contains__(self, key: str) -> bool:
        return key in self.times and self.timer() - self.times[key] < self.seconds


class LeavesAlone(Upserts):
    """A run that has failed is left alone for a while: its message comes again."""

    def __init__(self, database: Path, storage: Storage) -> None:
        super().__init__(database, storage)
        self.failed = Recent(45)

    def load(self, run_id: str, notification: Notification) -> None:
        if run_id in self.failed:
            raise RuntimeError(f"{run_id} failed less than {self.failed.seconds} s ago")
        try:
            super().load(run_id, notification)
        except Exception:
            self.failed.add(run_id)
            raise


class LeavesAloneSuite(UpsertsSuite):
    """A memory of failures, by a clock that is a default argument."""

    loader = LeavesAlone


class CommitsAgain(OneTransaction):
    """Tries three times to commit; after an I/O error nothing is left of the transaction, and the second COMMIT does nothing."""

    def load(self, run_id: str, notification: Notification) -> None:
        if self.is_loaded(run_id):
            return
        items = self.items(notification)
        try:
            self.database.executemany(INSERT, values(items))
            self.mark(run_id)
            self.commit()
        except BaseException:
            self.database.rollback()
            raise

    def commit(self) -> None:
        """Commit, with patience."""
        for attempt in range(ATTEMPTS):
            try:
                self.database.commit()
                return
            except sqlite3.OperationalError:
                if attempt == ATTEMPTS - 1:
                    raise
                time.sleep(1)


class CommitsAgainSuite(SqliteHandlerSuite):
    """A COMMIT that is tried again."""

    loader = CommitsAgain
