"""Handlers whose mistake shows from one turn to the next: what a failure leaves behind, what a claim or a retry forgets."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from pytest_quarry.samples.buckets import BucketHandlerSuite
from pytest_quarry.samples.handlers import (
    INSERT,
    KEYED_TABLES,
    UPSERT,
    Notification,
    OneTransaction,
    OrderLoader,
    SqliteHandlerSuite,
    values,
)
from pytest_quarry.samples.reading import Item, Storage, as_item
from pytest_quarry.samples.sound_aws import (
    DynamoLoader,
    DynamoSuite,
    Event,
    Load,
    TargetLoader,
    TargetSuite,
    lambda_handler,
    notification_in,
)
from pytest_quarry.samples.sound_files import Ledger, LedgerSuite
from pytest_quarry.samples.sound_handlers import Leased, LeasedSuite, StillLeased
from pytest_quarry.samples.workers import make_table

if TYPE_CHECKING:
    from pytest_quarry.simulation.world import World

log = logging.getLogger(__name__)
THROTTLED = ("ThrottlingException", "ProvisionedThroughputExceededException", "SlowDown")
STANDARD = Config(retries={"mode": "standard"})  # three attempts


def is_throttled(error: ClientError) -> bool:
    """Whether AWS asks to come back later."""
    return error.response.get("Error", {}).get("Code") in THROTTLED


class RemembersTooEarly(OneTransaction):
    """Keeps the runs it has met in a set, before it asks the database: a run goes into it before it is loaded."""

    def __init__(self, database: Path, storage: Storage) -> None:
        super().__init__(database, storage)
        self.met: set[str] = set()

    def load(self, run_id: str, notification: Notification) -> None:
        if run_id in self.met:
            return
        self.met.add(run_id)
        super().load(run_id, notification)


class RemembersTooEarlySuite(SqliteHandlerSuite):
    """A cache in front of the marks that knows a run before it is loaded."""

    loader = RemembersTooEarly


class GivesUpAfterThree(OneTransaction):
    """Tries three times, then logs the run and goes on with the next."""

    def load(self, run_id: str, notification: Notification) -> None:
        for attempt in range(3):
            try:
                super().load(run_id, notification)
            except Exception:
                log.exception("attempt %s at %s failed", attempt, run_id)
                time.sleep(2**attempt)
            else:
                return
        log.error("%s is given up", run_id)


class GivesUpAfterThreeSuite(SqliteHandlerSuite):
    """Acknowledges what three attempts could not load."""

    loader = GivesUpAfterThree


class InProgress(Exception):
    """Somebody else has claimed this run."""


class TrustsTimeToLive(OrderLoader):
    """Claims a run in DynamoDB, with an end at which DynamoDB deletes the claim: within a few days, it says."""

    def __init__(self, database: Path, storage: Storage) -> None:
        super().__init__(database, storage)
        self.table = boto3.client("dynamodb")

    def load(self, run_id: str, notification: Notification) -> None:
        if self.is_loaded(run_id):
            return
        claim = {"run_id": {"S": run_id}, "expires": {"N": str(int(time.time()) + 300)}}
        try:
            self.table.put_item(TableName="claims", Item=claim, ConditionExpression="attribute_not_exists(run_id)")
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "ConditionalCheckFailedException":
                raise InProgress(run_id) from error
            raise
        try:
            with self.database:
                self.database.executemany(UPSERT, values(self.items(notification)))
                self.mark(run_id)
        finally:
            self.table.delete_item(TableName="claims", Key={"run_id": {"S": run_id}})


class TrustsTimeToLiveSuite(SqliteHandlerSuite):
    """Claims that end when DynamoDB's time to live removes them."""

    loader = TrustsTimeToLive
    tables = KEYED_TABLES

    def prepare(self, world: World) -> None:
        super().prepare(world)
        make_table("claims")


