"""The mocked AWS of a world: moto's backends, reset fast, in virtual time, reached by no network.

Imported only when a consumer (or a hook of its suite) makes its first AWS call.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Iterator
from typing import Any

import moto.sqs.models
import time_machine
from botocore.awsrequest import AWSPreparedRequest
from botocore.compat import HTTPHeaders
from moto.core.base_backend import BackendDict
from moto.core.botocore_stubber import BotocoreStubber
from moto.moto_api._internal import mock_random
from moto.s3.models import s3_backends
from moto.sns.models import sns_backends
from moto.sqs.models import sqs_backends

from pytest_quarry.bus import names
from pytest_quarry.consumers.protocol import AwsAnswer, AwsCall

MAX_RECEIVES = 10
VISIBILITY_SECONDS = 30
# What these operations do changes nothing that outlives a crash (by AWS's own verbs).
READING = ("Get", "List", "Head", "Describe", "Query", "Scan", "BatchGet", "Lookup", "Filter")

_stubber = BotocoreStubber()
# Half of what a queue costs to make is this pure function, on the same few names.
_sqs_models: Any = moto.sqs.models
_sqs_models.camelcase_to_underscores = functools.cache(_sqs_models.camelcase_to_underscores)


class MockedAws:
    """One world's AWS. `version` grows with every call that may have changed something."""

    def __init__(self, *, seed: int, now: int) -> None:
        self.version = 0
        BackendDict.reset()
        mock_random.seed(seed)
        with _at(now):
            _make_topology()

    def apply(self, call: AwsCall, now: int) -> tuple[AwsAnswer, int]:
        """Carry out one call at virtual time `now` (µs): what AWS would have answered, and how long that took (µs)."""
        headers = HTTPHeaders()
        for name, value in call.headers:
            headers[name] = value
        request = AWSPreparedRequest(call.method, call.url, headers, call.body, stream_output=False)
        with _at(now) as traveller, _virtual_long_polls(traveller) as waited:
            answer = _stubber.process_request(request)
        if answer is None:
            raise LookupError(
                f"{call.operation}: {call.url} is nothing the mocked AWS knows; no call leaves this process"
            )
        if not call.operation.split(".", 1)[-1].startswith(READING):
            self.version += 1
        status, found, body = answer
        data = body.encode() if isinstance(body, str) else bytes(body)
        pairs = tuple((str(name), str(value)) for name, value in dict(found).items())
        return AwsAnswer(status, pairs, data), sum(waited) * 1_000_000

    def keys(self, bucket: str) -> list[str]:
        """The keys of all objects in a bucket."""
        s3: Any = s3_backends[names.ACCOUNT]["aws"]
        return list(s3.buckets[bucket].keys)


def _at(now: int) -> Any:
    return time_machine.travel(now / 1_000_000, tick=False)


@contextlib.contextmanager
def _virtual_long_polls(traveller: Any) -> Iterator[list[int]]:
    """A long poll waits in virtual time, a second at a time; the seconds it waited."""
    waited: list[int] = []

    def wait_for_messages(queue: Any, timeout: int) -> None:
        waited.append(timeout)
        traveller.shift(timeout)

    queue_type = _sqs_models.Queue
    real_wait = queue_type.wait_for_messages
    queue_type.wait_for_messages = wait_for_messages
    try:
        yield waited
    finally:
        queue_type.wait_for_messages = real_wait


def _make_topology() -> None:
    """The topic, the queue with its dead-letter queue, the subscription and the bucket."""
    region = names.REGION
    sqs: Any = sqs_backends[names.ACCOUNT][region]
    sns: Any = sns_backends[names.ACCOUNT][region]
    sqs.create_queue(names.DEAD_LETTER_QUEUE, None)
    redrive = {"deadLetterTargetArn": names.DEAD_LETTER_ARN, "maxReceiveCount": MAX_RECEIVES}
    sqs.create_queue(names.QUEUE, None, VisibilityTimeout=str(VISIBILITY_SECONDS), RedrivePolicy=json.dumps(redrive))
    sns.create_topic(names.TOPIC)
    sns.subscribe(names.TOPIC_ARN, names.QUEUE_ARN, "sqs")
    s3: Any = s3_backends[names.ACCOUNT]["aws"]
    s3.create_bucket(names.BUCKET, region)
