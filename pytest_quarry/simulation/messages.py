"""What the bus hands to a consumer: notifications in every legal form, and the Lambda event around them."""

from __future__ import annotations

import copy
import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_quarry.bus import names
from pytest_quarry.bus.delivery import Message
from pytest_quarry.contract import Layout, Run, lambda_event, lambda_record, sns_envelope
from pytest_quarry.contract.notification import minimal, run_completed
from pytest_quarry.simulation.schedule import Notify

SECOND = 1_000_000


def body(run: Run, step: Notify, *, root_url: str, layout: str, now: int) -> dict[str, Any]:
    """The notification of a run in the form the step asks for; `now` in microseconds."""
    make = minimal if step.form == "minimal" else run_completed
    found = copy.deepcopy(make(run, root_url=root_url, timestamp=_stamp(now), layout=Layout(layout)))
    if step.outcome is not None:
        found["outcome"] = step.outcome
    if step.form == "extra":
        found |= {"schema_hint": {"since": "0.14"}, "tags": ["nightly"], "priority": None}
    elif step.form == "reordered":
        found = dict(reversed(found.items()))
    elif step.form == "other-event":
        found["event_type"] = "run_started"
    return found


def identifier(message: Message) -> str:
    """The message id, the same at every delivery."""
    return f"00000000-0000-4000-8000-{message.number:012d}"


def event(messages: Sequence[Message], *, raw: bool, now: int) -> Mapping[str, Any]:
    """The Lambda event of a batch; unless delivery is raw, each body is an SNS envelope."""
    return lambda_event([_record(message, raw, now) for message in messages])


def _record(message: Message, raw: bool, now: int) -> dict[str, Any]:
    text = json.dumps(message.body)
    if not raw:
        envelope = sns_envelope(
            text,
            message_id=identifier(message),
            topic_arn=names.TOPIC_ARN,
            timestamp=_stamp(message.sent, "milliseconds"),
            attributes=message.attributes,
        )
        text = json.dumps(envelope)
    return lambda_record(
        text,
        message_id=identifier(message),
        receipt_handle=f"receipt-{message.number}-{message.receives}",
        queue_arn=names.QUEUE_ARN,
        receive_count=message.receives,
        sent_ms=message.sent // 1000,
        received_ms=now // 1000,
        attributes=message.attributes if raw else None,
    )


def _stamp(now: int, timespec: str = "seconds") -> str:
    moment = datetime.datetime.fromtimestamp(now / SECOND, datetime.UTC)
    return moment.isoformat(timespec=timespec).replace("+00:00", "Z")
