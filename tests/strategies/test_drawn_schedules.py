"""schedules(): valid, plain data, survived by sound consumers, and small when they fail."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from simplest import calm, drawn, simplest

from pytest_quarry.consumers.consumer import Consumer
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import (
    Break,
    Crash,
    Deliver,
    Notify,
    PlannedRun,
    Poll,
    Restart,
    Schedule,
    Wait,
    Write,
)
from pytest_quarry.simulation.world import World
from pytest_quarry.storage import read_runs
from pytest_quarry.strategies import schedules

KINDS: tuple[Any, ...] = ("event-bus", "poller")


def load(world: World, wanted: str | None = None) -> None:
    """Upsert the items of finished runs; what cannot be read is an error."""
    for run in read_runs(world.storage_root):
        if run.damage:
            raise OSError(run.damage[0])
        if run.state == "finished" and wanted in (None, run.run_id):
            for item in run.items:
                world.target.upsert({"run_id": run.run_id, "item": item.event_id})


def start_loader(world: World) -> Callable[[Mapping[str, Any]], None]:
    return lambda notification: load(world, notification["run_id"])


class Poller:
    def __init__(self, world: World) -> None:
        self.world = world

    def poll(self) -> None:
        load(self.world)


CONSUMERS = {
    "event-bus": Consumer(name="Loader", kind="event-bus", start=start_loader, rows=lambda world: world.target.rows()),
    "poller": Consumer(name="Poller", kind="poller", start=Poller, rows=lambda world: world.target.rows()),
}


@given(schedule=schedules() | schedules(kind="poller", ids="hostile", max_runs=5, crash_at=["target UPSERT", "return"]))
@calm
def test_every_schedule_survives_json(schedule: Schedule) -> None:
    assert Schedule.from_json(json.loads(json.dumps(schedule.to_json()))) == schedule


@pytest.mark.parametrize("kind", KINDS)
def test_a_sound_consumer_survives_every_schedule(kind: Any) -> None:
    @given(schedule=schedules(kind=kind))
    @settings(calm, max_examples=25)
    def check(schedule: Schedule) -> None:
        history = simulate(schedule, CONSUMERS[kind])
        due = {(run.run_id, item) for run in history.views.values() if run.standing == "due" for item in run.items}
        may = {
            (run.run_id, item) for run in history.views.values() if run.standing != "forbidden" for item in run.items
        }
        rows = [(row.run_id, row.item) for row in history.rows]
        assert due <= set(rows) <= may
        assert len(set(rows)) == len(rows)
        assert history.entries[-1].what == "settled"

    check()


RUN = PlannedRun(run_id="run-1", items=1)
TOLD = (Write("run-1"), Notify("run-1"), Deliver((1,)))


@pytest.mark.parametrize(
    ("kind", "condition", "runs", "steps"),
    [
        ("event-bus", None, (RUN,), TOLD),
        ("poller", None, (RUN,), (Write("run-1"), Poll())),
        ("event-bus", lambda steps: Restart() in steps, (RUN,), (*TOLD[:2], Restart(), TOLD[2])),
        ("event-bus", lambda steps: any(isinstance(one, Wait) for one in steps), (RUN,), (*TOLD[:2], Wait(1), TOLD[2])),
        ("poller", lambda steps: steps.count(Poll()) == 2, (RUN,), (Write("run-1"), Poll(), Poll())),
        ("event-bus", lambda steps: Deliver((1, 1)) in steps, (RUN,), (*TOLD[:2], Deliver((1, 1)))),
        (
            "event-bus",
            lambda steps: Deliver((2,)) in steps,
            (RUN, PlannedRun(run_id="run-2", items=1)),
            (*TOLD, Write("run-2"), Notify("run-2"), Deliver((2,))),
        ),
    ],
)
def test_the_simplest_schedules(kind: Any, condition: Callable[[Any], bool] | None, runs: Any, steps: Any) -> None:
    found = simplest(schedules(kind=kind), condition and (lambda one: condition(one.steps)))
    assert found == Schedule(runs=runs, steps=steps)


POSSIBLE: list[tuple[str, Any, Callable[[Any], Any]]] = [
    ("crash", KINDS, lambda step: getattr(step, "crash", None) == Crash("return")),
    ("break", KINDS, lambda step: isinstance(step, Break)),
    ("restart", KINDS, lambda step: isinstance(step, Restart)),
    ("wait", KINDS, lambda step: isinstance(step, Wait)),
    ("batch", ("event-bus",), lambda step: isinstance(step, Deliver) and len(step.messages) > 1),
    ("form", ("event-bus",), lambda step: isinstance(step, Notify) and step.form == "minimal"),
]


@pytest.mark.parametrize(("kinds", "condition"), [one[1:] for one in POSSIBLE], ids=[one[0] for one in POSSIBLE])
def test_every_disturbance_is_drawn(kinds: Any, condition: Callable[[Any], Any]) -> None:
    for kind in kinds:
        assert drawn(schedules(kind=kind), lambda schedule: any(map(condition, schedule.steps)))


def test_s3_breaks_and_labels_of_the_consumer() -> None:
    assert drawn(schedules(storage="s3"), lambda one: any(getattr(step, "error", "") == "503" for step in one.steps))
    named = schedules(crash_at=["sqlite COMMIT orders.sqlite"])
    found = drawn(named, lambda one: any(getattr(step, "crash", None) for step in one.steps))
    labels = {step.crash.label for step in found.steps if getattr(step, "crash", None)}
    assert labels == {"sqlite COMMIT orders.sqlite"}


def test_a_retry_names_the_run_before() -> None:
    found = drawn(schedules(), lambda schedule: any(run.attempt > 1 for run in schedule.runs))
    retry = next(run for run in found.runs if run.attempt > 1)
    assert found.run(str(retry.parent_run_id)).outcome != "success"


@given(schedule=schedules(disturbances=[]), polled=schedules(kind="poller", disturbances=["waits"]))
@calm
def test_only_what_was_asked_for_happens(schedule: Schedule, polled: Schedule) -> None:
    delivered = [step for step in schedule.steps if isinstance(step, Deliver)]
    assert delivered == [Deliver((number,)) for number in range(1, len(schedule.runs) + 1)]
    assert {type(step) for step in schedule.steps} == {Write, Notify, Deliver}
    assert {type(step) for step in polled.steps} <= {Write, Poll, Wait}
    assert sum(isinstance(step, Poll) for step in polled.steps) <= len(polled.runs)
