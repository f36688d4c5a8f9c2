"""Sound consumers in AWS's own shapes: a Lambda function behind SNS and SQS, a loader into DynamoDB."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError

from pytest_quarry.samples.handlers import Notification
from pytest_quarry.samples.reading import Storage
from pytest_quarry.suites import EventBusConformance

if TYPE_CHECKING:
    from pytest_quarry.simulation.world import World

log = logging.getLogger(__name__)
Load = Callable[[Notification], None]
Event = Mapping[str, Any]


def notification_in(record: Event) -> Notification:
    """The notification in a record of the queue, with or without SNS's envelope around it."""
    body: dict[str, Any] = json.loads(record["body"])
    if body.get("Type") == "Notification":
        body = json.loads(body["Message"])
    return body


class TargetLoader:
    """Loads a run into the warehouse in one transaction, each row by its key, unless it holds that run already."""

    def __init__(self, target: Any, storage: Storage) -> None:
        self.target, self.storage = target, storage

    def load(self, notification: Notification) -> None:
        """Load the run a notification announces."""
        if notification.get("event_type") != "run_completed" or notification.get("outcome") != "success":
            return
        run_id = notification["run_id"]
        if any(row["run_id"] == run_id for row in self.target.rows()):
            return
        items = self.storage.items(self.storage.announced(notification["storage_path"]))
        self.target.begin()
        try:
            for item in items:
                self.target.upsert({"run_id": run_id, "item": item.event_id, "sku": item.sku, "price": item.price})
            self.target.commit()
        except Exception:
            self.target.rollback()
            raise


def lambda_handler(load: Load) -> Callable[[Event, Any], dict[str, Any]]:
    """A Lambda function that reports the records it could not load."""

    def handler(event: Event, context: Any) -> dict[str, Any]:
        failures = []
        for record in event["Records"]:
            try:
                load(notification_in(record))
            except Exception:
                log.exception("%s failed", record["messageId"])
                failures.append({"itemIdentifier": record["messageId"]})
        return {"batchItemFailures": failures}

    return handler


class LambdaSuite(EventBusConformance):
    """A Lambda function with partial batch responses."""

    def start(self, world: World) -> Any:
        return lambda_handler(TargetLoader(world.target, Storage(world.storage_root)).load)


class RawLambdaSuite(LambdaSuite):
    """The same function where SNS delivers raw messages."""

    raw_delivery = True


class TargetSuite(EventBusConformance):
    """A handler over `world.target`, in a transaction of its own."""

    def start(self, world: World) -> Any:
        return TargetLoader(world.target, Storage(world.storage_root)).load


class DynamoLoader:
    """Puts every item under its key (run_id, event_id), once; then marks the run."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.table = boto3.client("dynamodb")

    def handle(self, notification: Notification) -> None:
        """Load the run a notification announces."""
        if notification.get("event_type") != "run_completed" or notification.get("outcome") != "success":
            return
        run_id = notification["run_id"]
        if self.table.get_item(TableName="loaded-runs", Key={"run_id": {"S": run_id}}).get("Item"):
            return
        for item in self.storage.items(self.storage.announced(notification["storage_path"])):
            row = {"run_id": run_id, "event_id": item.event_id, "sku": item.sku}
            self._put_once({name: {"S": value} for name, value in row.items()})
        self.table.put_item(TableName="loaded-runs", Item={"run_id": {"S": run_id}})

    def _put_once(self, row: dict[str, Any]) -> None:
        try:
            self.table.put_item(TableName="orders", Item=row, ConditionExpression="attribute_not_exists(event_id)")
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "ConditionalCheckFailedException":
                raise


@functools.cache
def dynamo() -> Any:
    """The client of the suite's own hooks."""
    return boto3.client("dynamodb")


class DynamoSuite(EventBusConformance):
    """Conditional writes to DynamoDB, the mark last."""

    def prepare(self, world: World) -> None:
        tables = {"orders": ("run_id", "event_id"), "loaded-runs": ("run_id",)}
        for name, key in tables.items():
            dynamo().create_table(
                TableName=name,
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": part, "AttributeType": "S"} for part in key],
                KeySchema=[
                    {"AttributeName": part, "KeyType": kind} for part, kind in zip(key, ("HASH", "RANGE"), strict=False)
                ],
            )

    def start(self, world: World) -> Any:
        return DynamoLoader(Storage(world.storage_root))

    def rows(self, world: World) -> list[dict[str, Any]]:
        found = dynamo().scan(TableName="orders")["Items"]
        return [{"run_id": row["run_id"]["S"], "item": row["event_id"]["S"]} for row in found]
