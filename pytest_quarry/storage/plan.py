"""Which write calls a run makes, and the bytes of each: everything but snapshot ids and time."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from pytest_quarry.contract.encoding import encode_line, encode_manifest, encode_meta
from pytest_quarry.contract.errors import ContractError
from pytest_quarry.contract.layout import (
    flat_path,
    flat_sidecar_path,
    partition_key,
    partition_path,
    sidecar_key,
    sidecar_path,
)
from pytest_quarry.contract.records import Event, EventType, artifact_chunks, event_record, metrics_record
from pytest_quarry.contract.run import Artifact, FlushMode, Policy, Run, Sidecar

__all__ = [
    "FlatFile",
    "Part",
    "SidecarFile",
    "WriteCall",
    "flat_metrics",
    "metrics_call",
    "plan_flat",
    "plan_run",
]


@dataclass(frozen=True)
class Part:
    """What one write call puts into one partition: the folder of its segments, and the data file's bytes."""

    segments: str
    data: bytes


@dataclass(frozen=True, kw_only=True)
class SidecarFile:
    """A sidecar file with its place: key of the file, bytes, and the bytes of its ``.meta.json``."""

    key: str
    data: bytes
    meta: bytes


@dataclass(frozen=True, kw_only=True)
class WriteCall:
    """One write call, which makes one snapshot: its parts sorted by path, and what its manifest says.

    ``events`` is how many events it persists; ``sidecars`` are written before it begins. Calls of one flush share
    its ``flush`` number. ``mark`` stands where snapshot ids and times go in the manifest's text.
    """

    events: int
    flush: int
    parts: tuple[Part, ...]
    sidecars: tuple[SidecarFile, ...]
    first_manifest: str
    next_manifest: str
    mark: str

    def manifest(self, snapshot_id: str, created_at: str, parent: str | None) -> bytes:
        """The manifest's bytes; ``parent`` None for the first snapshot of a dataset."""
        text = self.first_manifest if parent is None else self.next_manifest.replace(f"{self.mark}parent", parent)
        return text.replace(f"{self.mark}id", snapshot_id).replace(f"{self.mark}created", created_at).encode()


@dataclass(frozen=True, kw_only=True)
class _Batch:
    records: list[dict[str, Any]]
    flush: int = 0
    events: int = 0
    sidecars: tuple[Sidecar, ...] = ()


def plan_run(run: Run, *, flush_twice: bool = False) -> tuple[WriteCall, ...]:
    """The write calls of a run's events and chunks, in order; the metrics' is `metrics_call`.

    Strict: one call per event and per chunk. Streaming: every ``flush_count`` events, the chunks first, then the
    events. Buffered: once at the end, in the order of its flush mode; with ``flush_twice`` that flush is retried
    whole, the chunks' offsets running on. Raises ContractError if the run's policy never repeats a flush.
    """
    if flush_twice and (run.policy != Policy.BUFFERED or run.flush_mode == FlushMode.TWO_PHASE):
        raise ContractError(
            f"run {run.run_id!r}: flush_twice under {run.policy!s}/{run.flush_mode!s}; "
            "only the buffered policy repeats what was stored, and not in two_phase mode"
        )
    return tuple(_call(run, batch) for batch in _batches(run, flush_twice) if batch.records)


@dataclass(frozen=True, kw_only=True)
class FlatFile:
    """One file of the flat layout, and the sidecar files written before it."""

    key: str
    data: bytes
    sidecars: tuple[SidecarFile, ...] = ()


def plan_flat(run: Run, *, flush_twice: bool = False) -> tuple[FlatFile, ...]:
    """The files of a run in the flat layout, one per event type, in order of first appearance: the terminal last.

    With ``flush_twice`` every line stands in its file twice.
    """
    files: dict[str, list[bytes]] = {}
    for entry in _timeline(run):
        records = artifact_chunks(run, entry) if isinstance(entry, Artifact) else [event_record(run, entry)]
        files.setdefault(str(EventType.ARTIFACT if isinstance(entry, Artifact) else entry.type), []).extend(
            encode_line(record) for record in records
        )
    key = partition_key(run)
    return tuple(
        FlatFile(
            key=flat_path(replace(key, event_type=kind)),
            data=b"".join(lines) * (1 + flush_twice),
            sidecars=() if number else _flat_sidecars(run),
        )
        for number, (kind, lines) in enumerate(files.items())
    )


