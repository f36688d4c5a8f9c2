"""The policies: what a run emits, one thing after another, becomes the batches of records its write calls store."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pytest_quarry.contract.errors import ContractError
from pytest_quarry.contract.records import TERMINAL, Event, EventType, artifact_chunks, event_record
from pytest_quarry.contract.run import Artifact, FlushMode, Policy, Run, Sidecar

__all__ = ["Batch", "Emitted", "Flushes", "batches", "check_repeats", "emitted"]

Emitted = Event | Artifact | Sidecar


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The records of one write call and the sidecar files its manifest lists.

    ``events`` is how many events it persists for the first time; calls of one flush share its ``flush`` number.
    """

    records: list[dict[str, Any]]
    flush: int = 0
    events: int = 0
    sidecars: tuple[Sidecar, ...] = ()


class Flushes:
    """Takes what a run emits and gives the batches that are due; ``run`` says who and under which policy.

    Strict: a batch per event and per chunk. Streaming: every ``flush_count`` events and at every tick of
    ``flush_interval``, whichever comes first, the chunks and then the events. Buffered: all at the end, in the order
    of its flush mode. Batches without records are left out. ``late`` are the sidecar files no batch lists.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._events: list[Event] = []
        self._chunks: list[Artifact] = []
        self._sidecars: list[Sidecar] = []
        self._late: list[Sidecar] = []
        self._number = 0
        self._tick = 0
        self._ended = False

    @property
    def late(self) -> tuple[Sidecar, ...]:
        """The sidecar files not listed yet: if the run ends now, the metrics' manifest lists them."""
        return (*self._sidecars, *self._late)

    def add(self, one: Emitted) -> Iterator[Batch]:
        """Take one event, artifact or sidecar file; the batches that are due before or because of it."""
        if isinstance(one, Sidecar):
            (self._late if self._ended else self._sidecars).append(one)
            return
        if isinstance(one, Event):
            self._ended = one.type in TERMINAL
            if self._run.flush_interval is not None:
                yield from self.due(datetime.fromisoformat(one.ts))
        if self._run.policy == Policy.STRICT:
            yield from self._strict(one)
            return
        if isinstance(one, Artifact):
            self._chunks.append(one)
            return
        self._events.append(one)
        if self._run.policy == Policy.STREAMING and len(self._events) == self._run.flush_count:
            yield from self._flush()

    def due(self, now: datetime) -> Iterator[Batch]:
        """What the tick of ``flush_interval`` flushes, if one lies between the last time this was asked and ``now``."""
        interval = self._run.flush_interval
        if interval is None or self._run.policy != Policy.STREAMING:
            return
        tick = int((now - self._run.begun_at).total_seconds() / interval)
        if tick > self._tick:
            self._tick = tick
            yield from self._flush()

    def close(self, *, twice: bool = False) -> Iterator[Batch]:
        """What is flushed when the run ends; ``twice``: that flush is retried whole."""
        yield from self._flush(twice=twice)

    def _strict(self, one: Event | Artifact) -> Iterator[Batch]:
        if isinstance(one, Artifact):
            for record in artifact_chunks(self._run, one):
                yield Batch(records=[record], flush=self._number)
        else:
            yield Batch(
                records=[event_record(self._run, one)], flush=self._number, events=1, sidecars=self._take_sidecars()
            )
        self._number += 1

    def _flush(self, *, twice: bool = False) -> Iterator[Batch]:
        run, events, chunks = self._run, self._events, self._chunks
        sidecars = self._take_sidecars() if events else ()
        for again in (False, True) if twice else (False,):
            records = [
                record
                for one in chunks
                for record in artifact_chunks(run, one, first_offset=len(one.data) if again else 0)
            ]
            data = Batch(records=records, flush=self._number)
            stored = Batch(
                flush=self._number,
                records=[event_record(run, event) for event in events],
                events=0 if again else len(events),
                sidecars=() if again else sidecars,
            )
            chunks_first = run.policy == Policy.STREAMING or run.flush_mode == FlushMode.CHUNKS_FIRST
            yield from (batch for batch in ((data, stored) if chunks_first else (stored, data)) if batch.records)
        if events or chunks:
            self._number, self._events, self._chunks = self._number + 1, [], []

    def _take_sidecars(self) -> tuple[Sidecar, ...]:
        taken, self._sidecars = tuple(self._sidecars), []
        return taken


def batches(run: Run, *, flush_twice: bool = False) -> tuple[list[Batch], tuple[Sidecar, ...]]:
    """The batches of a whole run, and the sidecar files left for the metrics' manifest.

    Raises ContractError for ``flush_twice`` if the run's policy never repeats a flush.
    """
    if flush_twice:
        check_repeats(run)
    flushes = Flushes(run)
    found = [batch for one in emitted(run) for batch in flushes.add(one)]
    found.extend(flushes.close(twice=flush_twice))
    return found, flushes.late


def check_repeats(run: Run) -> None:
    """Raise ContractError if the run's policy never repeats a flush."""
    if run.policy != Policy.BUFFERED or run.flush_mode == FlushMode.TWO_PHASE:
        raise ContractError(
            f"run {run.run_id!r}: flush_twice under {run.policy!s}/{run.flush_mode!s}; "
            "only the buffered policy repeats what was stored, and not in two_phase mode"
        )


def emitted(run: Run) -> list[Emitted]:
    """Events, artifacts and sidecar files in the order they were sent."""
    if not run.artifacts and not run.sidecars:
        return list(run.events)
    commits = {
        event.payload["artifact_id"]: event.seq - 1
        for event in run.events
        if event.type == EventType.ARTIFACT and event.payload
    }
    last = run.terminal.seq - 1 if run.terminal else (run.events[-1].seq if run.events else 0)
    entries: list[tuple[int, int, int, Emitted]] = [(event.seq, 0, 0, event) for event in run.events]
    for number, artifact in enumerate(run.artifacts):
        after = commits.get(artifact.artifact_id, last) if artifact.after_seq is None else artifact.after_seq
        entries.append((after, 1, number, artifact))
    entries.extend((sidecar.after_seq, 2, number, sidecar) for number, sidecar in enumerate(run.sidecars))
    return [entry[3] for entry in sorted(entries, key=lambda entry: entry[:3])]
