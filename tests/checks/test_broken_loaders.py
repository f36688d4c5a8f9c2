"""Consumers that break in ways of their own, each with the check that convicts it; and their sound sister, whom none accuses."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Callable
from typing import Any

import pytest

from pytest_quarry import EventBusConformance, World, read_runs
from pytest_quarry.checks.catalogue import BY_ID
from pytest_quarry.checks.conduct import Conductor

Rows = list[tuple[str, str]]
TABLES = """
CREATE TABLE IF NOT EXISTS orders (run_id, item);
CREATE TABLE IF NOT EXISTS loaded (run_id PRIMARY KEY, at, day);
"""


class Loader:
    """Sound: rows and mark in one transaction."""

    def __init__(self, world: World) -> None:
        self.root = world.storage_root
        self.database = sqlite3.connect(world.disk / "orders.sqlite")
        self.database.executescript(TABLES)

    def handle(self, notification: dict[str, Any]) -> None:
        if notification["event_type"] != "run_completed" or notification["outcome"] != "success":
            return
        run_id = notification["run_id"]
        if self.database.execute("SELECT 1 FROM loaded WHERE run_id = ?", [run_id]).fetchone():
            return
        for run in read_runs(self.root):
            if run.run_id == run_id and run.state == "finished":
                self.load(notification, [(run_id, item.event_id) for item in run.items])
                return
        raise LookupError(f"{run_id} is not there yet")

    def load(self, notification: dict[str, Any], rows: Rows) -> None:
        with self.database:
            self.mark(notification)
            self.insert(rows)
            self.forget()

    def mark(self, notification: dict[str, Any]) -> None:
        values = notification["run_id"], time.time(), notification["day"]
        self.database.execute("INSERT INTO loaded VALUES (?, ?, ?)", values)

    def insert(self, rows: Rows) -> None:
        self.database.executemany("INSERT INTO orders VALUES (?, ?)", rows)

    def forget(self) -> None:
        """Marks that are not needed any more."""


class PurgesAfterAnHour(Loader):
    """At the next load."""

    def forget(self) -> None:
        self.database.execute("DELETE FROM loaded WHERE at < ?", [time.time() - 3600])


class KeepsFive(Loader):
    def forget(self) -> None:
        self.database.execute("DELETE FROM loaded WHERE rowid <= (SELECT max(rowid) FROM loaded) - 5")


class NewestDay(Loader):
    """What is of an earlier day it takes for known."""

    def handle(self, notification: dict[str, Any]) -> None:
        (newest,) = self.database.execute("SELECT max(day) FROM loaded").fetchone()
        if not newest or notification["day"] >= newest:
            super().handle(notification)


class InParts(Loader):
    """A hundred rows at once; the mark comes with the last of them."""

    def load(self, notification: dict[str, Any], rows: Rows) -> None:
        parts = [rows[at : at + 100] for at in range(0, len(rows), 100)] or [[]]
        for part in parts:
            with self.database:
                self.insert(part)
                if part is parts[-1]:
                    self.mark(notification)


class InPartsMarkFirst(Loader):
    """The mark comes with the first of them."""

    def load(self, notification: dict[str, Any], rows: Rows) -> None:
        parts = [rows[at : at + 100] for at in range(0, len(rows), 100)] or [[]]
        for part in parts:
            with self.database:
                self.insert(part)
                if part is parts[0]:
                    self.mark(notification)


class Suite(EventBusConformance):
    loader: type[Loader] = Loader

    def start(self, world: World) -> Loader:
        return self.loader(world)

    def rows(self, world: World) -> list[dict[str, Any]]:
        with contextlib.closing(sqlite3.connect(world.disk / "orders.sqlite")) as database:
            found = database.execute("SELECT run_id, item FROM orders").fetchall()
        return [{"run_id": run_id, "item": item} for run_id, item in found]


def status(loader: type[Loader], check: str) -> str:
    suite = type("TestLoader", (Suite,), {"loader": loader})()
    return Conductor(suite.consumer()).conduct(BY_ID[check]).status


BROKEN = [
    (PurgesAfterAnHour, "EB01"),
    (PurgesAfterAnHour, "EB03"),
    (KeepsFive, "EB01"),
    (NewestDay, "EB13"),
    (InParts, "EB05"),
    (InPartsMarkFirst, "EB04"),
]


@pytest.mark.parametrize(("loader", "check"), BROKEN)
def test_who_breaks_in_a_way_of_its_own_is_convicted(loader: type[Loader], check: str) -> None:
    assert status(loader, check) == "failed"


@pytest.mark.parametrize("check", sorted({check for _, check in BROKEN}))
def test_their_sound_sister_is_not_accused(check: str) -> None:
    assert status(Loader, check) == "passed"


class Batches(Suite):
    """A Lambda function that answers which records failed, and names the last of the batch, whichever it was."""

    reports_batch_item_failures = True
    named: Callable[[list[str], int], str] = staticmethod(lambda names, failed: names[-1])

    def start(self, world: World) -> Callable[[dict[str, Any], Any], dict[str, Any]]:
        loader, named = Loader(world), type(self).named

        def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
            names = [record["messageId"] for record in event["Records"]]
            failed = []
            for number, record in enumerate(event["Records"]):
                try:
                    body = json.loads(record["body"])
                    loader.handle(json.loads(body["Message"]) if "Message" in body else body)
                except Exception:
                    failed.append(named(names, number))
            return {"batchItemFailures": [{"itemIdentifier": name} for name in failed]}

        return handler


class SoundBatches(Batches):
    named = staticmethod(lambda names, failed: names[failed])


@pytest.mark.parametrize(("suite", "expected"), [(Batches, "failed"), (SoundBatches, "passed")])
def test_who_names_another_record_for_the_one_that_failed_loses_it(suite: type[Batches], expected: str) -> None:
    assert Conductor(suite().consumer()).conduct(BY_ID["EB11"]).status == expected
