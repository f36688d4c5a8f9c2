"""A check whose time ends: it passes as far as it came, where it came to disturb anything."""

from __future__ import annotations

import pytest

from pytest_quarry.checks.catalogue import BY_ID
from pytest_quarry.checks.conduct import Conductor, Result
from pytest_quarry.checks.stage import disturbs
from pytest_quarry.samples.demo import RepairedOrders
from pytest_quarry.simulation.schedule import Crash, Deliver, Notify, PlannedRun, Poll, Schedule, Step, Wait, Write

RUN = PlannedRun(run_id="run-A", items=2)
TOLD = (Write("run-A"), Notify("run-A"))


def cut_after(schedules: int, check: str) -> Result:
    looks = iter([False] * (schedules - 1))
    return Conductor(RepairedOrders().consumer(), is_over=lambda: next(looks, True)).conduct(BY_ID[check])


@pytest.mark.parametrize("schedules", [1, 3])
def test_a_crash_check_in_which_nobody_was_killed_says_nothing(schedules: int) -> None:
    result = cut_after(schedules, "EB04")
    assert (result.status, result.schedules) == ("skipped", 0)
    assert result.reason == "--quarry-budget was used up before this check disturbed anything"


def test_one_that_disturbed_something_passes_as_far_as_it_came() -> None:
    result = cut_after(4, "EB04")
    assert (result.status, result.reason) == ("passed", "the budget ended after 4 schedules")


@pytest.mark.parametrize(
    ("steps", "run", "does"),
    [
        ((*TOLD, Deliver((1,))), RUN, False),
        ((Write("run-A"), Poll()), RUN, False),
        ((Write("run-A"), Poll(), Poll()), RUN, True),
        ((*TOLD, Deliver((1,)), Deliver((1,))), RUN, True),
        ((*TOLD, Deliver((1,), Crash("*"))), RUN, True),
        ((*TOLD, Wait(9), Deliver((1,))), RUN, True),
        ((Write("run-A", clock=-1), Poll()), RUN, True),
        ((*TOLD, Deliver((1,))), PlannedRun(run_id="run-A", job_id="job-1"), True),
    ],
)
def test_what_disturbs(steps: tuple[Step, ...], run: PlannedRun, does: bool) -> None:
    assert disturbs(Schedule(runs=(run,), steps=steps)) is does
