"""What Quarry's contracts rule out: the checks behind `Run`."""

import posixpath
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from pytest_quarry.contract.errors import ContractError
from pytest_quarry.contract.records import DROPPABLE, TERMINAL, Event, EventType, seq_gaps

if TYPE_CHECKING:
    from pytest_quarry.contract.run import Run

__all__ = ["check_bytes", "check_run", "check_start", "check_text"]

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|\+00:00)", re.ASCII)


def check_run(run: "Run") -> None:
    """Return if Quarry could have produced this run; raise ContractError naming the rule it breaks if not."""
    where = f"run {run.run_id!r}"
    _check_types(run, where)
    _check_identity(run, where)
    _check_lineage(run, where)
    _check_clock(run, where)
    previous = 0
    ids: set[str] = set()
    for event in run.events:
        _check_event(run, event, where)
        if event.seq <= previous:
            raise ContractError(f"{where}: seq {event.seq} comes after {previous}; seq rises strictly from 1")
        if event.event_id in ids:
            raise ContractError(f"{where}: event_id {event.event_id!r} twice; event ids are unique within a run")
        previous = event.seq
        ids.add(event.event_id)
    _check_end(run, where)
    _check_drops(run, where)
    _check_artifacts(run, where)
    _check_sidecars(run, where)


_COUNTS = ("attempt", "duration_ms", "lost", "write_failures")


def _check_types(run: "Run", where: str) -> None:
    for name in _COUNTS:
        if type(getattr(run, name)) is not int:
            raise ContractError(f"{where}: {name} is {getattr(run, name)!r}; it must be a whole number")
    if run.flush_count is not None and type(run.flush_count) is not int:
        raise ContractError(f"{where}: flush_count is {run.flush_count!r}; it must be a whole number, or None")
    if run.flush_interval is not None and type(run.flush_interval) not in (int, float):
        raise ContractError(f"{where}: flush_interval is {run.flush_interval!r}; it must be seconds, or None")
    if type(run.metrics) is not bool:
        raise ContractError(f"{where}: metrics is {run.metrics!r}; it must be True or False")
    if not isinstance(run.dropped, Mapping):
        raise ContractError(f"{where}: dropped is {run.dropped!r}; it must map types of events to counts")


def check_bytes(value: object, where: str) -> None:
    """Raise ContractError for what is no bytes."""
    if not isinstance(value, bytes | bytearray | memoryview):
        raise ContractError(f"{where} is a {type(value).__name__}; it must be bytes")


def check_start(value: object, where: str) -> None:
    """Raise ContractError for what is no time with a time zone."""
    if not isinstance(value, datetime):
        raise ContractError(f"{where}: started_at is {value!r}; it must be a datetime, in UTC")
    if value.utcoffset() is None:
        raise ContractError(f"{where}: started_at {value} has no time zone; give it in UTC")


def check_text(value: object, where: str, *, empty: bool = False) -> None:
    """Raise ContractError for what is no text, or none that can be stored."""
    if not isinstance(value, str) or (not value and not empty):
        raise ContractError(f"{where} is {value!r}; it must be a {'' if empty else 'non-empty '}string")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ContractError(f"{where} is {value!r}; it must be valid Unicode, without lone surrogates") from None


def _check_identity(run: "Run", where: str) -> None:
    check_text(run.run_id, f"{where}: run_id")
    check_text(run.source, f"{where}: source")
    check_text(run.category, f"{where}: category", empty=True)
    check_text(run.dataset, f"{where}: dataset")
    parts = run.dataset.split("/")
    if any(part in ("", ".", "..", "segments", "partitions") for part in parts) or "\0" in run.dataset:
        raise ContractError(
            f"{where}: dataset {run.dataset!r} would leave or confuse the storage root; "
            "no empty part, '.', '..', 'segments' or 'partitions' between its slashes"
        )
    if run.job_id is not None:
        check_text(run.job_id, f"{where}: job_id")


