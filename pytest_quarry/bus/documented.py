"""Queues as AWS documents them, where moto is kinder: what its SQS is taught while a call is carried out.

docs/queues.md has the table: AWS's words, moto's behaviour, ours.
"""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import moto.sqs.models
from moto.sns.exceptions import InvalidParameterValue
from moto.sns.models import SNSBackend
from moto.sqs import exceptions

from pytest_quarry.bus.names import DEDUPLICATED
from pytest_quarry.bus.published import id_of_content
from pytest_quarry.bus.queue import IN_FLIGHT_LIMIT, Queue

models: Any = moto.sqs.models
SQSException: Any = exceptions.SQSException
MOST_EXTENSION = (
    43_200  # seconds a message may stay in flight, counted from its receive (Developer Guide, "Visibility timeout")
)
MOST_ENTRIES = 10
FIFO_ID = re.compile("[!-~]{1,128}")  # letters, digits and punctuation of ASCII (API SendMessage; SNS's API Publish)
ENTRY_ID = re.compile(r"[\w-]{1,80}", re.ASCII)
AFTER = 0.001  # seconds; moto shows a message, and ends a long poll, strictly after its time


def _check_fifo_ids(named: Mapping[str, Any], error: Callable[[str], Exception]) -> None:
    for name, parameter in (("group_id", "MessageGroupId"), ("deduplication_id", "MessageDeduplicationId")):
        given = named.get(name)
        if given and not FIFO_ID.fullmatch(given):
            raise error(
                f"Value {given} for parameter {parameter} is invalid. Reason: {parameter} can only include alphanumeric and "
                "punctuation characters. 1 to 128 in length."
            )


def refused(receipt: str, why: str) -> Exception:
    """What SQS answers to a receipt handle it knows and does not accept."""
    words = f"Value {receipt} for parameter ReceiptHandle is invalid. Reason: {why}"
    error: Exception = SQSException("InvalidParameterValue", words)
    return error


NOT_THERE = "Message does not exist or is not available for visibility timeout change."
EXPIRED = "The receipt handle has expired."


