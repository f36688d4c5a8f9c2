"""Events, and the records Quarry stores for them."""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pytest_quarry.contract.encoding import encode_line, encode_manifest, encode_meta
from pytest_quarry.contract.errors import ContractError

if TYPE_CHECKING:
    from pytest_quarry.contract.run import Artifact, Run

__all__ = [
    "CONTRACT_VERSION",
    "DROPPABLE",
    "TERMINAL",
    "Event",
    "EventType",
    "RecordKind",
    "artifact_chunks",
    "artifact_event",
    "encode_line",
    "encode_manifest",
    "encode_meta",
    "event_record",
    "metrics_record",
    "number_events",
]

CONTRACT_VERSION = "0.13.4"


class EventType(StrEnum):
    """The event types of contract 0.13; readers must accept others too."""

    ITEM = "item"
    ARTIFACT = "artifact"
    CHECKPOINT = "checkpoint"
    RUN_COMPLETE = "run_complete"
    RUN_ERROR = "run_error"
    LOG = "log"
    ENQUEUE = "enqueue"
    ROTATE_PROXY = "rotate_proxy"


class RecordKind(StrEnum):
    """What tells stored records apart: their ``record_kind``."""

    EVENT = "event"
    ARTIFACT_EVENT = "artifact_event"
    ARTIFACT_CHUNK = "artifact_chunk"
    METRICS = "metrics"


TERMINAL = frozenset({EventType.RUN_COMPLETE, EventType.RUN_ERROR})
"""The types that end a run: at most one such event, and it is last."""

