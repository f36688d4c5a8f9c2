"""Sound Lambda functions as teams write them: rows in DynamoDB under keys of their own, output on S3, claims that end."""

from __future__ import annotations

import functools
import json
import logging
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

import boto3
from botocore.exceptions import ClientError

from pytest_quarry.samples.handlers import Notification
from pytest_quarry.samples.reading import Item, Storage
from pytest_quarry.samples.sound_aws import dynamo, lambda_handler
from pytest_quarry.suites import EventBusConformance

if TYPE_CHECKING:
    from pytest_quarry.simulation.world import World

log = logging.getLogger(__name__)
OUTPUT = "orders-output"
CLAIM_SECONDS = 60
MOST_ACTIONS = 100  # of one DynamoDB transaction


def make_table(name: str, *key: str) -> None:
    """A DynamoDB table with a partition key and perhaps a sort key, both of strings."""
    dynamo().create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": part, "AttributeType": "S"} for part in key],
        KeySchema=[
            {"AttributeName": part, "KeyType": kind} for part, kind in zip(key, ("HASH", "RANGE"), strict=False)
        ],
    )


def scan(table: str) -> Iterator[dict[str, str]]:
    """Every item of a table, its values as text."""
    for page in dynamo().get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
        for item in page["Items"]:
            yield {name: str(next(iter(value.values()))) for name, value in item.items()}


def is_refused(error: ClientError) -> bool:
    """Whether DynamoDB did nothing because a condition did not hold."""
    return error.response.get("Error", {}).get("Code") == "ConditionalCheckFailedException"


class RunLoader:
    """Loads successful runs; how, and what it remembers, is up to `load`."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def handle(self, notification: Notification) -> None:
        """Load the run a notification announces."""
        if notification.get("event_type") == "run_completed" and notification.get("outcome") == "success":
            self.load(notification["run_id"], notification)

    def load(self, run_id: str, notification: Notification) -> None:
        """Load one run."""
        raise NotImplementedError

    def items(self, notification: Notification) -> list[Item]:
        """The items of the run a notification announces."""
        return self.storage.items(self.storage.announced(notification["storage_path"]))


class TargetUpserts(RunLoader):
    """Upserts every item into the warehouse under its run and event."""

    def __init__(self, target: Any, storage: Storage) -> None:
        super().__init__(storage)
        self.target = target

    def load(self, run_id: str, notification: Notification) -> None:
        for item in self.items(notification):
            self.target.upsert({"run_id": run_id, "item": item.event_id, "sku": item.sku, "price": item.price})


class KeyedRows(RunLoader):
    """Puts every item under `run_id#event_id`, once; then marks the run."""

    def load(self, run_id: str, notification: Notification) -> None:
        if self.is_marked(run_id):
            return
        self.put_all(self.items(notification))
        self.mark(run_id)

    def put_all(self, items: Iterable[Item]) -> None:
        """Put the rows of a run."""
        for item in items:
            self.put_once(item)

    def put_once(self, item: Item) -> None:
        """Put a row that is not there yet."""
        row = {"id": f"{item.run_id}#{item.event_id}", "run_id": item.run_id, "event_id": item.event_id}
        condition = "attribute_not_exists(id)"
        try:
            dynamo().put_item(TableName="orders", Item=as_attributes(row), ConditionExpression=condition)
        except ClientError as error:
            if not is_refused(error):
                raise

    def is_marked(self, run_id: str) -> bool:
        """Whether a run is marked as loaded."""
        found = dynamo().get_item(TableName="loaded-runs", Key={"run_id": {"S": run_id}}, ConsistentRead=True)
        return "Item" in found

    def mark(self, run_id: str) -> None:
        """Mark a run as loaded."""
        dynamo().put_item(TableName="loaded-runs", Item={"run_id": {"S": run_id}})


def as_attributes(row: dict[str, str]) -> dict[str, Any]:
    """A row as DynamoDB wants it."""
    return {name: {"S": value} for name, value in row.items()}


class DynamoRowsSuite(EventBusConformance):
    """Rows under run_id#event_id, the mark last."""

    loader: ClassVar[type[RunLoader]] = KeyedRows

    def prepare(self, world: World) -> None:
        make_table("orders", "id")
        make_table("loaded-runs", "run_id")

    def start(self, world: World) -> Any:
        return lambda_handler(self.loader(Storage(world.storage_root)).handle)

    def rows(self, world: World) -> list[dict[str, Any]]:
        return [{"run_id": row["run_id"], "item": row["event_id"]} for row in scan("orders")]


