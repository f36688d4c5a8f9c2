"""What a correct reader sees in Quarry's storage: an oracle, so it shares no code with the writer."""

import base64
import binascii
import json
import os
import posixpath
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from pytest_quarry.storage.sources import source
from pytest_quarry.storage.stored import StoredArtifact, StoredEvent, StoredRun, StoredSidecar
from pytest_quarry.storage.survey import Found, Place, Readable, find_flat, find_lode, whole

__all__ = ["Readable", "read_runs"]


def read_runs(
    root: "str | os.PathLike[str] | Readable", *, layout: str = "lode", client: Any = None
) -> Iterator[StoredRun]:
    """Every run in a storage root, in the order of their paths.

    ``root`` is a folder, a ``file://`` or ``s3://bucket[/prefix]`` URL (read with ``client``, a boto3 S3 client, a new one
    if absent), or anything with ``list`` and ``get``; ``layout`` is ``lode`` or ``flat``. A snapshot counts if its
    canonical manifest exists and parses. What is damaged, or cannot be had, is described in the run's ``damage``, and the rest is read; one
    run is in memory at a time. Raises ValueError for an unknown layout or URL, TypeError for what is no storage, and OSError,
    as it reads, for a root that is no folder and a folder that cannot be read: nobody knows which runs are in it.
    """
    if layout not in ("lode", "flat"):
        raise ValueError(f"layout {layout!r} is unknown; there are 'lode' and 'flat'")
    store: Readable = source(root, client) if isinstance(root, str | os.PathLike) else root
    if not callable(getattr(store, "list", None)) or not callable(getattr(store, "get", None)):
        raise TypeError(
            f"read_runs() got {root!r}"[:200] + "; give a folder, a URL, or an object with list(prefix) and get(key)"
        )
    return _read_all(store, find_lode(store) if layout == "lode" else find_flat(store))


def _read_all(store: Readable, found: Iterator[tuple[Place, Found]]) -> Iterator[StoredRun]:
    for place, run in found:
        yield _read(store, place, run)


def _read(store: Readable, place: Place, found: Found) -> StoredRun:
    damage = list(found.damage)
    records = _Records(place)
    for key in sorted(found.data):
        for record in _lines(store, key, found.data[key], damage):
            records.add(record, key, damage)
    metrics = records.metrics[0] if records.metrics else None
    events = records.in_order(damage)
    names = records.names()
    state, outcome = _ending(found, events, metrics)
    first = events[0] if events else None
    return StoredRun(
        run_id=names.run_id,
        source=names.source,
        category=names.category,
        day=names.day,
        dataset=place.dataset,
        state=state,
        outcome=outcome,
        attempt=first.attempt if first else None,
        job_id=first.job_id if first else (metrics or {}).get("job_id"),
        parent_run_id=first.parent_run_id if first else None,
        policy=records.policy,
        events=events,
        artifacts=tuple(_artifacts(events, records.chunks, damage)),
        sidecars=tuple(_read_sidecars(store, found, damage)),
        metrics=metrics,
        complete_partitions=found.complete,
        damage=tuple(damage),
    )


def _lines(store: Readable, key: str, size: int | None, damage: list[str]) -> Iterator[dict[str, Any]]:
    try:
        content = store.get(key)
    except Exception as error:
        damage.append(f"data file cannot be read ({type(error).__name__}): {key}")
        return
    if size is not None and len(content) != size:
        damage.append(f"data file has {len(content)} bytes, its manifest says {size}: {key}")
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line:
            continue
        try:
            record = json.loads(line)
            if not isinstance(record, dict):
                raise ValueError("not an object")
        except (ValueError, RecursionError) as error:
            damage.append(f"line {number} does not parse ({error}): {key}")
            continue
        yield record


class _Records:
    """The records of one run, sorted by kind and free of duplicates."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._events: dict[str, StoredEvent] = {}
        self._names: Place | None = None
        self.chunks: dict[str, dict[int, list[dict[str, Any]]]] = {}
        self.metrics: list[dict[str, Any]] = []
        self.policy: str | None = None

    def names(self) -> Place:
        """The run's true names: the records', or the path's where there is no record."""
        return self._names or self._place

    def add(self, record: dict[str, Any], key: str, damage: list[str]) -> None:
        values = (record.get(name) for name in ("source", "category", "day", "run_id"))
        names = Place(self._place.dataset, *(value if isinstance(value, str) else "" for value in values))
        if self._names is None:
            self._names = names
        elif names != self._names:
            damage.append(f"a record of run {names.run_id!r}, source {names.source!r} among another's: {key}")
            return
        kind = record.get("record_kind")
        try:
            if kind in ("event", "artifact_event"):
                self._add_event(record, damage)
            elif kind == "artifact_chunk":
                copies = self.chunks.setdefault(str(record["artifact_id"]), {}).setdefault(whole(record, "seq"), [])
                copies.append(record)
            elif kind == "metrics":
                for name in _COUNTS & record.keys():
                    whole(record, name)
                _text(record, "job_id")
                self.metrics.append(record)
        except (KeyError, TypeError, ValueError) as error:
            damage.append(f"a record of kind {kind} lacks or misstates {error}: {key}")

    def _add_event(self, record: dict[str, Any], damage: list[str]) -> None:
        event = _event(record)
        before = self._events.setdefault(event.event_id, event)
        if before != event:
            damage.append(f"event {event.event_id!r} is stored twice, and not the same")
        if isinstance(record.get("policy"), str):
            self.policy = record["policy"]

    def in_order(self, damage: list[str]) -> tuple[StoredEvent, ...]:
        events = sorted(self._events.values(), key=lambda event: (event.seq, event.event_id))
        for one, two in pairwise(events):
            if one.seq == two.seq:
                damage.append(f"events {one.event_id!r} and {two.event_id!r} both have seq {one.seq}")
        return tuple(events)