def _check_lineage(run: "Run", where: str) -> None:
    if run.attempt < 1:
        raise ContractError(f"{where}: attempt {run.attempt}; attempts count from 1")
    if run.attempt == 1 and run.parent_run_id is not None:
        raise ContractError(f"{where}: attempt 1 with parent_run_id {run.parent_run_id!r}; a first attempt has none")
    if run.attempt > 1:
        if run.parent_run_id is None:
            raise ContractError(f"{where}: attempt {run.attempt} without parent_run_id; a retry names the run before")
        check_text(run.parent_run_id, f"{where}: parent_run_id")
        if run.parent_run_id == run.run_id:
            raise ContractError(f"{where}: is its own parent; a retry is a new run with a new run_id")


def _check_clock(run: "Run", where: str) -> None:
    try:
        if not _DAY.fullmatch(run.day):
            raise ValueError
        day = date.fromisoformat(run.day)
    except (TypeError, ValueError):
        raise ContractError(f"{where}: day {run.day!r}; it must be a date YYYY-MM-DD") from None
    if run.duration_ms < 0:
        raise ContractError(f"{where}: duration_ms {run.duration_ms}; a run does not end before it starts")
    if run.flush_count is not None and run.flush_count < 1:
        raise ContractError(f"{where}: flush_count {run.flush_count}; a streaming flush takes at least one event")
    if run.flush_interval is not None and not 0 < run.flush_interval < float("inf"):
        raise ContractError(f"{where}: flush_interval {run.flush_interval}; seconds, more than none")
    if run.policy == "streaming" and run.flush_count is None and run.flush_interval is None:
        raise ContractError(f"{where}: no flush_count and no flush_interval; the streaming policy needs one of them")
    if run.lost < 0 or run.write_failures < 0:
        raise ContractError(f"{where}: lost and write_failures are counts, not negative")
    start = run.started_at
    if start is None:
        return
    check_start(start, where)
    if start.astimezone(UTC).date() != day:
        raise ContractError(f"{where}: day {run.day} but started_at {start}; day is the UTC date of the run's start")


def _check_event(run: "Run", event: Event, where: str) -> None:
    where = f"{where}: event {event.event_id!r}"
    check_text(event.event_id, f"{where}: event_id")
    check_text(event.type, f"{where}: type")
    if event.type == "metrics":
        raise ContractError(f"{where}: type 'metrics'; that partition is kept for the metrics record")
    if not _is_time(event.ts):
        raise ContractError(f"{where}: ts {event.ts!r}; it must be ISO 8601 in UTC, as 2026-02-01T23:59:58.250Z")
    for name in ("run_id", "attempt", "job_id", "parent_run_id"):
        mine, its = getattr(run, name), getattr(event, name)
        if mine != its:
            raise ContractError(f"{where}: {name} {its!r} is of another run; this run has {mine!r}")
    if event.payload is not None and not isinstance(event.payload, Mapping):
        raise ContractError(f"{where}: payload is {event.payload!r}; it must be an object, or None")
    if event.type == EventType.ARTIFACT and not (event.payload and isinstance(event.payload.get("artifact_id"), str)):
        raise ContractError(f"{where}: no artifact_id in the payload; an artifact event names the artifact it commits")


def _is_time(text: str) -> bool:
    if not isinstance(text, str) or not _TIME.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


_TERMINAL_FOR = {
    "success": ("run_complete",),
    "script_error": ("run_error",),
    "executor_crash": (None,),
    "version_mismatch": (None,),
    "policy_failure": (None, "run_complete", "run_error"),
}


def _check_end(run: "Run", where: str) -> None:
    for event, after in pairwise(run.events):
        if event.type in TERMINAL:
            raise ContractError(
                f"{where}: {after.type!s} after the terminal event {event.event_id!r}; "
                "a run has at most one run_complete or run_error, and it is last"
            )
    ended = None if run.terminal is None else str(run.terminal.type)
    allowed = _TERMINAL_FOR[run.outcome]
    if ended not in allowed:
        wanted = " or ".join(name or "no terminal event" for name in allowed)
        raise ContractError(
            f"{where}: outcome {run.outcome!s} with {ended or 'no terminal event'}; this outcome has {wanted}"
        )
    if run.lost and run.outcome != "policy_failure":
        raise ContractError(
            f"{where}: lost {run.lost} events, outcome {run.outcome!s}; only a policy failure loses any"
        )


