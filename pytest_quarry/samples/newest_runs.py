"""Consumers that keep the items of the newest run of each source and category, and say so in their suite."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_quarry.samples.handlers import INSERT, KEYED_TABLES, Notification, OrderLoader, SqliteHandlerSuite, values
from pytest_quarry.samples.pollers import OrderPoller, SqlitePollerSuite, each
from pytest_quarry.samples.wanted_runs import value_in

if TYPE_CHECKING:
    from pytest_quarry.samples.reading import FinishedRun, Item

TABLES = (
    KEYED_TABLES
    + """
CREATE TABLE current_runs (
    source TEXT NOT NULL, category TEXT NOT NULL, day TEXT NOT NULL, run_id TEXT NOT NULL, PRIMARY KEY (source, category)
);
"""
)
CURRENT = "SELECT day, run_id FROM current_runs WHERE source = ? AND category = ?"


class Place(NamedTuple):
    """What one run at a time has: a source and a category. And which has it."""

    kind: tuple[str, str]
    day: str
    run_id: str

    @classmethod
    def of(cls, run_id: str, folder: str) -> Place:
        """The place that a run in this folder takes."""
        return cls((value_in(folder, "source"), value_in(folder, "category")), value_in(folder, "day"), run_id)


def has_newer(database: sqlite3.Connection, place: Place) -> bool:
    """Whether this run or a newer one, by day and then by id, is there."""
    current = database.execute(CURRENT, place.kind).fetchone()
    return current is not None and current >= (place.day, place.run_id)


def put(database: sqlite3.Connection, place: Place, items: list[Item]) -> None:
    """Let a run take the place of the one that is there."""
    for _, run_id in database.execute(CURRENT, place.kind).fetchall():
        database.execute("DELETE FROM orders WHERE run_id = ?", (run_id,))
    add(database, place, items)


def add(database: sqlite3.Connection, place: Place, items: list[Item]) -> None:
    """Load a run, as the newest one."""
    database.executemany(INSERT, values(items))
    database.execute("INSERT OR REPLACE INTO current_runs VALUES (?, ?, ?, ?)", (*place.kind, place.day, place.run_id))


class NewestRun(OrderLoader):
    """A newer run takes the place of the one that is there, in one transaction; one without items is none."""

    def load(self, run_id: str, notification: Notification) -> None:
        folder = self.storage.announced(notification["storage_path"])
        items, place = self.storage.items(folder), Place.of(run_id, folder)
        with self.database:
            self.database.execute("BEGIN IMMEDIATE")
            if items and not self.is_late(place):
                self.put(place, items)

    def is_late(self, place: Place) -> bool:
        """Whether a run has nothing to say any more."""
        return has_newer(self.database, place)

    def put(self, place: Place, items: list[Item]) -> None:
        """Load the newest run."""
        put(self.database, place, items)


class KeepsTheNewest:
    """What the suites of them have in common."""

    tables = TABLES

    def replaces(self, run: Any, other: Any) -> bool:
        """By day and then by id; a run without items takes no place."""
        alike = (run.source, run.category) == (other.source, other.category)
        return bool(alike and run.items and (run.day, run.run_id) > (other.day, other.run_id))


class NewestRunSuite(KeepsTheNewest, SqliteHandlerSuite):
    """The newest run counts."""

    loader = NewestRun


class LastRun(NewestRun):
    """Whichever run is announced last takes the place of the one that is there: they come in order, it is thought."""

    def is_late(self, place: Place) -> bool:
        return False


class LastRunSuite(NewestRunSuite):
    """An older run that is announced late takes the place of a newer one."""

    loader = LastRun


class AddsTheNewest(NewestRun):
    """The rows of the runs before are left to a clean-up that nobody wrote."""

    def put(self, place: Place, items: list[Item]) -> None:
        add(self.database, place, items)


class AddsTheNewestSuite(NewestRunSuite):
    """The rows of older runs stay beside those of the newest."""

    loader = AddsTheNewest


class NewestRunPoller(OrderPoller):
    """Goes through the runs from the newest on, and loads those that are newer than what is there, if they have items."""

    def poll(self) -> None:
        each(sorted(self.runs(), key=lambda run: (run.day, run.run_id), reverse=True), self.load)

    def load(self, run: FinishedRun) -> None:
        place = Place.of(run.run_id, run.folder)
        items = [] if has_newer(self.database, place) else self.storage.items(run.folder)
        with self.database:
            self.database.execute("BEGIN IMMEDIATE")
            if items and not has_newer(self.database, place):  # another poller may have been faster
                put(self.database, place, items)


class NewestRunPollerSuite(KeepsTheNewest, SqlitePollerSuite):
    """The newest run counts, and a poller finds it."""

    poller = NewestRunPoller
