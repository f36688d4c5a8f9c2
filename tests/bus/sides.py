"""A queue as the kit has it, and as moto alone has it: the same boto3 calls on both."""

from __future__ import annotations

import contextlib
import datetime
import functools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import boto3
import time_machine
from botocore.config import Config
from botocore.exceptions import ClientError
from moto import mock_aws

from pytest_quarry.bus.bus import Bus
from pytest_quarry.bus.queue import Queue
from pytest_quarry.bus.topology import Topology
from pytest_quarry.simulation.aws_of_test import aws_of_test
from pytest_quarry.storage import VirtualClock

START = datetime.datetime(2026, 2, 2, 8, tzinfo=datetime.UTC)
ONCE = Config(retries={"total_max_attempts": 1})


@dataclass(frozen=True)
class Side:
    """A queue with a dead-letter queue and a topic, a client of it, and its time."""

    sqs: Any
    sns: Any
    url: str
    dead_url: str
    topic_arn: str
    advance: Callable[[float], None]
    now: Callable[[], float]
    fifo: bool

    def send(self, *bodies: str, group: str = "g", url: str = "") -> None:
        for body in bodies:
            fifo = {"MessageGroupId": group, "MessageDeduplicationId": body} if self.fifo else {}
            self.sqs.send_message(QueueUrl=url or self.url, MessageBody=body, **fifo)

    def receive(self, most: int = 10, *, url: str = "", **given: Any) -> list[Any]:
        answer = self.sqs.receive_message(
            QueueUrl=url or self.url, MaxNumberOfMessages=most, AttributeNames=["All"], **given
        )
        found: list[Any] = answer.get("Messages", [])
        return found

    def bodies(self, most: int = 10, **given: Any) -> list[str]:
        return [message["Body"] for message in self.receive(most, **given)]

    def delete(self, message: Any) -> str:
        """The code of the error, or nothing."""
        return code(self.sqs.delete_message, QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])

    def extend(self, message: Any, seconds: int) -> str:
        """The code of the error, or nothing."""
        return code(
            self.sqs.change_message_visibility,
            QueueUrl=self.url,
            ReceiptHandle=message["ReceiptHandle"],
            VisibilityTimeout=seconds,
        )

    def count(self) -> int:
        """How many messages the queue holds, visible or not."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)


@dataclass(frozen=True)
class Ours(Side):
    """The kit's side, which can misbehave."""

    bus: Bus
    queue: Queue


def code(operation: Callable[..., Any], **arguments: Any) -> str:
    """The code of the error that a call ends in, or nothing."""
    try:
        operation(**arguments)
    except ClientError as error:
        return str(error.response["Error"]["Code"]).removeprefix("AWS.SimpleQueueService.")
    return ""


def outcomes(answer: Any) -> dict[str, str]:
    """What became of each entry of a batch: the code of its error, or nothing."""
    done = {entry["Id"]: "" for entry in answer.get("Successful", [])}
    return done | {entry["Id"]: entry["Code"] for entry in answer.get("Failed", [])}


@contextlib.contextmanager
def ours(*, fifo: bool = False, max_receives: int = 10) -> Iterator[Ours]:
    """The kit's queue."""
    clock = VirtualClock(START)
    topology = Topology(fifo=fifo, max_receives=max_receives, raw=True)
    with aws_of_test(clock, topology=topology) as aws:
        yield Ours(
            sqs=_client("sqs"),
            sns=_client("sns"),
            url=aws.bus.queue_url,
            dead_url=aws.bus.dead_letter_url,
            topic_arn=aws.bus.topic_arn,
            advance=aws.bus.advance,
            now=lambda: aws.now / 1e6,
            fifo=fifo,
            bus=aws.bus,
            queue=aws.mocked.queue,
        )


@contextlib.contextmanager
def moto_alone(*, fifo: bool = False, max_receives: int = 10) -> Iterator[Side]:
    """The same queue in moto, whose clock is this process's: here it stands still until it is moved."""
    suffix = ".fifo" if fifo else ""
    with mock_aws(), time_machine.travel(START, tick=False) as traveller:
        sqs, sns = _client("sqs"), _client("sns")
        attributes = {"FifoQueue": "true"} if fifo else {}
        dead = sqs.create_queue(QueueName=f"dead{suffix}", Attributes=attributes)["QueueUrl"]
        redrive = {"deadLetterTargetArn": _arn(sqs, dead), "maxReceiveCount": max_receives}
        queue = sqs.create_queue(
            QueueName=f"queue{suffix}", Attributes={**attributes, "RedrivePolicy": json.dumps(redrive)}
        )["QueueUrl"]
        topic = sns.create_topic(Name=f"topic{suffix}", Attributes={"FifoTopic": "true"} if fifo else {})["TopicArn"]
        sns.subscribe(
            TopicArn=topic, Protocol="sqs", Endpoint=_arn(sqs, queue), Attributes={"RawMessageDelivery": "true"}
        )
        yield Side(
            sqs=sqs,
            sns=sns,
            url=queue,
            dead_url=dead,
            topic_arn=topic,
            advance=traveller.shift,
            now=lambda: datetime.datetime.now(datetime.UTC).timestamp(),
            fifo=fifo,
        )


def both(scenario: Callable[[Side], Any], **details: Any) -> Sequence[Any]:
    """What comes of a scenario here, and in moto alone."""
    with ours(**details) as side:
        here = scenario(side)
    with moto_alone(**details) as side:
        return here, scenario(side)


@functools.cache
def _client(service: str) -> Any:
    return boto3.client(
        service,  # type: ignore[call-overload]
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=ONCE,
    )


def _arn(sqs: Any, url: str) -> str:
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return str(found["Attributes"]["QueueArn"])