class AlreadyClaimed(Exception):
    """Another invocation is at work on this run: the message is to come again."""


class ClaimedRuns(KeyedRows):
    """Claims a run for a minute, then puts its rows and ends the claim, in one transaction where they fit into one.

    More rows go into transactions before the last; a loader that died between them left rows that are put again.
    """

    def load(self, run_id: str, notification: Notification) -> None:
        owner = str(uuid.uuid4())
        if not self.claim(run_id, owner):
            return
        *others, last = in_parts(self.items(notification), MOST_ACTIONS - 1)
        for part in others:
            dynamo().transact_write_items(TransactItems=[put(item) for item in part])
        done = {
            "TableName": "loaded-runs",
            "Key": {"run_id": {"S": run_id}},
            "UpdateExpression": "SET #state = :done REMOVE ends",
            "ConditionExpression": "#owner = :owner AND #state = :working",
            "ExpressionAttributeNames": {"#state": "state", "#owner": "owner"},
            "ExpressionAttributeValues": as_attributes({":done": "done", ":working": "working", ":owner": owner}),
        }
        dynamo().transact_write_items(TransactItems=[*map(put, last), {"Update": done}])

    def claim(self, run_id: str, owner: str) -> bool:
        """Claim a run; False where it is loaded. Raises AlreadyClaimed where the claim of another has not ended."""
        now = time.time()
        key = {"run_id": {"S": run_id}}
        try:
            dynamo().update_item(
                TableName="loaded-runs",
                Key=key,
                UpdateExpression="SET #state = :working, #owner = :owner, ends = :ends",
                ConditionExpression="attribute_not_exists(run_id) OR #owner = :owner OR (#state = :working AND ends < :now)",
                ExpressionAttributeNames={"#state": "state", "#owner": "owner"},
                ExpressionAttributeValues={
                    **as_attributes({":working": "working", ":owner": owner}),
                    ":ends": {"N": f"{now + CLAIM_SECONDS:.3f}"},
                    ":now": {"N": f"{now:.3f}"},
                },
            )
        except ClientError as error:
            if not is_refused(error):
                raise
            found = dynamo().get_item(TableName="loaded-runs", Key=key, ConsistentRead=True).get("Item", {})
            if found.get("state", {}).get("S") != "done":
                raise AlreadyClaimed(run_id) from error
            return False
        return True


def in_parts(items: Sequence[Item], most: int) -> list[Sequence[Item]]:
    """Items in parts of at most so many; one empty part, where there are none."""
    return [items[start : start + most] for start in range(0, len(items), most)] or [[]]


def put(item: Item) -> dict[str, Any]:
    """A row as an action of a transaction."""
    row = {"id": f"{item.run_id}#{item.event_id}", "run_id": item.run_id, "event_id": item.event_id}
    return {"Put": {"TableName": "orders", "Item": as_attributes(row)}}


class ClaimedRunsSuite(DynamoRowsSuite):
    """A claim that ends by itself, then a transaction."""

    loader = ClaimedRuns


class AppendsOnce(RunLoader):
    """Keeps one list of orders per source; a run's are appended, and its id noted, in one conditional update."""

    def load(self, run_id: str, notification: Notification) -> None:
        entries = [
            {"M": as_attributes({"run_id": run_id, "event_id": item.event_id})} for item in self.items(notification)
        ]
        try:
            dynamo().update_item(
                TableName="orders-by-source",
                Key={"source": {"S": notification["source"]}},
                UpdateExpression="SET orders = list_append(if_not_exists(orders, :none), :new) ADD runs :runs",
                ConditionExpression="attribute_not_exists(runs) OR NOT contains(runs, :run)",
                ExpressionAttributeValues={
                    ":none": {"L": []},
                    ":new": {"L": entries},
                    ":run": {"S": run_id},
                    ":runs": {"SS": [run_id]},
                },
            )
        except ClientError as error:
            if not is_refused(error):
                raise


