"""Sound queue workers: they receive from the queue, load, and delete what is loaded, by boto3's own calls."""

from __future__ import annotations

import functools
import json
import logging
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import boto3
from botocore.exceptions import ClientError

from pytest_quarry.samples.handlers import (
    KEYED_TABLES,
    UPSERT,
    Notification,
    OneTransaction,
    OrderLoader,
    SqliteHandlerSuite,
    values,
)
from pytest_quarry.samples.reading import NotVisibleYet, Storage

if TYPE_CHECKING:
    from pytest_quarry.simulation.world import World

log = logging.getLogger(__name__)
Message = Mapping[str, Any]
VISIBILITY = 30  # seconds: the visibility timeout of the queue


@functools.cache
def sqs() -> Any:
    """The client of all workers."""
    return boto3.client("sqs")


def notification_in(message: Message) -> Notification:
    """The notification in a message: SNS puts an envelope around it."""
    found: dict[str, Any] = json.loads(json.loads(message["Body"])["Message"])
    return found


def receives(message: Message) -> int:
    """How often a message was received, this time included."""
    return int(message["Attributes"]["ApproximateReceiveCount"])


class Worker:
    """Receives up to ten messages by a long poll, loads one after the other, deletes each that is loaded.

    What cannot be loaded stays in the queue: it comes again after its visibility timeout, until the redrive policy ends it.
    """

    def __init__(self, loader: OrderLoader, queue_url: str) -> None:
        self.loader, self.queue_url = loader, queue_url
        self.sqs = sqs()

    def run_once(self) -> None:
        """One turn: whatever one receive finds."""
        for message in self.receive():
            try:
                self.work(message)
            except Exception:
                log.exception("message %s was not loaded", message["MessageId"])

    def receive(self) -> Sequence[Message]:
        """The messages of one receive."""
        answer = self.sqs.receive_message(
            QueueUrl=self.queue_url,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=20,
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
        )
        messages: list[Message] = answer.get("Messages", [])
        return messages

    def work(self, message: Message) -> None:
        """Load one message, then delete it."""
        self.loader.handle(notification_in(message))
        self.delete(message)

    def delete(self, message: Message) -> None:
        """Acknowledge a message. Where that fails it comes again, and is known then."""
        self.sqs.delete_message(QueueUrl=self.queue_url, ReceiptHandle=message["ReceiptHandle"])


class WorkerSuite(SqliteHandlerSuite):
    """A worker over one SQLite transaction per run."""

    worker: ClassVar[type[Worker]] = Worker

    def prepare(self, world: World) -> None:
        super().prepare(world)
        sqs()

    def start(self, world: World) -> Any:
        loader = self.loader(world.disk / "orders.sqlite", self.reader(world.storage_root))
        return self.worker(loader, world.queue_url)


class OneByOne(Worker):
    """Asks for one message at a time, by a short poll, and raises what goes wrong with it."""

    def run_once(self) -> None:
        for message in self.sqs.receive_message(QueueUrl=self.queue_url).get("Messages", []):
            self.work(message)


class OneByOneSuite(WorkerSuite):
    """One message a turn, by a short poll; errors end the turn."""

    worker = OneByOne


class DrainsTheQueue(Worker):
    """Started by a timer: receives until a long poll finds nothing."""

    def run_once(self) -> None:
        while messages := self.receive():
            for message in messages:
                try:
                    self.work(message)
                except Exception:
                    log.exception("message %s was not loaded", message["MessageId"])


class DrainsTheQueueSuite(WorkerSuite):
    """Receives until nothing is found."""

    worker = DrainsTheQueue


@functools.cache
def sqs_of_a_laptop() -> Any:
    """A client as code has it that never leaves its region, and talks to LocalStack where it is tried out."""
    return boto3.client("sqs", region_name="eu-central-1", endpoint_url="http://localhost:4566")


class ForLocalStack(Worker):
    """Has a region and an address of its own."""

    def __init__(self, loader: OrderLoader, queue_url: str) -> None:
        super().__init__(loader, queue_url)
        self.sqs = sqs_of_a_laptop()


class ForLocalStackSuite(WorkerSuite):
    """A worker whose client has a region and an address of its own."""

    worker = ForLocalStack


class DeletesInBatches(Worker):
    """Deletes what is loaded of a batch in one call, and looks at what could not be deleted."""

    def run_once(self) -> None:
        loaded = []
        for message in self.receive():
            try:
                self.loader.handle(notification_in(message))
            except Exception:
                log.exception("message %s was not loaded", message["MessageId"])
            else:
                loaded.append(message)
        if not loaded:
            return
        entries = [{"Id": str(at), "ReceiptHandle": message["ReceiptHandle"]} for at, message in enumerate(loaded)]
        answer = self.sqs.delete_message_batch(QueueUrl=self.queue_url, Entries=entries)
        for failed in answer.get("Failed", []):
            log.warning("message %s comes again: %s", loaded[int(failed["Id"])]["MessageId"], failed["Code"])


class DeletesInBatchesSuite(WorkerSuite):
    """DeleteMessageBatch at the end of a turn, its `Failed` looked at."""

    worker = DeletesInBatches


class Extends(Worker):
    """Takes five minutes for each message before it works on it. Where SQS refuses, somebody else may have it already."""

    def work(self, message: Message) -> None:
        try:
            self.sqs.change_message_visibility(
                QueueUrl=self.queue_url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=300
            )
        except ClientError as error:
            log.warning("message %s may come again meanwhile: %s", message["MessageId"], error)
        super().work(message)


