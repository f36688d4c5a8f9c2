"""The bus in a team's own tests: what the fixture `quarry_bus` gives, and `world.bus`."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

from pytest_quarry.bus.calls import AwsCall, describe
from pytest_quarry.bus.delivery import failed_identifiers
from pytest_quarry.bus.event_source import MOST_OF_A_RECEIVE, EventSource, Handler
from pytest_quarry.bus.faults import (
    ANSWER_LOST,
    LAG,
    NO_EFFECT,
    ONLY_OF,
    SLOW,
    SLOW_SECONDS,
    Fault,
    FaultPlan,
    can_come_of,
)
from pytest_quarry.bus.topology import Topology
from pytest_quarry.contract import lambda_record
from pytest_quarry.contract.envelopes import message_attributes

if TYPE_CHECKING:
    from pytest_quarry.bus.aws import MockedAws
    from pytest_quarry.storage import RunStory

Lost = Literal["notification", "receive", "acknowledgement"]
Form = Literal["full", "minimal"]
UNREADABLE = (*ANSWER_LOST, "cut")  # what comes back of a receive is nothing an event source could use
CALL_SECONDS = 0.001  # virtual time a call takes, so that no two instants are the same


class Place(Protocol):
    """Where a bus is: a world, or one test's own."""

    faults: FaultPlan

    @property
    def topology(self) -> Topology: ...
    @property
    def mocked(self) -> MockedAws: ...
    @property
    def now(self) -> int: ...
    def advance(self, seconds: float) -> None: ...


@dataclass(frozen=True, kw_only=True)
class QueuedMessage:
    """A message in a queue. `notification` is the decoded `run_completed`, None where the body holds none."""

    message_id: str
    body: str
    notification: Mapping[str, Any] | None
    receives: int
    in_flight: bool


