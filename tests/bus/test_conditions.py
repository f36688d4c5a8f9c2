"""S3 copies, and completes an upload, only where the preconditions of the call hold; moto alone does it anyway."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from clients import ONCE, client
from moto import mock_aws

from pytest_quarry.bus.bus import Bus
from pytest_quarry.bus.names import BUCKET
from pytest_quarry.simulation.aws_of_test import aws_of_test
from pytest_quarry.simulation.world import World
from pytest_quarry.storage import VirtualClock

STALE = '"0"'
STATE = "a state/ü+1?.json"  # no key that a URL can hold as it is
STAGED = "staged/ü 1?+%.json"
SECOND = datetime.timedelta(seconds=1)
REFUSED = ("PreconditionFailed", 412)


@pytest.fixture
def bus() -> Iterator[Bus]:
    with aws_of_test(VirtualClock()) as aws:
        yield aws.bus


@pytest.fixture(params=["path", "virtual"])
def s3(request: pytest.FixtureRequest, bus: Bus) -> Any:
    """A client, by either way of naming a bucket, of a bucket that holds what is staged."""
    s3: Any = boto3.client("s3", config=Config(s3={"addressing_style": request.param}))
    s3.put_object(Bucket=BUCKET, Key=STAGED, Body=b"new")
    return s3


def copy(s3: Any, **conditions: Any) -> None:
    s3.copy_object(Bucket=BUCKET, Key=STATE, CopySource={"Bucket": BUCKET, "Key": STAGED}, **conditions)


def copy_part(s3: Any, **conditions: Any) -> None:
    """As `copy`, in a part of an upload."""
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key=STATE)["UploadId"]
    part = s3.upload_part_copy(
        Bucket=BUCKET,
        Key=STATE,
        UploadId=upload,
        PartNumber=1,
        CopySource={"Bucket": BUCKET, "Key": STAGED},
        **conditions,
    )["CopyPartResult"]
    complete(s3, upload, part["ETag"])


def complete(s3: Any, upload: str, tag: str, **conditions: str) -> None:
    parts = {"Parts": [{"PartNumber": 1, "ETag": tag}]}
    s3.complete_multipart_upload(Bucket=BUCKET, Key=STATE, UploadId=upload, MultipartUpload=parts, **conditions)


def upload_whole(s3: Any, **conditions: str) -> None:
    """As `copy`, from the caller's memory."""
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key=STATE)["UploadId"]
    part = s3.upload_part(Bucket=BUCKET, Key=STATE, UploadId=upload, PartNumber=1, Body=b"new")
    complete(s3, upload, part["ETag"], **conditions)


def state(s3: Any) -> bytes:
    found: bytes = s3.get_object(Bucket=BUCKET, Key=STATE)["Body"].read()
    return found


def refused(write: Any, s3: Any, **conditions: Any) -> tuple[str, int]:
    """The code and the status of what a write is answered that must fail."""
    with pytest.raises(ClientError) as error:
        write(s3, **conditions)
    answer: Any = error.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


@pytest.mark.parametrize("write", [copy, upload_whole])
def test_what_is_there_is_replaced_only_as_it_was_read(s3: Any, write: Any) -> None:
    tag = s3.put_object(Bucket=BUCKET, Key=STATE, Body=b"old")["ETag"]
    assert refused(write, s3, IfMatch=STALE) == REFUSED
    assert refused(write, s3, IfNoneMatch="*") == REFUSED
    assert state(s3) == b"old"
    write(s3, IfMatch=tag)
    assert state(s3) == b"new"
    assert refused(write, s3, IfMatch=tag) == REFUSED


@pytest.mark.parametrize("write", [copy, upload_whole])
def test_what_is_not_there_is_made_once(s3: Any, write: Any) -> None:
    assert refused(write, s3, IfMatch=STALE) == ("NoSuchKey", 404)
    write(s3, IfNoneMatch="*")
    assert refused(write, s3, IfNoneMatch="*") == REFUSED
    s3.delete_object(Bucket=BUCKET, Key=STATE)
    write(s3, IfNoneMatch="*")
    assert state(s3) == b"new"


def test_a_tag_without_quotes_is_the_same(s3: Any) -> None:
    tag = s3.put_object(Bucket=BUCKET, Key=STATE, Body=b"old")["ETag"]
    copy(s3, IfMatch=tag.strip('"'))
    assert state(s3) == b"new"


def test_what_is_deleted_in_a_bucket_with_versions_is_not_there(s3: Any) -> None:
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    tag = s3.put_object(Bucket=BUCKET, Key=STATE, Body=b"old")["ETag"]
    s3.delete_object(Bucket=BUCKET, Key=STATE)
    assert refused(copy, s3, IfMatch=tag) == ("NoSuchKey", 404)
    copy(s3, IfNoneMatch="*")
    assert state(s3) == b"new"


