"""Consumers that take marks which they could not read for marks that are not there."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from botocore.exceptions import ClientError

from pytest_quarry.samples.handlers import Notification
from pytest_quarry.samples.pollers import OrderPoller
from pytest_quarry.samples.reading import FinishedRun, Item, Storage
from pytest_quarry.samples.sound_aws import dynamo
from pytest_quarry.samples.sound_lambdas import RunLoader, make_table
from pytest_quarry.suites import EventBusConformance, PollerConformance

if TYPE_CHECKING:
    from pytest_quarry.simulation.world import World

log = logging.getLogger(__name__)
MARKS, ORDERS = "loaded-runs", "orders"


def add_marked(run_id: str, items: list[Item]) -> None:
    """Put rows and mark into DynamoDB in one transaction, which adds to what is there."""
    rows = [{"S": item.event_id} for item in items]
    add = {
        "TableName": ORDERS,
        "Key": {"run_id": {"S": run_id}},
        "UpdateExpression": "SET events = list_append(if_not_exists(events, :none), :rows)",
        "ExpressionAttributeValues": {":none": {"L": []}, ":rows": {"L": rows}},
    }
    mark = {"TableName": MARKS, "Item": {"run_id": {"S": run_id}}}
    dynamo().transact_write_items(TransactItems=[{"Update": add}, {"Put": mark}])


def added() -> list[dict[str, Any]]:
    """The rows that are there."""
    pages = dynamo().get_paginator("scan").paginate(TableName=ORDERS, ConsistentRead=True)
    found = [(run["run_id"]["S"], row["S"]) for page in pages for run in page["Items"] for row in run["events"]["L"]]
    return [{"run_id": run_id, "item": item} for run_id, item in found]


class MarksInATable(OrderPoller):
    """Puts rows and mark into DynamoDB together."""

    def load(self, run: FinishedRun) -> None:
        add_marked(run.run_id, self.storage.items(run.folder))


class MarksInATableSuite(PollerConformance):
    """One poller, whose rows and marks are in DynamoDB."""

    workers = 1
    poller: ClassVar[type[MarksInATable]]

    def prepare(self, world: World) -> None:
        make_table(MARKS, "run_id")
        make_table(ORDERS, "run_id")

    def start(self, world: World) -> Any:
        return self.poller(world.disk, Storage(world.storage_root))

    def rows(self, world: World) -> list[dict[str, Any]]:
        return added()


class AsksForMarks(MarksInATable):
    """Asks for the marks of all runs it sees, and does not look at the keys that DynamoDB did not get to."""

    def __init__(self, folder: Path, storage: Storage) -> None:
        super().__init__(folder, storage)
        self.seen: list[FinishedRun] = []

    def runs(self) -> list[FinishedRun]:
        return self.seen

    def loaded(self) -> set[str]:
        self.seen = self.storage.finished_runs()
        found: set[str] = set()
        for run in self.seen:
            keys: Any = {MARKS: {"Keys": [{"run_id": {"S": run.run_id}}], "ConsistentRead": True}}
            answer = dynamo().batch_get_item(RequestItems=keys)
            found |= {mark["run_id"]["S"] for mark in answer["Responses"].get(MARKS, [])}
        return found


class AsksForMarksSuite(MarksInATableSuite):
    """BatchGetItem without a look at UnprocessedKeys."""

    poller = AsksForMarks


class StartsWithoutMarks(MarksInATable):
    """Goes on without marks where it cannot read them, as if it were its first poll."""

    def loaded(self) -> set[str]:
        try:
            pages = dynamo().get_paginator("scan").paginate(TableName=MARKS, ConsistentRead=True)
            return {mark["run_id"]["S"] for page in pages for mark in page["Items"]}
        except ClientError as error:
            log.warning("no marks: %s", error)
            return set()


class StartsWithoutMarksSuite(MarksInATableSuite):
    """An error of its marks is an empty set of them."""

    poller = StartsWithoutMarks


class LoadsWithoutMarks(RunLoader):
    """Loads a run whose mark it cannot read, which is better than not to load it, it thinks."""

    def load(self, run_id: str, notification: Notification) -> None:
        try:
            known = dynamo().get_item(TableName=MARKS, Key={"run_id": {"S": run_id}}, ConsistentRead=True).get("Item")
        except ClientError as error:
            log.warning("no mark: %s", error)
            known = None
        if known is None:
            add_marked(run_id, self.items(notification))


class LoadsWithoutMarksSuite(EventBusConformance):
    """An error of its mark is no mark."""

    workers = 1

    def prepare(self, world: World) -> None:
        make_table(MARKS, "run_id")
        make_table(ORDERS, "run_id")

    def start(self, world: World) -> Any:
        return LoadsWithoutMarks(Storage(world.storage_root))

    def rows(self, world: World) -> list[dict[str, Any]]:
        return added()
