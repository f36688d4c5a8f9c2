"""Lambda functions with one mistake each: in the claim, the mark, the key or the write of a run."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from typing import TYPE_CHECKING, Any, ClassVar

from botocore.exceptions import ClientError

from pytest_quarry.samples.handlers import INSERT, Notification, OneTransaction, OrderLoader, SqliteHandlerSuite, values
from pytest_quarry.samples.reading import Item, Storage
from pytest_quarry.samples.sound_aws import Event, TargetLoader, dynamo, lambda_handler, notification_in
from pytest_quarry.samples.sound_lambdas import (
    OUTPUT,
    AlreadyClaimed,
    AppendsOnce,
    AppendsOnceSuite,
    DynamoRowsSuite,
    KeyedRows,
    OutputObjects,
    OutputObjectsSuite,
    RunLoader,
    as_attributes,
    as_json,
    is_refused,
    make_table,
    s3,
)
from pytest_quarry.suites import EventBusConformance

if TYPE_CHECKING:
    from pytest_quarry.simulation.world import World

log = logging.getLogger(__name__)
LAMBDA_LIMIT = 900  # seconds a function may run at most


class ClaimsWithoutEnd(KeyedRows):
    """Claims a run, and refuses one that is claimed and not loaded."""

    def load(self, run_id: str, notification: Notification) -> None:
        if self.is_marked(run_id):
            return
        claim = as_attributes({"run_id": run_id})
        try:
            dynamo().put_item(TableName="claims", Item=claim, ConditionExpression="attribute_not_exists(run_id)")
        except ClientError as error:
            if is_refused(error):
                raise AlreadyClaimed(run_id) from error
            raise
        super().load(run_id, notification)


class ClaimsWithoutEndSuite(DynamoRowsSuite):
    """A claim that outlives its holder."""

    loader: ClassVar[type[RunLoader]] = ClaimsWithoutEnd

    def prepare(self, world: World) -> None:
        super().prepare(world)
        make_table("claims", "run_id")


class LeavesItToTheOther(KeyedRows):
    """Claims a run for as long as a function may run, and leaves a claimed run to the one that holds it."""

    def load(self, run_id: str, notification: Notification) -> None:
        if not self.is_marked(run_id) and self.claim(run_id):
            super().load(run_id, notification)

    def claim(self, run_id: str) -> bool:
        """Whether the claim was to be had."""
        now = time.time()
        claim = {**as_attributes({"run_id": run_id}), "ends": {"N": str(now + LAMBDA_LIMIT)}}
        try:
            dynamo().put_item(
                TableName="claims",
                Item=claim,
                ConditionExpression="attribute_not_exists(run_id) OR ends < :now",
                ExpressionAttributeValues={":now": {"N": str(now)}},
            )
        except ClientError as error:
            if not is_refused(error):
                raise
            return False
        return True


class LeavesItToTheOtherSuite(ClaimsWithoutEndSuite):
    """Acknowledges a run whose claim is alive, its holder dead."""

    loader = LeavesItToTheOther


class MarksFirst(KeyedRows):
    """Marks a run, so that nobody else takes it, then puts its rows."""

    def load(self, run_id: str, notification: Notification) -> None:
        if self.is_marked(run_id):
            return
        items = self.items(notification)
        self.mark(run_id)
        for item in items:
            self.put_once(item)


class MarksFirstSuite(DynamoRowsSuite):
    """The mark is there before the rows."""

    loader = MarksFirst


class AnyErrorMeansThere(KeyedRows):
    """Lets every error of a put by, since a condition that does not hold is one."""

    def put_once(self, item: Item) -> None:
        row = {"id": f"{item.run_id}#{item.event_id}", "run_id": item.run_id, "event_id": item.event_id}
        try:
            dynamo().put_item(
                TableName="orders", Item=as_attributes(row), ConditionExpression="attribute_not_exists(id)"
            )
        except ClientError:
            log.info("%s is there already", item.event_id)


class AnyErrorMeansThereSuite(DynamoRowsSuite):
    """Takes throttling for a duplicate."""

    loader = AnyErrorMeansThere


class LooksThenAppends(AppendsOnce):
    """Looks whether the run was appended, then appends: two that look at once both append, and so does a call sent again."""

    def load(self, run_id: str, notification: Notification) -> None:
        key = {"source": {"S": notification["source"]}}
        found = dynamo().get_item(TableName="orders-by-source", Key=key, ConsistentRead=True).get("Item", {})
        if run_id in found.get("runs", {}).get("SS", []):
            return
        rows = [as_attributes({"run_id": run_id, "event_id": item.event_id}) for item in self.items(notification)]
        dynamo().update_item(
            TableName="orders-by-source",
            Key=key,
            UpdateExpression="SET orders = list_append(if_not_exists(orders, :none), :new) ADD runs :runs",
            ExpressionAttributeValues={
                ":none": {"L": []},
                ":new": {"L": [{"M": row} for row in rows]},
                ":runs": {"SS": [run_id]},
            },
        )


class LooksThenAppendsSuite(AppendsOnceSuite):
    """An update that is not idempotent, behind a look."""

    loader = LooksThenAppends


class OutputByTime(OutputObjects):
    """Names a run's object after the time of writing too."""

    def key(self, run_id: str) -> str:
        return f"output/{run_id}-{time.time_ns()}.json"


