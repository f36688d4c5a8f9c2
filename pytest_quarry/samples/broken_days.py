"""What days do to consumers: what is old is dropped, what is over is closed, today stays what it was at the start."""

from __future__ import annotations

import datetime
import logging
import time
from pathlib import Path

from pytest_quarry.samples.handlers import PLAIN_TABLES, Notification, OneTransaction, SqliteHandlerSuite
from pytest_quarry.samples.pollers import OrderPoller, SqlitePollerSuite
from pytest_quarry.samples.reading import FinishedRun, Storage

log = logging.getLogger(__name__)
A_DAY = datetime.timedelta(days=1)


def today() -> datetime.date:
    """The day that it is, in UTC."""
    return datetime.datetime.fromtimestamp(time.time(), datetime.UTC).date()


class DropsWhatIsOld(OneTransaction):
    """Takes a notification of the day before yesterday for one that was replayed by mistake."""

    def load(self, run_id: str, notification: Notification) -> None:
        said = datetime.datetime.fromisoformat(notification["timestamp"])
        if datetime.datetime.fromtimestamp(time.time(), datetime.UTC) - said > 2 * A_DAY:
            log.warning("%s is too old", run_id)
            return
        super().load(run_id, notification)


class DropsWhatIsOldSuite(SqliteHandlerSuite):
    """Drops what was announced two days ago."""

    loader = DropsWhatIsOld


class TodayAtTheStart(OrderPoller):
    """Looks at the days up to today, and asks what day it is when it starts."""

    def __init__(self, folder: Path, storage: Storage) -> None:
        super().__init__(folder, storage)
        self.today = today().isoformat()

    def runs(self) -> list[FinishedRun]:
        return [run for run in super().runs() if run.day <= self.today]


class TodayAtTheStartSuite(SqlitePollerSuite):
    """The day of the start, for as long as it runs."""

    poller = TodayAtTheStart


class ClosesDays(OrderPoller):
    """Looks no more into days whose runs it has loaded, three days later."""

    def poll(self) -> None:
        super().poll()
        over = (today() - 3 * A_DAY).isoformat()
        days = {run.day for run in self.runs() if run.day < over}
        with self.database:
            self.database.executemany("INSERT OR IGNORE INTO closed VALUES (?)", [(day,) for day in sorted(days)])

    def runs(self) -> list[FinishedRun]:
        closed = {day for (day,) in self.database.execute("SELECT day FROM closed").fetchall()}
        return [run for run in super().runs() if run.day not in closed]


class ClosesDaysSuite(SqlitePollerSuite):
    """Days that are closed once they are over."""

    poller = ClosesDays
    tables = PLAIN_TABLES + "CREATE TABLE closed (day TEXT PRIMARY KEY);"
