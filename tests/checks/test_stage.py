"""What the checks of one consumer share: an execution is kept for the next check that plays the same schedule."""

from __future__ import annotations

from typing import Any

from pytest_quarry.checks.stage import MOST_KEPT, Kept, Stage
from pytest_quarry.consumers.consumer import Consumer
from pytest_quarry.simulation.history import History
from pytest_quarry.simulation.schedule import Schedule


def stages() -> tuple[Stage, Stage, list[Schedule]]:
    """Two checks' stages that share, and what was executed for them."""
    executed: list[Schedule] = []

    def execute(schedule: Schedule, **details: Any) -> History:
        executed.append(schedule)
        return History(entries=())

    consumer, kept = Consumer(name="Orders", kind="poller", start=lambda world: None, rows=lambda world: []), Kept()
    return Stage(consumer, 0, execute, kept), Stage(consumer, 0, execute, kept), executed


def test_two_checks_that_play_the_same_hundreds_of_schedules_share_them() -> None:
    """Those of crashes of a program are 460: one after the other, so keeping fewer would keep none of use."""
    one, other, executed = stages()
    schedules = [one.schedule([one.run(f"{number}")], []) for number in range(460)]
    first = [one.history(schedule) for schedule in schedules]
    assert [other.history(schedule) for schedule in schedules] == first
    assert len(executed) == 460


def test_the_oldest_are_given_up() -> None:
    one, other, executed = stages()
    schedules = [one.schedule([one.run(f"{number}")], []) for number in range(MOST_KEPT + 1)]
    for schedule in schedules:
        one.history(schedule)
    other.history(schedules[-1])
    assert len(executed) == MOST_KEPT + 1
    other.history(schedules[0])
    assert len(executed) == MOST_KEPT + 2
