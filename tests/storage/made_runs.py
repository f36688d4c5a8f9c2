"""A plain run, a writer, and what it means that a run read is the run written, for the tests of storage."""

from datetime import UTC, datetime
from itertools import count
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from pytest_quarry.contract import Run, number_events
from pytest_quarry.storage import QuarryWriter, Store, StoredRun
from pytest_quarry.strategies import values

calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Settings for machines that are busy."""

START = datetime(2026, 2, 1, 23, 59, 58, tzinfo=UTC)


def run_of(run_id: str = "run-1", items: int = 2, **fields: Any) -> Run:
    """A plain run: items, then run_complete."""
    bodies: list[tuple[str, dict[str, Any]]] = [
        ("item", {"item_type": "p", "data": {"n": number}}) for number in range(items)
    ]
    events = number_events(run_id, [*bodies, ("run_complete", {})], started_at=START)
    return Run(**{"run_id": run_id, "source": "shop", "day": "2026-02-01", "events": events, **fields})


def writer(store: Store, **options: Any) -> QuarryWriter:
    """A writer whose clock ticks by a microsecond."""
    ticks = count(1_795_420_857_000_000_000, 1000)
    return QuarryWriter(store, clock=lambda: next(ticks), **options)


names = values.run_ids("hostile")
payloads = st.none() | values.json_objects


def like(stored: Any, value: Any) -> bool:
    """Whether a value read back is the one written, numbers by their value."""
    if isinstance(value, float) and isinstance(stored, int | float) and not isinstance(stored, bool):
        return float(stored) == value
    if isinstance(value, dict) and isinstance(stored, dict):
        return stored.keys() == value.keys() and all(like(stored[key], value[key]) for key in value)
    if isinstance(value, list) and isinstance(stored, list):
        return len(stored) == len(value) and all(map(like, stored, value))
    return bool(stored == value) and type(stored) is type(value)


def check_same(stored: StoredRun, run: Run, *, flat: bool = False) -> None:
    """Assert that what was read is the run that was written."""
    assert (stored.run_id, stored.source, stored.category, stored.day) == (
        run.run_id,
        run.source,
        run.category,
        run.day,
    )
    assert stored.dataset == ("" if flat else run.dataset)
    assert len(stored.events) == len(run.events)
    for one, two in zip(stored.events, run.events, strict=True):
        for name in ("event_id", "run_id", "seq", "type", "ts", "attempt", "job_id", "parent_run_id"):
            assert getattr(one, name) == getattr(two, name)
        assert like(one.payload, two.payload)
    committed = {event.payload["artifact_id"] for event in run.events if event.type == "artifact" and event.payload}
    assert {one.artifact_id: one.data for one in stored.artifacts} == {
        one.artifact_id: one.data for one in run.artifacts if one.artifact_id in committed
    }
    assert (stored.metrics is not None) == run.metrics
    assert stored.damage == ()
    assert stored.complete_partitions
