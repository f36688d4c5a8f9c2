"""Broken publishers: each with one mistake of those that wrappers around `quarry run` have."""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from pytest_quarry.samples.publishers import (
    BatchPublisher,
    FifoPublisher,
    Publisher,
    PublisherSuite,
    WrappingPublisher,
    notification,
    text,
)

if TYPE_CHECKING:
    from pytest_quarry.consumers.wrapped import WrappedRun

log = logging.getLogger(__name__)


class BeforeTheRun(Publisher):
    """Announces a run, then runs it."""

    def publish(self, run: WrappedRun) -> None:
        run.outcome, run.event_count, run.duration_ms = "success", 0, 0
        self.send(run)
        run.execute()


class BeforeTheRunSuite(PublisherSuite):
    """Publishes before it executes."""

    publisher = BeforeTheRun
    wraps_run = True


class InAnyCase(Publisher):
    """Announces the run in a finally clause, also where it could not be run."""

    def publish(self, run: WrappedRun) -> None:
        try:
            run.execute()
        finally:
            run.outcome = run.outcome or "executor_crash"
            self.send(run)

    def fields(self, run: WrappedRun) -> dict[str, Any]:
        return {name: value for name, value in notification(run).items() if value is not None}


class InAnyCaseSuite(PublisherSuite):
    """Publishes in a finally clause."""

    publisher = InAnyCase
    wraps_run = True


class Today(Publisher):
    """Names the day of publishing."""

    def fields(self, run: WrappedRun) -> dict[str, Any]:
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        return {**notification(run), "day": today}


class TodaySuite(PublisherSuite):
    """The day is today."""

    publisher = Today


class TodayWrapper(Today, WrappingPublisher):
    """Names the day on which the run ended."""


class TodayWrapperSuite(PublisherSuite):
    """The day is today, at the end of the run."""

    publisher = TodayWrapper
    wraps_run = True


class FlatPath(Publisher):
    """Puts the path together without dataset and category."""

    def fields(self, run: WrappedRun) -> dict[str, Any]:
        path = f"{run.storage_root}/source={run.source}/day={run.day}/run_id={run.run_id}"
        return {**notification(run), "storage_path": path}


class FlatPathSuite(PublisherSuite):
    """The path of Quarry's published example."""

    publisher = FlatPath


class OneCategory(Publisher):
    """Announces every run in one category."""

    def fields(self, run: WrappedRun) -> dict[str, Any]:
        return {**notification(run), "category": "products"}


class OneCategorySuite(PublisherSuite):
    """The category is a constant."""

    publisher = OneCategory


class FirstAttempt(Publisher):
    """Announces every run as a first attempt."""

    def fields(self, run: WrappedRun) -> dict[str, Any]:
        return {**notification(run), "attempt": 1}


class FirstAttemptSuite(PublisherSuite):
    """The attempt is a constant."""

    publisher = FirstAttempt


class Pasted(Publisher):
    """Pastes its JSON together, as shell scripts do."""

    def message(self, run: WrappedRun) -> str:
        parts = [
            f'"{name}": "{value}"' if isinstance(value, str) else f'"{name}": {value}'
            for name, value in notification(run).items()
        ]
        return "{" + ", ".join(parts) + "}"


class PastedSuite(PublisherSuite):
    """JSON by string pasting."""

    publisher = Pasted


class OnlyAscii(Publisher):
    """Drops what is not ASCII, so that nothing goes wrong."""

    def message(self, run: WrappedRun) -> str:
        return json.dumps(notification(run), ensure_ascii=False).encode("ascii", "ignore").decode()


class OnlyAsciiSuite(PublisherSuite):
    """Ids without their special characters."""

    publisher = OnlyAscii


class LogsAndGoesOn(Publisher):
    """Logs that SNS failed, and is done."""

    def publish(self, run: WrappedRun) -> None:
        try:
            self.send(run)
        except (ClientError, BotoCoreError):
            log.exception("%s was not announced", run.run_id)


class LogsAndGoesOnSuite(PublisherSuite):
    """Swallows the errors of SNS."""

    publisher = LogsAndGoesOn


class ExitsQuietly(Publisher):
    """Ends its process with status 0 where SNS fails, as a script without `set -e` does."""

    def publish(self, run: WrappedRun) -> None:
        try:
            self.send(run)
        except (ClientError, BotoCoreError):
            os._exit(0)


class ExitsQuietlySuite(PublisherSuite):
    """Exits with status 0 after an error."""

    publisher = ExitsQuietly


class QuietAtTimeouts(Publisher):
    """Takes a timeout for a message that surely arrived."""

    def publish(self, run: WrappedRun) -> None:
        with contextlib.suppress(BotoCoreError):
            self.send(run)


class QuietAtTimeoutsSuite(PublisherSuite):
    """Swallows broken connections and timeouts."""

    publisher = QuietAtTimeouts


