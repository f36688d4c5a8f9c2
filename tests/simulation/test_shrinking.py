"""A failing schedule is made smaller: nothing is left in it that the failure does not need."""

from __future__ import annotations

from dataclasses import fields, replace
from difflib import SequenceMatcher
from typing import Any

import pytest
from loaders import poller

from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import (
    Break,
    Crash,
    Deliver,
    Notify,
    Overlap,
    PlannedRun,
    Poll,
    Publish,
    Schedule,
    Step,
    Switch,
    Wait,
    Write,
)
from pytest_quarry.simulation.shrink import shrink, smaller, without_step


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


ODD = PlannedRun(
    run_id="odd",
    source="s",
    category="c",
    items=2,
    first_item=5,
    logs=1,
    attempt=2,
    parent_run_id="x",
    outcome="script_error",
)
PLAIN = PlannedRun(run_id="run-1", items=1)
TOLD = (Write("odd"), Notify("odd", "minimal", "failed"), Write("run-1"), Notify("run-1"))


def smaller_ones(schedule: Schedule) -> list[str]:
    """What each of them has instead of what."""
    found = list(smaller(schedule))
    assert {one.seed for one in found} == {schedule.seed}
    return [_difference(_brief(schedule), _brief(one)) for one in found]


def _brief(schedule: Schedule) -> list[str]:
    return [_words(part) for part in (*schedule.runs, *schedule.steps)]


def _words(part: Any) -> str:
    values = {one.name: getattr(part, one.name) for one in fields(part) if getattr(part, one.name) != one.default}
    texts = {"crash": "killed", "switches": " ".join(switch.label for switch in values.get("switches", ()))}
    return " ".join([type(part).__name__, *(texts.get(name, str(value)) for name, value in values.items())])


def _difference(before: list[str], after: list[str]) -> str:
    changes = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    parts = [(", ".join(before[a:b]), ", ".join(after[c:d])) for how, a, b, c, d in changes if how != "equal"]
    return " and ".join(f"{new} for {old}" if new else f"no {old}" for old, new in parts)


def test_all_that_is_a_little_smaller() -> None:
    steps = (*TOLD, Deliver((1, 2), Crash("c"), "lost"), Poll(Crash("c")), Publish("odd", Crash("c")), Wait(9))
    assert smaller_ones(Schedule(runs=(ODD, PLAIN), steps=steps, seed=7)) == [
        "no PlannedRun odd s c 2 5 script_error 2 x 1 and no Write odd, Notify odd minimal failed and Deliver (1,) killed lost for Deliver (1, 2) killed lost and no Publish odd killed",
        "no PlannedRun run-1 1 and Deliver (1,) killed lost for Write run-1, Notify run-1, Deliver (1, 2) killed lost",
        "no Write odd and no Publish odd killed",
        "no Notify odd minimal failed and Deliver (1,) killed lost for Deliver (1, 2) killed lost",
        "no Write run-1",
        "Deliver (1,) killed lost for Notify run-1, Deliver (1, 2) killed lost",
        "no Deliver (1, 2) killed lost",
        "no Poll killed",
        "no Publish odd killed",
        "no Wait 9",
        "Notify odd failed for Notify odd minimal failed",
        "Notify odd minimal for Notify odd minimal failed",
        "Deliver (2,) killed lost for Deliver (1, 2) killed lost",
        "Deliver (1,) killed lost for Deliver (1, 2) killed lost",
        "Deliver (1, 2) lost for Deliver (1, 2) killed lost",
        "Deliver (1, 2) killed for Deliver (1, 2) killed lost",
        "Poll for Poll killed",
        "Publish odd for Publish odd killed",
        "PlannedRun odd s c 2 5 for PlannedRun odd s c 2 5 script_error 2 x 1",
        "PlannedRun odd s c 2 5 2 x 1 for PlannedRun odd s c 2 5 script_error 2 x 1",
        "PlannedRun odd s c 2 5 script_error 1 for PlannedRun odd s c 2 5 script_error 2 x 1",
        "PlannedRun odd s c 2 5 script_error 2 x for PlannedRun odd s c 2 5 script_error 2 x 1",
        "PlannedRun run-2 s c 2 5 script_error 2 x 1 for PlannedRun odd s c 2 5 script_error 2 x 1 and Write run-2, Notify run-2 minimal failed for Write odd, Notify odd minimal failed and Publish run-2 killed for Publish odd killed",
        "PlannedRun odd s c 1 5 script_error 2 x for PlannedRun odd s c 2 5 script_error 2 x 1",
    ]


