"""A failing schedule is made smaller: nothing is left in it that the failure does not need."""

from __future__ import annotations

import pytest

from pytest_quarry.simulation.schedule import (
    Crash,
    Deliver,
    Notify,
    Overlap,
    PlannedRun,
    Poll,
    Schedule,
    Step,
    Switch,
    Write,
)
from pytest_quarry.simulation.shrink import shrink


def test_a_failing_one_is_made_smaller() -> None:
    runs = tuple(PlannedRun(run_id=name) for name in "AB")
    told = (Write("A"), Notify("A"), Write("B"), Notify("B"))
    overlap = Overlap((1,), (2, 2), (Switch("a"), Switch("b")), Crash("c"), pause=31)
    schedule = Schedule(runs=runs, steps=(*told, overlap))

    def only_one_switch_matters(smaller: Schedule) -> bool:
        steps = [step for step in smaller.steps if isinstance(step, Overlap)]
        return bool(steps) and Switch("b") in steps[0].switches

    assert shrink(schedule, only_one_switch_matters).steps[-1] == Overlap((1,), (2,), (Switch("b"),))
    without = shrink(schedule, lambda smaller: any(step == Notify("B") for step in smaller.steps))
    assert without.steps[-1] == Deliver((1, 1)) or without.steps == (Notify("B"),)


def many(count: int) -> Schedule:
    runs = tuple(PlannedRun(run_id=f"run-{number:04}") for number in range(count))
    steps: list[Step] = [step for run in runs for step in (Write(run.run_id), Notify(run.run_id), Poll())]
    return Schedule(runs=runs, steps=(*steps, Deliver(tuple(range(1, count + 1)))))


@pytest.mark.parametrize("needed", [1, 5, 11])
def test_of_many_runs_as_many_are_left_as_it_takes(needed: int) -> None:
    """What fails at more than ten messages, which SQS hands over at once, is shown with eleven."""

    def fails(schedule: Schedule) -> bool:
        return any(isinstance(step, Deliver) and len(step.messages) >= needed for step in schedule.steps)

    left = shrink(many(37), fails)
    assert len(left.runs) <= needed
    assert left.steps == (*(Notify(step.run) for step in left.steps if isinstance(step, Notify)), left.steps[-1])
    assert left.steps[-1] == Deliver(tuple(range(1, needed + 1)))


def test_a_thousand_runs_are_not_tried_for_ever() -> None:
    tried = []

    def fails(schedule: Schedule) -> bool:
        tried.append(len(schedule.runs))
        return len(schedule.runs) > 1_000

    assert len(shrink(many(1_100), fails).runs) > 1_000
    assert len(tried) <= 12

    def a_hundred(schedule: Schedule) -> bool:
        tried.append(len(schedule.runs))
        return len(schedule.runs) >= 100

    tried.clear()
    assert len(shrink(many(1_100), a_hundred).runs) < 140
    assert sum(tried) < 10_000
