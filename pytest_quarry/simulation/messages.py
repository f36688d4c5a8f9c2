"""What the bus hands to a consumer: notifications in every legal form, some in none, and what they travel in."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from pytest_quarry.bus.delivery import Message
from pytest_quarry.bus.topology import Topology
from pytest_quarry.contract import Layout, Run, lambda_event, lambda_record, sns_envelope
from pytest_quarry.contract.notification import minimal, run_completed
from pytest_quarry.simulation.schedule import Notify

SECOND = 1_000_000


def body(run: Run, step: Notify, *, root_url: str, layout: str, now: int) -> dict[str, Any] | str:
    """The notification of a run in the form the step asks for; `now` in microseconds. Text where it is not JSON."""
    make = minimal if step.form == "minimal" else run_completed
    found: dict[str, Any] = dict(make(run, root_url=root_url, timestamp=_stamp(now), layout=Layout(layout)))
    if step.outcome is not None:
        found["outcome"] = step.outcome
    match step.form:
        case "extra":
            found |= {"schema_hint": {"since": "0.14"}, "tags": ["nightly"], "priority": None}
        case "reordered":
            found = dict(reversed(found.items()))
        case "other-event":
            found["event_type"] = "run_started"
        case "not-json":
            return json.dumps(found)[:-20]
        case "missing-fields":
            found = {"event_type": found["event_type"], "timestamp": found["timestamp"]}
        case "wrong-types":
            found |= {"run_id": None, "storage_path": 17, "source": ["shop"], "outcome": {"is": "success"}}
        case "no-such-path":
            found["storage_path"] = str(found["storage_path"]).replace("/run_id=", "/gone/run_id=")
    return found


def is_sound(body: Any) -> TypeGuard[Mapping[str, Any]]:
    """Whether it is a notification that can be acted on."""
    return isinstance(body, Mapping) and isinstance(body.get("run_id"), str)


def queued(message: Message, topology: Topology) -> str:
    """The body of the message in the queue: an SNS envelope, unless delivery is raw."""
    if topology.raw:
        return message.text
    envelope = sns_envelope(
        message.text,
        message_id=message.identifier,
        topic_arn=topology.topic_arn,
        timestamp=_stamp(message.sent, "milliseconds"),
        attributes=message.attributes,
    )
    return json.dumps(envelope)


def event(batch: Sequence[Message], *, topology: Topology, first_received: Mapping[str, int]) -> Mapping[str, Any]:
    """The Lambda event of a batch; `first_received` says of each message when that was (µs), by its id."""
    return lambda_event([_record(message, topology, first_received[message.identifier]) for message in batch])


def _record(message: Message, topology: Topology, first_received: int) -> dict[str, Any]:
    record = lambda_record(
        queued(message, topology),
        message_id=message.identifier,
        receipt_handle=f"receipt-{message.number}-{message.receives}",
        queue_arn=topology.queue_arn,
        receive_count=message.receives,
        sent_ms=message.sent // 1000,
        received_ms=first_received // 1000,
        attributes=message.attributes if topology.raw else None,
    )
    if topology.fifo:
        record["attributes"] |= {
            "MessageGroupId": "runs",
            "MessageDeduplicationId": message.identifier,
            "SequenceNumber": f"{message.copy * 1000 + message.number:020d}",
        }
    return record


def _stamp(now: int, timespec: str = "seconds") -> str:
    moment = datetime.datetime.fromtimestamp(now / SECOND, datetime.UTC)
    return moment.isoformat(timespec=timespec).replace("+00:00", "Z")