class _AsDocumented:
    """The methods that moto's queues have while a call is carried out."""

    def __init__(self, world_queue: Queue, traveller: Any, from_sns: bool) -> None:
        self._queue, self._traveller, self._from_sns = world_queue, traveller, from_sns
        self._moto = world_queue.moto if world_queue.is_there else None
        self._until = 0.0  # the end of a long poll
        self.waited: list[float] = []

    def methods(self) -> dict[str, Callable[..., Any]]:
        """By name, each taking what moto's takes, its queue or backend first."""
        bound: dict[str, Callable[..., Any]] = {
            "receive_message": self.receive,
            "change_message_visibility": self.extend,
            "change_message_visibility_batch": self.extend_batch,
            "delete_message_batch": self.delete_batch,
            "delete_message": self.delete,
            "send_message": self.send,
            "_validate_message": self.check,
            "publish": self.publish,
            "add_message": self.add,
            "wait_for_messages": self.wait,
        }
        return {name: _of_class(method) for name, method in bound.items()}

    def send(self, backend: Any, queue_name: str, *given: Any, **named: Any) -> Any:
        if self._from_sns and queue_name not in backend.queues:
            return None  # SNS accepts what it then cannot deliver
        return MOTOS["send_message"](backend, queue_name, *given, **named)

    def check(self, *given: Any, **named: Any) -> None:
        told = CHECKED.bind(*given, **named).arguments  # moto names them, and of a batch's entries does not
        if not told["message_body"]:
            raise exceptions.MissingParameter("MessageBody")
        _check_fifo_ids(told, lambda words: SQSException("InvalidParameterValue", words))
        MOTOS["_validate_message"](*given, **named)

    def publish(self, backend: Any, message: str, *given: Any, **named: Any) -> Any:
        if not message:
            raise InvalidParameterValue("Invalid parameter: Empty message")
        _check_fifo_ids(named, lambda words: InvalidParameterValue(f"Invalid parameter: {words}"))
        topic = backend.topics.get(named.get("arn"))
        if topic is not None and topic.content_based_deduplication:  # the queue gets the id that the topic made
            named["deduplication_id"] = named.get("deduplication_id") or id_of_content(message)
        return MOTOS["publish"](backend, message, *given, **named)

    def add(self, queue: Any, message: Any) -> None:
        if message.approximate_receive_count:  # it is moved to a dead-letter queue, and nothing may swallow it
            queue._messages.append(message)
            return
        if queue.fifo_queue and _is_repeated(queue, message):
            return
        if queue is self._moto and self._from_sns and not self._queue.arrives(message):
            return
        MOTOS["add_message"](queue, message)

    def wait(self, queue: Any, timeout: float) -> None:
        seconds = max(AFTER, min(timeout, self._until - models.unix_time() + AFTER))
        self.waited.append(seconds)
        self._traveller.shift(seconds)
        _end_flights(queue)

    def receive(self, backend: Any, queue_name: str, count: int, wait: int, *rest: Any) -> list[Any]:
        queue = backend.get_queue(queue_name)
        _check_timeout(rest[0] if rest else 0)
        self._until = models.unix_time() + wait
        mine = queue is self._moto
        room = _room(queue, count, self._queue.in_flight_limit if mine else IN_FLIGHT_LIMIT)
        if room <= 0:
            return self._receive_none(queue, wait)

        def receive(count: int, wait: int, *rest: Any) -> Any:
            return MOTOS["receive_message"](backend, queue_name, count, wait, *rest)

        _end_flights(queue)
        count = min(count, room)
        found = self._queue.receive(receive, count, wait, rest) if mine else receive(count, wait, *rest)
        _hand_out(queue, found)
        return list(found)

    def _receive_none(self, queue: Any, wait: int) -> list[Any]:
        """Too many messages are in flight: an error to a short poll of a standard queue, else silence."""
        if not wait and not queue.fifo_queue:
            raise SQSException("OverLimit", f"The maximum number of in flight messages is reached: {queue.name}.")
        if wait:
            self.wait(queue, wait)
        return []

    def delete(self, queue: Any, receipt_handle: str) -> None:
        message = _by_receipt(queue, receipt_handle)
        if message is None:
            if receipt_handle not in _receipts(queue):
                raise exceptions.ReceiptHandleIsInvalid()
            return  # of a message that is gone
        mine, newest = queue is self._moto, message.receipt_handle == receipt_handle
        if queue.fifo_queue and (not newest or message.visible):
            raise refused(receipt_handle, EXPIRED)
        if not newest:
            if mine:
                self._queue.note("stale", message.id, receipt_handle)
        elif not mine:
            MOTOS["delete_message"](queue, receipt_handle)
        elif self._queue.hears():
            MOTOS["delete_message"](queue, receipt_handle)
            self._queue.deleted(message, receipt_handle)

    def delete_batch(self, backend: Any, queue_name: str, receipts: Sequence[Any]) -> Any:
        queue = backend.get_queue(queue_name)
        return _one_by_one(receipts, "Delete", lambda entry: self.delete(queue, entry["ReceiptHandle"]))

    def extend(self, backend: Any, queue_name: str, receipt_handle: str, visibility_timeout: int) -> None:
        _check_timeout(visibility_timeout)
        queue = backend.get_queue(queue_name)
        message = _by_receipt(queue, receipt_handle)
        if message is None and receipt_handle not in _receipts(queue):
            raise exceptions.ReceiptHandleIsInvalid()
        if message is None or message.receipt_handle != receipt_handle:
            raise refused(receipt_handle, NOT_THERE)
        _extend(queue, message, int(visibility_timeout))

    def extend_batch(self, backend: Any, queue_name: str, entries: Sequence[Any]) -> Any:
        def extend(entry: Any) -> None:
            seconds = int(entry.get("VisibilityTimeout") or 0)
            self.extend(backend, queue_name, entry["ReceiptHandle"], seconds)

        return _one_by_one(entries, "ChangeVisibility", extend)


@contextlib.contextmanager
def as_documented(world_queue: Queue, traveller: Any, *, from_sns: bool = False) -> Iterator[list[float]]:
    """While a call is carried out, moto's queues behave as AWS's documentation says; the seconds that long polls waited.

    `from_sns`: what arrives in the world's queue meanwhile was published to a topic.
    """
    taught = _AsDocumented(world_queue, traveller, from_sns)
    _teach(taught.methods())
    try:
        yield taught.waited
    finally:
        _teach(MOTOS)


HOMES = {
    **dict.fromkeys(("delete_message", "add_message", "wait_for_messages"), models.Queue),
    **dict.fromkeys(("send_message", "receive_message", "change_message_visibility"), models.SQSBackend),
    **dict.fromkeys(
        ("change_message_visibility_batch", "delete_message_batch", "_validate_message"), models.SQSBackend
    ),
    "publish": SNSBackend,
}
MOTOS: dict[str, Callable[..., Any]] = {name: getattr(home, name) for name, home in HOMES.items()}
CHECKED = inspect.signature(MOTOS["_validate_message"])


