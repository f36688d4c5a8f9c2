"""Consumers whose commits, or whose memory, are large enough for a few small runs of one day."""

from __future__ import annotations

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
from pytest_quarry.samples.pollers import OrderPoller, SqlitePollerSuite
from pytest_quarry.samples.reading import FinishedRun
from pytest_quarry.samples.sound_handlers import ExpiringMarks, ExpiringMarksSuite, batches


class InsertsInBatches(OrderLoader):
    """Inserts a hundred rows per commit, and marks the run with the last of them."""

    def load(self, run_id: str, notification: Notification) -> None:
        if self.is_loaded(run_id):
            return
        *first, last = batches(values(self.items(notification)))
        for rows in first:
            with self.database:
                self.database.executemany(INSERT, rows)
        with self.database:
            self.database.executemany(INSERT, last)
            self.mark(run_id)


class InsertsInBatchesSuite(SqliteHandlerSuite):
    """Several commits of rows without a key."""

    loader = InsertsInBatches


class MarksWithTheFirstBatch(OrderLoader):
    """Upserts a hundred rows per commit, and marks the run with the first of them."""

    def load(self, run_id: str, notification: Notification) -> None:
        if self.is_loaded(run_id):
            return
        for number, rows in enumerate(batches(values(self.items(notification)))):
            with self.database:
                if number == 0:
                    self.mark(run_id)
                self.database.executemany(UPSERT, rows)


class MarksWithTheFirstBatchSuite(SqliteHandlerSuite):
    """The mark is durable before the last rows are."""

    loader = MarksWithTheFirstBatch
    tables = KEYED_TABLES


class PollsInBatches(OrderPoller):
    """Inserts a hundred rows per commit, and marks the run with the last of them."""

    def load(self, run: FinishedRun) -> None:
        *first, last = batches(values(self.storage.items(run.folder)))
        for rows in first:
            with self.database:
                self.database.executemany(INSERT, rows)
        with self.database:
            self.database.executemany(INSERT, last)
            self.database.execute("INSERT INTO loaded_runs VALUES (?)", (run.run_id,))


class PollsInBatchesSuite(SqlitePollerSuite):
    """Several commits of rows without a key."""

    poller = PollsInBatches


class PurgesAfterThreeDays(ExpiringMarks):
    """Deletes marks that are three days old whenever it loads a run."""

    seconds = 3 * 86_400


class PurgesAfterThreeDaysSuite(ExpiringMarksSuite):
    """Marks that go a day before messages do."""

    loader = PurgesAfterThreeDays


class RemembersFive(OneTransaction):
    """Keeps the marks of the five runs that it loaded last."""

    def mark(self, run_id: str) -> None:
        super().mark(run_id)
        self.database.execute("DELETE FROM loaded_runs WHERE rowid <= (SELECT max(rowid) FROM loaded_runs) - 5")


class RemembersFiveSuite(SqliteHandlerSuite):
    """A bounded table of marks."""

    loader = RemembersFive


class NewestDayOnly(OneTransaction):
    """Skips a run of an earlier day than the newest it has loaded."""

    def load(self, run_id: str, notification: Notification) -> None:
        (newest,) = self.database.execute("SELECT max(day) FROM days").fetchone()
        if self.is_loaded(run_id) or (newest is not None and notification["day"] < newest):
            return
        items = self.items(notification)
        with self.database:
            self.database.executemany(INSERT, values(items))
            self.database.execute("INSERT OR IGNORE INTO days VALUES (?)", (notification["day"],))
            self.mark(run_id)


class NewestDayOnlySuite(SqliteHandlerSuite):
    """A high-water mark over days."""

    loader = NewestDayOnly
    tables = SqliteHandlerSuite.tables + "CREATE TABLE days (day TEXT PRIMARY KEY);"
