"""A world's AWS over HTTP: the same backends, labels, faults and time as in the process, and a clean end."""

from __future__ import annotations

import asyncio
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
import pytest
from botocore.config import Config
from clients import ONCE, client, is_refused, program, raw

from pytest_quarry.bus.calls import AwsAnswer, AwsCall, describe
from pytest_quarry.bus.endpoint import Endpoint
from pytest_quarry.bus.server import EndpointServer
from pytest_quarry.consumers.hooks import no_escape
from pytest_quarry.simulation.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world whose calls are not routed in this process: clients here reach it over HTTP, as others do."""
    world = World(tmp_path)
    yield world
    world.close()


def labels(world: World) -> list[str]:
    """The labels of the calls that come from now on, as they come."""
    world.endpoint  # noqa: B018
    server = world._server
    assert server is not None
    seen: list[str] = []
    gate = server.gate

    def listen(label: str, call: AwsCall, apply: Callable[[AwsCall], AwsAnswer]) -> AwsAnswer:
        seen.append(label)
        return gate(label, call, apply)

    server.gate = listen
    return seen


def test_it_needs_no_extra(tmp_path: Path) -> None:
    """Not moto's own server, which needs Flask; and whoever asks for no endpoint pays for none."""
    code = f"""
        import sys, pathlib
        from pytest_quarry.simulation.world import World
        world = World(pathlib.Path({str(tmp_path)!r}))
        assert "pytest_quarry.bus.server" not in sys.modules
        boto3.client("sqs", endpoint_url=world.endpoint.url).list_queues()
        world.close()
        print(json.dumps([name for name in ("flask", "moto.server") if name in sys.modules]))
    """
    assert program(Endpoint("http://127.0.0.1:9"), code) == []


def test_another_program_needs_the_environment_and_nothing_else(world: World) -> None:
    found = program(
        world.endpoint,
        f"""
        sns, sqs, s3 = (boto3.client(name) for name in ("sns", "sqs", "s3"))
        sns.publish(TopicArn={world.topic_arn!r}, Message="hello")
        url = sqs.get_queue_url(QueueName="quarry-runs-consumer")["QueueUrl"]
        (message,) = sqs.receive_message(QueueUrl=url)["Messages"]
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        s3.put_object(Bucket={world.bucket!r}, Key="a b/ü", Body=b"1", Metadata={{"x_y": "z"}})
        back = s3.get_object(Bucket={world.bucket!r}, Key="a b/ü")
        codes = []
        for condition in ({{"IfNoneMatch": "*"}}, {{"IfMatch": '"0"'}}, {{"IfMatch": back["ETag"]}}):
            try:
                s3.put_object(Bucket={world.bucket!r}, Key="a b/ü", Body=b"2", **condition)
                codes.append("done")
            except s3.exceptions.ClientError as error:
                codes.append(error.response["Error"]["Code"])
        print(json.dumps([url, json.loads(message["Body"])["Message"], back["Body"].read().decode(), back["Metadata"], codes]))
        """,
    )
    url = f"{world.endpoint.url}/123456789012/quarry-runs-consumer"
    assert found == [url, "hello", "1", {"x_y": "z"}, ["PreconditionFailed", "PreconditionFailed", "done"]]
    assert world.endpoint.queue_url(world.queue_url) == url
    assert world.bucket_keys() == {"a b/ü"}