def test_all_that_is_a_little_smaller_where_two_are_at_work() -> None:
    overlap = Overlap((1,), (2, 1), (Switch("a"), Switch("b")), Crash("c"), crash_second=True, pause=31)
    assert smaller_ones(Schedule(runs=(ODD, PLAIN), steps=(*TOLD, overlap, Overlap()))) == [
        "no PlannedRun odd s c 2 5 script_error 2 x 1 and no Write odd, Notify odd minimal failed and Deliver (1,) for Overlap (1,) (2, 1) a b killed True 31",
        "no PlannedRun run-1 1 and Overlap (1,) (1,) a b killed True 31 for Write run-1, Notify run-1, Overlap (1,) (2, 1) a b killed True 31",
        "no Write odd",
        "no Notify odd minimal failed and Deliver (1,) for Overlap (1,) (2, 1) a b killed True 31",
        "no Write run-1",
        "Overlap (1,) (1,) a b killed True 31 for Notify run-1, Overlap (1,) (2, 1) a b killed True 31",
        "no Overlap (1,) (2, 1) a b killed True 31",
        "no Overlap",
        "Notify odd failed for Notify odd minimal failed",
        "Notify odd minimal for Notify odd minimal failed",
        "Deliver (1,) for Overlap (1,) (2, 1) a b killed True 31",
        "Overlap (1,) (2, 1) b killed True 31 for Overlap (1,) (2, 1) a b killed True 31",
        "Overlap (1,) (2, 1) a killed True 31 for Overlap (1,) (2, 1) a b killed True 31",
        "Overlap (1,) (2, 1) a b 31 for Overlap (1,) (2, 1) a b killed True 31",
        "Overlap (1,) (2,) a b killed True for Overlap (1,) (2, 1) a b killed True 31",
        "Poll for Overlap",
        "PlannedRun odd s c 2 5 for PlannedRun odd s c 2 5 script_error 2 x 1",
        "PlannedRun odd s c 2 5 2 x 1 for PlannedRun odd s c 2 5 script_error 2 x 1",
        "PlannedRun odd s c 2 5 script_error 1 for PlannedRun odd s c 2 5 script_error 2 x 1",
        "PlannedRun odd s c 2 5 script_error 2 x for PlannedRun odd s c 2 5 script_error 2 x 1",
        "PlannedRun run-2 s c 2 5 script_error 2 x 1 for PlannedRun odd s c 2 5 script_error 2 x 1 and Write run-2, Notify run-2 minimal failed for Write odd, Notify odd minimal failed",
        "PlannedRun odd s c 1 5 script_error 2 x for PlannedRun odd s c 2 5 script_error 2 x 1",
    ]


def test_all_that_is_a_little_smaller_of_a_single_run() -> None:
    """The run itself stays, and what has nothing odd about it is as small as it can be."""
    steps = (Write("odd"), Notify("odd"), Deliver((1,)))
    assert smaller_ones(Schedule(runs=(ODD,), steps=steps)) == [
        "no Write odd",
        "no Notify odd, Deliver (1,)",
        "no Deliver (1,)",
        "PlannedRun odd s c 2 5 for PlannedRun odd s c 2 5 script_error 2 x 1",
        "PlannedRun odd s c 2 5 2 x 1 for PlannedRun odd s c 2 5 script_error 2 x 1",
        "PlannedRun odd s c 2 5 script_error 1 for PlannedRun odd s c 2 5 script_error 2 x 1",
        "PlannedRun odd s c 2 5 script_error 2 x for PlannedRun odd s c 2 5 script_error 2 x 1",
        "PlannedRun run-1 s c 2 5 script_error 2 x 1, Write run-1, Notify run-1 for PlannedRun odd s c 2 5 script_error 2 x 1, Write odd, Notify odd",
        "PlannedRun odd s c 1 5 script_error 2 x for PlannedRun odd s c 2 5 script_error 2 x 1",
    ]


def test_no_run_is_written_before_its_day_has_come() -> None:
    """A world begins on 2 February 2026."""
    later = PlannedRun(run_id="run-1", items=1, day="2026-02-04")
    steps = (Wait(86_400), Wait(86_400), Write("run-1"), Poll())
    assert smaller_ones(Schedule(runs=(later,), steps=steps)) == [
        "no Write run-1",
        "no Poll",
        "PlannedRun run-1 1 for PlannedRun run-1 2026-02-04 1",
    ]
    ahead = Schedule(runs=(later,), steps=(Wait(86_400), Write("run-1")))
    assert "no Wait 86400" in smaller_ones(ahead), "one that was ahead from the beginning is made smaller all the same"