_COMMIT_FIELDS = ("artifact_id", "name", "content_type", "size_bytes")
_COUNTS = {f"runs_{name}_total" for name in ("failed", "crashed")} | {"lode_write_failure_total"}
_COUNTS |= {f"events_{name}_total" for name in ("received", "persisted", "dropped")}


def _text(record: dict[str, Any], name: str) -> str | None:
    value = record.get(name)
    if value is None or isinstance(value, str):
        return value
    raise ValueError(name)


def _event(record: dict[str, Any]) -> StoredEvent:
    commit = record["record_kind"] == "artifact_event"
    payload = {name: record[name] for name in _COMMIT_FIELDS if name in record} if commit else record.get("payload")
    if payload is not None and not isinstance(payload, dict):
        raise ValueError("payload")
    return StoredEvent(
        event_id=str(record["event_id"]),
        run_id=str(record["run_id"]),
        seq=whole(record, "seq"),
        type="artifact" if commit else str(record["type"]),
        ts=str(record["ts"]),
        payload=payload,
        attempt=whole(record, "attempt"),
        job_id=_text(record, "job_id"),
        parent_run_id=_text(record, "parent_run_id"),
        contract_version=str(record["contract_version"]),
    )


def _ending(found: Found, events: tuple[StoredEvent, ...], metrics: dict[str, Any] | None) -> tuple[str, str | None]:
    """The run's state and, where storage tells, its outcome."""
    if not found.committed:
        return "uncommitted", None
    types = {event.type for event in events}
    counts = metrics or {}
    failed = bool(counts.get("runs_failed_total"))
    unwritten = bool(counts.get("lode_write_failure_total"))
    if "run_complete" in types:
        return "finished", "policy_failure" if failed else "success"
    if "run_error" in types:
        lost = counts.get("events_persisted_total", 1) + counts.get("events_dropped_total", 0)
        short = counts.get("events_received_total", 0) > lost
        return "failed", "policy_failure" if failed and short else "script_error"
    if counts.get("runs_crashed_total"):
        return "crashed", "executor_crash"
    if failed:
        return "failed", "policy_failure" if unwritten else "version_mismatch"
    return "running", None


def _artifacts(
    events: tuple[StoredEvent, ...], chunks: dict[str, dict[int, list[dict[str, Any]]]], damage: list[str]
) -> Iterator[StoredArtifact]:
    for event in events:
        if event.type != "artifact" or event.payload is None:
            continue
        name = str(event.payload.get("artifact_id"))
        try:
            data = _assemble(chunks.get(name, {}))
        except (KeyError, TypeError, ValueError, binascii.Error) as error:
            damage.append(f"artifact {name!r} is committed and cannot be put together: {error}")
            continue
        yield StoredArtifact(
            artifact_id=name,
            name=str(event.payload.get("name", "")),
            content_type=str(event.payload.get("content_type", "")),
            size_bytes=event.payload.get("size_bytes"),
            data=data,
        )


def _assemble(chunks: dict[int, list[dict[str, Any]]]) -> bytes:
    """The bytes of an artifact from its chunks by seq, each perhaps stored more than once."""
    if sorted(chunks) != list(range(1, len(chunks) + 1)) or not chunks:
        raise ValueError(f"it has the chunks {sorted(chunks)}")
    parts = []
    for number, copies in sorted(chunks.items()):
        contents = {base64.b64decode(copy["data"], validate=True) for copy in copies}
        if len(contents) > 1:
            raise ValueError(f"chunk {number} is stored with different bytes")
        data = contents.pop()
        # A repeated flush shifts the offsets, so those prove nothing; the lengths do.
        if any(copy["length"] != len(data) for copy in copies):
            raise ValueError(f"chunk {number} has {len(data)} bytes, it says {copies[0]['length']}")
        if any(bool(copy["is_last"]) != (number == len(chunks)) for copy in copies):
            raise ValueError(f"chunk {number} of {len(chunks)} says is_last {copies[0]['is_last']}")
        parts.append(data)
    return b"".join(parts)


def _read_sidecars(store: Readable, found: Found, damage: list[str]) -> Iterator[StoredSidecar]:
    for path, entry in sorted(found.sidecars.items()):
        key = posixpath.normpath(path)
        if key.split("/")[0] in ("", ".."):
            damage.append(f"sidecar file would be outside of the storage root: {path}")
            continue
        try:
            data = store.get(key)
        except Exception as error:
            damage.append(f"sidecar file cannot be read ({type(error).__name__}): {path}")
            continue
        if entry.get("size") not in (None, len(data)):
            damage.append(f"sidecar file has {len(data)} bytes, its manifest says {entry['size']}: {path}")
        yield StoredSidecar(
            name=str(entry.get("filename")), path=path, content_type=entry.get("content_type"), data=data
        )
