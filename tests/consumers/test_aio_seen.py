"""A consumer that uses aiobotocore, on the world's endpoint: its calls are boundaries, and virtual time breaks none."""

from __future__ import annotations

import asyncio
from typing import Any

import boto3
import pytest
from first_turn import Seen, crashes, see, tell

from pytest_quarry.simulation.schedule import Break, Crash
from pytest_quarry.simulation.world import World

aio = pytest.importorskip("aiobotocore.session")


def rows(world: World) -> list[dict[str, Any]]:
    """What was told, and the bucket."""
    found = boto3.client("s3").list_objects_v2(Bucket=world.bucket).get("Contents", [])
    return [*world.target.rows(), *({"run_id": one["Key"], "item": str(one["Size"])} for one in found)]


def see_async(work: Any, crash: Crash | None = None, **details: Any) -> Seen:
    """A turn of an async function."""
    return see(lambda world: asyncio.run(work(world)), crash=crash, rows=rows, **details)


def client(world: World, name: str) -> Any:
    return aio.get_session().create_client(name, endpoint_url=world.endpoint.url, region_name="us-east-1")


async def load(world: World) -> None:
    """Receive, store, delete."""
    async with client(world, "sqs") as sqs, client(world, "s3") as s3:
        await sqs.send_message(QueueUrl=world.queue_url, MessageBody="hello")
        (message,) = (await sqs.receive_message(QueueUrl=world.queue_url, WaitTimeSeconds=5))["Messages"]
        await s3.put_object(Bucket=world.bucket, Key=message["Body"], Body=b"12345")
        await asyncio.sleep(3600)
        body = await (await s3.get_object(Bucket=world.bucket, Key="hello"))["Body"].read()
        await sqs.delete_message(QueueUrl=world.queue_url, ReceiptHandle=message["ReceiptHandle"])
        tell(world, body.decode())


LABELS = [
    "sqs.SendMessage quarry-runs-consumer",
    "sqs.ReceiveMessage quarry-runs-consumer",
    "s3.PutObject quarry-storage/hello",
    "s3.GetObject quarry-storage/hello",
    "sqs.DeleteMessage quarry-runs-consumer",
]


def test_its_calls_are_boundaries_and_its_sleeps_take_no_time() -> None:
    seen = see_async(load)
    assert seen.told == ["12345"]
    assert seen.files == {"hello": "5"}
    assert [label for label in seen.boundaries if label.startswith(("sqs", "s3"))] == LABELS
    changed = {entry.text: entry.changed for entry in seen.turn if entry.what == "crossed"}
    assert [changed[label] for label in LABELS] == [True, True, True, False, True]
    assert see_async(load).history == seen.history


def test_a_kill_before_a_call_keeps_it_from_happening() -> None:
    for entry, crash in crashes(see_async(load)):
        seen = see_async(load, crash)
        done = "s3.PutObject" not in entry.text and any(
            e.text.startswith("s3.PutObject") for e in before(seen, entry.text)
        )
        assert seen.files == ({"hello": "5"} if done else {}), entry.text


def before(seen: Seen, label: str) -> list[Any]:
    """What was crossed in that turn."""
    return [entry for entry in seen.turn if entry.what == "crossed" and entry.text != label]


@pytest.mark.apart
def test_many_calls_at_once() -> None:
    async def work(world: World) -> None:
        async with client(world, "s3") as s3:
            await asyncio.gather(*(s3.put_object(Bucket=world.bucket, Key=f"{n}", Body=b"x" * n) for n in range(8)))
            big = b"x" * (8 << 20)
            await s3.put_object(Bucket=world.bucket, Key="big", Body=big)
            body = await (await s3.get_object(Bucket=world.bucket, Key="big"))["Body"].read()
            tell(world, len(body))

    seen = see_async(work)
    assert seen.told == [8 << 20]
    assert len(seen.files) == 9


def test_a_fault_of_the_schedule_reaches_it() -> None:
    from dataclasses import replace

    from first_turn import consumer, schedule

    from pytest_quarry.simulation.run import simulate

    plan = schedule(None)
    plan = replace(plan, steps=(*plan.steps[:-1], Break("s3.PutObject", "503", times=1), plan.steps[-1]))
    history = simulate(plan, consumer(lambda world: asyncio.run(load(world)), rows=rows))
    crossed = [entry.text for entry in history.entries if entry.what == "crossed"]
    assert crossed.count("s3.PutObject quarry-storage/hello") == 2  # aiobotocore repeats it
    failed = [entry.text for entry in history.entries if entry.what == "failed"]
    assert failed == ["s3.PutObject quarry-storage/hello: 503, at the endpoint"]
    assert not history.unreached


def test_the_endpoint_of_prepare_is_the_same() -> None:
    urls: list[str] = []

    def work(world: World) -> None:
        tell(world, world.endpoint.url)

    prepare = lambda world: urls.append(world.endpoint.url)  # noqa: E731
    seen = see(work, prepare=prepare, rows=lambda world: world.target.rows(), again=False)
    assert seen.told == urls
    assert "world.endpoint" not in seen.boundaries


def test_without_the_endpoint_it_is_told_where_to_go() -> None:
    async def work(world: World) -> None:
        async with aio.get_session().create_client("sqs") as sqs:
            await sqs.list_queues()

    (raised,) = [text for text in see_async(work, fine=False).happenings if text.startswith("raised")]
    assert raised.startswith(
        "raised AwsEscape: sqs.ListQueues, POST https://sqs.us-east-1.amazonaws.com/: a call of aiobotocore"
    )
    assert "give its client endpoint_url=world.endpoint.url" in raised