def test_of_several_odd_things_one_is_left_that_matters() -> None:
    run = PlannedRun(
        run_id="run-1", items=1, day="2026-01-10", policy="buffered", job_id="job-1", odd=True, stored_twice=True
    )
    schedule = Schedule(runs=(run,), steps=(Write("run-1"), Poll()))
    left = shrink(schedule, lambda one: bool(one.runs) and one.runs[0].job_id is not None)
    assert left.runs == (PlannedRun(run_id="run-1", items=1, job_id="job-1"),)


@pytest.mark.parametrize("policy", ["buffered", "streaming"])
@pytest.mark.parametrize("outcome", ["success", "script_error", "policy_failure"])
def test_every_run_that_is_a_little_plainer_can_be_written(policy: Any, outcome: Any) -> None:
    run = PlannedRun(
        run_id="run-1",
        day="2026-01-10",
        starts="08:00:00",
        policy=policy,
        outcome=outcome,
        job_id="job-1",
        attempt=2,
        parent_run_id="run-0",
        stored_twice=policy == "buffered",
        plain_event_ids=True,
        logs=2,
        artifacts="committed",
        odd=True,
        blob=9,
        skipped=outcome == "success",
    )
    for one in smaller(Schedule(runs=(run,), steps=(Write("run-1"), Poll()))):
        simulate(one, poller())


@pytest.mark.parametrize(
    "step",
    [
        Deliver((1,), Crash("write strange.x/data")),
        Poll(Crash("write strange.x/data")),
        Overlap((1,), (1,), (Switch("write strange.x/data"),)),
        Break("write strange.x/data", "EIO"),
        Break("s3.PutObject", "503", containing="write strange.x/data"),
    ],
    ids=lambda step: f"{type(step).__name__}-{getattr(step, 'containing', '')}",
)
def test_operations_are_renamed_with_their_run(step: Step) -> None:
    """Else nobody comes to them, nothing fails, and the odd name stays in the report."""
    schedule = Schedule(
        runs=(PlannedRun(run_id="strange.x", items=1),), steps=(Write("strange.x"), Notify("strange.x"), step)
    )

    def fails(smaller: Schedule) -> bool:
        return len(smaller.steps) == 3 and f"'write {smaller.runs[0].run_id}/data'" in repr(smaller.steps)

    left = shrink(schedule, fails)
    assert left.runs[0].run_id == "run-1"
    assert "strange" not in repr(left)


def test_what_only_looks_like_the_name_of_the_run_keeps_its_own() -> None:
    told = (Write("a"), Notify("a"), Deliver((1,), Crash("write data/a of a")))
    renamed = shrink(
        Schedule(runs=(PlannedRun(run_id="a", items=1),), steps=told),
        lambda one: len(one.steps) == 3 and "Crash" in repr(one),
    )
    assert renamed.steps[2] == Deliver((1,), Crash("write data/run-1 of run-1"))


def test_the_second_of_two_is_given_as_many_messages_as_it_takes() -> None:
    overlap = Overlap((1,), (1, 1, 1, 1))
    schedule = Schedule(runs=(PLAIN,), steps=(Notify("run-1"), overlap))
    left = shrink(schedule, lambda one: any(isinstance(step, Overlap) and len(step.second) > 1 for step in one.steps))
    assert left.steps == (Notify("run-1"), Overlap((1,), (1, 1)))


def test_without_a_notification_the_later_messages_have_new_numbers() -> None:
    """Those that two workers are given too."""
    told = tuple(Notify("run-1", outcome=outcome) for outcome in ("a", "b", "c"))
    steps: tuple[Step, ...] = (*told, Deliver((1, 1)), Deliver((2, 1)), Deliver((3, 2)), Overlap((3,), (2, 1)))
    schedule = Schedule(runs=(PLAIN,), steps=steps)
    assert without_step(schedule, 0).steps == (*told[1:], Deliver((1,)), Deliver((2, 1)), Overlap((2,), (1,)))
    assert without_step(schedule, 2).steps == (
        *told[:2],
        Deliver((1, 1)),
        Deliver((2, 1)),
        Deliver((2,)),
        Deliver((2, 1)),
    )


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


