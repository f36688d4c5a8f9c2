"""Pollers that have a part of a run in their target for a while: some of its items at each poll, or those before a failure."""

from __future__ import annotations

import time

from pytest_quarry.samples.handlers import INSERT, KEYED_TABLES, PLAIN_TABLES, UPSERT, values
from pytest_quarry.samples.pollers import OrderPoller, SqlitePollerSuite
from pytest_quarry.samples.reading import FinishedRun, as_item

AT_FIRST, AT_MOST = 300, 3_600  # seconds for which a run that failed is left alone


class InPortions(OrderPoller):
    """Loads five items of each run at each poll; how many it has of a run is in the transaction of its rows."""

    MOST = 5

    def load(self, run: FinishedRun) -> None:
        items = self.storage.items(run.folder)
        with self.database:
            self.database.execute("BEGIN IMMEDIATE")
            found = self.database.execute("SELECT items FROM progress WHERE run_id = ?", (run.run_id,)).fetchone()
            (begin,) = found or (0,)
            end = begin + self.MOST
            self.database.executemany(INSERT, values(items[begin:end]))
            self.database.execute("INSERT OR REPLACE INTO progress VALUES (?, ?)", (run.run_id, end))
            if end >= len(items):
                self.database.execute("INSERT OR IGNORE INTO loaded_runs VALUES (?)", (run.run_id,))


class InPortionsSuite(SqlitePollerSuite):
    """A large run takes many polls."""

    poller = InPortions
    tables = PLAIN_TABLES + "CREATE TABLE progress (run_id TEXT PRIMARY KEY, items INTEGER NOT NULL);"


class LeavesAloneForAWhile(OrderPoller):
    """Upserts file by file; leaves a run that failed alone for five minutes, then for ten, up to an hour."""

    def runs(self) -> list[FinishedRun]:
        later = dict(self.database.execute("SELECT run_id, until FROM failed").fetchall())
        return [run for run in super().runs() if later.get(run.run_id, 0) <= time.time()]

    def load(self, run: FinishedRun) -> None:
        try:
            self.load_files(run)
        except Exception:
            self.leave_alone(run.run_id)
            raise
        with self.database:
            self.database.execute("INSERT OR IGNORE INTO loaded_runs VALUES (?)", (run.run_id,))
            self.database.execute("DELETE FROM failed WHERE run_id = ?", (run.run_id,))

    def load_files(self, run: FinishedRun) -> None:
        """The rows of each file, in a transaction of its own."""
        for path in self.storage.item_files(run.folder):
            with self.database:
                self.database.executemany(UPSERT, values(map(as_item, self.storage.records([path]))))

    def leave_alone(self, run_id: str) -> None:
        """Until when, and how often that was so, is remembered."""
        found = self.database.execute("SELECT times FROM failed WHERE run_id = ?", (run_id,)).fetchone()
        (times,) = found or (0,)
        until = time.time() + min(AT_FIRST * 2**times, AT_MOST)
        with self.database:
            self.database.execute("INSERT OR REPLACE INTO failed VALUES (?, ?, ?)", (run_id, times + 1, until))


class LeavesAloneForAWhileSuite(SqlitePollerSuite):
    """A back-off that survives a restart, of runs that may be there in part."""

    poller = LeavesAloneForAWhile
    tables = KEYED_TABLES + "CREATE TABLE failed (run_id TEXT PRIMARY KEY, times INTEGER, until REAL NOT NULL);"