class MarksWhileLeased(Leased):
    """Claims a run for half a minute, and marks it if the claim is still its own when the rows are there."""

    seconds = 30

    def load(self, run_id: str, notification: Notification) -> None:
        if self.is_loaded(run_id):
            return
        now = time.time()
        with self.database:
            self.database.execute("DELETE FROM claims WHERE run_id = ? AND until <= ?", (run_id, now))
            claim = "INSERT OR IGNORE INTO claims VALUES (?, ?)"
            claimed = self.database.execute(claim, (run_id, now + self.seconds)).rowcount
        if not claimed:
            raise StillLeased(run_id)
        items = self.items(notification)
        with self.database:
            self.database.executemany(INSERT, values(items))
            mark = "INSERT INTO loaded_runs SELECT run_id FROM claims WHERE run_id = ? AND until > ?"
            self.database.execute(mark, (run_id, time.time()))


class MarksWhileLeasedSuite(LeasedSuite):
    """Rows that are committed even where the claim has ended and the run is not marked."""

    loader = MarksWhileLeased


def all_or_nothing(load: Load) -> Callable[[Event, Any], None]:
    """A Lambda function that raises at the first record it cannot load: the whole batch comes again."""

    def handler(event: Event, context: Any) -> None:
        for record in event["Records"]:
            load(notification_in(record))

    return handler


class AllOrNothingSuite(SqliteHandlerSuite):
    """A Lambda function without partial batch responses."""

    def start(self, world: World) -> Any:
        return all_or_nothing(self.loader(world.disk / "orders.sqlite", Storage(world.storage_root)).handle)


def reports_runs(load: Load) -> Callable[[Event, Any], dict[str, Any]]:
    """A Lambda function that reports the runs it could not load: Lambda knows messages, not runs."""

    def handler(event: Event, context: Any) -> dict[str, Any]:
        failures = []
        for record in event["Records"]:
            run_id = None
            try:
                notification = notification_in(record)
                run_id = notification.get("run_id")
                load(notification)
            except Exception:
                log.exception("run %s failed", run_id)
                failures.append({"itemIdentifier": run_id})
        return {"batchItemFailures": failures}

    return handler


class ReportsRunsSuite(SqliteHandlerSuite):
    """A Lambda function whose answer names runs, not messages."""

    def start(self, world: World) -> Any:
        return reports_runs(self.loader(world.disk / "orders.sqlite", Storage(world.storage_root)).handle)


class InboxInOrder(OneTransaction):
    """Writes what it is told into an inbox, then works the inbox off, the oldest first."""

    def handle(self, notification: Notification) -> None:
        with self.database:
            self.database.execute("INSERT INTO inbox (text) VALUES (?)", (json.dumps(notification),))
        for number, text in self.database.execute("SELECT id, text FROM inbox ORDER BY id").fetchall():
            super().handle(json.loads(text))
            with self.database:
                self.database.execute("DELETE FROM inbox WHERE id = ?", (number,))


class InboxInOrderSuite(SqliteHandlerSuite):
    """An inbox whose oldest message holds up all others."""

    loader = InboxInOrder
    tables = SqliteHandlerSuite.tables + "CREATE TABLE inbox (id INTEGER PRIMARY KEY, text TEXT NOT NULL);"


class BacklogInOrder(OneTransaction):
    """Keeps what it could not load, and loads that before anything new."""

    def __init__(self, database: Path, storage: Storage) -> None:
        super().__init__(database, storage)
        self.backlog: list[Notification] = []

    def handle(self, notification: Notification) -> None:
        self.backlog.append(notification)
        while self.backlog:
            super().handle(self.backlog[0])
            self.backlog.pop(0)


class BacklogInOrderSuite(SqliteHandlerSuite):
    """A backlog in memory whose first message holds up all others."""

    loader = BacklogInOrder


class BuffersRows(OneTransaction):
    """Collects rows, writes them, and clears the buffer after the commit: after a failure it is still full."""

    def __init__(self, database: Path, storage: Storage) -> None:
        super().__init__(database, storage)
        self.buffer: list[tuple[str, str, str, float]] = []

    def load(self, run_id: str, notification: Notification) -> None:
        if self.is_loaded(run_id):
            return
        self.buffer += values(self.items(notification))
        with self.database:
            self.database.executemany(INSERT, self.buffer)
            self.mark(run_id)
        self.buffer.clear()


