"""Copies of what a bus delivered, and look-alikes that are none of it: what is new about a copy is given, not drawn here."""

from __future__ import annotations

import copy
import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from pytest_quarry.bus import names
from pytest_quarry.contract import ContractError, Run, lambda_record, parse_notification, parse_sns, sns_envelope

__all__ = [
    "Message",
    "New",
    "identifier",
    "kind_of",
    "near_copies",
    "near_runs",
    "number_of",
    "record",
    "recounted",
    "redelivered",
    "renewed",
    "run_ids",
]

Message = Mapping[str, Any]
Kind = Literal["lambda event", "record", "envelope", "notification"]


@dataclass(frozen=True, kw_only=True)
class New:
    """What is new about a message that was published again.

    ``ids``: the number its message ids are made of; ``seconds`` by which it is later; ``turned``: how many keys moved
    from the front to the end; ``added``: fields that were not there.
    """

    ids: int
    seconds: int = 60
    turned: int = 0
    added: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def names(self) -> Iterator[str]:
        """Message ids, as many as are asked for."""
        number = self.ids
        while True:
            yield identifier(number)
            number += 1


def identifier(number: int) -> str:
    """The message id of a number: a UUID, as SNS and SQS have them."""
    return str(UUID(int=number % 2**128, version=4))


def number_of(message: object) -> int:
    """A number that stands for a message: other messages have others."""
    return int.from_bytes(hashlib.sha256(json.dumps(message, sort_keys=True).encode()).digest()[:15])


def kind_of(message: object) -> Kind:
    """What a message is. Raises ContractError where it is nothing a bus delivers."""
    if isinstance(message, Mapping):
        if isinstance(message.get("Records"), list):
            return "lambda event"
        if "messageId" in message and "body" in message:
            return "record"
        if message.get("Type") == "Notification":
            return "envelope"
        if "event_type" in message:
            return "notification"
        what = f"an object with {', '.join(sorted(map(str, message))) or 'nothing in it'}"
    else:
        what = f"of type {type(message).__name__}"
    raise ContractError(
        f"the message is {what}; give a decoded run_completed, an SNS envelope around it, a Lambda event or one of its records"
    )


def record(notification: Message, *, number: int, receives: int = 1, raw: bool = False) -> dict[str, Any]:
    """The SQS record that carries a notification, in an SNS envelope unless ``raw``; ids are made of ``number``."""
    told = parse_notification(notification)
    sent = datetime.fromisoformat(told.timestamp).astimezone(UTC)
    values = {"run_id": told.run_id, "source": told.source, "outcome": told.outcome}
    attributes = {name: {"DataType": "String", "StringValue": value} for name, value in values.items()}
    body = json.dumps(notification)
    if not raw:
        envelope = sns_envelope(
            body,
            message_id=identifier(number + 1),
            topic_arn=names.TOPIC_ARN,
            timestamp=sent.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            attributes=attributes,
        )
        body = json.dumps(envelope)
    return lambda_record(
        body,
        message_id=identifier(number),
        receipt_handle=_receipt(identifier(number), receives),
        queue_arn=names.QUEUE_ARN,
        receive_count=receives,
        sent_ms=round(sent.timestamp() * 1000),
        attributes=attributes if raw else None,
    )


def redelivered(message: Message) -> dict[str, Any]:
    """The same message, received once more: SQS changes its receipt handle and its count, nothing else."""
    kind = kind_of(message)
    again = copy.deepcopy(dict(message))
    if kind == "lambda event":
        again["Records"] = [redelivered(one) for one in message["Records"]]
    elif kind == "record":
        attributes = again.setdefault("attributes", {})
        receives = int(attributes.get("ApproximateReceiveCount", "1")) + 1
        attributes["ApproximateReceiveCount"] = str(receives)
        again["receiptHandle"] = _receipt(again["messageId"], receives)
    return again


