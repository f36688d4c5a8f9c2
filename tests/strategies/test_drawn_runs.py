"""runs() and events(): what is drawn can be written and read, obeys its keywords, and shrinks to something plain."""

import contextlib
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from simplest import calm, simplest

from pytest_quarry.contract import TERMINAL, Event, EventType, Outcome, Policy, Run, encode_line, event_record
from pytest_quarry.storage import Storage
from pytest_quarry.strategies import events, runs


@given(run=runs() | runs(ids="hostile"))
@calm
def test_a_run_written_is_the_run_read(run: Run) -> None:
    storage = Storage.in_memory()
    storage.write(run)
    (stored,) = storage.read()
    assert stored.damage == ()
    assert (stored.run_id, stored.source, stored.category, stored.day, stored.dataset) == (
        run.run_id,
        run.source,
        run.category,
        run.day,
        run.dataset,
    )
    names = ("event_id", "run_id", "seq", "type", "ts", "payload", "attempt", "job_id", "parent_run_id")
    for one, two in zip(stored.events, run.events, strict=True):
        for name in names:
            if name != "payload" or two.type != EventType.ARTIFACT:
                assert getattr(one, name) == getattr(two, name)
    committed = {event.payload["artifact_id"] for event in run.events if event.type == "artifact" and event.payload}
    assert {one.artifact_id: one.data for one in stored.artifacts} == {
        one.artifact_id: one.data for one in run.artifacts if one.artifact_id in committed
    }


SIMPLEST = {
    "events": ("run_complete",),
    "run_id": "run-1",
    "source": "shop",
    "category": "default",
    "dataset": "quarry",
    "day": "2026-02-01",
    "policy": "strict",
    "outcome": "success",
    "job_id": None,
    "attempt": 1,
    "artifacts": (),
    "sidecars": (),
    "metrics": True,
    "duration_ms": 1500,
}


def plain(run: Run) -> dict[str, Any]:
    found = {name: getattr(run, name) for name in SIMPLEST}
    return {**found, "events": tuple(str(event.type) for event in run.events)}


@pytest.mark.parametrize("ids", ["plain", "hostile"])
def test_the_simplest_run(ids: Any) -> None:
    run = simplest(runs(ids=ids))
    assert plain(run) == SIMPLEST
    assert run.events[0].payload == {}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (lambda run: len(run.items) >= 2, {"events": ("item", "item", "run_complete")}),
        (lambda run: run.outcome == "script_error", {"outcome": "script_error", "events": ("run_error",)}),
        (lambda run: run.attempt > 1, {"attempt": 2}),
        (lambda run: run.dropped_by_type, {"policy": "buffered"}),
        (lambda run: run.sidecars, {"sidecars": "shot.png"}),
        (lambda run: any(event.payload is None for event in run.events), {"events": ("item", "run_complete")}),
    ],
    ids=["items", "error", "retry", "dropped", "sidecar", "null"],
)
def test_the_simplest_run_that_fails_a_test(condition: Callable[[Run], Any], expected: dict[str, Any]) -> None:
    found = plain(simplest(runs(), condition))
    if found["sidecars"]:
        found["sidecars"] = found["sidecars"][0].name
    assert found == {**SIMPLEST, **expected}


def test_the_simplest_item() -> None:
    run = simplest(runs(min_items=1))
    assert [item.payload for item in run.items] == [{"item_type": "product", "data": {"sku": "sku-0", "price": 0}}]
    assert simplest(runs(min_items=1, data=st.integers(5, 9))).items[0].payload["data"] == 5


ALLOWED: list[tuple[dict[str, Any], Callable[[Run], bool]]] = [
    ({"min_items": 2, "max_items": 3}, lambda run: 2 <= len(run.items) <= 3),
    ({"policies": ["buffered", Policy.STREAMING]}, lambda run: run.policy in ("buffered", "streaming")),
    ({"outcomes": [Outcome.SCRIPT_ERROR]}, lambda run: run.outcome == "script_error"),
    ({"run_id": "r", "source": st.just("s")}, lambda run: (run.run_id, run.source) == ("r", "s")),
    ({"category": "c", "dataset": "d"}, lambda run: (run.category, run.dataset) == ("c", "d")),
    ({"drops": False}, lambda run: not run.dropped_by_type),
    ({"retries": False}, lambda run: run.attempt == 1),
    ({"max_artifacts": 0}, lambda run: not run.artifacts),
    ({"max_sidecars": 0, "ids": "hostile"}, lambda run: not run.sidecars),
    ({"max_others": 0}, lambda run: {str(event.type) for event in run.events} <= {"item", "artifact", *TERMINAL}),
    (
        {"odd": False},
        lambda run: all(event.type in set(EventType) and event.payload is not None for event in run.events),
    ),
    ({}, lambda run: all(re.fullmatch(r"[\w.-]+", name, re.ASCII) for name in (run.run_id, run.source, run.category))),
]


