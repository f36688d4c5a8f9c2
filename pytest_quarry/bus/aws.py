"""The mocked AWS of a world: moto's backends, reset fast, in virtual time, reached by no network.

Imported only when a consumer (or a hook of its suite) makes its first AWS call.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterator
from typing import Any

import moto.sns.models
import moto.sqs.models
import time_machine
from moto.moto_api._internal import mock_random
from moto.s3.models import s3_backends
from moto.sns.models import sns_backends
from moto.sqs.exceptions import ReceiptHandleIsInvalid, SQSException
from moto.sqs.models import sqs_backends

from pytest_quarry.bus import aside, conditions, names
from pytest_quarry.bus.calls import AwsAnswer, AwsCall
from pytest_quarry.bus.documented import as_documented
from pytest_quarry.bus.event_source import MOST_OF_A_RECEIVE
from pytest_quarry.bus.queue import Queue
from pytest_quarry.bus.stubbed import by_moto
from pytest_quarry.bus.topology import Topology, chosen
from pytest_quarry.bus.transactions import Transactions
from pytest_quarry.storage.clock import is_frozen

# What these operations do changes nothing that outlives a crash (by AWS's own verbs).
READING = ("Get", "List", "Head", "Describe", "Query", "Scan", "BatchGet", "Lookup", "Filter")

_moving = threading.RLock()
# Half of what a queue costs to make is this pure function, on the same few names.
_sqs_models: Any = moto.sqs.models
_sns_models: Any = moto.sns.models
_sqs_models.camelcase_to_underscores = functools.cache(_sqs_models.camelcase_to_underscores)


class MockedAws:
    """One world's AWS. `version` grows with every call that may have changed something.

    It holds nothing but its topology; or, where it `joins`, what moto holds already too. Until it is closed: then moto holds
    what it held, and what was put beside the topology of one that joined.
    """

    def __init__(self, *, seed: int, now: int, topology: Topology | None = None, joins: bool = False) -> None:
        topology = chosen(topology)
        self.version = 0
        with _at(now):
            self._put_back: aside.PutBack | None = aside.namesakes(topology) if joins else aside.everything()
            mock_random.seed(seed)
            _make_topology(topology)
        self.queue = Queue(topology)
        self._transactions = Transactions()

    def close(self) -> None:
        """It is there no more."""
        put_back, self._put_back = self._put_back, None
        if put_back is not None:
            put_back()

    def apply(self, call: AwsCall, now: int) -> tuple[AwsAnswer, int]:
        """Carry out one call at virtual time `now` (µs): what AWS would have answered, and how long that took (µs)."""
        from_sns = call.operation.startswith("sns.")
        with _at(now) as traveller, as_documented(self.queue, traveller, from_sns=from_sns) as waited:
            answer = conditions.refused(call, now) or self._transactions.carry_out(call, now, by_moto)
        if _changes(call.operation, answer.body):
            self.version += 1
        return answer, round(sum(waited) * 1_000_000)

    def put(self, message_id: str, body: str, attributes: Any, sent: int) -> None:
        """A message that was published at `sent` (µs) arrives in the world's queue."""
        with _at(sent):
            self.queue.put(message_id, body, attributes)

    def expire(self, now: int) -> None:
        """What is visible again is received by somebody else, who dies of it: every older receipt is stale.

        It does not count as a receive: the redrive policy is to end what the consumer could not do, not what was played.
        """
        with _at(now):
            for message in self.queue.moto._messages:
                if message.visible and message.approximate_receive_count:
                    message.mark_received(self.queue.topology.visibility)
                    message.approximate_receive_count -= 1

    def at(self, now: int) -> contextlib.AbstractContextManager[Any]:
        """Meanwhile it is `now` (µs), also for moto."""
        return _at(now)

    def publish(self, body: str, attributes: Any, *, now: int) -> None:
        """Publish to the world's topic."""
        topology = self.queue.topology
        sns: Any = sns_backends[names.ACCOUNT][names.REGION]
        found = {name: {"Type": value["DataType"], "Value": value["StringValue"]} for name, value in attributes.items()}
        fifo = {"group_id": "runs", "deduplication_id": str(mock_random.uuid4())} if topology.fifo else {}
        with _at(now) as traveller, as_documented(self.queue, traveller, from_sns=True):
            sns.publish(body, arn=topology.topic_arn, message_attributes=found, **fifo)
        self.version += 1

    def receive(self, most: int, *, now: int) -> list[Any]:
        """Receive from the world's queue, as moto's messages: all servers are asked, as in a long poll, and nobody waits.

        Raises ValueError for more than SQS hands over.
        """
        if not 1 <= most <= MOST_OF_A_RECEIVE:
            raise ValueError(f"{most} messages in one receive; SQS hands over 1 to {MOST_OF_A_RECEIVE}")
        sqs: Any = sqs_backends[names.ACCOUNT][names.REGION]
        queue = self.queue.moto
        self.queue.thorough = True
        try:
            with _at(now) as traveller, as_documented(self.queue, traveller):
                found: list[Any] = sqs.receive_message(queue.name, most, 0, queue.visibility_timeout, ["All"])
        finally:
            self.queue.thorough = False
        self.version += bool(found)
        return found

    def delete(self, receipt: str, *, now: int) -> bool:
        """Delete a message of the world's queue; False where the receipt handle is not its newest.

        Raises LookupError for what is no receipt handle of the queue.
        """
        queue = self.queue.moto
        before = len(queue._messages)
        with _at(now) as traveller, as_documented(self.queue, traveller):
            try:
                queue.delete_message(receipt)
            except ReceiptHandleIsInvalid:
                raise LookupError(f"{receipt!r} is no receipt handle of {queue.name}") from None
            except SQSException:  # a FIFO queue takes no receipt handle that has expired
                return False
        self.version += 1
        return len(queue._messages) < before

    def keys(self, bucket: str) -> list[str]:
        """The keys of all objects in a bucket."""
        s3: Any = s3_backends[names.ACCOUNT]["aws"]
        return list(s3.buckets[bucket].keys)

    def all_keys(self) -> frozenset[str]:
        """The keys of all objects in all buckets now."""
        s3: Any = s3_backends[names.ACCOUNT]["aws"]
        return frozenset(key for bucket in s3.buckets.values() for key in bucket.keys)


