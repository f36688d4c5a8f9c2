"""Which write calls a run makes, and the bytes of each: everything but snapshot ids and time."""

from dataclasses import dataclass, replace
from typing import Any

from pytest_quarry.contract.encoding import encode_line, encode_manifest, encode_meta, encode_text
from pytest_quarry.contract.layout import (
    flat_path,
    flat_sidecar_path,
    partition_key,
    partition_path,
    sidecar_key,
    sidecar_path,
)
from pytest_quarry.contract.records import artifact_chunks, event_record, metrics_record
from pytest_quarry.contract.run import Artifact, Run, Sidecar
from pytest_quarry.storage.flushes import Batch, batches, emitted

__all__ = [
    "FlatFile",
    "FlatPlan",
    "Part",
    "SidecarFile",
    "WriteCall",
    "WritePlan",
    "flat_key",
    "flat_metrics",
    "flat_sidecar",
    "lode_sidecar",
    "metrics_call",
    "plan_flat",
    "plan_run",
    "write_call",
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


@dataclass(frozen=True)
class WritePlan:
    """A run's write calls of events and chunks, in order, and the call of its metrics record, if it has one.

    ``late`` are the sidecar files no call of events lists.
    """

    calls: tuple[WriteCall, ...]
    metrics: WriteCall | None
    late: tuple[Sidecar, ...] = ()


def plan_run(run: Run, *, flush_twice: bool = False, storage_backend: str = "fs") -> WritePlan:
    """All the write calls of a run; with ``flush_twice`` the flush at its end is retried whole.

    Raises ContractError if the run's policy never repeats a flush.
    """
    found, late = batches(run, flush_twice=flush_twice)
    calls = tuple(write_call(run, batch) for batch in found)
    if not run.metrics:
        return WritePlan(calls, None, late)
    failures = run.failed_writes + flush_twice
    metrics = metrics_call(run, late=late, writes=len(calls), write_failures=failures, storage_backend=storage_backend)
    return WritePlan(calls, metrics, late)


@dataclass(frozen=True, kw_only=True)
class FlatFile:
    """One file of the flat layout, and the sidecar files written before it."""

    key: str
    data: bytes
    sidecars: tuple[SidecarFile, ...] = ()


@dataclass(frozen=True)
class FlatPlan:
    """A run's files in the flat layout, in order, and the file of its metrics record, if it has one."""

    calls: tuple[FlatFile, ...]
    metrics: FlatFile | None


def plan_flat(run: Run, *, flush_twice: bool = False, storage_backend: str = "fs") -> FlatPlan:
    """The files of a run in the flat layout, one per event type, in order of first appearance: the terminal last.

    With ``flush_twice`` every line stands in its file twice.
    """
    files: dict[str, list[bytes]] = {}
    for entry in emitted(run):
        if isinstance(entry, Sidecar):
            continue
        records = artifact_chunks(run, entry) if isinstance(entry, Artifact) else [event_record(run, entry)]
        for record in records:
            files.setdefault(str(record["event_type"]), []).append(encode_line(record))
    sidecars = tuple(flat_sidecar(run, sidecar) for sidecar in run.sidecars)
    calls = tuple(
        FlatFile(key=flat_key(run, kind), data=b"".join(lines) * (1 + flush_twice), sidecars=() if number else sidecars)
        for number, (kind, lines) in enumerate(files.items())
    )
    if not run.metrics:
        return FlatPlan(calls, None)
    return FlatPlan(calls, flat_metrics(run, sidecars=() if calls else sidecars, storage_backend=storage_backend))


def flat_key(run: Run, event_type: str) -> str:
    """The key of the file of an event type in the flat layout."""
    return flat_path(partition_key(run, event_type))


def flat_metrics(run: Run, *, sidecars: tuple[SidecarFile, ...] = (), storage_backend: str) -> FlatFile:
    """The file of the metrics record in the flat layout."""
    record = metrics_record(run, writes=len(run.events), storage_backend=storage_backend)
    return FlatFile(key=flat_key(run, "metrics"), data=encode_line(record), sidecars=sidecars)


def flat_sidecar(run: Run, sidecar: Sidecar) -> SidecarFile:
    """A sidecar file with its place in the flat layout."""
    key = flat_sidecar_path(partition_key(run), sidecar.name)
    return SidecarFile(key=key, data=sidecar.data, meta=encode_meta(sidecar.content_type))


def lode_sidecar(run: Run, sidecar: Sidecar) -> SidecarFile:
    """A sidecar file with its place in the lode layout."""
    key = sidecar_key(partition_key(run), sidecar.name, dataset=run.dataset)
    return SidecarFile(key=key, data=sidecar.data, meta=encode_meta(sidecar.content_type))


def metrics_call(run: Run, *, late: tuple[Sidecar, ...] = (), **counters: Any) -> WriteCall:
    """The write call of the metrics record; ``counters`` as `metrics_record` takes them.

    ``late`` are the sidecars written too late for any event's call: its manifest lists them.
    """
    return write_call(run, Batch(records=[metrics_record(run, **counters)], sidecars=late))


def write_call(run: Run, batch: Batch) -> WriteCall:
    """The write call that stores a batch."""
    grouped: dict[str, list[bytes]] = {}
    for record in batch.records:
        grouped.setdefault(str(record["event_type"]), []).append(encode_line(record))
    key = partition_key(run)
    folder = {kind: partition_path(replace(key, event_type=kind), dataset=run.dataset) for kind in grouped}
    parts = sorted(
        (Part(f"{folder[kind]}/segments/", b"".join(lines)) for kind, lines in grouped.items()),
        key=lambda part: part.segments,
    )
    mark = _mark(run, batch)
    manifest = _manifest(run, batch, parts, mark)
    return WriteCall(
        events=batch.events,
        flush=batch.flush,
        parts=tuple(parts),
        sidecars=tuple(lode_sidecar(run, sidecar) for sidecar in batch.sidecars),
        first_manifest=manifest.replace(f'  "parent_snapshot_id": "{mark}parent",\n', ""),
        next_manifest=manifest,
        mark=mark,
    )


def _mark(run: Run, batch: Batch) -> str:
    """Text that the manifest of this run cannot contain: DEL, which ids in paths escape, often enough."""
    texts = [run.dataset, run.source, run.category, run.run_id]
    texts += [text for sidecar in batch.sidecars for text in (sidecar.name, sidecar.content_type)]
    mark = "\x7f"
    while any(mark in text for text in texts):
        mark += "\x7f"
    return mark


def _manifest(run: Run, batch: Batch, parts: list[Part], mark: str) -> str:
    listed = [
        {
            "path": sidecar_path(partition_key(run), sidecar.name, dataset=run.dataset),
            "filename": sidecar.name,
            "content_type": sidecar.content_type,
            "size": len(sidecar.data),
        }
        for sidecar in batch.sidecars
    ]
    # Put together by hand: the standard encoder is slow where it indents, and this is written for every event.
    metadata = encode_manifest({"sidecar_files": listed}).decode().replace("\n", "\n  ") if listed else "{}"
    files = ",\n".join(
        f'    {{\n      "path": {encode_text(f"{part.segments}{mark}id/data/data")},\n      "size_bytes": {len(part.data)}\n    }}'
        for part in parts
    )
    return f"""{{
  "schema_name": "lode-manifest",
  "format_version": "1.0.0",
  "dataset_id": {encode_text(run.dataset)},
  "snapshot_id": "{mark}id",
  "created_at": "{mark}created",
  "metadata": {metadata},
  "files": [
{files}
  ],
  "parent_snapshot_id": "{mark}parent",
  "row_count": {len(batch.records)},
  "codec": "jsonl",
  "compressor": "noop",
  "partitioner": "hive"
}}"""
