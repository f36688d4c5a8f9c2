"""Sound publishers: what a team's wrapper around `quarry run` does to announce a run on SNS."""

from __future__ import annotations

import datetime
import functools
import hashlib
import json
import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from pytest_quarry.suites import PublisherConformance

if TYPE_CHECKING:
    from pytest_quarry.consumers.wrapped import WrappedRun
    from pytest_quarry.simulation.world import World

ATTEMPTS = 3


def notification(run: WrappedRun) -> dict[str, Any]:
    """All that Quarry's own notification says."""
    message: dict[str, Any] = {
        "contract_version": "0.13.4",
        "event_type": "run_completed",
        "run_id": run.run_id,
        "source": run.source,
        "category": run.category,
        "day": run.day,
        "outcome": run.outcome,
        "storage_path": run.storage_path,
        "timestamp": now(),
        "attempt": run.attempt,
        "event_count": run.event_count,
        "duration_ms": run.duration_ms,
    }
    return message if run.job_id is None else {**message, "job_id": run.job_id}


def now() -> str:
    """The time, as notifications write it."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def text(value: str | None) -> dict[str, str]:
    """A message attribute."""
    return {"DataType": "String", "StringValue": value or ""}


class Publisher:
    """Publishes the notification of a run that is over; an error of SNS is the caller's to see."""

    def __init__(self, topic_arn: str) -> None:
        self.topic_arn = topic_arn
        self.sns = boto3.client("sns")

    def publish(self, run: WrappedRun) -> None:
        """Announce a run."""
        self.send(run)

    def send(self, run: WrappedRun) -> None:
        """Publish once; botocore tries again beneath."""
        self.sns.publish(TopicArn=self.topic_arn, Message=self.message(run), MessageAttributes=self.attributes(run))

    def message(self, run: WrappedRun) -> str:
        """The message."""
        return json.dumps(self.fields(run))

    def fields(self, run: WrappedRun) -> dict[str, Any]:
        """What the message says."""
        return notification(run)

    def attributes(self, run: WrappedRun) -> Mapping[str, Any]:
        """What subscriptions filter by."""
        return {"run_id": text(run.run_id), "source": text(run.source), "outcome": text(run.outcome)}


class MinimalPublisher(Publisher):
    """Says what Quarry's integration guide asks for at least."""

    def fields(self, run: WrappedRun) -> dict[str, Any]:
        wanted = ("event_type", "run_id", "source", "day", "outcome", "storage_path", "timestamp")
        full = notification(run)
        return {name: full[name] for name in wanted}


class WrappingPublisher(Publisher):
    """Runs Quarry, then announces what came of it."""

    def publish(self, run: WrappedRun) -> None:
        run.execute()
        self.send(run)


class PersistentPublisher(Publisher):
    """Tries again by itself, with more and more time between, and raises in the end."""

    def publish(self, run: WrappedRun) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self.send(run)
            except (ClientError, BotoCoreError):
                if attempt == ATTEMPTS:
                    raise
                time.sleep(2**attempt)
        return None


class EndlessPublisher(Publisher):
    """Tries again until SNS takes it."""

    def publish(self, run: WrappedRun) -> None:
        while True:
            try:
                return self.send(run)
            except (ClientError, BotoCoreError):
                time.sleep(60)


class BatchPublisher(Publisher):
    """Publishes as a batch of one, and looks at what the batch's answer says of it."""

    def send(self, run: WrappedRun) -> None:
        answer = self.sns.publish_batch(TopicArn=self.topic_arn, PublishBatchRequestEntries=[self.entry(run)])
        if answer.get("Failed"):
            raise RuntimeError(f"not published: {answer['Failed']}")

    def entry(self, run: WrappedRun) -> Any:
        """A run's entry of a batch."""
        return {"Id": "1", "Message": self.message(run), "MessageAttributes": self.attributes(run)}


