"""One run, told as it happens: what it emitted, and how it ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Unpack, cast
from uuid import NAMESPACE_OID, uuid5

from pytest_quarry.contract.encoding import encode_line
from pytest_quarry.contract.errors import ContractError, choose
from pytest_quarry.contract.records import DROPPABLE, Event, EventType, event_record
from pytest_quarry.contract.rules import check_start, check_text
from pytest_quarry.contract.run import CHUNK_BYTES, Artifact, Outcome, Policy, Run, Sidecar
from pytest_quarry.storage.clock import moment, on_day
from pytest_quarry.storage.flushes import Emitted, check_repeats
from pytest_quarry.storage.live import live_run
from pytest_quarry.storage.run_fields import FIELDS, RunFields, seconds_off
from pytest_quarry.storage.windows import WINDOWS

if TYPE_CHECKING:
    from pytest_quarry.storage.story import Storage

__all__ = ["RunStory"]


class RunStory:
    """A run in progress, told event by event; `Storage.run` begins one.

    Each event reaches storage when the run's policy says: under ``strict``, the default, at once. Every method raises
    ContractError for what Quarry could not have produced, and once the run is over.
    """

    def __init__(self, storage: Storage, run_id: str, **fields: Unpack[RunFields]) -> None:
        unknown = sorted(set(fields) - set(FIELDS))
        if unknown:
            raise ContractError(f"run {run_id!r}: {', '.join(unknown)} unknown; a run takes {', '.join(FIELDS)}")
        self._storage = storage
        self._fields: dict[str, Any] = dict(fields)
        self._clock_off = seconds_off(fields.get("clock_off", 0.0))
        self._seq = 0
        self._events: list[Event] = []
        self._artifacts: list[Artifact] = []
        self._sidecars: list[Sidecar] = []
        self._dropped: dict[str, int] = {}
        self._children = 0
        self._over: str | None = None
        self._paused = False
        self._told: Run | None = None
        self._head = self._begin(run_id)
        self._live = live_run(storage._writer(), self._head)

    def __repr__(self) -> str:
        return f"<run {self.run_id!r}: {self._over or 'running'}, {len(self._events)} events>"

    @property
    def run_id(self) -> str:
        """Its id."""
        return self._head.run_id

    def notification(self, *, minimal: bool = False) -> dict[str, Any]:
        """Its ``run_completed`` message, as `Storage.notification` gives it."""
        return self._storage.notification(self, minimal=minimal)

    @property
    def notified(self) -> bool:
        """Whether Quarry announces it: it is over, and Quarry did not die with it."""
        return self._over is not None and self._over.startswith("ended")

    @property
    def events(self) -> tuple[Event, ...]:
        """What it emitted so far, without what was dropped."""
        return tuple(self._events)

    @property
    def items(self) -> tuple[Event, ...]:
        """The items among its events."""
        return tuple(event for event in self._events if event.type == EventType.ITEM)

    @property
    def value(self) -> Run:
        """The whole run, once it is over."""
        if self._told is None:
            raise ContractError(f"run {self.run_id!r} is still running; end it with {_ENDS}")
        return self._told

    # What it emits.

    def item(self, data: Mapping[str, Any], *, item_type: str = "item") -> Event:
        """Emit an item: what consumers load."""
        if not isinstance(data, Mapping):
            raise ContractError(f"run {self.run_id!r}: an item's data is {data!r}; it must be an object")
        return self.event(EventType.ITEM, {"item_type": item_type, "data": data})

    def items_of(self, many: Iterable[Mapping[str, Any]], *, item_type: str = "item") -> tuple[Event, ...]:
        """Emit several items."""
        return tuple(self.item(data, item_type=item_type) for data in many)

    def log(self, message: str, *, level: str = "info", fields: Mapping[str, Any] | None = None) -> Event:
        """Emit a log line; ``level``: debug, info, warn, error."""
        if level not in ("debug", "info", "warn", "error"):
            raise ContractError(f"level {level!r} is unknown; there are 'debug', 'info', 'warn', 'error'")
        return self.event(EventType.LOG, {"level": level, "message": message, **_given(fields=fields)})

    def checkpoint(self, checkpoint_id: str | None = None, *, note: str | None = None) -> Event:
        """Emit a checkpoint of the script."""
        name = f"checkpoint-{self._seq + 1}" if checkpoint_id is None else checkpoint_id
        return self.event(EventType.CHECKPOINT, {"checkpoint_id": name, **_given(note=note)})

    def enqueue(
        self,
        target: str,
        params: Mapping[str, Any] | None = None,
        *,
        source: str | None = None,
        category: str | None = None,
    ) -> Event:
        """Ask for more work; the run it leads to is told with `fan_out`."""
        given = _given(source=source, category=category)
        return self.event(EventType.ENQUEUE, {"target": target, "params": params or {}, **given})

    def rotate_proxy(self, reason: str | None = None) -> Event:
        """Ask for another proxy."""
        return self.event(EventType.ROTATE_PROXY, _given(reason=reason))

    def artifact(
        self,
        name: str,
        data: bytes,
        *,
        content_type: str = "application/octet-stream",
        artifact_id: str | None = None,
        chunk_bytes: int = CHUNK_BYTES,
        checksums: bool = False,
        committed: bool = True,
        complete: bool = True,
    ) -> Artifact:
        """Send a file in chunks, and commit it; not ``committed``: an orphan; not ``complete``: its end never came."""
        self._check_running()
        check_text(name, f"run {self.run_id!r}: name of an artifact")
        whole = Artifact.of(artifact_id or f"artifact-{len(self._artifacts) + 1}", data, chunk_bytes=chunk_bytes)
        artifact = replace(whole, after_seq=self._seq, checksums=checksums, complete=complete)
        if any(artifact.artifact_id == other.artifact_id for other in self._artifacts):
            raise ContractError(
                f"run {self.run_id!r}: artifact_id {artifact.artifact_id!r} twice; ids are unique within a run"
            )
        payload = {
            "artifact_id": artifact.artifact_id,
            "name": name,
            "content_type": content_type,
            "size_bytes": len(data),
        }
        event = self._next(EventType.ARTIFACT, payload) if committed else None
        self._check(events=(event,) if event else (), artifacts=(replace(artifact, after_seq=None),))
        self._artifacts.append(artifact)
        self._write(artifact)
        if event:
            self._emit(event)
        return artifact

    def sidecar(self, name: str, data: bytes, *, content_type: str = "application/octet-stream") -> Sidecar:
        """Put a file beside the events; it is stored at once, and listed with the next event that is flushed."""
        self._check_running()
        sidecar = Sidecar(name=name, data=data, content_type=content_type, after_seq=self._seq)
        self._check(sidecars=(*self._sidecars, sidecar))
        self._sidecars.append(sidecar)
        self._write(sidecar)
        return sidecar

    def event(self, event_type: EventType | str, payload: Mapping[str, Any] | None = None) -> Event:
        """Emit an event of any type, unknown ones too; those that end a run have methods of their own."""
        self._check_running()
        if event_type in ("run_complete", "run_error", "artifact"):
            raise ContractError(f"event type {event_type!s}: tell it with complete(), fail() or artifact()")
        event = self._next(event_type, payload)
        self._check(events=(event,))
        self._emit(event)
        return event

    def drop(self, event_type: EventType | str = EventType.LOG, count: int = 1) -> None:
        """The buffered policy drops ``count`` events: they take numbers in ``seq`` and are nowhere."""
        self._check_running()
        if type(count) is not int:
            raise ContractError(f"run {self.run_id!r}: count is {count!r}; it must be a whole number")
        if event_type not in DROPPABLE or count < 1 or self._head.policy != Policy.BUFFERED:
            raise ContractError(
                f"run {self.run_id!r}: {count} of {event_type!s} dropped under {self._head.policy!s}; the buffered policy "
                f"drops {', '.join(sorted(DROPPABLE))}, one or more"
            )
        self._seq += count
        self._dropped[str(event_type)] = self._dropped.get(str(event_type), 0) + count

    # How it ends.

    def complete(self, summary: Mapping[str, Any] | None = None, *, flush_twice: bool = False) -> Run:
        """It ended well. ``flush_twice``: the buffered policy's flush failed and was retried whole."""
        if flush_twice:
            check_repeats(self._head)
        return self._end(Outcome.SUCCESS, self._terminal("run_complete", _given(summary=summary)), twice=flush_twice)

    def skip(self, reason: str | None = None) -> Run:
        """It found nothing to do, before any work."""
        self._check_running()
        if self._events or self._seq:
            raise ContractError(
                f"run {self.run_id!r} has done something ({self._seq} events); a run skips itself before any work"
            )
        summary = {"skipped": True, **_given(reason=reason)}
        return self._end(Outcome.SUCCESS, self._terminal("run_complete", {"summary": summary}))

    def fail(self, error_type: str = "Error", message: str = "", *, stack: str | None = None) -> Run:
        """Its script raised."""
        payload = {"error_type": error_type, "message": message, **_given(stack=stack)}
        return self._end(Outcome.SCRIPT_ERROR, self._terminal("run_error", payload))

    def end(self, outcome: Outcome | str, *, lost: int = 0) -> Run:
        """It ended so, with the terminal event this outcome has; ``lost`` events were received and never stored."""
        chosen = choose(Outcome, outcome, "outcome")
        ending = {Outcome.SUCCESS: "run_complete", Outcome.SCRIPT_ERROR: "run_error"}.get(chosen)
        payload = {"error_type": "Error", "message": ""} if ending == "run_error" else {}
        return self._end(chosen, self._terminal(ending, payload) if ending else None, lost=lost)

    def crash(
        self, *, window: str | None = None, during: str = "run_complete", payload: Mapping[str, Any] | None = None
    ) -> Run:
        """Without ``window``: the script's process crashed, and Quarry stored that. With one: Quarry itself died there.

        It died in the write call of the run's last event, of type ``during`` with ``payload``; or, ``during="metrics"``,
        after run_complete, in that of the metrics record. The windows are those of `WINDOWS`; in ``w9`` Quarry lives, and the run is a
        policy_failure. `resume` goes on from there.
        """
        if window is None:
            if during != "run_complete" or payload is not None:
                given = f"payload={payload!r}" if during == "run_complete" else f"during={during!r}"
                raise ContractError(f"run {self.run_id!r}: {given} needs a window, one of {', '.join(WINDOWS)}")
            return self._end(Outcome.EXECUTOR_CRASH, None)
        if window not in WINDOWS:
            raise ContractError(f"window {window!r} is unknown; the windows are {', '.join(WINDOWS)}")
        kind = "run_complete" if during == "metrics" else during
        outcome = {"run_complete": Outcome.SUCCESS, "run_error": Outcome.SCRIPT_ERROR}.get(kind, Outcome.EXECUTOR_CRASH)
        event = self._terminal(kind, payload or {})
        return self._end(outcome, event, window=window, in_metrics=during == "metrics")

    def resume(self) -> None:
        """Go on after `crash` with a window, as if Quarry had not died; after ``w9``: the flush while closing."""
        if not self._paused:
            raise ContractError(
                f"run {self.run_id!r} {self._over or 'is running'}; a run goes on after crash(window=…)"
            )
        with self._storage._as(self._clock_off):
            self._live.resume()
        self._paused = False
        self._over = f"ended as {self.value.outcome!s}"

    def leave_running(self) -> RunStory:
        """It is still running, and stays so: nothing is written."""
        self._check_running()
        return self

    def retry(self, run_id: str, **fields: Unpack[RunFields]) -> RunStory:
        """Begin the next attempt of the same job: all as in this run, but for what ``fields`` says."""
        start = {
            name: value for name, value in self._fields.items() if name not in ("day", "started_at", "duration_ms")
        }
        lineage = {"attempt": self._head.attempt + 1, "parent_run_id": self.run_id}
        return self._storage.run(run_id, **cast(RunFields, {**start, **lineage, **fields}))

    def fan_out(self, run_id: str | None = None, **fields: Unpack[RunFields]) -> RunStory:
        """Begin a run this one enqueued: another id (a UUID), no parent; nobody is notified of it."""
        self._children += 1
        name = str(uuid5(NAMESPACE_OID, f"{self.run_id}/{self._children}")) if run_id is None else run_id
        kept = ("source", "category", "policy", "flush_mode", "flush_count", "flush_interval", "dataset")
        start = {field: value for field, value in self._fields.items() if field in kept}
        return self._storage.run(name, **cast(RunFields, {**start, **fields}))

    # Within.

    def _begin(self, run_id: str) -> Run:
        now = self._now()
        day: str | None = self._fields.get("day")
        started: datetime = self._fields.get("started_at") or on_day(day, now)
        check_start(started, f"run {run_id!r}")
        self._shift = started - now
        values = {name: value for name, value in self._fields.items() if name not in ("clock_off", "started_at", "day")}
        # Nothing is known of its end yet: this outcome allows any.
        start: dict[str, Any] = {
            "source": "shop",
            **values,
            "run_id": run_id,
            "day": day or started.astimezone(UTC).date().isoformat(),
            "started_at": started,
            "outcome": Outcome.POLICY_FAILURE,
        }
        return Run(**start)

    def _now(self) -> datetime:
        with self._storage._as(self._clock_off):
            nanoseconds = self._storage._clock()
        return moment(nanoseconds)

    def _due(self) -> None:
        with self._storage._as(self._clock_off):
            self._live.due(self._now() + self._shift)

    def _next(self, kind: EventType | str, payload: Mapping[str, Any] | None) -> Event:
        at = (self._now() + self._shift).astimezone(UTC)
        head = self._head
        return Event(
            event_id=f"ev-{head.run_id}-{self._seq + 1:04d}",
            run_id=head.run_id,
            seq=self._seq + 1,
            type=kind,
            ts=at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z",
            payload=payload,
            attempt=head.attempt,
            job_id=head.job_id,
            parent_run_id=head.parent_run_id,
        )

    def _terminal(self, kind: str, payload: Mapping[str, Any]) -> Event:
        self._check_running()
        event = self._next(kind, payload)
        self._check(events=(event,))
        return event

    def _check_running(self) -> None:
        if self._over is not None:
            raise ContractError(
                f"run {self.run_id!r} is over: it {self._over}; begin another one with run() or retry()"
            )

    def _check(self, **parts: Any) -> None:
        # The buffered policy allows gaps in seq, so that one event can be checked without those before it.
        replace(self._head, policy=Policy.BUFFERED, **parts)
        if self._head.policy != Policy.STRICT:
            # What cannot be stored is said here, and not when its flush fails.
            for event in parts.get("events", ()):
                encode_line(event_record(self._head, event))

    def _emit(self, event: Event) -> None:
        self._write(event)
        self._seq = event.seq
        self._events.append(event)

    def _write(self, one: Emitted) -> None:
        with self._storage._as(self._clock_off):
            self._live.add(one)

    def _end(
        self,
        outcome: Outcome,
        event: Event | None,
        *,
        window: str | None = None,
        in_metrics: bool = False,
        twice: bool = False,
        lost: int = 0,
    ) -> Run:
        self._check_running()
        duration = self._fields.get("duration_ms")
        if duration is None:
            ended = self._now() + self._shift
            duration = max(0, (ended - self._head.begun_at) // timedelta(milliseconds=1))
        run = replace(
            self._head,
            outcome=outcome,
            events=(*self._events, event) if event else tuple(self._events),
            artifacts=tuple(self._artifacts),
            sidecars=tuple(self._sidecars),
            dropped=self._dropped,
            lost=lost,
            duration_ms=duration,
        )
        with self._storage._as(self._clock_off):
            self._live.end(run, event, window=window, in_metrics=in_metrics, twice=twice)
        self._events = list(run.events)
        self._told = replace(run, outcome=Outcome.POLICY_FAILURE) if window == "w9" else run
        self._paused = window is not None
        self._over = f"ended as {self._told.outcome!s}" if window in (None, "w9") else f"died in window {window}"
        self._storage._over(self)
        return self._told


_ENDS = "complete(), fail(), skip(), end() or crash()"


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