@pytest.mark.parametrize(("keywords", "holds"), ALLOWED, ids=[",".join(one) or "plain ids" for one, _ in ALLOWED])
def test_runs_are_what_was_asked_for(keywords: dict[str, Any], holds: Callable[[Run], bool]) -> None:
    @given(runs(**keywords))
    @calm
    def check(run: Run) -> None:
        assert holds(run)

    check()


POSSIBLE: list[tuple[str, Callable[[Run], Any]]] = [
    *((str(policy), lambda run, policy=policy: run.policy == policy) for policy in Policy),
    *((str(outcome), lambda run, outcome=outcome: run.outcome == outcome) for outcome in Outcome),
    *((kind, lambda run, kind=kind: kind in [event.type for event in run.events]) for kind in [*EventType, "something_new"]),
    ("a slash", lambda run: "/" in run.run_id),
    ("climbing", lambda run: ".." in run.source),
    ("nul", lambda run: "\0" in run.run_id),
    ("empty category", lambda run: run.category == ""),
    ("past midnight", lambda run: run.ended_at.date().isoformat() != run.day),
    ("orphan", lambda run: "orphan" in [artifact.artifact_id for artifact in run.artifacts]),
    ("incomplete orphan", lambda run: any(not artifact.complete for artifact in run.artifacts)),
    ("gap", lambda run: run.dropped_by_type and not run.dropped),
    ("named drops", lambda run: run.dropped),
    ("lost", lambda run: run.lost),
    ("finished, then failed", lambda run: run.outcome == "policy_failure" and run.terminal),
    ("no metrics", lambda run: not run.metrics),
    ("falling event ids", lambda run: [event.event_id for event in run.events] > sorted(event.event_id for event in run.events)),
]  # fmt: skip


class AllSeen(Exception):
    """The rest need not be drawn."""


@pytest.mark.apart
def test_every_sort_of_run_is_drawn() -> None:
    missing = dict(POSSIBLE)

    @given(run=runs(ids="hostile"))
    @settings(calm, max_examples=1500, derandomize=True, phases=[Phase.generate])
    def look(run: Run) -> None:
        for name in [name for name, condition in missing.items() if condition(run)]:
            del missing[name]
        if not missing:
            raise AllSeen

    with contextlib.suppress(AllSeen):
        look()
    assert not missing


@given(event=events())
@calm
def test_an_event_can_be_stored(event: Event) -> None:
    run = Run(
        **{name: getattr(event, name) for name in ("run_id", "attempt", "job_id", "parent_run_id")},
        source="shop",
        day=event.ts[:10],
        outcome="policy_failure",  # type: ignore[arg-type]
    )
    assert encode_line(event_record(run, event)).endswith(b"\n")


RUN = simplest(runs(), lambda run: len(run.items) == 2)


def test_the_simplest_events() -> None:
    event = simplest(events())
    assert (event.event_id, event.type, event.seq) == ("ev-run-1-0001", "item", 1)
    assert simplest(events(types=["log", "item"])).payload == {"level": "info", "message": ""}
    assert simplest(events(of=RUN)) == RUN.events[0]
    assert simplest(events(of=RUN, types=["run_complete"])) == RUN.events[-1]
    assert simplest(events(of=RUN, whole=True)) == RUN.events
    assert simplest(events(of=RUN, whole=True, types=["item"])) == RUN.items


@given(found=events(whole=True), item=events(of=runs(), types=["item"]))
@calm
def test_events_of_a_run_are_in_order(found: tuple[Event, ...], item: Event) -> None:
    assert [event.seq for event in found] == sorted({event.seq for event in found})
    assert len({event.run_id for event in found}) <= 1
    assert item.type == "item"


@pytest.mark.parametrize("kind", [*EventType, "something_new"])
def test_events_of_every_type(kind: str) -> None:
    event = simplest(events(types=[kind]))
    assert (event.type, event.event_id) == (kind, "ev-run-1-0001")
    assert event.payload is not None