def flat_metrics(run: Run, *, storage_backend: str) -> FlatFile:
    """The file of the metrics record in the flat layout; the sidecar files are before it if nothing else is."""
    record = metrics_record(run, writes=len(run.events), storage_backend=storage_backend)
    return FlatFile(
        key=flat_path(replace(partition_key(run), event_type="metrics")),
        data=encode_line(record),
        sidecars=() if _timeline(run) else _flat_sidecars(run),
    )


def _flat_sidecars(run: Run) -> tuple[SidecarFile, ...]:
    key = partition_key(run)
    return tuple(
        SidecarFile(key=flat_sidecar_path(key, sidecar.name), data=sidecar.data, meta=encode_meta(sidecar.content_type))
        for sidecar in run.sidecars
    )


def metrics_call(run: Run, *, late: bool = True, **counters: Any) -> WriteCall:
    """The write call of the metrics record; ``counters`` as `metrics_record` takes them.

    It lists the sidecars written too late for any event's call, unless ``late`` is False.
    """
    batch = _Batch(records=[metrics_record(run, **counters)], sidecars=late_sidecars(run) if late else ())
    return _call(run, batch)


def late_sidecars(run: Run) -> tuple[Sidecar, ...]:
    """The sidecar files written after the last event's call."""
    listed = {sidecar.name for batch in _batches(run, False) for sidecar in batch.sidecars}
    return tuple(sidecar for sidecar in run.sidecars if sidecar.name not in listed)


def _batches(run: Run, flush_twice: bool) -> Iterator[_Batch]:
    timeline = _timeline(run)
    if run.policy == Policy.STRICT:
        yield from _strict(run, timeline)
        return
    size = run.flush_count if run.policy == Policy.STREAMING else len(timeline) + 1
    chunks: list[Artifact] = []
    events: list[Event] = []
    done: set[str] = set()
    number = 0
    for entry in timeline:
        if isinstance(entry, Artifact):
            chunks.append(entry)
            continue
        events.append(entry)
        if len(events) == size:
            yield from _flush(run, number, events, chunks, _sidecars(run, entry.seq, done))
            number, chunks, events = number + 1, [], []
    # With no terminal event the last flush is at termination, when every file is written.
    end = run.terminal.seq if run.terminal else None
    sidecars = _sidecars(run, end, done) if events else ()
    yield from _flush(run, number, events, chunks, sidecars, twice=flush_twice)


def _strict(run: Run, timeline: list[Event | Artifact]) -> Iterator[_Batch]:
    done: set[str] = set()
    for number, entry in enumerate(timeline):
        if isinstance(entry, Artifact):
            for record in artifact_chunks(run, entry):
                yield _Batch(records=[record], flush=number)
        else:
            sidecars = _sidecars(run, entry.seq, done)
            yield _Batch(records=[event_record(run, entry)], flush=number, events=1, sidecars=sidecars)


def _flush(
    run: Run,
    number: int,
    events: list[Event],
    chunks: list[Artifact],
    sidecars: tuple[Sidecar, ...],
    *,
    twice: bool = False,
) -> Iterator[_Batch]:
    chunks_first = run.policy == Policy.STREAMING or run.flush_mode == FlushMode.CHUNKS_FIRST
    for again in (False, True) if twice else (False,):
        data = _Batch(records=[record for artifact in chunks for record in _chunks(run, artifact, again)], flush=number)
        stored = _Batch(
            flush=number,
            records=[event_record(run, event) for event in events],
            events=0 if again else len(events),
            sidecars=() if again else sidecars,
        )
        yield from (data, stored) if chunks_first else (stored, data)


