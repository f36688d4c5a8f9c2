"""Sound Lambda functions with Powertools for AWS Lambda: batches, and idempotency over work that may be done twice.

Powertools marks a run as in progress, calls the function, then marks it as completed. A crash after the work and before
that mark does the work again, once the lambda's time is over: so the work itself has to bear it.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer, IdempotencyConfig, idempotent_function

from pytest_quarry.samples.handlers import INSERT, KEYED_TABLES, Notification, make_tables, select_orders, values
from pytest_quarry.samples.reading import Item, Storage
from pytest_quarry.samples.sound_aws import Event, Load, dynamo
from pytest_quarry.samples.sound_lambdas import KeyedRows, TargetUpserts, make_table, scan
from pytest_quarry.suites import EventBusConformance

if TYPE_CHECKING:
    from pytest_quarry.simulation.world import World

log = logging.getLogger(__name__)
WEEK = 7 * 86_400  # more than SQS keeps a message
Handler = Callable[[Event, Any], Any]


def announced_in(record: SQSRecord) -> Notification:
    """The notification in a record: SNS's envelope around it."""
    message: dict[str, Any] = json.loads(record.json_body["Message"])
    return message


def is_wanted(notification: Notification) -> bool:
    """Whether this is a run to load."""
    return notification.get("event_type") == "run_completed" and notification.get("outcome") == "success"


def batch_handler(load: Load) -> Handler:
    """A Lambda function over Powertools' batch processor."""
    processor = BatchProcessor(event_type=EventType.SQS, logger=log)

    def record_handler(record: SQSRecord) -> None:
        load(announced_in(record))

    def handler(event: Event, context: Any) -> Any:
        return process_partial_response(
            event=dict(event), record_handler=record_handler, processor=processor, context=context
        )

    return handler


class BatchSuite(EventBusConformance):
    """A batch processor over upserts."""

    def start(self, world: World) -> Any:
        return batch_handler(TargetUpserts(world.target, Storage(world.storage_root)).handle)


def persistence() -> DynamoDBPersistenceLayer:
    """Where Powertools keeps what was done."""
    return DynamoDBPersistenceLayer(table_name="idempotency", boto3_client=dynamo())


def remembered(function: Callable[[Any], Any], config: IdempotencyConfig) -> Callable[[Any], Any]:
    """The function, called once for every key in its argument, as far as Powertools can tell."""

    def called(*, data: Any) -> Any:
        return function(data)

    once: Any = idempotent_function(
        called, data_keyword_argument="data", config=config, persistence_store=persistence()
    )
    return lambda data: once(data=data)


def if_wanted(load: Load) -> Load:
    """Loads the runs to load, and passes over all other notifications."""
    return lambda notification: load(notification) if is_wanted(notification) else None


def once_per_run(load: Load, config: IdempotencyConfig) -> Handler:
    """A Lambda function that loads each run once, as far as Powertools can tell."""
    return registering(config, batch_handler(if_wanted(remembered(load, config))))


def registering(config: IdempotencyConfig, handler: Handler) -> Handler:
    """A Lambda function that tells Powertools when its time is over, and with it what it has in progress."""

    def registered(event: Event, context: Any) -> Any:
        config.register_lambda_context(context)
        return handler(event, context)

    return registered


class KeyedOrders(KeyedRows):
    """Puts every item of a run under a key of its own; that the run was loaded is Powertools' business."""

    def load(self, run_id: str, notification: Notification) -> None:
        for item in self.items(notification):
            self.put(item)

    def put(self, item: Item) -> None:
        """Put a row, again or for the first time."""
        row = {"id": f"{item.run_id}#{item.event_id}", "run_id": item.run_id, "event_id": item.event_id}
        dynamo().put_item(TableName="orders", Item={name: {"S": value} for name, value in row.items()})


class PowertoolsSuite(EventBusConformance):
    """Idempotent by run_id, and each row is put under its key."""

    def prepare(self, world: World) -> None:
        make_table("orders", "id")
        make_table("idempotency", "id")

    def start(self, world: World) -> Any:
        config = IdempotencyConfig(event_key_jmespath="run_id", expires_after_seconds=WEEK)
        return once_per_run(KeyedOrders(Storage(world.storage_root)).handle, config)

    def rows(self, world: World) -> list[dict[str, Any]]:
        return [{"run_id": row["run_id"], "item": row["event_id"]} for row in scan("orders")]


class Replaces:
    """Replaces the rows of a run in one SQLite transaction."""

    def __init__(self, database: Path, storage: Storage) -> None:
        self.database, self.storage = sqlite3.connect(database), storage

    def load(self, notification: Notification) -> None:
        """Load the run a notification announces."""
        items = self.storage.items(self.storage.announced(notification["storage_path"]))
        with self.database:
            self.database.execute("DELETE FROM orders WHERE run_id = ?", (notification["run_id"],))
            self.database.executemany(INSERT, values(items))


class PowertoolsSqliteSuite(EventBusConformance):
    """Idempotent for an hour with a local cache, and each run is replaced in one transaction."""

    tables = KEYED_TABLES

    def prepare(self, world: World) -> None:
        make_table("idempotency", "id")
        make_tables(world.disk / "orders.sqlite", self.tables)

    def start(self, world: World) -> Any:
        config = IdempotencyConfig(event_key_jmespath="run_id", use_local_cache=True)
        return once_per_run(Replaces(world.disk / "orders.sqlite", Storage(world.storage_root)).load, config)

    def rows(self, world: World) -> list[dict[str, Any]]:
        return select_orders(world.disk / "orders.sqlite")
