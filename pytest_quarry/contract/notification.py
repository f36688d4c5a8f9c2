"""The notification ``run_completed``: build, parse, validate."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from pytest_quarry.contract.errors import ContractError
from pytest_quarry.contract.layout import Layout, storage_path
from pytest_quarry.contract.records import CONTRACT_VERSION
from pytest_quarry.contract.run import Outcome, Run

__all__ = ["EVENT_TYPE", "OUTCOMES", "Notification", "minimal", "parse_notification", "run_completed"]

EVENT_TYPE = "run_completed"

OUTCOMES = frozenset({*Outcome, "error"})
"""The outcomes a notification may name: Quarry's five, and the ``error`` of its published examples."""

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_REQUIRED = ("run_id", "source", "day", "outcome", "storage_path", "timestamp")
_TEXT = (*_REQUIRED, "category", "contract_version", "job_id")
_COUNTS = ("attempt", "event_count", "duration_ms")


def run_completed(
    run: Run,
    *,
    root_url: str,
    timestamp: str | datetime,
    event_count: int | None = None,
    layout: Layout = Layout.LODE,
) -> dict[str, Any]:
    """The full payload Quarry sends when a run ended, whatever its outcome.

    ``root_url`` as in `storage_path`; ``timestamp`` is when it is published (UTC); ``event_count`` overrides the run's.
    """
    message: dict[str, Any] = {
        "contract_version": CONTRACT_VERSION,
        **minimal(run, root_url=root_url, timestamp=timestamp, layout=layout),
    }
    message["category"] = run.category
    if run.job_id is not None:
        message["job_id"] = run.job_id
    message["attempt"] = run.attempt
    message["event_count"] = run.event_count if event_count is None else event_count
    message["duration_ms"] = run.duration_ms
    return {name: message[name] for name in _ORDER if name in message}


_ORDER = (
    "contract_version", "event_type", "run_id", "source", "category", "day", "outcome", "storage_path", "timestamp",
    "job_id", "attempt", "event_count", "duration_ms",
)  # fmt: skip


def minimal(run: Run, *, root_url: str, timestamp: str | datetime, layout: Layout = Layout.LODE) -> dict[str, Any]:
    """The minimal payload of Quarry's integration guide: no version, category, job, attempt or counts."""
    return {
        "event_type": EVENT_TYPE,
        "run_id": run.run_id,
        "source": run.source,
        "day": run.day,
        "outcome": str(run.outcome),
        "storage_path": storage_path(run, root_url, layout=layout),
        "timestamp": timestamp if isinstance(timestamp, str) else _utc(timestamp),
    }


@dataclass(frozen=True, kw_only=True)
class Notification:
    """A valid ``run_completed`` message; fields the minimal payload lacks may be None, unknown ones are in ``extra``."""

    run_id: str
    source: str
    day: str
    outcome: str
    storage_path: str
    timestamp: str
    category: str | None = None
    contract_version: str | None = None
    job_id: str | None = None
    attempt: int | None = None
    event_count: int | None = None
    duration_ms: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])


def parse_notification(message: Mapping[str, Any] | str | bytes) -> Notification:
    """The notification in a message body. Raises ContractError naming the field that is missing or wrong.

    Unknown fields are kept, other ``event_type`` values refused. An SNS envelope is not unwrapped: see `parse_sns`.
    """
    fields = _object(message)
    if fields.get("event_type") != EVENT_TYPE:
        raise ContractError(f"event_type is {fields.get('event_type')!r}; a notification of Quarry says {EVENT_TYPE!r}")
    for name in _REQUIRED:
        if fields.get(name) is None:
            raise ContractError(f"{name} is missing; the fields are {', '.join(sorted(fields))}")
    for name in _TEXT:
        value = fields.get(name)
        if value is not None and (not isinstance(value, str) or (not value and name != "category")):
            raise ContractError(f"{name} is {value!r}; it must be a non-empty string")
    for name in _COUNTS:
        value = fields.get(name)
        least = int(name == "attempt")
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
            raise ContractError(f"{name} is {value!r}; it must be a whole number, at least {least}")
    _check_values(fields)
    known = {name: fields[name] for name in (*_TEXT, *_COUNTS) if name in fields}
    extra = {name: value for name, value in fields.items() if name not in known and name != "event_type"}
    return Notification(**known, extra=extra)


def _check_values(fields: Mapping[str, Any]) -> None:
    if fields["outcome"] not in OUTCOMES:
        raise ContractError(f"outcome is {fields['outcome']!r}; known are {', '.join(sorted(OUTCOMES))}")
    try:
        if not _DAY.fullmatch(fields["day"]):
            raise ValueError
        date.fromisoformat(fields["day"])
    except ValueError:
        raise ContractError(f"day is {fields['day']!r}; it must be a date YYYY-MM-DD") from None
    path = fields["storage_path"]
    if not path.startswith(("file:///", "s3://")):
        raise ContractError(f"storage_path is {path!r}; it must be file:///… or s3://…")
    try:
        zone = datetime.fromisoformat(fields["timestamp"]).utcoffset()
    except ValueError:
        zone = None
    if zone is None or zone:
        raise ContractError(f"timestamp is {fields['timestamp']!r}; it must be ISO 8601 in UTC")


def _object(message: Mapping[str, Any] | str | bytes) -> Mapping[str, Any]:
    value: Any = message
    if isinstance(message, str | bytes):
        try:
            value = json.loads(message)
        except (ValueError, RecursionError) as error:
            raise ContractError(f"the message is not JSON: {error}") from None
    if not isinstance(value, Mapping):
        raise ContractError(f"the message is a {type(value).__name__}; it must be a JSON object")
    return value


def _utc(moment: datetime) -> str:
    if moment.utcoffset() is None:
        raise ContractError(f"timestamp {moment} has no time zone; give it in UTC")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