class OutputByTimeSuite(OutputObjectsSuite):
    """A new object at every delivery."""

    loader = OutputByTime


class OutputByDay(OutputObjects):
    """Keeps one object per source and day: the next run of the day replaces it."""

    def load(self, run_id: str, notification: Notification) -> None:
        self.name = f"{notification['source']}-{notification['day']}"
        super().load(run_id, notification)

    def key(self, run_id: str) -> str:
        return f"output/{self.name}.json"


class OutputByDaySuite(OutputObjectsSuite):
    """One object for all runs of a day."""

    loader = OutputByDay


class AppendsToAnObject(OutputObjects):
    """Reads an object, writes it with the run's orders behind, then writes a marker."""

    def load(self, run_id: str, notification: Notification) -> None:
        marker = f"loaded/{hashlib.sha256(run_id.encode()).hexdigest()}"
        if self.read(marker) is not None:
            return
        rows = json.loads(self.read("output/orders.json") or b"[]")
        rows += json.loads(as_json(self.items(notification)))
        s3().put_object(Bucket=OUTPUT, Key="output/orders.json", Body=json.dumps(rows).encode())
        s3().put_object(Bucket=OUTPUT, Key=marker, Body=b"")

    def read(self, key: str) -> bytes | None:
        """The content of an object; None where there is none."""
        try:
            content: bytes = s3().get_object(Bucket=OUTPUT, Key=key)["Body"].read()
        except s3().exceptions.NoSuchKey:
            return None
        return content


class AppendsToAnObjectSuite(OutputObjectsSuite):
    """One object for all runs, and a marker after it."""

    loader = AppendsToAnObject


class WithoutRollback(TargetLoader):
    """Leaves the transaction open when something goes wrong in it."""

    def load(self, notification: Notification) -> None:
        run_id = notification.get("run_id")
        if notification.get("event_type") != "run_completed" or notification.get("outcome") != "success":
            return
        if any(row["run_id"] == run_id for row in self.target.rows()):
            return
        self.target.begin()
        for item in self.storage.items(self.storage.announced(notification["storage_path"])):
            self.target.insert({"run_id": run_id, "item": item.event_id})
        self.target.commit()


class WithoutRollbackSuite(EventBusConformance):
    """A transaction that a failure leaves open in a warm process."""

    def start(self, world: World) -> Any:
        return lambda_handler(WithoutRollback(world.target, Storage(world.storage_root)).load)


class ByRecord(OrderLoader):
    """Rows and mark in one transaction; the mark is of the record."""

    def load_record(self, record: Event) -> None:
        """Load the run a record announces."""
        notification = notification_in(record)
        mark = self.mark_of(record)
        if not self.wants(notification) or self.is_loaded(mark):
            return
        items = self.items(notification)
        with self.database:
            self.database.executemany(INSERT, values(items))
            self.mark(mark)

    def mark_of(self, record: Event) -> str:
        """What is kept of a record."""
        return str(record["messageId"])


class LambdaOrdersSuite(SqliteHandlerSuite):
    """A Lambda function over an SQLite `loader` that looks at the record, not at the notification alone."""

    record_loader: ClassVar[type[ByRecord]]

    def start(self, world: World) -> Any:
        loader = self.record_loader(world.disk / "orders.sqlite", Storage(world.storage_root))

        def handler(event: Event, context: Any) -> dict[str, Any]:
            failures = []
            for record in event["Records"]:
                try:
                    loader.load_record(record)
                except Exception:
                    log.exception("%s failed", record["messageId"])
                    failures.append({"itemIdentifier": record["messageId"]})
            return {"batchItemFailures": failures}

        return handler


class MarksMessagesSuite(LambdaOrdersSuite):
    """Deduplicates by message id."""

    record_loader = ByRecord


class ByText(ByRecord):
    """Keeps a hash of the notification's text."""

    def mark_of(self, record: Event) -> str:
        return hashlib.sha256(json.dumps(notification_in(record), sort_keys=True).encode()).hexdigest()


class MarksTextsSuite(LambdaOrdersSuite):
    """Deduplicates by the text of the notification."""

    record_loader = ByText


class KnownListing(Storage):
    """Lists the committed files once for every folder that is asked for."""

    def __init__(self, root: Any) -> None:
        super().__init__(root)
        self.files: dict[str, list[str]] = {}

    def data_files(self, folder: str, event_type: str) -> list[str]:
        if folder not in self.files:
            self.files[folder] = [path for path in self.committed() if path.startswith(f"{folder}/")]
        return [path for path in self.files[folder] if path.startswith(f"{folder}/event_type={event_type}/")]

    def announced(self, storage_path: str) -> str:
        folder = self.folder_of(storage_path)
        if not self.data_files(folder, "run_complete"):
            raise FileNotFoundError(folder)
        return folder


class KnownListingSuite(SqliteHandlerSuite):
    """Keeps what it listed as long as the process is warm."""

    loader = OneTransaction
    reader = KnownListing

    def start(self, world: World) -> Any:
        return lambda_handler(super().start(world).handle)
