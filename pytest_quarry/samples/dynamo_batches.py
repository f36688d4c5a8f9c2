"""Lambda functions that write rows to DynamoDB in batches, of which DynamoDB may leave a part to the next request."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any, ClassVar

import boto3

from pytest_quarry.samples.handlers import Notification
from pytest_quarry.samples.reading import Item
from pytest_quarry.samples.sound_aws import dynamo
from pytest_quarry.samples.sound_lambdas import DynamoRowsSuite, KeyedRows, RunLoader, as_attributes, make_table

MOST_WRITES = 25  # of one BatchWriteItem


@functools.cache
def table(name: str) -> Any:
    """A table of the suite."""
    return boto3.resource("dynamodb").Table(name)


def row(item: Item) -> dict[str, str]:
    """A row under its key."""
    return {"id": f"{item.run_id}#{item.event_id}", "run_id": item.run_id, "event_id": item.event_id}


class WritesInBatches(KeyedRows):
    """Puts the rows by boto3's batch writer, which sends again what DynamoDB leaves; then marks the run."""

    def put_all(self, items: Iterable[Item]) -> None:
        with table("orders").batch_writer() as batch:
            for item in items:
                batch.put_item(Item=row(item))


class WritesInBatchesSuite(DynamoRowsSuite):
    """Rows in batches, the mark last."""

    loader: ClassVar[type[RunLoader]] = WritesInBatches


class LeavesTheRest(KeyedRows):
    """Puts the rows in batches by hand, as many as DynamoDB takes at once, and does not look at what it did not take."""

    def put_all(self, items: Iterable[Item]) -> None:
        puts = [{"PutRequest": {"Item": as_attributes(row(item))}} for item in items]
        for first in range(0, len(puts), MOST_WRITES):
            dynamo().batch_write_item(RequestItems={"orders": puts[first : first + MOST_WRITES]})


class LeavesTheRestSuite(DynamoRowsSuite):
    """Takes the status 200 of a batch for all of it."""

    loader: ClassVar[type[RunLoader]] = LeavesTheRest


class MarksInTheBatch(KeyedRows):
    """Puts the rows and the mark through one batch writer: they are one request, as long as DynamoDB takes all of it."""

    def load(self, run_id: str, notification: Notification) -> None:
        if self.is_marked(run_id):
            return
        with table("rows-and-marks").batch_writer() as batch:
            for item in self.items(notification):
                batch.put_item(Item=row(item))
            batch.put_item(Item={"id": run_id, "run_id": run_id, "event_id": "loaded"})

    def is_marked(self, run_id: str) -> bool:
        return "Item" in table("rows-and-marks").get_item(Key={"id": run_id}, ConsistentRead=True)


class MarksInTheBatchSuite(DynamoRowsSuite):
    """Takes a batch for a transaction."""

    loader: ClassVar[type[RunLoader]] = MarksInTheBatch

    def prepare(self, world: Any) -> None:
        make_table("rows-and-marks", "id")

    def rows(self, world: Any) -> list[dict[str, Any]]:
        found = table("rows-and-marks").scan(ConsistentRead=True)["Items"]
        return [{"run_id": each["run_id"], "item": each["event_id"]} for each in found if each["event_id"] != "loaded"]
