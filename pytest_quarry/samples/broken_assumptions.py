"""Broken samples that take something for granted: the day of a run, its outcome, its size, that ids differ in more than a part."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import boto3

from pytest_quarry.samples.handlers import (
    INSERT,
    Notification,
    OneTransaction,
    OrderLoader,
    SqliteHandlerSuite,
    values,
)
from pytest_quarry.samples.pollers import OrderPoller, SqlitePollerSuite, each
from pytest_quarry.samples.reading import DATA_FILE, FinishedRun, Item, Storage
from pytest_quarry.samples.sound_aws import DynamoSuite

if TYPE_CHECKING:
    from pytest_quarry.simulation.world import World


class DayOfPublishing(OneTransaction):
    """Looks in the folder of the day on which it was told."""

    def items(self, notification: Notification) -> list[Item]:
        folder = self.storage.folder_of(notification["storage_path"])
        return self.storage.items(re.sub("day=[^/]*", f"day={notification['timestamp'][:10]}", folder))


class DayOfPublishingSuite(SqliteHandlerSuite):
    """Takes the day of the notification for the day of the run."""

    loader = DayOfPublishing


class FirstBatch(OrderLoader):
    """Writes one batch of 25 rows, which is as many as DynamoDB takes at once: test data had three."""

    def __init__(self, database: Path, storage: Storage) -> None:
        super().__init__(database, storage)
        self.table = boto3.client("dynamodb")

    def load(self, run_id: str, notification: Notification) -> None:
        rows = [{"run_id": run_id, "event_id": item.event_id, "sku": item.sku} for item in self.items(notification)]
        puts = [{"PutRequest": {"Item": {name: {"S": value} for name, value in row.items()}}} for row in rows[:25]]
        answer = self.table.batch_write_item(RequestItems={"orders": puts}) if puts else {}
        if answer.get("UnprocessedItems"):
            raise RuntimeError("DynamoDB did not take all rows")


class FirstBatchSuite(DynamoSuite):
    """Loads the first 25 items of a run."""

    def start(self, world: World) -> Any:
        return FirstBatch(Path(":memory:"), Storage(world.storage_root))


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


class LowersIds(OrderPoller):
    """Compares run ids in lower case, as somebody's legacy warehouse did."""

    def poll(self) -> None:
        loaded = {run_id.lower() for run_id in self.loaded()}
        each([run for run in self.runs() if run.run_id.lower() not in loaded], self.load)


class LowersIdsSuite(SqlitePollerSuite):
    """Takes ids that differ in case for one run."""

    poller = LowersIds


class CutsIds(OrderPoller):
    """Marks a run by as much of its id as the column is wide."""

    WIDTH = 32

    def poll(self) -> None:
        loaded = {run_id[: self.WIDTH] for run_id in self.loaded()}
        each([run for run in self.runs() if run.run_id[: self.WIDTH] not in loaded], self.load)


class CutsIdsSuite(SqlitePollerSuite):
    """Tells runs apart by the first 32 characters of their ids."""

    poller = CutsIds


class TypesOfHive(Storage):
    """Gives the values in a path types, as readers of Hive partitions do."""

    def finished_runs(self) -> list[FinishedRun]:
        return [replace(run, run_id=str(self.typed(run.run_id))) for run in super().finished_runs()]

    def typed(self, value: str) -> str | int:
        return int(value) if value.isdecimal() else value


class TypesOfHiveSuite(SqlitePollerSuite):
    """Takes run ids of digits for numbers."""

    reader = TypesOfHive


class SourceByPrefix(Storage):
    """Takes the runs whose folder starts with that of the source."""

    def finished_runs(self) -> list[FinishedRun]:
        return [run for run in super().finished_runs() if "/partitions/source=shop" in run.folder]


class SourceByPrefixSuite(SqlitePollerSuite):
    """Wants the source `shop` and takes `shop2` too."""

    sources = ("shop",)
    reader = SourceByPrefix


class DecoyKeys(Storage):
    """Takes every file for a finished run that has the terminal event's name in its path."""

    def finished_runs(self) -> list[FinishedRun]:
        found = super().finished_runs()
        known = {run.folder for run in found}
        for path in sorted(self.root.rglob("event_type=run_complete/**/data")):
            name = path.relative_to(self.root).as_posix()
            folder = name.partition("/event_type=")[0]
            if path.is_file() and folder not in known:
                records = list(self.records([name]))
                found.append(FinishedRun(records[0]["run_id"], "", folder, 0))
        return found


class RunsPoller(OrderPoller):
    """Keeps one row per run: its id and how many items it has."""

    def load(self, run: FinishedRun) -> None:
        items = self.storage.items(run.folder)
        with self.database:
            self.database.execute(INSERT, (run.run_id, "", str(len(items)), None))
            self.database.execute("INSERT INTO loaded_runs VALUES (?)", (run.run_id,))


class DecoyKeysSuite(SqlitePollerSuite):
    """Finds runs by a substring of keys, also in a backup."""

    poller = RunsPoller
    reader = DecoyKeys

    def rows(self, world: World) -> list[dict[str, Any]]:
        return [{"run_id": row["run_id"]} for row in super().rows(world)]