class ExtendsSuite(WorkerSuite):
    """Extends the visibility timeout of what it works on."""

    worker = Extends


class Beats(Worker):
    """Takes another half minute for its message every ten seconds, in a thread, as long as it is at work on it."""

    def work(self, message: Message) -> None:
        done = threading.Event()
        heart = threading.Thread(target=self.beat, args=(message, done))
        heart.start()
        try:
            super().work(message)
        finally:
            done.set()
            heart.join()

    def beat(self, message: Message, done: threading.Event) -> None:
        """Extend the visibility timeout again and again; where SQS refuses, somebody else may have the message."""
        while not done.wait(10):
            try:
                self.sqs.change_message_visibility(
                    QueueUrl=self.queue_url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=VISIBILITY
                )
            except ClientError as error:
                log.warning("message %s may come again meanwhile: %s", message["MessageId"], error)
                return


class BeatsSuite(WorkerSuite):
    """A heartbeat in a thread."""

    worker = Beats


class BacksOff(Worker):
    """Lets a message that failed come again at once the first time, and then later and later."""

    def work(self, message: Message) -> None:
        try:
            super().work(message)
        except Exception:
            count = receives(message)
            seconds = 0 if count == 1 else min(VISIBILITY * 2**count, 3_600)
            self.sqs.change_message_visibility(
                QueueUrl=self.queue_url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=seconds
            )
            raise


class BacksOffSuite(WorkerSuite):
    """ChangeMessageVisibility after a failure: 0, then longer and longer."""

    worker = BacksOff


class Raw(Worker):
    """Finds the notification itself in the message."""

    def work(self, message: Message) -> None:
        self.loader.handle(json.loads(message["Body"]))
        self.delete(message)


class RawWorkerSuite(WorkerSuite):
    """Raw message delivery."""

    worker = Raw
    raw_delivery = True


class FifoWorkerSuite(WorkerSuite):
    """The same worker behind a FIFO topic and queue."""

    fifo = True


class FilteredWorkerSuite(WorkerSuite):
    """The subscription lets only successful runs through; the worker decides by itself all the same."""

    filter_policy: Mapping[str, Any] = {"outcome": ["success"]}


class MarkedInDynamo(OrderLoader):
    """Puts each row under its key, then marks the run in DynamoDB: what is marked is there."""

    def __init__(self, database: Path, storage: Storage) -> None:
        super().__init__(database, storage)
        self.table = boto3.client("dynamodb")

    def load(self, run_id: str, notification: Notification) -> None:
        if self.is_loaded(run_id):
            return
        with self.database:
            self.database.executemany(UPSERT, values(self.items(notification)))
        self.mark(run_id)

    def is_loaded(self, run_id: str) -> bool:
        key = {"run_id": {"S": run_id}}
        return "Item" in self.table.get_item(TableName="loaded-runs", Key=key, ConsistentRead=True)

    def mark(self, run_id: str) -> None:
        self.table.put_item(TableName="loaded-runs", Item={"run_id": {"S": run_id}})


def make_table(name: str) -> None:
    """Create a DynamoDB table whose key is `run_id`."""
    boto3.client("dynamodb").create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "run_id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "run_id", "KeyType": "HASH"}],
    )


class DynamoMarkedSuite(WorkerSuite):
    """Rows by their keys into SQLite, the mark in DynamoDB after them."""

    loader = MarkedInDynamo
    tables = KEYED_TABLES

    def prepare(self, world: World) -> None:
        super().prepare(world)
        make_table("loaded-runs")


class SendsACopyFirst(Worker):
    """Of what is not there yet it sends a copy, to come in five minutes, and then deletes the message."""

    def work(self, message: Message) -> None:
        try:
            super().work(message)
        except NotVisibleYet:
            self.sqs.send_message(QueueUrl=self.queue_url, MessageBody=message["Body"], DelaySeconds=300)
            self.delete(message)


class SendsACopyFirstSuite(WorkerSuite):
    """A copy with a delay, then the delete; rows and mark in one transaction."""

    loader = OneTransaction
    worker = SendsACopyFirst


class WholeBatch(Worker):
    """Loads every run of a batch under a savepoint of its own and commits once, before it deletes any."""

    def run_once(self) -> None:
        database, loaded = self.loader.database, []
        database.isolation_level = None
        messages = self.receive()
        if not messages:
            return
        database.execute("BEGIN IMMEDIATE")
        try:
            for message in messages:
                if self.apart(message):
                    loaded.append(message)
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise
        for message in loaded:
            self.delete(message)

    def apart(self, message: Message) -> bool:
        """Load one message, or nothing of it."""
        database = self.loader.database
        database.execute("SAVEPOINT message")
        try:
            self.load(notification_in(message))
        except Exception:
            log.exception("message %s was not loaded", message["MessageId"])
            database.execute("ROLLBACK TO message")
            return False
        finally:
            database.execute("RELEASE message")
        return True

    def load(self, notification: Notification) -> None:
        """Load one run within the transaction."""
        loader = self.loader
        if loader.wants(notification) and not loader.is_loaded(notification["run_id"]):
            loader.database.executemany(
                "INSERT INTO orders (run_id, event_id, sku, price) VALUES (?, ?, ?, ?)",
                values(loader.items(notification)),
            )
            loader.mark(notification["run_id"])


class WholeBatchSuite(WorkerSuite):
    """One commit per batch, a savepoint per message."""

    loader = OneTransaction
    worker = WholeBatch
