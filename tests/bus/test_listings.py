"""Listings of the world's bucket are remembered, and botocore's times are read faster: nothing that is seen differs."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import boto3
import botocore.utils
import dateutil.parser
import dateutil.tz
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from pytest_quarry.bus import stubbed
from pytest_quarry.consumers.hooks import aws, no_escape
from pytest_quarry.simulation.world import World

NAMES = ("a/1.json", "a/2 ü.json", "a/b/3.json", "c&d/<4>.json", "e")


def listed(client: Any, bucket: str, **options: Any) -> list[Any]:
    """What both kinds of listing say of a bucket, but for times and request ids."""
    found = []
    for operation in (client.list_objects, client.list_objects_v2):
        answer = operation(Bucket=bucket, **options)
        if "Delimiter" not in options:
            answer.pop("NextMarker", None)  # moto tells it there too
        for item in answer.get("Contents", []):
            assert isinstance(item.pop("LastModified"), datetime.datetime)
        headers = {
            name: value for name, value in answer.pop("ResponseMetadata")["HTTPHeaders"].items() if "id" not in name
        }
        found.append((answer, headers.get("content-type")))
    return found


def told(client: Any, bucket: str) -> list[Any]:
    """Every change of a bucket, and listings of many sorts after each."""
    found: list[Any] = []

    def look() -> None:
        options: list[dict[str, Any]] = [
            {},
            {"Prefix": "a/"},
            {"Delimiter": "/"},
            {"EncodingType": "url"},
            {"MaxKeys": 2},
        ]
        found.extend(listed(client, bucket, **each) for _ in range(2) for each in options)
        found.append(listed(client, bucket, Prefix="none"))
        found.append(client.list_objects_v2(Bucket=bucket, FetchOwner=True, StartAfter="a/2")["KeyCount"])

    look()
    for name in NAMES:
        client.put_object(Bucket=bucket, Key=name, Body=name.encode())
        look()
    client.put_object(Bucket=bucket, Key=NAMES[0], Body=b"longer than before")
    look()
    client.put_object(Bucket=bucket, Key=NAMES[0], Body=b"longer, then before", StorageClass="GLACIER")
    look()
    client.delete_object(Bucket=bucket, Key=NAMES[1])
    look()
    return found


def test_a_listing_says_what_motos_says(tmp_path: Path) -> None:
    world = World(tmp_path)
    with no_escape.closed(world.aws):
        ours = told(boto3.client("s3"), world.bucket)
    world.close()
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket=world.bucket)
        assert ours == told(client, world.bucket)


def test_the_next_marker_is_told_only_where_s3_tells_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    with no_escape.closed(world.aws):
        client = boto3.client("s3")
        for name in "abc":
            client.put_object(Bucket=world.bucket, Key=name, Body=b"")
        page = client.list_objects(Bucket=world.bucket, MaxKeys=2)
        assert page["IsTruncated"]
        assert "NextMarker" not in page
        rest = client.list_objects(Bucket=world.bucket, MaxKeys=2, Marker=page["Contents"][-1]["Key"])
        assert [item["Key"] for item in rest["Contents"]] == ["c"]
        assert "NextMarker" in client.list_objects(Bucket=world.bucket, MaxKeys=2, Delimiter="/")
    world.close()


def test_of_many_listings_the_last_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stubbed, "MOST_LISTINGS", 3)
    monkeypatch.setattr(stubbed, "_listings", remembered := {})
    world = World(tmp_path)
    with no_escape.closed(world.aws):
        client = boto3.client("s3")
        for number in range(10):
            client.put_object(Bucket=world.bucket, Key=str(number), Body=b"")
            assert len(client.list_objects_v2(Bucket=world.bucket)["Contents"]) == number + 1
            assert len(remembered) <= 3
    world.close()


def test_what_was_written_again_is_listed_with_its_new_time(tmp_path: Path) -> None:
    world = World(tmp_path)
    with no_escape.closed(world.aws):
        client = boto3.client("s3")
        client.put_object(Bucket=world.bucket, Key="k", Body=b"same")
        before = client.list_objects_v2(Bucket=world.bucket)["Contents"][0]["LastModified"]
        world.advance(60)
        client.put_object(Bucket=world.bucket, Key="k", Body=b"same")
        after = client.list_objects_v2(Bucket=world.bucket)["Contents"][0]["LastModified"]
    world.close()
    assert after - before >= datetime.timedelta(seconds=60)


@given(st.datetimes(datetime.datetime(1, 1, 1), timezones=st.just(datetime.UTC)))
def test_a_time_is_what_botocore_makes_of_it(time: datetime.datetime) -> None:
    iso = time.replace(tzinfo=None).isoformat()
    milliseconds = time.replace(tzinfo=None).isoformat(timespec="milliseconds")
    written = [
        f"{iso}Z",
        f"{milliseconds}Z",
        f"{iso}+00:00",
        iso,
        f"{time:%a, %d %b} {time.year:04} {time:%H:%M:%S} GMT",
    ]
    for text in written:
        ours = botocore.utils.parse_timestamp(text)
        theirs = dateutil.parser.parse(text, tzinfos={"GMT": dateutil.tz.tzutc()})
        assert (ours, ours.tzinfo, type(ours)) == (theirs, theirs.tzinfo, type(theirs))


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-29T00:00:00Z",
        "2026-02-02T24:00:00Z",
        "2026-02-02T00:00:60Z",
        "Mon, 30 Feb 2026 00:00:00 GMT",
        "x",
        "2026-13-01T00:00:00Z",
    ],
)
def test_what_is_no_time_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="Invalid timestamp"):
        botocore.utils.parse_timestamp(text)


def test_both_forms_are_read_fast() -> None:
    """Or the tests above compare botocore with itself."""
    assert aws.ISO_TIME.fullmatch("2026-02-02T10:00:00.000Z")
    assert aws.HTTP_TIME.fullmatch("Mon, 02 Feb 2026 10:00:00 GMT")
    assert "_quarry" in vars(botocore.utils)
