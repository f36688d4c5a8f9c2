"""While a world is open, no AWS call leaves the process, whatever made it; and no real credential is in sight."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import socket
import subprocess
import sys
import textwrap
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from first_turn import see, tell

from pytest_quarry.consumers.hooks.no_escape import AwsEscape, closed
from pytest_quarry.simulation.world import World

OLD_CLIENT = boto3.client(
    "sqs", region_name="eu-west-1", aws_access_key_id="AKIAREALREALREAL", aws_secret_access_key="real"
)
QUEUE = "https://sqs.eu-west-1.amazonaws.com/123456789012/q"
LEADS_OUT = {
    "AWS_PROFILE": "production",
    "AWS_ENDPOINT_URL": "http://192.0.2.1",
    "AWS_ENDPOINT_URL_SQS": "http://192.0.2.1",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/real",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/var/run/token",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/token",
    "AWS_ROLE_ARN": "arn:aws:iam::1:role/real",
    "AWS_SSO_SESSION": "real",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://192.0.2.1",
    "AWS_BEARER_TOKEN_BEDROCK": "real",
    "AWS_USE_DUALSTACK_ENDPOINT": "true",
}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An open world."""
    world = World(tmp_path)
    with closed(world.aws):
        yield world
    world.close()


def make(name: str = "q") -> str:
    return str(boto3.client("sqs", region_name="eu-west-1").create_queue(QueueName=name)["QueueUrl"])


def ways() -> dict[str, Callable[[], Any]]:
    """One call each, by every sort of client that botocore has."""
    session = boto3.Session(aws_access_key_id="AKIAREALREALREAL", aws_secret_access_key="real", region_name="eu-west-1")
    raw = botocore.session.Session()
    raw.set_credentials("AKIAREALREALREAL", "real")
    return {
        "client": lambda: OLD_CLIENT.list_queues()["QueueUrls"],
        "resource": lambda: [queue.url for queue in session.resource("sqs").queues.all()],
        "session": lambda: session.client("sqs").list_queues()["QueueUrls"],
        "botocore": lambda: raw.create_client("sqs", region_name="eu-west-1").list_queues()["QueueUrls"],
        "anonymous": lambda: boto3.client("sqs", region_name="eu-west-1").list_queues()["QueueUrls"],
    }


OLDER = ways()


@pytest.mark.parametrize("how", OLDER)
@pytest.mark.parametrize("age", ["before", "during"])
def test_every_client_in_every_thread_is_answered(how: str, age: str, world: World) -> None:
    make()
    found: list[Any] = []
    call = (OLDER if age == "before" else ways())[how]
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()
    thread.join()
    assert [*found, call()] == [[QUEUE], [QUEUE]]


@pytest.mark.apart
def test_the_threads_of_the_transfer_manager(world: World, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * (9 << 20))
    s3 = boto3.client("s3")
    s3.upload_file(str(tmp_path / "big"), world.bucket, "big")
    s3.download_file(world.bucket, "big", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == (tmp_path / "big").read_bytes()


def test_what_leads_out_is_out_of_sight_and_comes_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in LEADS_OUT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "loader")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    (tmp_path / "config").write_text("[profile production]\nregion = eu-west-1\nendpoint_url = http://192.0.2.1\n")
    before = dict(os.environ)

    def work(world: World) -> None:
        tell(world, {name: value for name, value in os.environ.items() if name.startswith("AWS_")})
        credentials = boto3.Session().get_credentials()
        assert credentials is not None
        tell(world, credentials.access_key, boto3.client("sqs").list_queues()["ResponseMetadata"]["HTTPStatusCode"])

    found, key, status = sorted(see(work, rows=lambda world: world.target.rows()).told, key=str, reverse=True)
    assert (key, status) == ("testing", 200) or (status, key) == ("testing", 200)
    assert not set(found) & set(LEADS_OUT)
    assert (found["AWS_REGION"], found["AWS_CONFIG_FILE"]) == ("us-east-1", "/dev/null")
    assert found["AWS_LAMBDA_FUNCTION_NAME"] == "loader"
    assert dict(os.environ) == before


def test_a_client_keeps_its_own_credentials_afterwards(tmp_path: Path) -> None:
    client = boto3.client("s3", aws_access_key_id="AKIAREALREALREAL", aws_secret_access_key="real")
    world = World(tmp_path)
    with closed(world.aws):
        assert "AKIAREAL" not in client.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"})
    world.close()
    assert "AKIAREAL" in client.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"})


def test_a_call_that_cannot_be_mocked_is_an_error_that_names_it(world: World) -> None:
    with pytest.raises(LookupError, match=r"gamelift.*is nothing the mocked AWS knows.*Use a service that moto has"):
        boto3.client("gamelift").list_fleets()
    with pytest.raises(LookupError, match=r"gamelift.ListFleets: POST http://192.0.2.1:9000/ is nothing"):
        boto3.client("gamelift", endpoint_url="http://192.0.2.1:9000").list_fleets()