class TrustsTheStatus(BatchPublisher):
    """Publishes a batch of one, and takes the status 200 of its answer for a message that arrived."""

    def send(self, run: WrappedRun) -> None:
        self.sns.publish_batch(TopicArn=self.topic_arn, PublishBatchRequestEntries=[self.entry(run)])


class TrustsTheStatusSuite(PublisherSuite):
    """Never looks at what failed of a batch."""

    publisher = TrustsTheStatus


class OnlySuccess(Publisher):
    """Announces what went well."""

    def publish(self, run: WrappedRun) -> None:
        if run.outcome == "success":
            self.send(run)


class OnlySuccessSuite(PublisherSuite):
    """Says nothing of failed runs."""

    publisher = OnlySuccess


class OnlyOrderlyEnds(Publisher):
    """Knows success and script_error, and fails at the rest."""

    codes = {"success": 0, "script_error": 1}  # noqa: RUF012 - a plain table

    def publish(self, run: WrappedRun) -> None:
        self.codes[run.outcome or ""]
        self.send(run)


class OnlyOrderlyEndsSuite(PublisherSuite):
    """Raises at outcomes it does not know."""

    publisher = OnlyOrderlyEnds


class AlwaysSuccess(Publisher):
    """Announces every run as a success: the script came to its end, after all."""

    def fields(self, run: WrappedRun) -> dict[str, Any]:
        return {**notification(run), "outcome": "success"}


class AlwaysSuccessSuite(PublisherSuite):
    """The outcome is a constant."""

    publisher = AlwaysSuccess


class FifoByDay(FifoPublisher):
    """Takes the source and the day for what a message is about, so that SNS drops the day's second run."""

    def subject(self, run: WrappedRun) -> str:
        return f"{run.source}/{run.day}"


class FifoByDaySuite(PublisherSuite):
    """One deduplication id for all runs of a day."""

    publisher = FifoByDay
    fifo = True


class FifoByLetters(FifoPublisher):
    """Leaves out of a run's id what it thinks a deduplication id must not have: run-1-0 is run-10 then."""

    def subject(self, run: WrappedRun) -> str:
        return re.sub(r"[^A-Za-z0-9]", "", run.run_id)


class FifoByLettersSuite(PublisherSuite):
    """One deduplication id for runs whose ids differ in a dash."""

    publisher = FifoByLetters
    fifo = True


class FifoByRunId(FifoPublisher):
    """Takes a run's id as it is, and SNS takes neither a space in a deduplication id, nor more than 128 characters."""

    def deduplication_id(self, run: WrappedRun) -> str:
        return run.run_id


class FifoByRunIdSuite(PublisherSuite):
    """A deduplication id of whatever characters a run's id has."""

    publisher = FifoByRunId
    fifo = True


class OncePerJob(Publisher):
    """Keeps which jobs were announced, so that none is twice; a retry has its job's id."""

    def __init__(self, topic_arn: str) -> None:
        super().__init__(topic_arn)
        self.announced: set[str] = set()

    def publish(self, run: WrappedRun) -> None:
        job = run.job_id or run.run_id
        if job not in self.announced:
            self.send(run)
            self.announced.add(job)


class OncePerJobSuite(PublisherSuite):
    """A retry is taken for what was said already."""

    publisher = OncePerJob


class NoAttributes(Publisher):
    """Publishes the message alone."""

    def attributes(self, run: WrappedRun) -> Mapping[str, Any]:
        return {}


class NoAttributesSuite(PublisherSuite):
    """No message attributes."""

    publisher = NoAttributes


class BinaryAttributes(Publisher):
    """Gives its attributes as bytes."""

    def attributes(self, run: WrappedRun) -> Mapping[str, Any]:
        values = {"run_id": run.run_id, "source": run.source, "outcome": run.outcome or ""}
        return {name: {"DataType": "Binary", "BinaryValue": value.encode()} for name, value in values.items()}


class BinaryAttributesSuite(PublisherSuite):
    """Attributes of a type that no filter reads."""

    publisher = BinaryAttributes


class OldAttributes(Publisher):
    """Builds the attributes once, for the first run."""

    def __init__(self, topic_arn: str) -> None:
        super().__init__(topic_arn)
        self.kept: Mapping[str, Any] = {}

    def attributes(self, run: WrappedRun) -> Mapping[str, Any]:
        self.kept = self.kept or {
            "run_id": text(run.run_id),
            "source": text(run.source),
            "outcome": text(run.outcome),
        }
        return self.kept


class OldAttributesSuite(PublisherSuite):
    """The attributes of another run."""

    publisher = OldAttributes


class CutsAttributes(Publisher):
    """Cuts attributes to 64 characters, as its dashboard has columns of that width."""

    def attributes(self, run: WrappedRun) -> Mapping[str, Any]:
        return {"run_id": text(run.run_id[:64]), "source": text(run.source[:64]), "outcome": text(run.outcome)}


class CutsAttributesSuite(PublisherSuite):
    """Attributes that are cut."""

    publisher = CutsAttributes
