"""Preconditions of S3's copies and completed uploads, as AWS documents them: where one does not hold, nothing is written.

moto judges those of PutObject and DeleteObject and passes over most of these. Whoever lets them decide which of two workers
may write would lose here what is safe on AWS.
"""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import mktime_tz, parsedate_tz
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from moto.core.utils import unix_time
from moto.s3.exceptions import S3ClientError
from moto.s3.models import s3_backends

from pytest_quarry.bus import names
from pytest_quarry.bus.arrivals import at_its_service
from pytest_quarry.bus.calls import AwsAnswer, AwsCall

OPERATIONS = ("s3.CopyObject", "s3.UploadPartCopy", "s3.CompleteMultipartUpload")
SOURCE = "x-amz-copy-source"


def refused(call: AwsCall, now: int) -> AwsAnswer | None:
    """What S3 answers to a call at `now` (µs) of which a precondition does not hold; None where nothing stands in its way."""
    if call.operation not in OPERATIONS:
        return None
    headers = {name.lower(): value for name, value in call.headers}
    try:
        return _by_source(headers, now) or _by_target(call, headers)
    except S3ClientError:  # there is no such bucket, which moto says
        return None


def _by_source(headers: Mapping[str, str], now: int) -> AwsAnswer | None:
    """The answer of the conditions on what is copied. "If both" are given, in AWS's words, the ETag decides, not the time."""
    if not any(name.startswith(f"{SOURCE}-if-") for name in headers):
        return None
    source = urlsplit(headers.get(SOURCE, ""))
    found = _object(source, parse_qs(source.query).get("versionId", [None])[0])
    if found is None:  # which moto says
        return None
    match, none_match = headers.get(f"{SOURCE}-if-match"), headers.get(f"{SOURCE}-if-none-match")
    since, until = _time(headers, f"{SOURCE}-if-modified-since"), _time(headers, f"{SOURCE}-if-unmodified-since")
    written = int(unix_time(found.last_modified))
    if match is not None:
        if not _is(found, match):
            return _precondition_failed(f"{SOURCE}-If-Match")
    elif until is not None and written > until:
        return _precondition_failed(f"{SOURCE}-If-Unmodified-Since")
    if none_match is not None:
        if _is(found, none_match):
            return _precondition_failed(f"{SOURCE}-If-None-Match")
    elif since is not None and written <= since <= now / 1_000_000:  # a time to come is no condition (RFC 7232, 3.3)
        return _precondition_failed(f"{SOURCE}-If-Modified-Since")
    return None


def _by_target(call: AwsCall, headers: Mapping[str, str]) -> AwsAnswer | None:
    """The answer of the conditions on what is written over; a part of an upload has none."""
    match, none_match = headers.get("if-match"), headers.get("if-none-match")
    at = at_its_service(call) if match is not None or none_match is not None else None
    if at is None or call.operation == "s3.UploadPartCopy":
        return None
    target = urlsplit(at.url)
    found = _object(target)
    upload = parse_qs(target.query).get("uploadId", [""])[0]
    if upload and found is not None and found.multipart is not None and found.multipart.id == upload:
        return None  # it was completed before, and is told so again
    if match is not None and found is None:
        return _error(404, "NoSuchKey", "The specified key does not exist.")
    if match is not None and not _is(found, match):
        return _precondition_failed("If-Match")
    if none_match is not None and found is not None and _is(found, none_match):
        return _precondition_failed("If-None-Match")
    return None


def _object(place: SplitResult, version: str | None = None) -> Any:
    """moto's object at a path that begins with the bucket, or None."""
    bucket, _, key = unquote(place.path).lstrip("/").partition("/")
    s3: Any = s3_backends[names.ACCOUNT]["aws"]
    return s3.get_object(bucket, key, version_id=version)


def _is(found: Any, tag: str) -> bool:
    return tag == "*" or tag.strip('"') == found.etag.strip('"')


def _time(headers: Mapping[str, str], name: str) -> int | None:
    """Seconds since the epoch; None where the header is missing, or no date."""
    read = parsedate_tz(headers.get(name, ""))
    return None if read is None else int(mktime_tz(read))


def _precondition_failed(condition: str) -> AwsAnswer:
    words = "At least one of the pre-conditions you specified did not hold"
    return _error(412, "PreconditionFailed", words, f"<Condition>{condition}</Condition>")


def _error(status: int, code: str, words: str, more: str = "") -> AwsAnswer:
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{words}</Message>{more}</Error>"
    return AwsAnswer(status, (("Content-Type", "application/xml"),), text.encode())