DROPPABLE = frozenset({EventType.LOG, EventType.ENQUEUE, EventType.ROTATE_PROXY})
"""The types a policy may drop."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """One event of a run: the envelope every stored event has.

    ``seq`` counts from 1; ``ts`` is ISO 8601 in UTC; ``payload`` is an object or null; ``type`` may be unknown to
    contract 0.13. Whether it fits its run is checked by `Run`.
    """

    event_id: str
    run_id: str
    seq: int
    type: EventType | str
    ts: str
    payload: Mapping[str, Any] | None
    attempt: int = 1
    job_id: str | None = None
    parent_run_id: str | None = None
    contract_version: str = CONTRACT_VERSION


def number_events(
    run_id: str,
    bodies: Iterable[tuple[EventType | str, Mapping[str, Any] | None]],
    *,
    started_at: datetime,
    attempt: int = 1,
    job_id: str | None = None,
    parent_run_id: str | None = None,
) -> tuple[Event, ...]:
    """The events of a run from their types and payloads: ids, seq and times are filled in.

    Ids are ``ev-<run_id>-<seq, four digits>``; the n-th event is n quarters of a second after ``started_at`` (UTC).
    """
    return tuple(
        Event(
            event_id=f"ev-{run_id}-{seq:04d}",
            run_id=run_id,
            seq=seq,
            type=kind,
            ts=(started_at + seq * timedelta(milliseconds=250)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
            payload=payload,
            attempt=attempt,
            job_id=job_id,
            parent_run_id=parent_run_id,
        )
        for seq, (kind, payload) in enumerate(bodies, start=1)
    )


def event_record(run: "Run", event: Event) -> dict[str, Any]:
    """The record stored for an event, ready for `encode_line`.

    An artifact's commit event gives an `artifact_event` record, every other event the `event` record.
    """
    if event.type == EventType.ARTIFACT:
        return artifact_event(run, event)
    record = _envelope(run, event)
    record["record_kind"] = RecordKind.EVENT
    record["type"] = str(event.type)
    record["payload"] = event.payload
    return record


def artifact_event(run: "Run", event: Event) -> dict[str, Any]:
    """The commit record of an artifact: the payload's fields spread out, no ``type`` and no ``payload``.

    ``size_bytes`` is stored only where the script sent a float, and is 0 for whole numbers: so does Quarry, whose
    reader of payloads expects floats. Raises ContractError for an event of another type.
    """
    if event.type != EventType.ARTIFACT:
        raise ContractError(f"event {event.event_id!r}: type {event.type!r} has no artifact_event record")
    payload = event.payload or {}
    record = _envelope(run, event)
    record["record_kind"] = RecordKind.ARTIFACT_EVENT
    for name in ("artifact_id", "name", "content_type"):
        value = payload.get(name)
        record[name] = value if isinstance(value, str) else ""
    size = payload.get("size_bytes")
    record["size_bytes"] = int(size) if isinstance(size, float) else 0
    return record


def artifact_chunks(run: "Run", artifact: "Artifact", *, first_offset: int = 0) -> Iterator[dict[str, Any]]:
    """The chunk records of an artifact, in order; ``seq`` counts from 1 within the artifact.

    ``first_offset`` (bytes) shifts every offset, as a flush that was retried does.
    """
    offset = first_offset
    for number, data in enumerate(artifact.chunks, start=1):
        record: dict[str, Any] = {
            "record_kind": RecordKind.ARTIFACT_CHUNK,
            "event_type": EventType.ARTIFACT,
            "artifact_id": artifact.artifact_id,
            "seq": number,
            "is_last": artifact.complete and number == len(artifact.chunks),
            "offset": offset,
            "length": len(data),
            "data": base64.b64encode(data).decode(),
            **_partition(run),
        }
        if artifact.checksums:
            record["checksum"] = hashlib.md5(data, usedforsecurity=False).hexdigest()
            record["checksum_algo"] = "md5"
        offset += len(data)
        yield record


def metrics_record(
    run: "Run",
    *,
    writes: int,
    received: int | None = None,
    persisted: int | None = None,
    write_failures: int | None = None,
    failed: bool = False,
    storage_backend: str = "fs",
) -> dict[str, Any]:
    """The metrics record, written once after a run's last event.

    ``writes`` counts the write calls that succeeded before it. ``received`` and ``persisted`` (events),
    ``write_failures`` and ``failed`` override what the run says, for one whose policy fails while it is written.
    """
    succeeded = run.outcome == "success" and not failed
    crashed = run.outcome == "executor_crash" and not failed
    record: dict[str, Any] = {
        "record_kind": RecordKind.METRICS,
        "event_type": "metrics",
        "ts": run.ended_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "runs_started_total": 1,
        "runs_completed_total": int(succeeded),
        "runs_failed_total": int(not succeeded and not crashed),
        "runs_crashed_total": int(crashed),
        "events_received_total": run.event_count if received is None else received,
        "events_persisted_total": len(run.events) if persisted is None else persisted,
        "events_dropped_total": sum(run.dropped_by_type.values()),
        "executor_launch_success_total": 1,
        "executor_launch_failure_total": 0,
        "executor_crash_total": 0,
        "ipc_decode_errors_total": 0,
        "lode_write_success_total": writes,
        "lode_write_failure_total": run.failed_writes if write_failures is None else write_failures,
        "lode_write_retry_total": 0,
        "policy": str(run.policy),
        "executor": "executor.mjs",
        "storage_backend": storage_backend,
        **_partition(run),
    }
    if run.job_id is not None:
        record["job_id"] = run.job_id
    if run.dropped_by_type:
        record["dropped_by_type"] = dict(run.dropped_by_type)
    return record


def _partition(run: "Run") -> dict[str, Any]:
    return {"source": run.source, "category": run.category, "day": run.day, "run_id": run.run_id}


def _envelope(run: "Run", event: Event) -> dict[str, Any]:
    record: dict[str, Any] = {
        "contract_version": event.contract_version,
        "event_id": event.event_id,
        "seq": event.seq,
        "event_type": str(event.type),
        "ts": event.ts,
        "attempt": event.attempt,
        "policy": str(run.policy),
        **_partition(run),
    }
    if event.job_id is not None:
        record["job_id"] = event.job_id
    if event.parent_run_id is not None:
        record["parent_run_id"] = event.parent_run_id
    return record


def seq_gaps(events: Sequence[Event]) -> int:
    """How many numbers are missing from ``seq`` 1 up to the last event: the events a policy dropped."""
    return events[-1].seq - len(events) if events else 0
