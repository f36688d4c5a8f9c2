"""AWS calls of every client are boundaries, answered by the world's AWS; nothing leaves, no real key is used."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
import pytest
from first_turn import Seen, Work, see, tell

from pytest_quarry.simulation.schedule import Crash
from pytest_quarry.simulation.world import World

OLD_CLIENT = boto3.client(
    "s3", region_name="eu-west-1", aws_access_key_id="AKIAREALREALREAL", aws_secret_access_key="real"
)


@pytest.fixture(autouse=True)
def _real_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """What a developer's shell has, and a network that must not be touched."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAREALREALREAL")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "real")
    monkeypatch.setenv("AWS_PROFILE", "production")
    (tmp_path / "config").write_text("[profile production]\nregion = eu-west-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))

    def connect(self: socket.socket, address: Any) -> None:
        raise AssertionError(f"a connection to {address}")

    monkeypatch.setattr(socket.socket, "connect", connect)
    yield
    assert os.environ["AWS_PROFILE"] == "production"
    assert os.environ["AWS_ACCESS_KEY_ID"] == "AKIAREALREALREAL"


def objects(world: World) -> list[dict[str, Any]]:
    """The world's bucket as rows."""
    s3 = boto3.client("s3")
    found = s3.list_objects_v2(Bucket=world.bucket).get("Contents", [])
    bodies = [(one["Key"], s3.get_object(Bucket=world.bucket, Key=one["Key"])["Body"].read()) for one in found]
    return [*world.target.rows(), *({"run_id": key, "item": body.decode()} for key, body in bodies)]


def see_bucket(work: Work, crash: Crash | None = None, **details: Any) -> Seen:
    return see(work, crash=crash, rows=objects, **details)


def test_s3_with_bodies_of_every_sort() -> None:
    def work(world: World) -> None:
        s3 = boto3.client("s3")
        s3.put_object(Bucket=world.bucket, Key="bytes/ü b", Body=b"1")
        s3.put_object(Bucket=world.bucket, Key="file", Body=io.BytesIO(b"2"))
        (world.tmp / "body").write_text("3")
        with open(world.tmp / "body", "rb") as file:
            s3.put_object(Bucket=world.bucket, Key="real file", Body=file)
        s3.upload_fileobj(io.BytesIO(b"4"), world.bucket, "uploaded")
        s3.put_object(Bucket=world.bucket, Key="empty")
        s3.download_file(world.bucket, "file", str(world.tmp / "back"))
        tell(world, (world.tmp / "back").read_text())
        answer = s3.get_object(Bucket=world.bucket, Key="bytes/ü b")
        tell(world, [answer["ContentLength"], *(part.decode() for part in answer["Body"].iter_chunks())])
        with pytest.raises(s3.exceptions.NoSuchKey):
            s3.get_object(Bucket=world.bucket, Key="absent")

    seen = see_bucket(work)
    assert seen.files == {"bytes/ü b": "1", "empty": "", "file": "2", "real file": "3", "uploaded": "4"}
    assert sorted(map(str, seen.told)) == sorted(["2", "[1, '1']"])
    assert seen.boundaries[:2] == ["s3.PutObject quarry-storage/bytes/ü b", "s3.PutObject quarry-storage/file"]


@pytest.mark.apart
def test_clients_of_every_age_and_sort() -> None:
    session = boto3.Session(aws_access_key_id="AKIAREALREALREAL", aws_secret_access_key="real", region_name="us-east-1")
    older = session.client("s3")
    older_resource = session.resource("s3")

    def work(world: World) -> None:
        for number, client in enumerate([OLD_CLIENT, older, session.client("s3"), boto3.Session().client("s3")]):
            client.put_object(Bucket=world.bucket, Key=f"{number}")
        for letter, resource in (("a", older_resource), ("b", boto3.resource("s3"))):
            resource.Bucket(world.bucket).put_object(Key=letter)

    seen = see_bucket(work)
    assert list(seen.files) == ["0", "1", "2", "3", "a", "b"]
    assert seen.boundaries == [f"s3.PutObject quarry-storage/{key}" for key in "0123ab"]


def test_no_real_key_is_put_on_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://192.0.2.1")
    signed: list[str] = []

    def work(world: World) -> None:
        s3 = boto3.client("s3")
        for client in (OLD_CLIENT, s3):
            client.meta.events.register("before-send.*", lambda request, **_: signed.append(str(dict(request.headers))))
            client.list_objects_v2(Bucket=world.bucket)
        url = OLD_CLIENT.generate_presigned_url("get_object", Params={"Bucket": world.bucket, "Key": "a"})
        tell(world, [*signed, str(os.environ.get("AWS_PROFILE")), str(os.environ.get("AWS_ENDPOINT_URL"))])
        tell(world, boto3.client("sts").get_caller_identity()["Account"], "Signature" in url)

    told = see(work, rows=lambda world: world.target.rows()).told
    assert "123456789012" in told
    (texts,) = (one for one in told if isinstance(one, list))
    assert texts[2:] == ["None", "None"]
    assert not [text for text in texts if "AKIAREAL" in text]
    assert "Credential=testing/" in texts[0]


def test_every_service_says_what_it_works_on() -> None:
    def work(world: World) -> None:
        table = boto3.resource("dynamodb").create_table(
            TableName="loaded",
            KeySchema=[{"AttributeName": "run_id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "run_id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        claim = {"Item": {"run_id": "run-A"}, "ConditionExpression": "attribute_not_exists(run_id)"}
        table.put_item(**claim)
        with pytest.raises(table.meta.client.exceptions.ConditionalCheckFailedException):
            table.put_item(**claim)
        sqs = boto3.client("sqs")
        sqs.send_message(QueueUrl=world.queue_url, MessageBody="hello")
        (message,) = sqs.receive_message(QueueUrl=world.queue_url)["Messages"]
        sqs.delete_message(QueueUrl=world.queue_url, ReceiptHandle=message["ReceiptHandle"])
        boto3.client("sns").publish(TopicArn=world.topic_arn, Message="x")
        tell(world, message["Body"], table.scan()["Count"])

    seen = see(work, rows=lambda world: world.target.rows())
    assert sorted(map(str, seen.told)) == ["1", "hello"]
    assert seen.boundaries[:-2] == [
        "dynamodb.CreateTable loaded",
        "dynamodb.PutItem loaded",
        "dynamodb.PutItem loaded",
        "sqs.SendMessage quarry-runs-consumer",
        "sqs.ReceiveMessage quarry-runs-consumer",
        "sqs.DeleteMessage quarry-runs-consumer",
        "sns.Publish quarry-runs",
        "dynamodb.Scan loaded",
    ]


def test_a_kill_before_a_call_keeps_it_from_happening() -> None:
    def work(world: World) -> None:
        OLD_CLIENT.put_object(Bucket=world.bucket, Key="first")
        OLD_CLIENT.put_object(Bucket=world.bucket, Key="second")

    assert list(see_bucket(work).files) == ["first", "second"]
    assert list(see_bucket(work, Crash("s3.PutObject quarry-storage/first")).files) == []
    assert list(see_bucket(work, Crash("s3.PutObject quarry-storage/second")).files) == ["first"]
    assert list(see_bucket(work, Crash("return")).files) == ["first", "second"]


def test_calls_are_durable_states_and_reads_are_not() -> None:
    def work(world: World) -> None:
        OLD_CLIENT.list_objects_v2(Bucket=world.bucket)
        OLD_CLIENT.put_object(Bucket=world.bucket, Key="a")
        OLD_CLIENT.head_object(Bucket=world.bucket, Key="a")

    assert [entry.changed for entry in see(work).turn if entry.what == "crossed"] == [False, True, False]


def test_each_world_has_its_own_aws() -> None:
    def work(world: World) -> None:
        OLD_CLIENT.put_object(Bucket=world.bucket, Key="a", IfNoneMatch="*")

    for _ in range(2):
        assert list(see_bucket(work).files) == ["a"]


def test_prepare_and_rows_reach_the_same_aws() -> None:
    def prepare(world: World) -> None:
        boto3.client("s3").create_bucket(Bucket="made-by-prepare")
        OLD_CLIENT.put_object(Bucket=world.bucket, Key="prepared")

    def work(world: World) -> None:
        boto3.client("s3").put_object(Bucket="made-by-prepare", Key="a")
        OLD_CLIENT.copy_object(Bucket=world.bucket, Key="copied", CopySource=f"{world.bucket}/prepared")

    assert list(see_bucket(work, prepare=prepare).files) == ["copied", "prepared"]


def test_files_in_s3_have_virtual_times() -> None:
    def work(world: World) -> None:
        OLD_CLIENT.put_object(Bucket=world.bucket, Key="a")
        tell(world, OLD_CLIENT.head_object(Bucket=world.bucket, Key="a")["LastModified"].isoformat())

    assert see(work).told == ["2026-02-02T08:00:02+00:00"]


def test_retries_of_the_sdk_cost_no_real_time() -> None:
    def work(world: World) -> None:
        import time

        began = time.time()
        client = boto3.client("no-such-thing" if time.time() < 0 else "glacier", region_name="us-east-1")
        with pytest.raises(botocore.exceptions.ClientError):
            client.describe_job(accountId="-", vaultName="absent", jobId="x")
        assert time.time() - began < 1

    see(work, rows=lambda world: world.target.rows())


def test_a_service_the_world_does_not_have_is_an_error_and_no_connection() -> None:
    def work(world: World) -> None:
        client = boto3.client("gamelift", endpoint_url="http://192.0.2.1:9000")
        client.list_fleets()

    seen = see(work, fine=False)
    (raised,) = [text for text in seen.happenings if text.startswith("raised")]
    assert "no call leaves this process" in raised
    assert seen.boundaries[0] == "gamelift.ListFleets"


OLD_SESSION = """
    import boto3, sys
    session = boto3.Session()
    client = session.client("sqs", region_name="us-east-1")
    assert not any(name.startswith(("moto", "pytest_quarry")) for name in sys.modules)
    sys.path.insert(0, {folder!r})
    from first_turn import see
    seen = see(lambda world: client.send_message(QueueUrl=world.queue_url, MessageBody="x"))
    print(seen.boundaries)
"""
NOT_IMPORTED = """
    import sys
    sys.path.insert(0, {folder!r})
    from first_turn import see
    def work(world):
        assert not any(name.startswith(("moto", "boto")) for name in sys.modules)
        import boto3
        boto3.client("sqs").send_message(QueueUrl=world.queue_url, MessageBody="x")
    print(see(work, again=False).boundaries)
    assert "boto3" not in sys.modules
"""


@pytest.mark.parametrize("program", [OLD_SESSION, NOT_IMPORTED], ids=["older than the kit", "imported by the consumer"])
def test_boto3_imported_at_any_time(program: str) -> None:
    code = textwrap.dedent(program).format(folder=os.path.dirname(__file__))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "['sqs.SendMessage quarry-runs-consumer']\n", done.stderr


def test_a_long_poll_of_an_empty_queue_takes_virtual_time() -> None:
    def work(world: World) -> None:
        import time

        began = time.time()
        answer = boto3.client("sqs").receive_message(QueueUrl=world.queue_url, WaitTimeSeconds=20)
        tell(world, [answer.get("Messages"), round(time.time() - began)])

    assert see(work).told in ([[None, 20]], [[None, 21]])
