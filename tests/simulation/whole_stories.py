"""A history as lines, one for each entry, and the runs that such histories are about."""

from __future__ import annotations

from pytest_quarry.simulation.history import Entry, History
from pytest_quarry.simulation.schedule import PlannedRun

A, B = PlannedRun(run_id="run-A", items=1), PlannedRun(run_id="run-B", items=2, outcome="script_error")


def told(history: History) -> list[str]:
    return [_entry(entry) for entry in history.entries]


def _entry(entry: Entry) -> str:
    parts = [f"{entry.time:.3f}", f"step {entry.step}", f"{entry.what} {entry.text}"]
    if entry.incarnation or entry.worker:
        parts.insert(2, f"{entry.incarnation}{f'/{entry.worker}' if entry.worker else ''}")
    if entry.messages:
        parts.append(f"messages {list(entry.messages)}")
    if entry.runs:
        parts.append(", ".join(f"{view.run_id} {view.standing} {len(view.items)}" for view in entry.runs))
    if entry.changed:
        parts.append(f"state {entry.state}")
    if entry.rows is not None:
        parts.append(f"{len(entry.rows)} rows")
    if entry.size is not None:
        parts.append(f"{entry.size} bytes{' buffered' if entry.buffered else ''}")
    return " | ".join(parts)


def check(history: History, expected: str, *unreached: str) -> None:
    microseconds = [round(entry.time * 1_000_000) for entry in history.entries]
    assert not any(time % 1_000 for time in microseconds)  # a boundary takes a millisecond, no more
    assert told(history) == [line.strip() for line in expected.strip().splitlines()]
    assert history.unreached == unreached