class BuffersRowsSuite(SqliteHandlerSuite):
    """A buffer that a failed turn leaves full."""

    loader = BuffersRows


class NeverRollsBack(OneTransaction):
    """Writes file by file and commits at the end; where a read fails the transaction stays open, with rows in it."""

    def load(self, run_id: str, notification: Notification) -> None:
        if self.is_loaded(run_id):
            return
        for file in self.storage.item_files(self.storage.announced(notification["storage_path"])):
            items = [as_item(record) for record in self.storage.records([file])]
            self.database.executemany(INSERT, values(items))
        self.mark(run_id)
        self.database.commit()


class NeverRollsBackSuite(BucketHandlerSuite):
    """A transaction that a failed turn leaves open, and the next one commits."""

    loader = NeverRollsBack


class LeavesTheTargetOpen(TargetLoader):
    """Begins a transaction and commits it, and forgets that what is in between can fail."""

    def load(self, notification: Notification) -> None:
        if notification.get("event_type") != "run_completed" or notification.get("outcome") != "success":
            return
        run_id = notification["run_id"]
        if any(row["run_id"] == run_id for row in self.target.rows()):
            return
        items = self.storage.items(self.storage.announced(notification["storage_path"]))
        self.target.begin()
        for item in items:
            self.target.insert({"run_id": run_id, "item": item.event_id, "sku": item.sku, "price": item.price})
        self.target.commit()


class LeavesTheTargetOpenSuite(TargetSuite):
    """A Lambda function whose connection, once a turn has failed, refuses every further transaction."""

    def start(self, world: World) -> Any:
        return lambda_handler(LeavesTheTargetOpen(world.target, Storage(world.storage_root)).load)


class LedgerRecoversAtStart(Ledger):
    """Cuts off at its start what a crash left, and not what a failed write left in a process that goes on."""

    def __init__(self, folder: Path, storage: Storage) -> None:
        super().__init__(folder, storage)
        self.recover()

    def load(self, run_id: str, items: list[Item]) -> None:
        self.append(run_id, items)


class LedgerRecoversAtStartSuite(LedgerSuite):
    """An append-only file that recovers at the start only."""

    def start(self, world: World) -> Any:
        return LedgerRecoversAtStart(world.disk, Storage(world.storage_root))


class SkipsThrottledRows(DynamoLoader):
    """Logs rows that DynamoDB throttles, so that a busy table does not hold up the rest."""

    def __init__(self, storage: Storage) -> None:
        super().__init__(storage)
        self.table = boto3.client("dynamodb", config=STANDARD)

    def _put_once(self, row: dict[str, Any]) -> None:
        try:
            super()._put_once(row)
        except ClientError as error:
            if not is_throttled(error):
                raise
            log.warning("%s was throttled", row)


class SkipsThrottledRowsSuite(DynamoSuite):
    """Goes on without the rows that were throttled, and marks the run."""

    def start(self, world: World) -> Any:
        return lambda_handler(SkipsThrottledRows(Storage(world.storage_root)).handle)


class ReadsAgainFromTheStart(OneTransaction):
    """Writes file by file within one transaction, and begins again with the first file when S3 throttles it."""

    def load(self, run_id: str, notification: Notification) -> None:
        if self.is_loaded(run_id):
            return
        files = self.storage.item_files(self.storage.announced(notification["storage_path"]))
        with self.database:
            while not self.written(files):
                time.sleep(5)
            self.mark(run_id)

    def written(self, files: list[str]) -> bool:
        """Write the rows of all files; whether S3 let that be done."""
        try:
            for file in files:
                items = [as_item(record) for record in self.storage.records([file])]
                self.database.executemany(INSERT, values(items))
        except ClientError as error:
            if not is_throttled(error):
                raise
            return False
        return True


class ReadsAgainFromTheStartSuite(BucketHandlerSuite):
    """Reads a run again after throttling, without a rollback."""

    loader = ReadsAgainFromTheStart
