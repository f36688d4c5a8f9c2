"""Runs of every kind, hostile names included, for the tests of storage."""

from datetime import UTC, datetime
from itertools import count
from typing import Any

from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st

from pytest_quarry.contract import (
    Artifact,
    ContractError,
    Event,
    FlushMode,
    Outcome,
    Policy,
    Run,
    Sidecar,
    number_events,
)
from pytest_quarry.storage import QuarryWriter, Store, StoredRun

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


names = st.one_of(
    st.sampled_from(
        ["run-1", "a b", "a%20b", "%2F", "x/../../y", "..", ".", "a/b", "run#~!'()*", "日本", "\0", "a=b+c"]
    ),
    st.text(min_size=1, max_size=8),
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
payloads = st.none() | st.dictionaries(st.sampled_from(["data", "item_type", "<&>", "é"]), values, max_size=3)
_DROPPABLE = ("log", "enqueue", "rotate_proxy")
_TYPES = ("item", "item", "item", "checkpoint", "artifact", "something_new", *_DROPPABLE)


@st.composite
def runs(draw: st.DrawFn, run_id: str | None = None, buffered: bool = False) -> Run:
    """Any run Quarry could produce, or any buffered one whose flush can be repeated."""
    outcome = draw(st.sampled_from(list(Outcome)))
    policy = Policy.BUFFERED if buffered else draw(st.sampled_from(list(Policy)))
    modes = [mode for mode in FlushMode if not (buffered and mode is FlushMode.TWO_PHASE)]
    attempt = draw(st.integers(1, 2))
    who: dict[str, Any] = {
        "run_id": run_id or draw(names),
        "attempt": attempt,
        "job_id": draw(st.none() | names),
        "parent_run_id": "the one before" if attempt > 1 else None,
    }
    kinds = draw(st.lists(st.sampled_from(_TYPES), max_size=6))
    last = {"success": "run_complete", "script_error": "run_error"}.get(outcome)
    bodies = [(kind, draw(payloads)) for kind in kinds] + ([(last, {})] if last else [])
    events: list[Event] = []
    artifacts: list[Artifact] = []
    for number, (kind, body) in enumerate(bodies, start=1):
        if kind in _DROPPABLE and policy is Policy.BUFFERED and number < len(bodies) and draw(st.booleans()):
            continue
        payload = body
        if kind == "artifact":
            chunks = tuple(draw(st.lists(st.binary(max_size=6), min_size=1, max_size=3)))
            artifacts.append(Artifact(artifact_id=f"art-{number}", chunks=chunks, checksums=draw(st.booleans())))
            payload = {"artifact_id": f"art-{number}", "name": "page", "content_type": "text/html", "size_bytes": 0}
        ts = f"2026-02-01T23:59:{number:02d}.250Z"
        events.append(Event(event_id=f"e{99 - number}", seq=number, type=kind, ts=ts, payload=payload, **who))
    if draw(st.booleans()):
        artifacts.append(Artifact(artifact_id="orphan", chunks=(b"left",), complete=draw(st.booleans())))
    try:
        return Run(
            **who,
            source=draw(names),
            category=draw(names | st.just("")),
            day="2026-02-01",
            dataset=draw(st.sampled_from(["quarry", "my data/set"])),
            policy=policy,
            flush_mode=draw(st.sampled_from(modes)),
            flush_count=draw(st.integers(1, 3)),
            flush_interval=draw(st.sampled_from([None, 0.5, 3])),
            outcome=outcome,
            events=tuple(events),
            artifacts=tuple(artifacts),
            sidecars=draw(sidecars(len(bodies))),
            started_at=START,
            metrics=draw(st.booleans()),
        )
    except ContractError as error:
        assume("sidecar" not in str(error))
        raise


@st.composite
def sidecars(draw: st.DrawFn, events: int) -> tuple[Sidecar, ...]:
    """Sidecar files, mostly none."""
    found = draw(st.lists(st.sampled_from(["shot.png", "side car+é%.txt", "<1>.json"]), max_size=2, unique=True))
    return tuple(
        Sidecar(
            name=name,
            data=draw(st.binary(max_size=4)),
            content_type=draw(st.sampled_from(["", "text/plain", 'a"<b>'])),
            after_seq=draw(st.integers(0, events)),
        )
        for name in found
    )


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
