"""A world by itself, with nobody in it: its places, its time, its storage, its AWS, its end."""

from __future__ import annotations

import contextlib
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from loaders import loader
from moto import mock_aws
from moto.s3.models import FakeKey

from pytest_quarry.bus import names
from pytest_quarry.bus.calls import AwsAnswer, AwsCall
from pytest_quarry.bus.endpoint import Endpoint
from pytest_quarry.bus.faults import Fault
from pytest_quarry.bus.topology import Topology
from pytest_quarry.consumers.protocol import Boundary, EndpointCall, TargetCall
from pytest_quarry.simulation import planned
from pytest_quarry.simulation.schedule import PlannedRun
from pytest_quarry.simulation.world import EPOCH, World

RUN = planned.build(PlannedRun(run_id="run-A", items=1), loader())
SECOND = 1_000_000


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def sqs(operation: str, **details: Any) -> AwsCall:
    headers = ("Content-Type", "application/x-amz-json-1.0"), ("X-Amz-Target", f"AmazonSQS.{operation}")
    body = json.dumps({"QueueUrl": names.QUEUE_URL, **details}).encode()
    return AwsCall(f"sqs.{operation}", "POST", f"https://sqs.{names.REGION}.amazonaws.com/", headers, body)


def received(answer: AwsAnswer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(answer.body).get("Messages", [])
    return found


def test_its_places(tmp_path: Path) -> None:
    base = tmp_path / "not" / "there yet"
    world = World(base)
    assert world.root == base / "world"
    assert (world.disk, world.storage_root, world.tmp) == tuple(
        world.root / name for name in ("disk", "storage", "tmp")
    )
    assert sorted(path.name for path in world.root.iterdir()) == ["disk", "storage", "tmp"]
    assert world.printed == world.root / "printed"
    assert world.outputs == base / "outputs"
    assert world.outputs.is_dir()
    assert world.storage_url == f"file://{world.storage_root}"
    assert (world.bucket, world.prefix) == (names.BUCKET, names.PREFIX)
    assert (world.layout, world.seed) == ("lode", 0)


def test_its_queues(tmp_path: Path) -> None:
    topology = Topology(fifo=True)
    for world, made in ((World(tmp_path), Topology()), (World(tmp_path, topology=topology), topology)):
        assert world.topology == made
        assert (world.topic_arn, world.queue_url) == (made.topic_arn, made.queue_url)
        assert world.dead_letter_url == made.dead_letter_url
        found = world.aws(sqs("GetQueueUrl", QueueName=made.queue))
        assert json.loads(found.body) == {"QueueUrl": made.queue_url}


def test_what_was_left_in_its_place_is_gone(tmp_path: Path) -> None:
    for folder in ("world/disk", "outputs"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "left").touch()
    world = World(tmp_path)
    assert [*world.disk.iterdir(), *world.outputs.iterdir()] == []


def test_its_end(tmp_path: Path) -> None:
    world = World(tmp_path)
    endpoint = world.endpoint
    world.close()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(endpoint.url, timeout=5)
    world.close()


def test_what_is_watched(world: World) -> None:
    world.printed.mkdir()
    for folder in (world.disk, world.tmp, world.printed, world.storage_root):
        (folder / "a").touch()
    assert world.watch.look(world.now) == {"disk/a", "tmp/a", "printed/a"}
    assert world.storage_watch.look(world.now) == {"storage/a"}


def test_where_a_file_is_that_labels_name(world: World) -> None:
    assert world.path_of("storage/a/b") == world.storage_root / "a/b"
    assert world.path_of("a/b") == world.disk / "a/b"
    assert world.path_of("storage") == world.disk / "storage"


def test_its_time(world: World) -> None:
    assert (world.now, world.time) == (EPOCH, 0)
    world.advance(1.5)
    world.advance(0.25)
    assert (world.now - EPOCH, world.time) == (1_750_000, 1.75)


def test_each_writer_has_a_clock(world: World) -> None:
    def written(key: str) -> int:
        world.litter(key, b"x")
        assert (world.storage_root / key).read_bytes() == b"x"
        return (world.storage_root / key).stat().st_mtime_ns

    assert written("a") == EPOCH * 1000
    world.advance(5)
    late, right = world.writer(-60, "run"), world.writer(0, "run")
    assert world.writer(-60, "run") is late
    assert written("b") == (EPOCH - 55 * SECOND) * 1000
    assert world.writer(0, "run") is right
    assert written("c") == (EPOCH + 5 * SECOND) * 1000


@pytest.mark.parametrize(("layout", "beginning"), [("lode", "datasets/quarry/"), ("flat", "source=shop/")])
@pytest.mark.parametrize("storage", ["fs", "s3"])
def test_its_storage(tmp_path: Path, layout: Any, beginning: str, storage: Any) -> None:
    world = World(tmp_path, layout=layout, storage=storage)
    world.writer(60, "run").write(RUN)
    assert [(run.run_id, run.state) for run in world.stored] == [("run-A", "finished")]
    keys = world.storage_keys()
    assert {key[: len(beginning)] for key in keys} == {beginning}
    in_bucket = {f"{names.PREFIX}/{key}" for key in keys} if storage == "s3" else set()
    assert world.bucket_keys() == in_bucket
    assert (world.storage_url == f"s3://{names.BUCKET}/{names.PREFIX}") == (storage == "s3")
    assert bool(list(world.storage_root.iterdir())) == (storage == "fs")
    snapshots = [key for key in keys if key.endswith("latest")]
    for key in snapshots if storage == "fs" else ():
        assert int((world.storage_root / key).read_text()) // 1000 == EPOCH + 60 * SECOND
    world.close()


def test_objects_in_s3_are_as_old_as_the_writers_clock_says(tmp_path: Path) -> None:
    world = World(tmp_path, storage="s3")
    world.writer(60, "run")
    world.litter("a", b"x")
    url = f"https://{names.BUCKET}.s3.amazonaws.com/?list-type=2"
    answer = world.aws(AwsCall("s3.ListObjectsV2", "GET", url, (), b""))
    assert b"<LastModified>2026-02-02T08:01:00" in answer.body
    world.close()


def test_a_message_arrives(world: World) -> None:
    attributes = {"run_id": {"DataType": "String", "StringValue": "run-A"}}
    identifier = "00000000-0000-4000-8000-000000000001"
    world.advance(60)
    world.put(identifier, "text", attributes, sent=EPOCH + 2 * SECOND)
    (message,) = received(world.aws(sqs("ReceiveMessage", MessageAttributeNames=["All"], AttributeNames=["All"])))
    assert (message["MessageId"], message["Body"]) == (identifier, "text")
    assert message["MessageAttributes"] == attributes
    assert message["Attributes"]["SentTimestamp"] == f"{EPOCH // 1000 + 2_000}"


def test_calls_take_their_time_and_are_heard_of(world: World) -> None:
    call, heard = sqs("ReceiveMessage", WaitTimeSeconds=20), []
    world.aws(call)
    assert 20 <= world.time < 20.1
    world.on_aws = lambda call, answer: heard.append((call, answer))
    answer = world.aws(call)
    assert heard == [(call, answer)]
    assert 40 <= world.time < 40.1


def test_what_changed_is_counted(world: World) -> None:
    world.expire()
    assert world.versions == (0, 0)
    world.target.insert({"run_id": "run-A"})
    world.aws(sqs("SendMessage", MessageBody="a"))
    assert world.versions == (1, 1)


def over_http(world: World, call: AwsCall) -> AwsAnswer:
    """The answer to this call from the endpoint."""
    request = urllib.request.Request(world.endpoint.url, call.body, dict(call.headers))
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return AwsAnswer(answer.status, (), answer.read())
    except urllib.error.HTTPError as error:
        return AwsAnswer(error.code, (), error.read())


def test_its_endpoint_is_the_same_aws_with_the_same_faults(world: World) -> None:
    told: list[tuple[str, str]] = []
    world.wait_for_endpoint()
    assert over_http(world, sqs("SendMessage", MessageBody="a")).status == 200
    world.faults.begin(Fault(at="sqs.SendMessage quarry-runs-consumer", error="500", times=1, containing="second"))
    world.faults.begin(Fault(at="sqs.SendMessage", error="slow", containing="fourth", times=1))
    assert over_http(world, sqs("SendMessage", MessageBody="second")).status == 500
    world.faults.begin(Fault(at="sqs.SendMessage", error="500", times=1, containing="third"))
    world.on_fault = lambda label, error: told.append((label, error))
    assert over_http(world, sqs("SendMessage", MessageBody="third")).status == 500
    assert world.time < 1
    assert over_http(world, sqs("SendMessage", MessageBody="fourth")).status == 200
    assert 45 <= world.time < 46
    assert told == [("sqs.SendMessage quarry-runs-consumer", error) for error in ("500", "slow")]
    world.wait_for_endpoint()
    assert sorted(
        message["Body"] for message in received(world.aws(sqs("ReceiveMessage", MaxNumberOfMessages=10)))
    ) == [
        "a",
        "fourth",
    ]


def test_a_client_of_this_process_that_uses_the_endpoint_needs_no_network(world: World) -> None:
    call = sqs("SendMessage", MessageBody="a")._replace(url=f"{world.endpoint.url}/")
    assert world.aws(call).status == 200
    assert [message["Body"] for message in received(world.aws(sqs("ReceiveMessage")))] == ["a"]


def test_what_is_slow_over_http_lets_others_receive(world: World) -> None:
    world.aws(sqs("SendMessage", MessageBody="a"))
    (message,) = received(world.aws(sqs("ReceiveMessage", WaitTimeSeconds=1)))
    world.faults.begin(Fault(at="sqs.ListQueues", error="slow"))
    over_http(world, sqs("ListQueues"))
    assert not world.mocked.delete(message["ReceiptHandle"], now=world.now), "the receipt handle is stale"


def test_what_aws_makes_up_is_seeded(tmp_path: Path) -> None:
    def made_up(seed: int) -> str:
        with contextlib.closing(World(tmp_path, seed=seed)) as world:
            answer = world.aws(sqs("SendMessage", MessageBody="a"))
        identifier: str = json.loads(answer.body)["MessageId"]
        return identifier

    assert made_up(1) == made_up(1) != made_up(2)


def test_in_a_consumers_process_it_is_reached_through_the_link(world: World) -> None:
    asked: list[Boundary] = []
    found = Endpoint("http://127.0.0.1:4566")

    def boundary(crossed: Boundary) -> object:
        asked.append(crossed)
        return found if isinstance(crossed.call, EndpointCall) else None

    link: Any = SimpleNamespace(boundary=boundary)
    world._enter_child(link, EPOCH + 5, 3, None)
    world.boundary("here")
    world.target.begin()
    assert (world.now, world.seed) == (EPOCH + 5, 3)
    assert world.endpoint is found
    assert [(boundary.label, type(boundary.call)) for boundary in asked] == [
        ("boundary here", type(None)),
        ("target BEGIN", TargetCall),
        ("world.endpoint", EndpointCall),
    ]


def test_a_place_that_a_team_names_is_nothing_where_nobody_is(world: World) -> None:
    world.boundary("here")
    assert world.now == EPOCH


def test_what_moto_held_is_back_when_a_world_closes(tmp_path: Path) -> None:
    """Under a mock of the team's, of a session's scope, say."""
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    with mock_aws():
        s3: Any = boto3.client("s3", region_name="us-east-1", **keys)  # type: ignore[call-overload]
        s3.create_bucket(Bucket="lake")
        s3.put_object(Bucket="lake", Key="a", Body=b"mine")
        for name in "ab":
            world = World(tmp_path / name, storage="s3")
            assert len(world.mocked.all_keys()) == 0
            world.litter("left", b"over")
            world.close()
            world.close()
            assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["lake"]
            assert s3.get_object(Bucket="lake", Key="a")["Body"].read() == b"mine"
            assert [key.name for key in FakeKey.instances_tracked] == ["a"]  # type: ignore[attr-defined]