@pytest.mark.parametrize("write", [copy, copy_part])
def test_the_source_is_copied_only_as_it_was_read(s3: Any, write: Any) -> None:
    tag = s3.head_object(Bucket=BUCKET, Key=STAGED)["ETag"]
    assert refused(write, s3, CopySourceIfMatch=STALE) == REFUSED
    assert refused(write, s3, CopySourceIfNoneMatch=tag) == REFUSED
    write(s3, CopySourceIfMatch=tag, CopySourceIfNoneMatch=STALE)
    assert state(s3) == b"new"


@pytest.mark.parametrize("write", [copy, copy_part])
def test_the_source_is_copied_only_where_its_time_is_right(bus: Bus, s3: Any, write: Any) -> None:
    bus.advance(60)
    written = s3.head_object(Bucket=BUCKET, Key=STAGED)["LastModified"]
    assert refused(write, s3, CopySourceIfModifiedSince=written) == REFUSED
    assert refused(write, s3, CopySourceIfUnmodifiedSince=written - SECOND) == REFUSED
    write(s3, CopySourceIfModifiedSince=written - SECOND, CopySourceIfUnmodifiedSince=written)
    write(s3, CopySourceIfModifiedSince=written + 3600 * SECOND)  # a time that is still to come says nothing


def test_a_tag_of_the_source_says_more_than_its_time(bus: Bus, s3: Any) -> None:
    """In AWS's words: of two conditions the one that names the ETag decides."""
    bus.advance(60)
    source = s3.head_object(Bucket=BUCKET, Key=STAGED)
    tag, written = source["ETag"], source["LastModified"]
    copy(s3, CopySourceIfMatch=tag, CopySourceIfUnmodifiedSince=written - SECOND)
    assert refused(copy, s3, CopySourceIfNoneMatch=tag, CopySourceIfModifiedSince=written - SECOND) == REFUSED


def test_the_version_that_is_named_is_the_source(s3: Any) -> None:
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket=BUCKET, Key=STAGED, Body=b"first")
    s3.put_object(Bucket=BUCKET, Key=STAGED, Body=b"second")
    source = {"Bucket": BUCKET, "Key": STAGED, "VersionId": first["VersionId"]}
    s3.copy_object(Bucket=BUCKET, Key=STATE, CopySource=source, CopySourceIfMatch=first["ETag"])
    assert state(s3) == b"first"
    assert refused(copy, s3, CopySourceIfMatch=first["ETag"]) == REFUSED


def test_what_is_missing_is_told_as_without_a_condition(s3: Any) -> None:
    source = {"Bucket": BUCKET, "Key": "nothing"}
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.copy_object(Bucket=BUCKET, Key=STATE, CopySource=source, CopySourceIfMatch=STALE)
    with pytest.raises(s3.exceptions.NoSuchBucket):
        s3.copy_object(Bucket="nowhere", Key=STATE, CopySource=source, IfMatch=STALE)


def test_the_same_upload_is_completed_again(s3: Any) -> None:
    """As botocore's own retry does after a lost answer: what it would replace is what it has made."""
    tag = s3.put_object(Bucket=BUCKET, Key=STATE, Body=b"old")["ETag"]
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key=STATE)["UploadId"]
    part = s3.upload_part(Bucket=BUCKET, Key=STATE, UploadId=upload, PartNumber=1, Body=b"new")["ETag"]
    complete(s3, upload, part, IfMatch=tag)
    complete(s3, upload, part, IfMatch=tag)
    assert state(s3) == b"new"


def test_over_http_too(tmp_path: Path) -> None:
    world = World(tmp_path)
    try:
        s3 = client(world, "s3", ONCE)
        s3.put_object(Bucket=BUCKET, Key=STAGED, Body=b"new")
        copy(s3, IfNoneMatch="*")
        assert refused(copy, s3, IfNoneMatch="*") == REFUSED
        assert refused(upload_whole, s3, IfMatch=STALE) == REFUSED
        assert refused(copy, s3, CopySourceIfMatch=STALE) == REFUSED
    finally:
        world.close()


def test_moto_alone_does_it_anyway() -> None:
    with mock_aws():
        s3: Any = boto3.client("s3", region_name="us-east-1")
        s3.create_bucket(Bucket=BUCKET)
        s3.put_object(Bucket=BUCKET, Key=STAGED, Body=b"new")
        copy(s3, IfMatch=STALE)
        copy(s3, IfNoneMatch="*")
        copy(s3, CopySourceIfMatch=STALE)
        copy_part(s3, CopySourceIfMatch=STALE)
        upload_whole(s3, IfMatch=STALE)
        assert state(s3) == b"new"