class FifoPublisher(Publisher):
    """Publishes to a FIFO topic: what is said of a run again within five minutes, the topic drops."""

    def send(self, run: WrappedRun) -> None:
        self.sns.publish(
            TopicArn=self.topic_arn,
            Message=self.message(run),
            MessageAttributes=self.attributes(run),
            MessageGroupId="runs",
            MessageDeduplicationId=self.deduplication_id(run),
        )

    def deduplication_id(self, run: WrappedRun) -> str:
        """By what the topic knows it again; SNS takes 128 letters, digits and punctuation marks."""
        return hashlib.sha256(self.subject(run).encode()).hexdigest()

    def subject(self, run: WrappedRun) -> str:
        """What the topic is to hear of once."""
        return run.run_id


class OutboxPublisher(Publisher):
    """Writes what is to be said into a database of its own, then says all that nobody heard yet."""

    def __init__(self, topic_arn: str, file: Path) -> None:
        super().__init__(topic_arn)
        self.outbox = sqlite3.connect(file)
        self.outbox.execute(
            "CREATE TABLE IF NOT EXISTS outbox (run_id TEXT PRIMARY KEY, message TEXT, attributes TEXT)"
        )

    def send(self, run: WrappedRun) -> None:
        row = run.run_id, self.message(run), json.dumps(self.attributes(run))
        with self.outbox:
            self.outbox.execute("INSERT OR REPLACE INTO outbox VALUES (?, ?, ?)", row)
        for run_id, message, attributes in self.outbox.execute("SELECT * FROM outbox ORDER BY rowid").fetchall():
            self.sns.publish(TopicArn=self.topic_arn, Message=message, MessageAttributes=json.loads(attributes))
            with self.outbox:
                self.outbox.execute("DELETE FROM outbox WHERE run_id = ?", (run_id,))


@functools.cache
def client() -> Any:
    """A client of the test's own process: what botocore loads for it, every publisher's process inherits."""
    return boto3.client("sns")


class PublisherSuite(PublisherConformance):
    """Starts a `publisher`."""

    publisher: ClassVar[type[Publisher]] = Publisher

    def prepare(self, world: World) -> None:
        client()

    def start(self, world: World) -> Any:
        return self.publisher(world.topic_arn)


class AfterTheRunSuite(PublisherSuite):
    """json.dumps, all fields, the attributes."""


class MinimalSuite(PublisherSuite):
    """The minimal payload."""

    publisher = MinimalPublisher


class WrapperSuite(PublisherSuite):
    """A wrapper that runs Quarry and then publishes."""

    publisher = WrappingPublisher
    wraps_run = True


class PersistentSuite(PublisherSuite):
    """Retries of its own above those of botocore."""

    publisher = PersistentPublisher


class EndlessSuite(PublisherSuite):
    """Retries without an end."""

    publisher = EndlessPublisher


class BatchSuite(PublisherSuite):
    """PublishBatch, in the flat layout."""

    publisher = BatchPublisher
    layout = "flat"


class FifoSuite(PublisherSuite):
    """A FIFO topic; the deduplication id is the run's."""

    publisher = FifoPublisher
    fifo = True


class OutboxSuite(PublisherSuite):
    """An outbox in SQLite."""

    def start(self, world: World) -> Any:
        return OutboxPublisher(world.topic_arn, world.disk / "outbox.sqlite")


class BucketSuite(PublisherSuite):
    """Runs that are stored on S3."""

    publisher = WrappingPublisher
    wraps_run = True
    storage = "s3"


def script(topic_arn: str) -> Callable[[WrappedRun], None]:
    """A script's main function: runs Quarry, publishes, and exits with status 1 where nobody could be told."""

    def publish(run: WrappedRun) -> None:
        run.execute()
        try:
            Publisher(topic_arn).send(run)
        except (ClientError, BotoCoreError) as error:
            raise SystemExit(f"{run.run_id} is stored, and nobody was told: {error}") from error

    return publish


class ScriptSuite(PublisherSuite):
    """A script that exits with an error."""

    wraps_run = True

    def start(self, world: World) -> Any:
        return script(world.topic_arn)
