"""Broken samples that take something for granted: the day of a run, its outcome, that ids differ in more than a part."""

from __future__ import annotations

import re
from urllib.parse import unquote

from pytest_quarry.samples.handlers import Notification, OneTransaction, SqliteHandlerSuite, values
from pytest_quarry.samples.pollers import OrderPoller, SqlitePollerSuite
from pytest_quarry.samples.reading import DATA_FILE, FinishedRun, Item, Storage


class DayOfPublishing(OneTransaction):
    """Looks in the folder of the day on which it was told."""

    def items(self, notification: Notification) -> list[Item]:
        folder = self.storage.folder_of(notification["storage_path"])
        return self.storage.items(re.sub("day=[^/]*", f"day={notification['timestamp'][:10]}", folder))


class DayOfPublishingSuite(SqliteHandlerSuite):
    """Takes the day of the notification for the day of the run."""

    loader = DayOfPublishing


class AnyTerminalEvent(Storage):
    """Takes a run as finished when it has a terminal event, run_error too."""

    def finished_runs(self) -> list[FinishedRun]:
        matches = [DATA_FILE.fullmatch(path) for path in self.committed()]
        found = {
            match["folder"]: FinishedRun(
                unquote(match["run_id"]), match["day"], match["folder"], int(match["snapshot"])
            )
            for match in matches
            if match and match["type"] in ("run_complete", "run_error")
        }
        return [found[folder] for folder in sorted(found)]


class AnyTerminalEventSuite(SqlitePollerSuite):
    """Loads failed runs."""

    reader = AnyTerminalEvent


class KeyedByEventPoller(OrderPoller):
    """Leaves it to the table's primary key to skip what is there."""

    def load(self, run: FinishedRun) -> None:
        with self.database:
            insert = "INSERT OR IGNORE INTO orders (run_id, event_id, sku, price) VALUES (?, ?, ?, ?)"
            self.database.executemany(insert, values(self.storage.items(run.folder)))
            self.database.execute("INSERT INTO loaded_runs VALUES (?)", (run.run_id,))


class KeyedByEventPollerSuite(SqlitePollerSuite):
    """A primary key of event_id alone."""

    poller = KeyedByEventPoller
    tables = (
        "CREATE TABLE orders (run_id TEXT NOT NULL, event_id TEXT PRIMARY KEY, sku TEXT, price REAL);"
        "CREATE TABLE loaded_runs (run_id TEXT PRIMARY KEY);"
    )


class MatchesAnywherePoller(OrderPoller):
    """Looks whether a run's id is in the text of the loaded ones."""

    def poll(self) -> None:
        loaded = "\n".join(self.loaded())
        for run in self.runs():
            if run.run_id not in loaded:
                self.load(run)


class MatchesAnywherePollerSuite(SqlitePollerSuite):
    """Compares run ids by substring."""

    poller = MatchesAnywherePoller