def test_parts_of_many_runs_go_before_single_ones() -> None:
    assert [len(one.runs) for one in smaller(many(9))][:7] == [4, 5, 6, 7, 7, 7, 8]
    assert [len(one.runs) for one in smaller(many(8))][:9] == [7] * 8 + [8]
    assert [len(one.runs) for one in smaller(many(16))][:15] == [8] * 2 + [12] * 4 + [14] * 8 + [15]


def test_after_what_can_go_the_next_thing_is_tried_and_nothing_twice() -> None:
    """Only at the end does it come back to what could not go before."""
    tried: list[tuple[Step, ...]] = []

    def fails(schedule: Schedule) -> bool:
        tried.append(schedule.steps)
        return any(isinstance(step, Deliver) and step.messages == (1, 1) for step in schedule.steps)

    told = Notify("run-1")
    twice = Deliver((1, 1), Crash("c"), "lost")
    assert shrink(Schedule(runs=(PLAIN,), steps=(told, twice)), fails).steps == (told, Deliver((1, 1)))
    assert tried == [
        (),
        (told,),
        (told, Deliver((1,), Crash("c"), "lost")),
        (told, Deliver((1, 1), None, "lost")),
        (told, Deliver((1, 1))),
        (told, Deliver((1,))),
    ]


def test_what_can_go_only_once_something_after_it_is_gone_goes_too() -> None:
    told, lost = Notify("run-1"), Deliver((1,), ack="lost")

    def fails(schedule: Schedule) -> bool:
        return told in schedule.steps and schedule.steps != (told, lost)

    assert shrink(Schedule(runs=(PLAIN,), steps=(told, Deliver((1,)), lost)), fails).steps == (told,)


@pytest.mark.parametrize("most", [1, 7])
def test_so_many_are_tried_at_most(most: int) -> None:
    tried: list[Schedule] = []
    assert shrink(many(3), lambda one: bool(tried.append(one)), most) == many(3)
    assert len(tried) == len(set(tried)) == most


def test_a_thousand_runs_are_not_tried_for_ever() -> None:
    tried = []

    def fails(schedule: Schedule) -> bool:
        tried.append(len(schedule.runs))
        return len(schedule.runs) > 1_000

    assert len(shrink(many(1_100), fails).runs) > 1_000
    assert len(tried) == 12

    def a_hundred(schedule: Schedule) -> bool:
        tried.append(len(schedule.runs))
        return len(schedule.runs) >= 100

    tried.clear()
    assert len(shrink(many(1_100), a_hundred).runs) < 140
    assert sum(tried) < 10_000


@pytest.mark.parametrize(("count", "tries", "runs"), [(8, 400, 3_192), (10, 253, 2_500)])
def test_of_more_than_eight_runs_their_number_counts_too(count: int, tries: int, runs: int) -> None:
    tried: list[int] = []
    waits = tuple(Wait(number) for number in range(500))

    def fails(schedule: Schedule) -> bool:
        tried.append(len(schedule.runs))
        return False

    shrink(replace(many(count), steps=waits), fails)
    assert (len(tried), sum(tried)) == (tries, runs)


def test_a_run_that_was_not_written_is_not_published() -> None:
    """A publisher is called when its run is over; who is called for none may well say nothing."""
    one, two = PlannedRun(run_id="run-1", items=1), PlannedRun(run_id="run-2")
    steps = (Write("run-1"), Write("run-2"), Publish("run-1"), Publish("run-2"))
    schedule = Schedule(runs=(one, two), steps=steps)
    assert without_step(schedule, 0).steps == (Write("run-2"), Publish("run-2"))
    smallest = shrink(schedule, lambda smaller: Publish("run-1") in smaller.steps)
    assert smallest == Schedule(runs=(one,), steps=(Write("run-1"), Publish("run-1")))
    wrapped = Schedule(runs=(one,), steps=(Wait(60), Publish("run-1")))
    assert shrink(wrapped, lambda smaller: Publish("run-1") in smaller.steps).steps == (Publish("run-1"),)


def test_what_is_left_of_a_write_in_two_parts_is_published() -> None:
    steps = (Write("run-1", window="w1"), Write("run-1"), Publish("run-1"))
    schedule = Schedule(runs=(PlannedRun(run_id="run-1"),), steps=steps)
    assert without_step(schedule, 0).steps == (Write("run-1"), Publish("run-1"))
