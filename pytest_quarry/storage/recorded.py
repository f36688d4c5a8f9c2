"""Runs that real Quarry stored, as runs to be written again."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pytest_quarry.contract.errors import ContractError, choose
from pytest_quarry.contract.layout import parse_partition_path
from pytest_quarry.contract.records import TERMINAL, Event, seq_gaps
from pytest_quarry.contract.run import Artifact, Outcome, Policy, Run, Sidecar
from pytest_quarry.storage.reader import read_runs
from pytest_quarry.storage.stored import StoredEvent, StoredRun
from pytest_quarry.storage.stores import StoreError

__all__ = ["recorded_runs"]


def recorded_runs(path: Path, taken: Collection[tuple[str, str]] | None) -> list[Run]:
    """The runs below ``path``, a storage root in either layout or a run's folder in it, oldest day first.

    With ``taken`` (dataset and run id), every run gets an id that is not among them, and its events too. Raises StoreError
    if there are none, or one cannot be written again.
    """
    found = [_run(stored, path) for stored in _stored(path)]
    if taken is None:
        return found
    ids: dict[tuple[str, str], str] = {}
    used = set(taken)
    for run in found:
        number = 1
        while (run.dataset, f"{run.run_id}-{number}") in used:
            number += 1
        ids[run.dataset, run.run_id] = f"{run.run_id}-{number}"
        used.add((run.dataset, f"{run.run_id}-{number}"))
    return [_renamed(run, ids) for run in found]


def _stored(path: Path) -> list[StoredRun]:
    if not path.is_dir():
        raise StoreError(f"{path}: no such folder; give the root of a Quarry storage, or a run's folder in it")
    root, within = _root(path)
    for layout in ("lode", "flat"):
        runs = [run for run in read_runs(root, layout=layout) if within is None or _in(run, within)]
        if runs:
            return sorted(runs, key=lambda run: (run.day, run.attempt or 1))
    names = ", ".join(sorted(entry.name for entry in path.iterdir())[:10]) or "nothing"
    raise StoreError(
        f"{path}: no run of Quarry in it; expected datasets/<dataset>/partitions/… or source=…/…/run_id=…, found {names}"
    )


def _root(path: Path) -> tuple[Path, Path | None]:
    """The storage root a folder is in, and the folder, unless it is the root."""
    whole = path.absolute()
    for folder in (whole, *whole.parents):
        if folder.name == "partitions" and (folder.parent / "segments").is_dir():
            for root in folder.parents:
                if root.name == "datasets":
                    return root.parent, whole
    for folder in (whole, *whole.parents):
        if folder.name.startswith("source="):
            return folder.parent, whole
    return whole, None


def _in(run: StoredRun, folder: Path) -> bool:
    try:
        key = parse_partition_path(f"{folder.as_posix()}/")
    except ContractError:
        return True
    return (run.source, run.day, run.run_id) == (key.source, key.day, key.run_id)


def _run(stored: StoredRun, path: Path) -> Run:
    events = tuple(_event(event) for event in stored.events)
    ended = bool(events) and events[-1].type in TERMINAL
    outcome = Outcome(stored.outcome) if stored.outcome else Outcome.SUCCESS if ended else Outcome.EXECUTOR_CRASH
    # Only this policy has gaps, whatever damage made them.
    policy = Policy.BUFFERED if seq_gaps(events) else stored.policy or Policy.STRICT
    try:
        return Run(
            run_id=stored.run_id,
            source=stored.source,
            category=stored.category,
            day=stored.day,
            dataset=stored.dataset or "quarry",
            job_id=stored.job_id,
            attempt=stored.attempt or 1,
            parent_run_id=stored.parent_run_id,
            policy=choose(Policy, policy, "policy"),
            outcome=outcome,
            events=events,
            artifacts=tuple(Artifact.of(one.artifact_id, one.data) for one in stored.artifacts),
            sidecars=_sidecars(stored),
            started_at=_started(stored),
            metrics=stored.metrics is not None,
            **_counts(stored, outcome),
        )
    except ValueError as error:
        damage = f"; its damage: {'; '.join(stored.damage)}" if stored.damage else ""
        raise StoreError(f"{path}: cannot be written again: {error}{damage}") from error


def _sidecars(stored: StoredRun) -> tuple[Sidecar, ...]:
    after = stored.events[-1].seq - 1 if stored.events else 0
    return tuple(
        Sidecar(
            name=one.name,
            data=one.data,
            content_type="application/octet-stream" if one.content_type is None else one.content_type,
            after_seq=after,
        )
        for one in stored.sidecars
    )


def _counts(stored: StoredRun, outcome: Outcome) -> dict[str, Any]:
    """What only the metrics know."""
    metrics = stored.metrics or {}
    dropped: dict[str, int] = metrics.get("dropped_by_type") or {}
    if not isinstance(dropped, dict) or any(type(count) is not int for count in dropped.values()):
        raise ValueError(f"its metrics say dropped_by_type {dropped!r}")
    received = int(metrics.get("events_received_total", 0))
    lost = max(0, received - len(stored.events) - sum(dropped.values())) if outcome == Outcome.POLICY_FAILURE else 0
    return {"dropped": dropped, "lost": lost, "write_failures": int(metrics.get("lode_write_failure_total", 0))}


def _event(event: StoredEvent) -> Event:
    payload = event.payload
    if event.type == "artifact" and payload and payload.get("size_bytes"):
        # Quarry stores the size only where the script sent a float.
        payload = {**payload, "size_bytes": float(payload["size_bytes"])}
    return Event(
        event_id=event.event_id,
        run_id=event.run_id,
        seq=event.seq,
        type=event.type,
        ts=event.ts,
        payload=payload,
        attempt=event.attempt,
        job_id=event.job_id,
        parent_run_id=event.parent_run_id,
        contract_version=event.contract_version,
    )


def _started(stored: StoredRun) -> datetime | None:
    """The best guess, in the day of the run: the metrics are a moment after the end, the first event one after this."""
    for text, before in (
        (stored.events[0].ts if stored.events else None, 0),
        ((stored.metrics or {}).get("ts"), 1),
    ):
        if isinstance(text, str) and text[:10] == stored.day:
            guess = datetime.fromisoformat(text) - timedelta(seconds=before)
            if guess.date().isoformat() == stored.day:
                return guess
    return None


def _renamed(run: Run, ids: dict[tuple[str, str], str]) -> Run:
    run_id, parent = ids[run.dataset, run.run_id], run.parent_run_id
    if parent is not None:
        parent = ids.get((run.dataset, parent), parent)
    events = tuple(
        replace(event, run_id=run_id, parent_run_id=parent, event_id=f"ev-{run_id}-{event.seq:04d}")
        for event in run.events
    )
    return replace(run, run_id=run_id, parent_run_id=parent, events=events)