class Bus:
    """The topic, its queue and the dead-letter queue: publish runs, deliver them, lose them, deliver them again.

    Every boto3 client of the test reaches the same queue. Time is the world's: nothing waits.
    """

    def __init__(self, place: Place) -> None:
        self._place = place

    def __repr__(self) -> str:
        return f"<bus: {len(self.messages())} messages, {len(self.dead_letters())} dead letters>"

    @property
    def topic_arn(self) -> str:
        """What publishers publish to."""
        return self._place.topology.topic_arn

    @property
    def queue_url(self) -> str:
        """What consumers receive from."""
        return self._place.topology.queue_url

    @property
    def dead_letter_url(self) -> str:
        """Where messages end that were received too often."""
        return self._place.topology.dead_letter_url

    def publish(
        self, run: RunStory | Mapping[str, Any] | str, *, form: Form = "full", attributes: bool = True
    ) -> str | None:
        """Publish a run's notification to the topic; the id of its message in the queue, None where none arrived.

        `run`: one of `quarry_storage`, or a notification of your own, as a mapping or as text. `form`: "full", or
        "minimal" as in Quarry's guide. Without `attributes` the message has none. Raises ContractError for a run nobody
        is notified of, ValueError for an empty text, which SNS refuses.
        """
        _one_of(form, Form, "form")
        body, given = _notification(run, form)
        mocked, queue = self._place.mocked, self._place.mocked.queue
        before = set(queue.ids())
        mocked.publish(body, given if attributes else {}, now=self._tick())
        return next((found for found in queue.ids() if found not in before), None)  # none: filtered, or lost

    def deliver(self, *, most: int = 10) -> dict[str, Any]:
        """Receive what is visible, at most 10 messages, as the event a Lambda function gets; they are in flight now.

        The records are empty where nothing is visible, or where the answer of this receive is lost (`lose_next`).
        """
        if type(most) is not int or not 1 <= most <= MOST_OF_A_RECEIVE:
            raise ValueError(f"deliver(most={most!r}): one receive hands over 1 to {MOST_OF_A_RECEIVE} messages")
        fault = self._meets("ReceiveMessage")
        if fault is not None and fault.error in NO_EFFECT:
            return {"Records": []}
        if fault is not None and fault.error == "twice":
            self._place.mocked.receive(most, now=self._tick())
        found = self._place.mocked.receive(most, now=self._tick())
        if fault is not None and fault.error in UNREADABLE:
            return {"Records": []}
        return {"Records": [self._record(message) for message in found]}

    def reappear(self, *message_ids: str) -> tuple[str, ...]:
        """Let copies of these messages turn up, deleted or not, or of what was received last, for whoever receives next.

        They have the same ids, and get new receipt handles. Raises LookupError for a message that cannot come again.
        """
        queue = self._place.mocked.queue
        wanted = message_ids or tuple(queue.last)
        if not wanted:
            raise LookupError("nothing was received yet; deliver() first, or name messages that are in the queue")
        for message_id in wanted:
            if not isinstance(message_id, str):
                raise TypeError(f"redeliver() got {message_id!r:.100}; it takes message ids, as publish() gives them")
            queue.bring_back(message_id)
        return wanted

    def redeliver(self, *message_ids: str) -> dict[str, Any]:
        """Deliver again, deleted or not, what was received last, or these messages: same ids, new receipt handles.

        A message that is named twice comes twice. Raises LookupError for a message that cannot come again.
        """
        wanted = self.reappear(*message_ids)
        queue = self._place.mocked.queue
        before, queue.offered = queue.offered, list(wanted)
        records: list[dict[str, Any]] = []
        try:
            while queue.offered:
                records += self.deliver(most=min(MOST_OF_A_RECEIVE, len(queue.offered)))["Records"]
        finally:
            queue.offered = before
        return {"Records": records}

    def acknowledge(self, event: Mapping[str, Any], answer: Any = None, *, reports: bool = True) -> tuple[str, ...]:
        """Delete what a Lambda function succeeded with: all but what its `answer` reports as failed; the ids deleted.

        `reports`: whether the event source mapping has ReportBatchItemFailures.
        """
        records = event.get("Records") if isinstance(event, Mapping) else None
        if not isinstance(records, Sequence) or isinstance(records, str):
            raise ValueError(f"acknowledge() takes an event as deliver() gives it, with Records, not {event!r}"[:200])
        ids = [_field(record, "messageId") for record in records]
        failed = failed_identifiers(answer, ids, reports=reports)
        if failed is None:
            return ()
        return self.delete([record for record in records if record["messageId"] not in failed])

    def delete(self, records: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
        """Delete these records' messages by their receipt handles; the ids of those that were still theirs to delete."""
        receipts = [(_field(record, "messageId"), _field(record, "receiptHandle")) for record in records]
        if not receipts:
            return ()
        fault = self._meets("DeleteMessage")
        if fault is not None and fault.error in NO_EFFECT:
            return ()
        mocked, now = self._place.mocked, self._tick()
        return tuple(message_id for message_id, receipt in receipts if mocked.delete(receipt, now=now))

    def event_source(
        self, handler: Handler, *, batch_size: int = 10, window: int = 0, reports: bool = True
    ) -> EventSource:
        """An event source that invokes `handler(event, context)` with batches of the queue: `poll()`, `drain()`."""
        fifo = self._place.topology.fifo
        return EventSource(
            self,
            handler,
            batch_size=batch_size,
            window=window,
            reports=reports,
            fifo=fifo,
            clock=lambda: self._place.now / 1_000_000,
        )

    def lose_next(self, what: Lost = "notification", times: int = 1) -> None:
        """Lose the next notification (never queued), receive (in flight, never seen) or acknowledgement (never deleted).

        Whoever publishes, receives or deletes: `publish`, `deliver` and `acknowledge`, or a boto3 client. SQS tells no
        client that a delete had no effect; of a receive only the answer is lost, and a client's retry is the next one.
        """
        _one_of(what, Lost, "what")
        _at_least(times, 1, "times", whole=True)
        queue = self._place.mocked.queue
        if what == "notification":
            queue.lost += times
        elif what == "acknowledgement":
            queue.unheard += times
        else:
            name = f"sqs.ReceiveMessage {self._place.topology.queue}"
            self.fail(name, "lost", times=times, when=lambda call: describe(call) == name)

    def delay_next(self, seconds: float) -> None:
        """The next notification arrives, and nobody sees it for so many seconds."""
        _at_least(seconds, 0, "seconds")
        self._place.mocked.queue.delays.append(seconds)

    def fail(
        self,
        at: str,
        error: str,
        *,
        times: int = 0,
        skip: int = 0,
        containing: str = "",
        when: Callable[[AwsCall], bool] | None = None,
    ) -> Fault:
        """Let AWS calls fail below the client's retries: those whose `service.Operation resource` contains `at`.

        `error`: 503, 500, 404, throttle; timeout, reset (no effect); lost, dropped (an effect, no answer); cut, twice, slow;
        of DynamoDB's transactions: conflict (cancelled, since another one is at the item);
        of listings of S3: lag (without what is newer than this), pieces (two keys a page); of SNS's PublishBatch
        and of DynamoDB's BatchWriteItem and BatchGetItem: entries, first-entry, last-entry (not taken, and listed under Failed
        or UnprocessedItems of an answer with status 200).
        `times` of them (0: until `heal`), after the first `skip`; only those whose URL or body contains `containing` and for
        which `when(call)` holds. Raises ValueError for another error, and for one that no such call can meet.
        """
        _at_least(times, 0, "times", whole=True)
        _at_least(skip, 0, "skip", whole=True)
        if not can_come_of(error, str(at)):
            raise ValueError(f"{error!r} never comes of {at!r}, only of {', '.join(ONLY_OF[error])}")
        listed = self._place.mocked.all_keys() if error == LAG else frozenset[str]()
        fault = Fault(at=at, error=error, times=times, skip=skip, containing=containing, when=when, listed=listed)
        self._place.faults.begin(fault)
        return fault

    def heal(self, fault: Fault | None = None) -> None:
        """End one fault, as `fail` gave it, or all; then nothing is lost, late or out of order any more either."""
        if fault is not None and not isinstance(fault, Fault):
            raise TypeError(f"heal({fault!r}): give the fault that fail() returned, or nothing to end all of them")
        self._place.faults.end(fault)
        if fault is None:
            self._place.mocked.queue.heal()

    def misbehave(self, seed: int = 0) -> None:
        """From now on as standard queues may: any order, a message now and then twice, and short polls that find a part, or
        nothing. Seeded. `deliver` and event sources ask as a long poll does: they find all that is visible."""
        self._place.mocked.queue.luck = random.Random(f"quarry_bus/{seed}")

    def advance(self, seconds: float) -> None:
        """Let virtual time pass: visibility timeouts end."""
        _at_least(seconds, 0, "seconds")
        self._place.advance(seconds)

    def messages(self) -> list[QueuedMessage]:
        """What the queue holds, in flight or not."""
        with self._place.mocked.at(self._place.now):
            return [_queued(message) for message in self._place.mocked.queue.messages()]

    def dead_letters(self) -> list[QueuedMessage]:
        """What the dead-letter queue holds."""
        with self._place.mocked.at(self._place.now):
            return [_queued(message) for message in self._place.mocked.queue.dead_letters()]

    def _record(self, message: Any) -> dict[str, Any]:
        topology = self._place.topology
        return lambda_record(
            message.body,
            message_id=message.id,
            receipt_handle=message.receipt_handle,
            queue_arn=topology.queue_arn,
            receive_count=message.approximate_receive_count,
            sent_ms=message.sent_timestamp,
            received_ms=message.approximate_first_receive_timestamp,
            attributes=message.message_attributes or None,
        )

    def _meets(self, operation: str) -> Fault | None:
        """The fault that an event source's own call to the queue meets."""
        url = self.queue_url
        call = AwsCall(f"sqs.{operation}", "POST", url, (), json.dumps({"QueueUrl": url}).encode())
        fault = self._place.faults.meet(describe(call), call)
        if fault is not None and fault.error == SLOW:
            self._place.advance(SLOW_SECONDS)
        return fault

    def _tick(self) -> int:
        self._place.advance(CALL_SECONDS)
        return self._place.now


def _notification(run: Any, form: Form) -> tuple[str, dict[str, dict[str, str]]]:
    """The message and its attributes."""
    if isinstance(run, str):
        if not run:
            raise ValueError("publish(): the text is empty; SNS refuses a message without a character")
        return run, {}
    if isinstance(run, Mapping):
        values = {name: run[name] for name in ("run_id", "source", "outcome") if isinstance(run.get(name), str)}
        attributes = {name: {"DataType": "String", "StringValue": value} for name, value in values.items()}
        try:
            return json.dumps(dict(run)), attributes
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"publish(): the notification is no JSON: {error}; publish text to send what is none"
            ) from None
    if not hasattr(run, "notification"):
        raise TypeError(
            f"publish() takes a run of quarry_storage.run(…), a mapping or text, not {type(run).__name__}; of a Run publish "
            "quarry_storage.notification(run)"
        )
    return json.dumps(run.notification(minimal=form == "minimal")), message_attributes(run.value)


def _one_of(value: object, choices: Any, name: str) -> None:
    if value not in get_args(choices):
        raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(get_args(choices))}")


def _at_least(value: float, least: float, name: str, *, whole: bool = False) -> None:
    number = type(value) is int or (type(value) is float and not whole)
    if not number or not least <= value < float("inf"):
        raise ValueError(f"{name} is {value!r}; it must be a {'whole ' * whole}number and at least {least}")


def _field(record: Any, name: str) -> str:
    value = record.get(name) if isinstance(record, Mapping) else None
    if not isinstance(value, str):
        raise ValueError(f"a record without {name}: {record!r}"[:200] + "; give records as deliver() gives them")
    return value


def _queued(message: Mapping[str, Any]) -> QueuedMessage:
    return QueuedMessage(
        message_id=message["MessageId"],
        body=message["Body"],
        notification=_decoded(message["Body"]),
        receives=message["receives"],
        in_flight=message["in_flight"],
    )


def _decoded(body: str) -> Mapping[str, Any] | None:
    try:
        found = json.loads(body)
        if isinstance(found, Mapping) and found.get("Type") == "Notification":
            found = json.loads(found["Message"])
    except (ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, Mapping) else None