def _check_drops(run: "Run", where: str) -> None:
    gaps = seq_gaps(run.events)
    for kind, count in run.dropped.items():
        if kind not in DROPPABLE or count < 1:
            names = ", ".join(sorted(DROPPABLE))
            raise ContractError(f"{where}: dropped {count} of {kind!r}; only {names} may be dropped, one or more")
    # The published policy contract lets the streaming policy block, never drop.
    if (gaps or run.dropped) and run.policy != "buffered":
        raise ContractError(
            f"{where}: {gaps or sum(run.dropped.values())} events missing under the {run.policy!s} policy; "
            "only the buffered policy drops events, others leave no gap in seq"
        )
    count = sum(run.dropped.values())
    if run.dropped and (count < gaps or (run.terminal is not None and count > gaps)):
        raise ContractError(f"{where}: dropped says {count} events, seq has {gaps} gaps; they must agree")


def _check_artifacts(run: "Run", where: str) -> None:
    known = {artifact.artifact_id: artifact for artifact in run.artifacts}
    if len(known) != len(run.artifacts):
        raise ContractError(f"{where}: an artifact_id twice in artifacts; ids are unique within a run")
    last = run.terminal.seq if run.terminal else None
    for artifact in run.artifacts:
        place = f"{where}: artifact {artifact.artifact_id!r}"
        check_text(artifact.artifact_id, f"{place}: artifact_id")
        if not artifact.chunks:
            raise ContractError(f"{place} has no chunks; an empty artifact has one empty chunk")
        for chunk in artifact.chunks:
            check_bytes(chunk, f"{place}: a chunk")
        if last is not None and artifact.after_seq is not None and artifact.after_seq >= last:
            raise ContractError(f"{place} is sent after the terminal event; nothing follows that")
    committed: set[str] = set()
    for event in run.events:
        if event.type != EventType.ARTIFACT or event.payload is None:
            continue
        name = event.payload["artifact_id"]
        place = f"{where}: event {event.event_id!r} commits artifact {name!r}"
        if name in committed:
            raise ContractError(f"{place} a second time; an artifact is committed once")
        if name not in known:
            raise ContractError(f"{place}, of which no chunk was sent; Quarry refuses that with a policy failure")
        if not known[name].complete:
            raise ContractError(f"{place}, which is incomplete; a commit comes after the last chunk")
        if (known[name].after_seq or 0) >= event.seq:
            raise ContractError(f"{place} before its chunks; a commit comes after the last chunk")
        committed.add(name)


def _check_sidecars(run: "Run", where: str) -> None:
    names: set[str] = set()
    for sidecar in run.sidecars:
        place = f"{where}: sidecar {sidecar.name!r}"
        check_text(sidecar.name, f"{place}: name")
        if "/" in sidecar.name or "\\" in sidecar.name or ".." in sidecar.name or "\0" in sidecar.name:
            raise ContractError(f"{place}: Quarry refuses names with '/', '\\', '..' or NUL")
        if sidecar.name == "." or sidecar.name.endswith(".meta.json"):
            raise ContractError(f"{place}: that name is taken by the folder or by another file's content type")
        if sidecar.name in names:
            raise ContractError(f"{place} twice; sidecar names are unique within a run")
        names.add(sidecar.name)
        check_bytes(sidecar.data, f"{place}: data")
        check_text(sidecar.content_type, f"{place}: content_type", empty=True)
        if "\0" in sidecar.content_type:
            raise ContractError(f"{place}: NUL in content_type {sidecar.content_type!r}")
    if run.sidecars:
        _check_raw_path(run, where)


def _check_raw_path(run: "Run", where: str) -> None:
    # Sidecar paths are not escaped, so ids with '..' climb; Quarry lets them, the kit stops at the partitions.
    path = f"source={run.source}/category={run.category}/day={run.day}/run_id={run.run_id}/files"
    if "\0" in path or posixpath.normpath(path).split("/")[0] in ("..", "."):
        raise ContractError(
            f"{where}: its sidecar folder {path!r} leaves the dataset's partitions; "
            "ids of a run with sidecars may not climb that far, nor contain NUL"
        )