def _chunks(run: Run, artifact: Artifact, again: bool) -> Iterator[dict[str, Any]]:
    return artifact_chunks(run, artifact, first_offset=len(artifact.data) if again else 0)


def _sidecars(run: Run, before: int | None, done: set[str]) -> tuple[Sidecar, ...]:
    """The sidecar files written before the event with seq ``before`` and not listed yet, which now are."""
    found = tuple(
        sidecar
        for sidecar in run.sidecars
        if sidecar.name not in done and (before is None or sidecar.after_seq < before)
    )
    done.update(sidecar.name for sidecar in found)
    return found


def _timeline(run: Run) -> list[Event | Artifact]:
    """Events and artifacts in the order they were sent."""
    commits = {
        event.payload["artifact_id"]: event.seq - 1
        for event in run.events
        if event.type == EventType.ARTIFACT and event.payload
    }
    last = run.terminal.seq - 1 if run.terminal else (run.events[-1].seq if run.events else 0)
    entries: list[tuple[int, int, int, Event | Artifact]] = [(event.seq, 0, 0, event) for event in run.events]
    for number, artifact in enumerate(run.artifacts):
        after = commits.get(artifact.artifact_id, last) if artifact.after_seq is None else artifact.after_seq
        entries.append((after, 1, number, artifact))
    return [entry[3] for entry in sorted(entries, key=lambda entry: entry[:3])]


def _call(run: Run, batch: _Batch) -> WriteCall:
    grouped: dict[str, list[bytes]] = {}
    for record in batch.records:
        grouped.setdefault(str(record["event_type"]), []).append(encode_line(record))
    key = partition_key(run)
    folder = {kind: partition_path(replace(key, event_type=kind), dataset=run.dataset) for kind in grouped}
    parts = sorted(
        (Part(f"{folder[kind]}/segments/", b"".join(lines)) for kind, lines in grouped.items()),
        key=lambda part: part.segments,
    )
    mark = _mark(run)
    return WriteCall(
        events=batch.events,
        flush=batch.flush,
        parts=tuple(parts),
        sidecars=tuple(
            SidecarFile(
                key=sidecar_key(key, sidecar.name, dataset=run.dataset),
                data=sidecar.data,
                meta=encode_meta(sidecar.content_type),
            )
            for sidecar in batch.sidecars
        ),
        first_manifest=_manifest(run, batch, parts, mark, first=True),
        next_manifest=_manifest(run, batch, parts, mark, first=False),
        mark=mark,
    )


def _mark(run: Run) -> str:
    """Text that the manifest of this run cannot contain: DEL, which ids in paths escape, often enough."""
    texts = [run.dataset, run.source, run.category, run.run_id]
    texts += [text for sidecar in run.sidecars for text in (sidecar.name, sidecar.content_type)]
    mark = "\x7f"
    while any(mark in text for text in texts):
        mark += "\x7f"
    return mark


def _manifest(run: Run, batch: _Batch, parts: list[Part], mark: str, *, first: bool) -> str:
    listed = [
        {
            "path": sidecar_path(partition_key(run), sidecar.name, dataset=run.dataset),
            "filename": sidecar.name,
            "content_type": sidecar.content_type,
            "size": len(sidecar.data),
        }
        for sidecar in batch.sidecars
    ]
    manifest: dict[str, Any] = {
        "schema_name": "lode-manifest",
        "format_version": "1.0.0",
        "dataset_id": run.dataset,
        "snapshot_id": f"{mark}id",
        "created_at": f"{mark}created",
        "metadata": {"sidecar_files": listed} if listed else {},
        "files": [{"path": f"{part.segments}{mark}id/data/data", "size_bytes": len(part.data)} for part in parts],
    }
    if not first:
        manifest["parent_snapshot_id"] = f"{mark}parent"
    manifest |= {
        "row_count": len(batch.records),
        "codec": "jsonl",
        "compressor": "noop",
        "partitioner": "hive",
    }
    return encode_manifest(manifest).decode()