class AppendsOnceSuite(EventBusConformance):
    """One conditional update that appends rows and notes the run."""

    loader: ClassVar[type[RunLoader]] = AppendsOnce

    def prepare(self, world: World) -> None:
        make_table("orders-by-source", "source")

    def start(self, world: World) -> Any:
        return lambda_handler(self.loader(Storage(world.storage_root)).handle)

    def rows(self, world: World) -> list[dict[str, Any]]:
        found = dynamo().scan(TableName="orders-by-source", ConsistentRead=True)["Items"]
        orders = [order["M"] for source in found for order in source["orders"]["L"]]
        return [{"run_id": order["run_id"]["S"], "item": order["event_id"]["S"]} for order in orders]


class AppendsAndMarks(KeyedRows):
    """Looks for the mark, then appends a run's rows and marks it in one transaction, without a condition.

    boto3 gives the transaction a token, so its own retry after an answer that was lost appends nothing again.
    """

    def load(self, run_id: str, notification: Notification) -> None:
        if self.is_marked(run_id):
            return
        entries = [
            {"M": as_attributes({"run_id": run_id, "event_id": item.event_id})} for item in self.items(notification)
        ]
        append = {
            "TableName": "orders-by-source",
            "Key": {"source": {"S": notification["source"]}},
            "UpdateExpression": "SET orders = list_append(if_not_exists(orders, :none), :new)",
            "ExpressionAttributeValues": {":none": {"L": []}, ":new": {"L": entries}},
        }
        mark = {"TableName": "loaded-runs", "Item": {"run_id": {"S": run_id}}}
        dynamo().transact_write_items(TransactItems=[{"Update": append}, {"Put": mark}])


class AppendsAndMarksSuite(AppendsOnceSuite):
    """Rows and mark in one transaction that its client's retries do not repeat; one worker at a time."""

    loader = AppendsAndMarks
    workers = 1

    def prepare(self, world: World) -> None:
        super().prepare(world)
        make_table("loaded-runs", "run_id")


@functools.cache
def s3() -> Any:
    """The client of all of them."""
    return boto3.client("s3")


class OutputObjects(RunLoader):
    """Writes the whole run to `output/RUN_ID.json`: doing it again changes nothing."""

    def load(self, run_id: str, notification: Notification) -> None:
        s3().put_object(Bucket=OUTPUT, Key=self.key(run_id), Body=as_json(self.items(notification)))

    def key(self, run_id: str) -> str:
        """Where a run's output is."""
        return f"output/{quote(run_id, safe='')}.json"


def as_json(items: list[Item]) -> bytes:
    """Orders as the content of an object."""
    return json.dumps([{"run_id": item.run_id, "item": item.event_id, "sku": item.sku} for item in items]).encode()


class OutputObjectsSuite(EventBusConformance):
    """One object per run, written whole."""

    loader: ClassVar[type[RunLoader]] = OutputObjects

    def prepare(self, world: World) -> None:
        s3().create_bucket(Bucket=OUTPUT)

    def start(self, world: World) -> Any:
        return lambda_handler(self.loader(Storage(world.storage_root)).handle)

    def rows(self, world: World) -> list[dict[str, Any]]:
        pages = s3().get_paginator("list_objects_v2").paginate(Bucket=OUTPUT, Prefix="output/")
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        return [row for key in keys for row in json.loads(s3().get_object(Bucket=OUTPUT, Key=key)["Body"].read())]


class WritesOnce(OutputObjects):
    """Writes a run's object only if there is none, so that what was written stays as it was."""

    def load(self, run_id: str, notification: Notification) -> None:
        body = as_json(self.items(notification))
        try:
            s3().put_object(Bucket=OUTPUT, Key=self.key(run_id), Body=body, IfNoneMatch="*")
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "PreconditionFailed":
                raise


class WritesOnceSuite(OutputObjectsSuite):
    """One object per run, by a conditional put."""

    loader = WritesOnce