def every_call(world: World, make: Callable[[str], Any]) -> None:
    """Many operations of many services, each distinct in its own way."""
    s3, sqs, sns = make("s3"), make("sqs"), make("sns")
    at = {"Bucket": world.bucket, "Key": "k/ü"}
    s3.put_object(**at, Body=b"x" * 10)
    s3.head_object(**at)
    s3.get_object(**at)["Body"].read()
    s3.put_object_tagging(**at, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    s3.get_object_tagging(**at)
    s3.copy_object(Bucket=world.bucket, Key="copy", CopySource=at)
    s3.list_objects_v2(Bucket=world.bucket, Prefix="k")
    s3.list_objects(Bucket=world.bucket)
    s3.list_buckets()
    s3.head_bucket(Bucket=world.bucket)
    s3.get_bucket_location(Bucket=world.bucket)
    upload = s3.create_multipart_upload(**at)["UploadId"]
    part = s3.upload_part(**at, UploadId=upload, PartNumber=1, Body=b"y")
    s3.list_parts(**at, UploadId=upload)
    s3.upload_part_copy(**at, UploadId=upload, PartNumber=2, CopySource={**at, "Key": "copy"})
    parts = {"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]}
    s3.complete_multipart_upload(**at, UploadId=upload, MultipartUpload=parts)
    s3.delete_objects(Bucket=world.bucket, Delete={"Objects": [{"Key": "copy"}]})
    s3.delete_object(**at)
    queue = {"QueueUrl": world.queue_url}
    sns.publish(TopicArn=world.topic_arn, Message="m")
    sqs.send_message_batch(**queue, Entries=[{"Id": "1", "MessageBody": "x"}])
    (message, *_) = sqs.receive_message(**queue, MaxNumberOfMessages=10)["Messages"]
    sqs.change_message_visibility(**queue, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=5)
    sqs.delete_message(**queue, ReceiptHandle=message["ReceiptHandle"])
    sqs.list_queues()
    table = {"TableName": "table"}
    dynamodb = make("dynamodb")
    dynamodb.create_table(
        **table,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )
    dynamodb.put_item(**table, Item={"id": {"S": "1"}})
    make("dynamodbstreams").list_streams(**table)
    make("sts").get_caller_identity()
    make("secretsmanager").create_secret(Name="s", SecretString="x")
    make("ssm").put_parameter(Name="/p", Value="v", Type="String")
    make("events").list_rules()
    make("logs").describe_log_groups()
    make("cloudwatch").list_metrics()
    make("lambda").list_functions()
    make("iam").list_roles()


@pytest.mark.apart
def test_calls_are_named_and_labelled_as_in_the_process(tmp_path: Path) -> None:
    inside: list[str] = []
    world = World(tmp_path)
    with no_escape.closed(lambda call: inside.append(describe(call)) or world.aws(call)):  # type: ignore[func-returns-value]
        every_call(world, lambda name: boto3.client(name, config=ONCE))
    world.close()
    world = World(tmp_path)
    outside = labels(world)
    every_call(world, lambda name: client(world, name))
    world.close()
    assert outside == inside
    assert len(set(outside)) > 30


def test_requests_that_nobody_signed(world: World) -> None:
    seen = labels(world)
    client(world, "s3").put_object(Bucket=world.bucket, Key="k", Body=b"12345", ACL="public-read")
    close = "Host: 127.0.0.1\r\nConnection: close\r\n\r\n"
    assert raw(world.endpoint, f"GET /{world.bucket}/k HTTP/1.1\r\n{close}").endswith(b"\r\n\r\n12345")
    form = f"Action=SendMessage&MessageBody=x&Version=2012-11-05&QueueUrl={world.endpoint.queue_url(world.queue_url)}"
    head = f"POST / HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(form)}\r\n"
    assert b"<MessageId>" in raw(world.endpoint, head + close + form)
    at_queue = "/123456789012/quarry-runs-consumer?Action=ReceiveMessage&Version=2012-11-05"
    assert b'"Body": "x"' in raw(world.endpoint, f"GET {at_queue} HTTP/1.1\r\n{close}")
    chunked = f"PUT /{world.bucket}/c HTTP/1.1\r\nx-amz-acl: public-read\r\nTransfer-Encoding: chunked\r\n{close}3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
    assert raw(world.endpoint, chunked).startswith(b"HTTP/1.1 200 OK\r\n")
    virtual = f"GET /c HTTP/1.1\r\nHost: {world.bucket}.localhost:1\r\nConnection: close\r\n\r\n"
    assert raw(world.endpoint, virtual).endswith(b"abcde")
    assert seen == [
        "s3.PutObject quarry-storage/k",
        "s3.GetObject quarry-storage/k",
        "sqs.SendMessage quarry-runs-consumer",
        "sqs.ReceiveMessage quarry-runs-consumer",
        "s3.PutObject quarry-storage/c",
        "s3.GetObject quarry-storage/c",
    ]


def test_what_is_no_service_of_aws_is_an_error_that_names_it(world: World) -> None:
    def signed(service: str) -> bytes:
        scope = f"AWS4-HMAC-SHA256 Credential=x/20260202/us-east-1/{service}/aws4_request, Signature=x"
        head = f"POST /thing HTTP/1.1\r\nHost: x\r\nAuthorization: {scope}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        return raw(world.endpoint, head)

    assert b"AWS has no service 'nosuch'" in signed("nosuch")
    assert b"POST /thing: no operation of lambda" in signed("lambda")
    with pytest.raises(
        botocore.exceptions.ClientError, match=r"NotMocked.*gamelift.ListFleets.*nothing the mocked AWS"
    ):
        client(world, "gamelift").list_fleets()
    assert raw(world.endpoint, "nonsense\r\n\r\n").startswith((b"HTTP/1.1 400", b"<!DOCTYPE"))


def form(address: Endpoint, action: str, scope: str) -> bytes:
    """The answer to a request of the query protocol, signed for a scope."""
    body = f"Action={action}&Version=2012-11-05"
    return raw(
        address,
        f"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: AWS4-HMAC-SHA256 Credential={scope}, Signature=x\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}",
    )


def test_a_signature_that_names_no_region(world: World) -> None:
    """Go's SDK leaves it out where its address is the program's own."""
    seen = labels(world)
    assert b"quarry-runs-consumer</QueueUrl>" in form(world.endpoint, "ListQueues", "x/20260202//sqs/aws4_request")
    assert seen == ["sqs.ListQueues"]


def test_an_error_of_the_query_protocol_is_told_as_sdks_look_for_it(world: World) -> None:
    answer = form(world.endpoint, "ListQueues", "x/20260202/us-east-1/nosuch/aws4_request")
    assert b"<ErrorResponse><Error><Code>NotMocked</Code><Message>POST /: AWS has no service 'nosuch'" in answer


def test_a_message_is_visible_again_when_the_clock_of_the_world_moved(world: World) -> None:
    sqs, queue = client(world, "sqs"), {"QueueUrl": world.queue_url}
    sqs.send_message(**queue, MessageBody="x")

    def received() -> int:
        return len(sqs.receive_message(**queue).get("Messages", ()))

    assert (received(), received()) == (1, 0)
    world.advance(29)
    assert received() == 0
    world.advance(2)
    assert received() == 1


def test_a_long_poll_takes_virtual_time(world: World) -> None:
    sqs, began, now = client(world, "sqs"), time.monotonic(), world.time
    assert "Messages" not in sqs.receive_message(QueueUrl=world.queue_url, WaitTimeSeconds=20)
    assert time.monotonic() - began < 10
    assert 20 <= world.time - now <= 21


def test_many_at_once(world: World) -> None:
    s3 = client(world, "s3", Config(max_pool_connections=16))
    first = client(world, "s3")

    def put(number: int) -> str:
        try:
            s3.put_object(Bucket=world.bucket, Key="one", Body=str(number).encode(), IfNoneMatch="*")
        except botocore.exceptions.ClientError as error:
            return str(error.response["Error"]["Code"])
        first.put_object(Bucket=world.bucket, Key=f"many/{number}")
        return "won"

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(put, range(64)))
    assert sorted(set(found)) == ["PreconditionFailed", "won"]
    assert found.count("won") == 1
    assert len(world.bucket_keys()) == 2


def test_a_gate_may_hold_a_call_and_the_world_can_wait_for_it(world: World) -> None:
    server = EndpointServer(world.aws, lambda label, call, apply: held(label) or apply(call))  # type: ignore[func-returns-value]
    here, go = threading.Event(), threading.Event()

    def held(label: str) -> None:
        here.set()
        assert go.wait(10)

    try:
        assert server.wait_until_idle()
        form = "Action=ListQueues&Version=2012-11-05"
        request = f"GET /?{form} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        caller = threading.Thread(target=raw, args=(server.endpoint, request))
        caller.start()
        assert here.wait(10)
        assert not server.wait_until_idle(0.01)
        go.set()
        assert server.wait_until_idle()
        caller.join()
    finally:
        server.close()


def test_afterwards_nothing_of_it_is_left(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    open_files = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    world = World(tmp_path)
    endpoint = world.endpoint
    sqs = client(world, "sqs")
    sqs.list_queues()
    assert not is_refused(endpoint)
    assert set(threading.enumerate()) != before
    try:
        raise RuntimeError("a test that fails")
    except RuntimeError:
        world.close()
    assert is_refused(endpoint)
    assert set(threading.enumerate()) == before
    sqs.close()
    if open_files:
        assert len(os.listdir("/proc/self/fd")) == open_files
    with pytest.raises(botocore.exceptions.EndpointConnectionError):
        sqs.list_queues()


def test_a_forked_child_does_not_keep_the_port(world: World) -> None:
    endpoint = world.endpoint
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork with threads, from Python 3.12 on
        pid = os.fork()
    if pid == 0:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    os.close(reading)
    world.close()
    refused = is_refused(endpoint)
    os.close(writing)
    os.waitpid(pid, 0)
    assert refused


def test_a_client_of_this_process_may_use_it_too(tmp_path: Path) -> None:
    world = World(tmp_path)
    with no_escape.closed(world.aws):
        url = boto3.client("sqs", endpoint_url=world.endpoint.url).get_queue_url(QueueName="quarry-runs-consumer")
        assert url["QueueUrl"] == world.endpoint.queue_url(world.queue_url)
        boto3.client("s3", endpoint_url=world.endpoint.url).put_object(Bucket=world.bucket, Key="k", Body=b"1")
        assert world.bucket_keys() == {"k"}
    world.close()


def test_aiobotocore(world: World) -> None:
    aio = pytest.importorskip("aiobotocore.session")

    async def talk() -> list[Any]:
        made = {
            "endpoint_url": world.endpoint.url,
            "region_name": "us-east-1",
            "aws_access_key_id": "testing",
            "aws_secret_access_key": "testing",
        }
        session = aio.get_session()
        async with session.create_client("sqs", **made) as sqs, session.create_client("s3", **made) as s3:
            await asyncio.gather(*(s3.put_object(Bucket=world.bucket, Key=f"{n}", Body=b"x" * n) for n in range(5)))
            await sqs.send_message(QueueUrl=world.queue_url, MessageBody="hello")
            answer = await sqs.receive_message(QueueUrl=world.queue_url)
            body = await (await s3.get_object(Bucket=world.bucket, Key="3"))["Body"].read()
            return [answer["Messages"][0]["Body"], body]

    with no_escape.closed(world.aws):
        assert asyncio.run(talk()) == ["hello", b"xxx"]
    assert world.bucket_keys() == set("01234")


def test_the_way_over_http_costs_little(tmp_path: Path) -> None:
    def least(call: Callable[[], Any]) -> float:
        times = []  # of which a busy machine leaves some alone; what waits for a delayed answer, waits each time

        for _ in range(60):
            began = time.perf_counter()
            call()
            times.append(time.perf_counter() - began)
        return min(times)

    world = World(tmp_path)
    with no_escape.closed(world.aws):
        s3 = boto3.client("s3")
        inside = least(lambda: s3.head_bucket(Bucket=world.bucket))
    over_http = client(world, "s3")
    outside = least(lambda: over_http.head_bucket(Bucket=world.bucket))
    world.close()
    assert outside - inside < 0.01  # 3 ms on a quiet machine
    print(f"{inside * 1000:.2f} ms, over HTTP {outside * 1000:.2f} ms")
