"""A run of Quarry as a value: who it is, what it emitted, how it ended."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum

from pytest_quarry.contract.errors import ContractError, choose
from pytest_quarry.contract.records import TERMINAL, Event, EventType, seq_gaps
from pytest_quarry.contract.rules import check_bytes, check_run

__all__ = ["Artifact", "FlushMode", "Outcome", "Policy", "Run", "Sidecar"]

CHUNK_BYTES = 8 * 1024 * 1024
"""The size of the chunks Quarry's executor sends."""


class Outcome(StrEnum):
    """How a run ended, as its notification says."""

    SUCCESS = "success"
    SCRIPT_ERROR = "script_error"
    EXECUTOR_CRASH = "executor_crash"
    POLICY_FAILURE = "policy_failure"
    VERSION_MISMATCH = "version_mismatch"


class Policy(StrEnum):
    """When a run's events reach storage: each at once, all at the end, or some at a time."""

    STRICT = "strict"
    BUFFERED = "buffered"
    STREAMING = "streaming"


class FlushMode(StrEnum):
    """In which order the buffered policy writes, and what it repeats when a write fails.

    ``at_least_once`` (the default) writes events, then chunks, and repeats both; ``chunks_first`` writes chunks, then
    events; ``two_phase`` writes events, then chunks, and repeats only what failed.
    """

    AT_LEAST_ONCE = "at_least_once"
    CHUNKS_FIRST = "chunks_first"
    TWO_PHASE = "two_phase"


_CHOICES: tuple[tuple[str, type[StrEnum]], ...] = (
    ("policy", Policy),
    ("flush_mode", FlushMode),
    ("outcome", Outcome),
)


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """Bytes a script sent in chunks; its commit is an ``artifact`` event of the run with the same ``artifact_id``.

    Without such an event it is an orphan. ``after_seq``: sent after the event with that seq; None means just before
    its commit event, or, for an orphan, before the terminal event. ``complete=False``: the last chunk never came.
    """

    artifact_id: str
    chunks: tuple[bytes, ...]
    after_seq: int | None = None
    complete: bool = True
    checksums: bool = False

    @classmethod
    def of(cls, artifact_id: str, data: bytes, *, chunk_bytes: int = CHUNK_BYTES) -> "Artifact":
        """The artifact that holds ``data``, cut into chunks of ``chunk_bytes``; an empty one has one empty chunk.

        Raises ContractError for what is no bytes, and chunks of no size.
        """
        check_bytes(data, f"artifact {artifact_id!r}: data")
        if type(chunk_bytes) is not int or chunk_bytes < 1:
            raise ContractError(
                f"artifact {artifact_id!r}: chunk_bytes is {chunk_bytes!r}; a chunk has one byte or more"
            )
        parts = [data[at : at + chunk_bytes] for at in range(0, len(data), chunk_bytes)]
        return cls(artifact_id=artifact_id, chunks=tuple(parts or [b""]))

    @property
    def data(self) -> bytes:
        """All its bytes."""
        return b"".join(self.chunks)


@dataclass(frozen=True, kw_only=True)
class Sidecar:
    """A file a script put beside its events; written after the event with seq ``after_seq`` (0: before the first)."""

    name: str
    data: bytes
    content_type: str = "application/octet-stream"
    after_seq: int = 0


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run. Building one that Quarry could not have produced raises ContractError with the rule.

    ``events`` are those that were persisted, in order of ``seq``. ``dropped`` counts events the policy dropped, by
    type; where it is empty, gaps in ``seq`` count as dropped ``log`` events. ``lost`` counts events received and never
    persisted because the policy failed; ``write_failures`` counts the writes that failed, that of a failing
    policy included.
    ``started_at`` is UTC, midnight of ``day`` if absent. ``flush_mode`` matters to the buffered policy; ``flush_count``
    (events per flush; None: any number) and ``flush_interval`` (seconds between flushes; None: no interval) to the
    streaming one. Policies, flush modes and outcomes may be given by name. Rules: Quarry 0.13's contracts of run, emit
    and policy.
    """

    run_id: str
    source: str
    category: str = "default"
    day: str
    dataset: str = "quarry"
    job_id: str | None = None
    attempt: int = 1
    parent_run_id: str | None = None
    policy: Policy = Policy.STRICT
    flush_mode: FlushMode = FlushMode.AT_LEAST_ONCE
    flush_count: int | None = 2
    flush_interval: float | None = None
    outcome: Outcome = Outcome.SUCCESS
    events: tuple[Event, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    sidecars: tuple[Sidecar, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict[str, int])
    lost: int = 0
    write_failures: int = 0
    started_at: datetime | None = None
    duration_ms: int = 1500
    metrics: bool = True

    def __post_init__(self) -> None:
        for name in ("events", "artifacts", "sidecars"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name, choices in _CHOICES:
            value = getattr(self, name)
            if type(value) is not choices:
                object.__setattr__(self, name, choose(choices, value, name))
        check_run(self)

    @property
    def terminal(self) -> Event | None:
        """The event that ended the run, or None."""
        return self.events[-1] if self.events and self.events[-1].type in TERMINAL else None

    @property
    def items(self) -> tuple[Event, ...]:
        """The events a consumer loads."""
        return tuple(event for event in self.events if event.type == EventType.ITEM)

    @property
    def dropped_by_type(self) -> Mapping[str, int]:
        """How many events the policy dropped, by type; empty where it dropped none."""
        gaps = seq_gaps(self.events)
        return self.dropped or ({str(EventType.LOG): gaps} if gaps else {})

    @property
    def event_count(self) -> int:
        """Events Quarry received: the persisted, the dropped and the lost; what its notification says."""
        return len(self.events) + sum(self.dropped_by_type.values()) + self.lost

    @property
    def failed_writes(self) -> int:
        """Failed writes in its metrics: a policy fails because a write did, so at least one then."""
        return max(self.write_failures, int(self.outcome == Outcome.POLICY_FAILURE))

    @property
    def begun_at(self) -> datetime:
        """When it started, UTC."""
        return self.started_at or datetime.combine(date.fromisoformat(self.day), time(), UTC)

    @property
    def ended_at(self) -> datetime:
        """When it ended, UTC: its start and ``duration_ms``."""
        return self.begun_at + timedelta(milliseconds=self.duration_ms)