@pytest.mark.parametrize(
    "url", ["http://192.0.2.1:9000", "http://localhost:4566", "https://minio.internal", "http://objects.test:9000/"]
)
def test_a_client_with_an_address_of_its_own_is_answered_too(url: str, world: World) -> None:
    sqs, sns, s3 = (boto3.client(name, region_name="us-east-1", endpoint_url=url) for name in ("sqs", "sns", "s3"))
    assert world.queue_url in sqs.list_queues()["QueueUrls"]
    assert sns.publish(TopicArn=world.topic_arn, Message="m")["MessageId"]
    assert sqs.receive_message(QueueUrl=world.queue_url)["Messages"][0]["Body"]
    s3.create_bucket(Bucket="mine")
    for key in ("a", "b c/%2F", "list"):
        s3.put_object(Bucket="mine", Key=key, Body=key.encode())
        assert s3.get_object(Bucket="mine", Key=key)["Body"].read() == key.encode()
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket="mine")["Contents"]] == ["a", "b c/%2F", "list"]
    assert "mine" in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    s3.delete_object(Bucket="mine", Key="a")
    assert boto3.client("s3").list_objects_v2(Bucket="mine")["KeyCount"] == 2
    assert boto3.client("sts", endpoint_url=url).get_caller_identity()["Account"] == "123456789012"


