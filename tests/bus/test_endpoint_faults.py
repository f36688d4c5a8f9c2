"""A fault is the same for a call over HTTP as for one of the consumer's own process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
import botocore.parsers
import pytest
from botocore.config import Config
from clients import ONCE, client, raw

from pytest_quarry.bus.calls import AwsAnswer, AwsCall, describe
from pytest_quarry.bus.faults import ERRORS, Fault
from pytest_quarry.consumers.hooks import no_escape
from pytest_quarry.simulation.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world whose calls are not routed in this process: clients here reach it over HTTP, as others do."""
    world = World(tmp_path)
    yield world
    world.close()


def outcome(call: Callable[[], Any]) -> str:
    """What a client makes of an answer, in one word."""
    try:
        answer = call()
        if "Body" in answer:
            answer["Body"].read()
    except botocore.exceptions.ClientError as error:
        return str(error.response["Error"]["Code"])
    except (
        botocore.exceptions.ConnectionClosedError,
        botocore.exceptions.ReadTimeoutError,
        botocore.exceptions.EndpointConnectionError,
    ):
        return "no answer"
    except (
        botocore.parsers.ResponseParserError,
        botocore.exceptions.ChecksumError,  # DynamoDB's
        botocore.exceptions.IncompleteReadError,
        botocore.exceptions.ResponseStreamingError,
    ):
        return "half an answer"
    return "well"


CALLS: dict[str, Callable[[World, Callable[[str], Any]], Any]] = {
    "s3.GetObject": lambda world, make: make("s3").get_object(Bucket=world.bucket, Key="k0"),
    "s3.ListObjectsV2": lambda world, make: make("s3").list_objects_v2(Bucket=world.bucket),
    "s3.PutObject": lambda world, make: make("s3").put_object(Bucket=world.bucket, Key="new", Body=b"x"),
    "sqs.SendMessage": lambda world, make: make("sqs").send_message(QueueUrl=world.queue_url, MessageBody="x"),
    "sns.Publish": lambda world, make: make("sns").publish(TopicArn=world.topic_arn, Message="x"),
    "sns.PublishBatch": lambda world, make: make("sns").publish_batch(
        TopicArn=world.topic_arn,
        PublishBatchRequestEntries=[{"Id": "1", "Message": "x"}, {"Id": "2", "Message": "y"}],
    ),
    "dynamodb.TransactWriteItems": lambda world, make: make("dynamodb").transact_write_items(
        TransactItems=[{"Put": {"TableName": "of-nobody", "Item": {"id": {"S": "a"}}}}]
    ),
}


def in_process(world: World, call: AwsCall) -> AwsAnswer:
    """A call as the simulation answers it where the client is in a consumer's process."""
    from pytest_quarry.bus.faults import Unanswered, carry_out
    from pytest_quarry.consumers.protocol import Fail, injected

    try:
        return carry_out(world.faults.meet(describe(call), call), call, world.aws)
    except Unanswered as lost:
        raise injected(Fail(0, f"aws-{lost.how}", call.url)) from None


def effects(world: World) -> Any:
    sqs = boto3.client("sqs", config=ONCE)
    found = sqs.receive_message(QueueUrl=world.queue_url, MaxNumberOfMessages=10).get("Messages", ())
    return len(found), sorted(world.bucket_keys())


def meets(world: World, fault: Fault, operation: str, make: Callable[[str], Any]) -> Any:
    """How a call ends that meets a fault, and what is there afterwards."""
    with no_escape.closed(world.aws):
        for number in range(5):
            boto3.client("s3").put_object(Bucket=world.bucket, Key=f"k{number}", Body=b"0123456789")
    world.faults.begin(fault)
    inside = (
        no_escape.closed(lambda call: in_process(world, call)) if make is boto3.client else contextlib.nullcontext()
    )
    with inside:
        found = outcome(lambda: CALLS[operation](world, lambda name: make(name, config=ONCE)))
    world.faults.end()
    with no_escape.closed(world.aws):
        return found, fault in world.faults.met, effects(world)


@pytest.mark.parametrize("error", [*ERRORS, "slow"])
@pytest.mark.parametrize("operation", CALLS)
def test_a_fault_is_the_same_over_http(tmp_path: Path, operation: str, error: str) -> None:
    fault = Fault(at=operation, error=error, times=1, listed=frozenset({"k0"}))
    ends = []
    for over_http in (False, True):
        world = World(tmp_path)
        make: Any = (lambda name, config: client(world, name, config)) if over_http else boto3.client  # noqa: B023
        ends.append(meets(world, fault, operation, make))
        world.close()
    assert ends[0] == ends[1]
    assert ends[0][1] == (error != "conflict" or operation == "dynamodb.TransactWriteItems")


def test_a_slow_call_takes_virtual_time(world: World) -> None:
    world.faults.begin(Fault(at="sqs.ListQueues", error="slow"))
    now = world.time
    client(world, "sqs").list_queues()
    assert world.time - now == 45


def test_half_a_body_and_then_nothing(world: World) -> None:
    client(world, "s3").put_object(Bucket=world.bucket, Key="k", Body=b"0123456789", ACL="public-read")
    world.faults.begin(Fault(at="s3.GetObject", error="cut"))
    found = raw(world.endpoint, f"GET /{world.bucket}/k HTTP/1.1\r\nHost: x\r\n\r\n")
    assert found.endswith(b"\r\n\r\n01234")
    assert b"Content-Length: 10\r\n" in found


def test_a_client_that_repeats_gets_over_it(world: World) -> None:
    world.faults.begin(Fault(at="sqs.SendMessage", error="dropped", times=1))
    sqs = client(world, "sqs", Config(retries={"mode": "standard"}))
    sqs.send_message(QueueUrl=world.queue_url, MessageBody="x")
    found = sqs.receive_message(QueueUrl=world.queue_url, MaxNumberOfMessages=10)["Messages"]
    assert [message["Body"] for message in found] == ["x", "x"]
