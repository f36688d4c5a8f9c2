"""What the reader finds: a run as it is in storage."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["StoredArtifact", "StoredEvent", "StoredRun", "StoredSidecar"]


@dataclass(frozen=True, kw_only=True)
class StoredEvent:
    """One stored event; of an artifact's commit record, ``payload`` holds the fields the record spreads out."""

    event_id: str
    run_id: str
    seq: int
    type: str
    ts: str
    payload: Mapping[str, Any] | None
    attempt: int
    job_id: str | None
    parent_run_id: str | None
    contract_version: str

    @property
    def data(self) -> Any:
        """An item's ``payload["data"]``; None where there is none."""
        return None if self.payload is None else self.payload.get("data")


@dataclass(frozen=True, kw_only=True)
class StoredArtifact:
    """A committed artifact, its bytes put together and checked; ``size_bytes`` is what its commit record claims."""

    artifact_id: str
    name: str
    content_type: str
    size_bytes: int | None
    data: bytes


@dataclass(frozen=True, kw_only=True)
class StoredSidecar:
    """A sidecar file that a committed manifest names; ``path`` as named there."""

    name: str
    path: str
    content_type: str | None
    data: bytes


@dataclass(frozen=True, kw_only=True)
class StoredRun:
    """A run as storage has it.

    ``state``: ``running`` (committed events, no end), ``finished`` (run_complete), ``failed`` (run_error, or the
    metrics say so), ``crashed`` (the metrics say so), ``uncommitted`` (no committed snapshot). ``outcome`` as far as
    the terminal event and the metrics tell, else None; a finished run can have the outcome ``policy_failure``.
    ``events`` are free of duplicates, by seq. ``complete_partitions`` is False where a committed snapshot lacks a
    partition's copy of its manifest: then a consumer may load the run or leave it. ``damage``: in words, with paths.
    """

    run_id: str
    source: str
    category: str
    day: str
    dataset: str
    state: str
    outcome: str | None
    attempt: int | None
    job_id: str | None
    parent_run_id: str | None
    policy: str | None
    events: tuple[StoredEvent, ...]
    artifacts: tuple[StoredArtifact, ...]
    sidecars: tuple[StoredSidecar, ...]
    metrics: Mapping[str, Any] | None
    complete_partitions: bool
    damage: tuple[str, ...]

    @property
    def items(self) -> tuple[StoredEvent, ...]:
        """The events of type item."""
        return tuple(event for event in self.events if event.type == "item")