def _changes(operation: str, body: bytes) -> bool:
    """Whether this answer stands for a change: a receive that found nothing is none."""
    verb = operation.split(".", 1)[-1]
    if verb == "ReceiveMessage":
        return b"Message" in body
    return not verb.startswith(READING)


@contextlib.contextmanager
def _at(now: int) -> Iterator[Any]:
    """The process has one clock, so calls of several threads (the endpoint's) wait for each other."""
    if is_frozen():
        raise RuntimeError(
            "freezegun's freeze_time is active. Mocked AWS has the time of quarry_clock, and both would set this process's: leave "
            "freeze_time, an autouse fixture perhaps, out of tests with quarry_bus, quarry_world or quarry_storage on S3. "
            "quarry_clock.advance(seconds) moves AWS; for code that looks at the clock itself, time_machine.travel works beside it."
        )
    with _moving, time_machine.travel(now / 1_000_000, tick=False) as traveller:
        yield traveller


def _make_topology(topology: Topology) -> None:
    """The topic, the queue with its dead-letter queue, the subscription and the bucket."""
    region = names.REGION
    sqs: Any = sqs_backends[names.ACCOUNT][region]
    sns: Any = sns_backends[names.ACCOUNT][region]
    fifo = {"FifoQueue": "true"} if topology.fifo else {}
    sqs.create_queue(topology.dead_letter_queue, None, **fifo)
    sqs.create_queue(topology.queue, None, **topology.queue_attributes())
    sns.create_topic(topology.topic, {"FifoTopic": "true"} if topology.fifo else None)
    subscription = sns.subscribe(topology.topic_arn, topology.queue_arn, "sqs")
    if topology.raw:
        sns.set_subscription_attributes(subscription.arn, "RawMessageDelivery", "true")
    if topology.filter_policy:
        sns.set_subscription_attributes(subscription.arn, "FilterPolicy", topology.filter_policy)
    s3: Any = s3_backends[names.ACCOUNT]["aws"]
    s3.create_bucket(names.BUCKET, region)


@functools.cache
def _signing_key() -> Any:
    """One key for all SNS signatures of this process; moto would make one for each subscription."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


_sns_models.Subscription.private_key = lambda subscription: _signing_key()
