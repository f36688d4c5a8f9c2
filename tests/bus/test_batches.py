"""A batch of which SNS takes only a part: status 200, the rest under `Failed`, and nothing of that in the queue."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from pytest_quarry.bus.bus import Bus
from pytest_quarry.bus.topology import Topology
from pytest_quarry.simulation.aws_of_test import aws_of_test
from pytest_quarry.storage import VirtualClock

NAMED = {"name": {"DataType": "String", "StringValue": "a b&c"}}
REFUSED = {"Code": "InternalError", "SenderFault": False}


@pytest.fixture
def bus() -> Iterator[Bus]:
    with aws_of_test(VirtualClock(), topology=Topology(raw=True)) as aws:
        yield aws.bus


def entries(*texts: str) -> list[Any]:
    return [{"Id": f"id-{text}", "Message": text, "MessageAttributes": NAMED} for text in texts]


def publish(bus: Bus, *batch: Any) -> tuple[list[str], list[str]]:
    """The ids of the entries that SNS says it took, and of those that it says failed."""
    answer = boto3.client("sns").publish_batch(TopicArn=bus.topic_arn, PublishBatchRequestEntries=batch)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    return [entry["Id"] for entry in answer["Successful"]], [entry["Id"] for entry in answer["Failed"]]


def arrived(bus: Bus) -> list[str]:
    return [message.body for message in bus.messages()]


@pytest.mark.parametrize(
    ("error", "taken", "failed"),
    [("entries", "", "abc"), ("first-entry", "bc", "a"), ("last-entry", "ab", "c")],
)
def test_what_is_not_taken_is_listed(bus: Bus, error: str, taken: str, failed: str) -> None:
    bus.fail("sns.PublishBatch", error, times=1)
    assert publish(bus, *entries("a", "b", "c")) == ([f"id-{one}" for one in taken], [f"id-{one}" for one in failed])
    assert arrived(bus) == list(taken)
    publish(bus, *entries("d"))
    assert arrived(bus) == [*taken, "d"]


@pytest.mark.parametrize("error", ["entries", "first-entry", "last-entry"])
def test_a_batch_of_one(bus: Bus, error: str) -> None:
    bus.fail("sns.", error)
    assert publish(bus, *entries("a")) == ([], ["id-a"])
    assert arrived(bus) == []


def test_the_service_is_at_fault(bus: Bus) -> None:
    bus.fail("sns.", "first-entry")
    answer = boto3.client("sns").publish_batch(TopicArn=bus.topic_arn, PublishBatchRequestEntries=entries("a", "b"))
    (failed,) = answer["Failed"]
    assert {name: failed[name] for name in REFUSED} == REFUSED


def test_what_is_taken_comes_whole(bus: Bus) -> None:
    """Of ten entries and more the numbers in the request have another order as text."""
    bus.fail("sns.", "first-entry")
    texts = [f"m{number} & naïve" for number in range(10)]
    publish(bus, *({**entry, "Id": f"{at}"} for at, entry in enumerate(entries(*texts))))
    assert arrived(bus) == texts[1:]
    records = bus.deliver()["Records"]
    assert {record["messageAttributes"]["name"]["stringValue"] for record in records} == {"a b&c"}


def test_what_is_wrong_with_an_entry_is_said_too(bus: Bus) -> None:
    wrong = {"Id": "wrong", "Message": "no JSON", "MessageStructure": "json"}
    bus.fail("sns.", "last-entry")
    assert publish(bus, *entries("a"), wrong, *entries("b")) == (["id-a"], ["wrong", "id-b"])


def test_a_batch_that_is_refused_as_a_whole_is(bus: Bus) -> None:
    bus.fail("sns.", "last-entry")
    sns = boto3.client("sns")
    with pytest.raises(sns.exceptions.NotFoundException):
        sns.publish_batch(TopicArn=f"{bus.topic_arn}-else", PublishBatchRequestEntries=entries("a", "b"))


@pytest.mark.parametrize("error", ["entries", "first-entry", "last-entry"])
def test_other_calls_are_as_they_were(bus: Bus, error: str) -> None:
    bus.fail("", error)
    boto3.client("sns").publish(TopicArn=bus.topic_arn, Message="a")
    boto3.client("sqs").send_message(QueueUrl=bus.queue_url, MessageBody="b")
    assert arrived(bus) == ["a", "b"]