def _teach(methods: dict[str, Callable[..., Any]]) -> None:
    for name, method in methods.items():
        setattr(HOMES[name], name, method)


def _of_class(method: Callable[..., Any]) -> Callable[..., Any]:
    """A bound method as a class may have it: Python hands a plain function its instance."""

    def function(*given: Any, **named: Any) -> Any:
        return method(*given, **named)

    return function


def _check_timeout(seconds: Any) -> None:
    if not 0 <= int(seconds) <= MOST_EXTENSION:
        raise SQSException(
            "InvalidParameterValue",
            f"Value {seconds} for parameter VisibilityTimeout is invalid. Reason: Must be between 0 and {MOST_EXTENSION}.",
        )


def _receipts(queue: Any) -> set[str]:
    """Every receipt handle that a queue ever handed out."""
    found: set[str] | None = getattr(queue, "_quarry_receipts", None)
    if found is None:
        found = queue._quarry_receipts = set()
    return found


def _end_flights(queue: Any) -> None:
    """What is visible again blocks its group no longer; moto finds that out message by message, and skips the first."""
    if queue.fifo_queue:
        for message in [message for message in queue.pending_messages if message.visible]:
            queue.pending_messages.discard(message)


def _hand_out(queue: Any, found: Sequence[Any]) -> None:
    """Remember the receipt handles, and when: `found` are copies of the queue's messages."""
    if not found:
        return
    ids, now = {message.id for message in found}, models.unix_time_millis()
    _receipts(queue).update(message.receipt_handle for message in found)
    for message in queue._messages:
        if message.id in ids:
            message._quarry_received = now


def _by_receipt(queue: Any, receipt: str) -> Any:
    return next((message for message in queue._messages if message.had_receipt_handle(receipt)), None)


def _is_repeated(queue: Any, message: Any) -> bool:
    """Whether a FIFO queue was sent this in the last five minutes; it remembers what was deleted since, too."""
    if not message.deduplication_id:
        return False
    known: dict[Any, float] | None = getattr(queue, "_quarry_sent", None)
    if known is None:
        known = queue._quarry_sent = {}
    by_group = queue.deduplication_scope == "messageGroup"
    key = (message.group_id if by_group else None, message.deduplication_id)
    if message.sent_timestamp - known.get(key, -DEDUPLICATED) < DEDUPLICATED:
        return True
    known[key] = message.sent_timestamp
    return False


def _room(queue: Any, count: int, limit: int) -> int:
    """How many more messages may be in flight, as far as `count` messages ask."""
    if len(queue._messages) + count <= limit:
        return count
    return limit - sum(not message.visible for message in queue._messages)


def _extend(queue: Any, message: Any, seconds: int) -> None:
    if message.visible:
        raise SQSException("MessageNotInflight", "The specified message isn't in flight.")
    now = models.unix_time_millis()
    if now + seconds * 1000 - getattr(message, "_quarry_received", now) > MOST_EXTENSION * 1000:
        raise SQSException(
            "InvalidParameterValue",
            f"Value {seconds} for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the message is "
            f"beyond the limit [{MOST_EXTENSION} seconds].",
        )
    message.change_visibility(seconds)
    if seconds == 0:
        message.visible_at = 0.0  # with a clock that stands still, moto would show it only later
        queue.pending_messages.discard(message)


def _one_by_one(entries: Sequence[Any], action: str, carry_out: Callable[[Any], None]) -> Any:
    """A batch: refused as a whole, or each entry's result, as moto's batch methods give them."""
    _check_batch([entry["Id"] for entry in entries], action)
    done: list[str] = []
    failed: list[dict[str, Any]] = []
    for entry in entries:
        try:
            carry_out(entry)
        except SQSException as error:
            expired = str(error.message).endswith(EXPIRED)
            code = "ReceiptHandleIsInvalid" if expired else error.code
            failed.append({"Id": entry["Id"], "SenderFault": True, "Code": code, "Message": error.message})
        else:
            done.append(entry["Id"])
    return done, failed


def _check_batch(ids: Sequence[str], action: str) -> None:
    if not ids:
        raise exceptions.EmptyBatchRequest(action)
    if len(ids) > MOST_ENTRIES:
        raise exceptions.TooManyEntriesInBatchRequest(len(ids))
    if not all(ENTRY_ID.fullmatch(entry_id) for entry_id in ids):
        raise exceptions.InvalidBatchEntryId()
    repeated = next((entry_id for at, entry_id in enumerate(ids) if entry_id in ids[:at]), None)
    if repeated is not None:
        raise exceptions.BatchEntryIdsNotDistinct(repeated)