@pytest.mark.parametrize("region", ["eu-central-1", "ap-southeast-2"])
def test_a_client_of_another_region_reaches_the_worlds_queue(region: str, world: World) -> None:
    sqs, sns = boto3.client("sqs", region_name=region), boto3.client("sns", region_name=region)
    sns.publish(TopicArn=world.topic_arn, Message=QUEUE)
    sqs.send_message(QueueUrl=world.queue_url, MessageBody="body")
    found = sqs.receive_message(QueueUrl=world.queue_url, MaxNumberOfMessages=10)["Messages"]
    assert len(found) == 2
    entries = [{"Id": f"{n}", "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate(found)]
    assert len(sqs.delete_message_batch(QueueUrl=world.queue_url, Entries=entries)["Successful"]) == 2
    mine = sqs.create_queue(QueueName="mine")["QueueUrl"]
    assert region in mine
    sqs.send_message(QueueUrl=mine, MessageBody=world.queue_url)
    assert sqs.receive_message(QueueUrl=mine)["Messages"][0]["Body"] == world.queue_url
    assert boto3.client("sqs").receive_message(QueueUrl=world.queue_url).get("Messages", []) == []
    (queue,) = boto3.resource("sqs", region_name=region).queues.all()
    assert queue.url == mine
    localstack = boto3.client("sqs", region_name=region, endpoint_url="http://localhost:4566")
    localstack.send_message(QueueUrl=world.queue_url, MessageBody="by LocalStack")
    assert localstack.receive_message(QueueUrl=world.queue_url)["Messages"][0]["Body"] == "by LocalStack"


def requests_get(url: str) -> None:
    import requests

    requests.get(url, timeout=5)


def httpx_get(url: str) -> None:
    import httpx

    httpx.get(url)


def aiohttp_get(url: str) -> None:
    import aiohttp

    async def get() -> None:
        async with aiohttp.ClientSession() as session, session.get(url):
            pass

    asyncio.run(get())


OTHERS: dict[str, Callable[[str], Any]] = {
    "urllib": lambda url: urllib.request.urlopen(url, timeout=5),
    "requests": requests_get,
    "httpx": httpx_get,
    "aiohttp": aiohttp_get,
    "socket": lambda url: socket.create_connection((url.split("/")[2], 443), timeout=5),
}


@pytest.mark.parametrize("how", OTHERS)
@pytest.mark.parametrize(
    "host",
    ["sqs.us-east-1.amazonaws.com", "b.s3.eu-west-1.amazonaws.com.", "x.lambda-url.us-east-1.on.aws"],
)
def test_no_other_client_reaches_a_host_of_aws(how: str, host: str, world: World) -> None:
    pytest.importorskip(how) if how not in ("urllib", "socket") else None
    with pytest.raises(AwsEscape, match=f"{host.rstrip('.')}.*a host of AWS.*endpoint_url=world.endpoint.url"):
        OTHERS[how](f"https://{host}/")


@pytest.mark.parametrize("host", ["169.254.169.254", "169.254.170.2", "[fd00:ec2:0::254]", "[::ffff:169.254.169.254]"])
def test_nor_the_credentials_of_the_machine(host: str, world: World) -> None:
    with pytest.raises(AwsEscape, match=r"credentials of this machine.*aws_access_key_id=.testing"):
        urllib.request.urlopen(f"http://{host}/latest/meta-data/", timeout=5)


def test_imds_is_refused_to_botocore_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.exceptions import HTTPClientError
    from botocore.utils import InstanceMetadataFetcher

    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
    with pytest.raises(HTTPClientError, match="credentials of this machine"):
        InstanceMetadataFetcher(env={}).retrieve_iam_role_credentials()


@pytest.mark.parametrize("name", ["AWS_NAME.example.com", "notamazonaws.com", "amazonaws.com.example.org", "10.1.2.3"])
def test_other_hosts_are_none_of_our_business(name: str, world: World) -> None:
    from pytest_quarry.consumers.hooks.no_escape import refuse

    refuse(name)


def test_a_server_of_the_team_stays_reachable(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as client:
            accepted, _ = server.accept()
            accepted.close()
            assert client.recv(1) == b""
        assert socket.getaddrinfo("localhost", 80)


def test_a_connection_older_than_the_world_and_a_proxy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        older = http.client.HTTPConnection("127.0.0.1", port)
        older.connect()
        world = World(tmp_path)
        with closed(world.aws):
            with pytest.raises(AwsEscape, match=r"sqs\.us-east-1\.amazonaws\.com"):
                older.request("GET", "http://sqs.us-east-1.amazonaws.com/?Action=ListQueues")
            through = http.client.HTTPSConnection("127.0.0.1", port)
            through.set_tunnel("sqs.us-east-1.amazonaws.com")
            with pytest.raises(AwsEscape, match=r"sqs\.us-east-1\.amazonaws\.com"):
                through.request("GET", "/")
            through.close()
        world.close()
        older.close()


def test_proxies_are_not_used_for_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "db.internal")
    world = World(tmp_path)
    with closed(world.aws):
        assert os.environ["NO_PROXY"].startswith("db.internal,amazonaws.com,")
        # urlopen keeps the opener of its first call, proxies and all, for the tests after this one.
        opener = urllib.request.build_opener()
        with pytest.raises(AwsEscape, match=r"sqs\.us-east-1\.amazonaws\.com"):
            opener.open("https://sqs.us-east-1.amazonaws.com/", timeout=5)
    world.close()
    assert os.environ["NO_PROXY"] == "db.internal"
    assert "no_proxy" not in os.environ


def test_nothing_is_refused_when_no_world_is_open(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:  # connecting it sends nothing
        world = World(tmp_path)
        with closed(world.aws), pytest.raises(AwsEscape):
            one.connect(("169.254.169.254", 80))
        world.close()
        with contextlib.suppress(OSError):  # a machine without a route
            one.connect(("169.254.169.254", 80))


def test_a_consumer_is_refused_and_the_story_says_so() -> None:
    def work(world: World) -> None:
        urllib.request.urlopen("https://sqs.us-east-1.amazonaws.com/", timeout=5)

    raised = [text for text in see(work, fine=False).happenings if text.startswith("raised")]
    assert len(raised) == 1
    assert raised[0].startswith("raised AwsEscape: sqs.us-east-1.amazonaws.com: a host of AWS")


def test_a_mock_of_the_test_itself_steps_aside() -> None:
    import moto

    def work(world: World) -> None:
        boto3.client("sqs").send_message(QueueUrl=world.queue_url, MessageBody="x")

    with moto.mock_aws():
        queues = boto3.client("sqs", region_name="us-east-1")
        mine = queues.create_queue(QueueName="mine")["QueueUrl"]
        assert see(work).boundaries == ["sqs.SendMessage quarry-runs-consumer"]
        assert queues.list_queues()["QueueUrls"] == [mine]


def test_aiobotocore_is_told_where_to_go(world: World) -> None:
    aio = pytest.importorskip("aiobotocore.session")

    async def call() -> None:
        async with aio.get_session().create_client("sqs", region_name="us-east-1") as client:
            await client.list_queues()

    with pytest.raises(
        AwsEscape, match=r"sqs.ListQueues, POST https://sqs.us-east-1.amazonaws.com/: a call of aiobotocore"
    ):
        asyncio.run(call())


OLDER_THAN_THE_PLUGIN = """
    import asyncio, boto3, botocore.session, socket, sys, urllib.request
    session = boto3.Session(aws_access_key_id="AKIAREAL", aws_secret_access_key="real", region_name="us-east-1")
    client, resource = session.client("sqs"), session.resource("sqs")
    assert not any(name.startswith(("moto", "pytest_quarry")) for name in sys.modules)

    def test_it(tmp_path):
        from pytest_quarry.consumers.hooks.no_escape import closed
        from pytest_quarry.simulation.world import World
        assert not any(name.startswith("moto") for name in sys.modules)
        def connect(*_): raise AssertionError("a connection")
        real, socket.socket.connect = socket.socket.connect, connect
        world = World(tmp_path)
        try:
            with closed(world.aws):
                for queues in (client.list_queues()["QueueUrls"], [queue.url for queue in resource.queues.all()]):
                    assert world.queue_url in queues
        finally:
            socket.socket.connect = real
            world.close()

    import pathlib, tempfile
    test_it(pathlib.Path(tempfile.mkdtemp()))
    print("well")
"""


def test_clients_older_than_the_plugin_and_moto() -> None:
    code = textwrap.dedent(OLDER_THAN_THE_PLUGIN)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "well\n", done.stderr