def recounted(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """Messages in the order they are received, with SQS's counts and receipt handles as they then are."""
    seen: dict[str, int] = {}
    found = [copy.deepcopy(dict(message)) for message in messages]
    for message in found:
        if "Records" in message:  # one record twice in a batch is one object, also in a deep copy
            message["Records"] = [copy.deepcopy(one) for one in message["Records"]]
        for one in message.get("Records", [message]):
            if "messageId" not in one:
                continue
            name, attributes = one["messageId"], one.setdefault("attributes", {})
            if name in seen:
                seen[name] += 1
                attributes["ApproximateReceiveCount"] = str(seen[name])
                one["receiptHandle"] = _receipt(name, seen[name])
            else:
                seen[name] = int(attributes.get("ApproximateReceiveCount", "1"))
    return found


def renewed(message: Message, new: New) -> dict[str, Any]:
    """The same news, published once more: another message to the bus, of the same run.

    Raises ContractError where no notification is in it.
    """
    return _renewed(message, new, new.names())


def _renewed(message: Message, new: New, ids: Iterator[str]) -> dict[str, Any]:
    kind = kind_of(message)
    again = copy.deepcopy(dict(message))
    if kind == "lambda event":
        again["Records"] = [_renewed(one, new, ids) for one in message["Records"]]
        return again
    if kind == "record":
        name = next(ids)
        sent = int(again.get("attributes", {}).get("SentTimestamp", "0")) + new.seconds * 1000
        fresh = lambda_record(
            json.dumps(_renewed(_decoded(again["body"]), new, ids)),
            message_id=name,
            receipt_handle=_receipt(name, 1),
            queue_arn=again.get("eventSourceARN", names.QUEUE_ARN),
            sent_ms=sent,
        )
        return {**fresh, "messageAttributes": again.get("messageAttributes", {})}
    if kind == "envelope":
        inner = _renewed(_decoded(parse_sns(again).message), new, ids)
        again |= {"MessageId": next(ids), "Timestamp": _later(again["Timestamp"], new), "Message": json.dumps(inner)}
        return _turned(again, new.turned)
    parse_notification(again)
    again["timestamp"] = _later(again["timestamp"], new)
    return _turned({**again, **{name: value for name, value in new.added.items() if name not in again}}, new.turned)


def run_ids(message: Message) -> tuple[str, ...]:
    """The runs a message is about. Raises ContractError where no notification is in it."""
    kind = kind_of(message)
    if kind == "lambda event":
        return tuple(run_id for one in message["Records"] for run_id in run_ids(one))
    if kind == "record":
        return run_ids(_decoded(message["body"]))
    if kind == "envelope":
        return run_ids(_decoded(parse_sns(message).message))
    return (parse_notification(message).run_id,)


def near_copies(notification: Message) -> dict[str, dict[str, Any]]:
    """Notifications of other runs that look like this one's, by what is alike. Raises ContractError if it is none."""
    told = parse_notification(notification)
    found: dict[str, dict[str, Any]] = {}
    for why, run_id in _near_ids(told.run_id, told.extra.get("parent_run_id")).items():
        other = copy.deepcopy(dict(notification))
        other |= {"run_id": run_id, "storage_path": _moved(told.storage_path, told.run_id, run_id)}
        if why == RETRY:
            other |= {"attempt": (told.attempt or 1) + 1, "parent_run_id": told.run_id}
            other.setdefault("job_id", "job-1")
        found[why] = other
    return found


def near_runs(run: Run) -> dict[str, Run]:
    """Other runs that look like this one, by what is alike: same items, event ids, day, source and job."""
    found: dict[str, Run] = {}
    for why, run_id in _near_ids(run.run_id, run.parent_run_id).items():
        who: dict[str, Any] = {"run_id": run_id}
        if why == RETRY:
            job = "job-1" if run.job_id is None else run.job_id
            who |= {"attempt": run.attempt + 1, "parent_run_id": run.run_id, "job_id": job}
        found[why] = replace(run, **who, events=tuple(replace(event, **who) for event in run.events))
    return found


RETRY = "a retry of it"


def _near_ids(run_id: str, parent: str | None) -> dict[str, str]:
    """Run ids that are easily taken for this one, none of them its parent's, which is another run already."""
    separators = str.maketrans("-_.", "_-_")
    candidates = {
        "one character more": f"{run_id}0",
        "one character less": run_id[:-1],
        "something before it": f"a-{run_id}",
        "equal behind a slash": f"eu/{run_id}",
        "equal but for case": run_id.swapcase(),
        "equal but for punctuation": run_id.translate(separators),
        "equal but for a space": f"{run_id} ",
        "equal in another form": next((form for form in _forms(run_id) if form != run_id), ""),
        "equal as a number": f"0{run_id}" if re.fullmatch("[0-9]+", run_id) else "",
        "same day, source and job": "another-run" if run_id != "another-run" else "yet-another-run",
        RETRY: _counted_up(run_id),
    }
    return {why: other for why, other in candidates.items() if other and other not in (run_id, parent)}


def _forms(text: str) -> list[str]:
    """A text as Unicode composes its accents, and as it takes them apart."""
    return [unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)]


def _counted_up(run_id: str) -> str:
    """As teams name attempts: run-1 becomes run-1-attempt-2."""
    found = re.fullmatch(r"(.*-attempt-)([0-9]{1,9})", run_id, re.DOTALL)
    return f"{found[1]}{int(found[2]) + 1}" if found else f"{run_id}-attempt-2"


def _moved(path: str, old: str, new: str) -> str:
    if path.endswith(f"run_id={old}"):
        return path.removesuffix(old) + new
    head, mark, _ = path.rpartition("run_id=")
    return f"{head}{mark}{new}" if mark else path


def _decoded(text: str) -> Message:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ContractError(f"the body of a message is not JSON: {error}") from None
    kind_of(found)
    return dict(found)


def _later(timestamp: str, new: New) -> str:
    moment = datetime.fromisoformat(timestamp) + timedelta(seconds=new.seconds)
    return moment.isoformat(timespec="milliseconds" if "." in timestamp else "seconds").replace("+00:00", "Z")


def _turned(message: dict[str, Any], by: int) -> dict[str, Any]:
    keys = list(message)
    by %= len(keys)
    return {key: message[key] for key in (*keys[by:], *keys[:by])}


def _receipt(message_id: str, receives: int) -> str:
    return f"receipt-{message_id}-{receives}"
