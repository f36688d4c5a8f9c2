"""Deep random: schedules that mix runs of all kinds, duplicates, crashes, faults, time and two workers."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from pytest_quarry.checks.check import Check
from pytest_quarry.checks.failures import breaks, crossed, poison_for
from pytest_quarry.checks.stage import Stage
from pytest_quarry.consumers.consumer import Consumer
from pytest_quarry.contract import Outcome
from pytest_quarry.simulation.history import History
from pytest_quarry.simulation.schedule import (
    ANY,
    RETURN,
    Crash,
    Deliver,
    Form,
    Heal,
    Notify,
    Overlap,
    PlannedRun,
    Poll,
    Schedule,
    Step,
    Switch,
    Wait,
    Write,
)
from pytest_quarry.strategies import schedules
from pytest_quarry.strategies.values import free_run_id

DEEPEST = 40  # boundaries of a turn, where nobody knows how many it has
MORE = 6  # boundaries than an undisturbed turn has: with more items, or after a failure, there are more
MOST_SWITCHES = 4
# An idempotency store commonly keeps its marks for an hour: no duplicate of an acknowledged message comes much later.
LONGEST_WAIT = 900
PASSING = ("before", "w1", "w2", "w3", "w4", "w5")  # where a poll meets a writer
CLOCKS = (-1, -3_600, 3_600)  # seconds by which the writers' clock is off
ONE_IN_FOUR = st.integers(0, 3).map(lambda found: found == 3)
DISTURBANCES = ("duplicates", "order", "batches", "restarts", "crashes", "breaks")


def _none(stage: Stage) -> Any:
    return iter(())


FUZZ = Check(
    id="FUZZ",
    slug="fuzz",
    states="No schedule that was drawn makes it lose, repeat or invent anything.",
    disturbance="draws schedules of runs, deliveries, duplicates, bad messages, crashes, faults, time and two workers",
    oracles="PDLV",
    severity="critical",
    kinds=("event-bus", "poller"),
    schedules=_none,
    fix="See which check states what this schedule shows; its page tells the usual fix.",
)


def depth(history: History) -> int:
    """How many boundaries the longest turn of an undisturbed execution has: crashes and switches are drawn among them."""
    turns = Counter(entry.step for entry in history.entries if entry.what == "crossed")
    return max(turns.values(), default=DEEPEST) + MORE


def drawn(consumer: Consumer, undisturbed: History) -> st.SearchStrategy[Schedule]:
    """Schedules for this consumer, of which an undisturbed execution is known; they shrink to one run, told and loaded once.

    Two of three have successful runs only: a failed one is not to be loaded, so nothing of it can be lost.
    """
    kind = "poller" if consumer.kind == "poller" else "event-bus"
    good, mixed = (
        schedules(
            kind=kind,  # type: ignore[arg-type]
            disturbances=DISTURBANCES,  # type: ignore[arg-type]
            storage=consumer.storage,
            sources=consumer.sources,
            categories=consumer.categories,
            ids="plain",
            outcomes=outcomes,
        )
        for outcomes in ((Outcome.SUCCESS,), tuple(Outcome))
    )
    return _disturbed(good, mixed, consumer, undisturbed)


@st.composite
def _disturbed(
    draw: st.DrawFn,
    good: st.SearchStrategy[Schedule],
    mixed: st.SearchStrategy[Schedule],
    consumer: Consumer,
    undisturbed: History,
) -> Schedule:
    deepest = depth(undisturbed)
    schedule = draw(mixed if draw(st.integers(0, 2)) == 2 else good)
    steps = [_crashed_anywhere(draw, step, deepest) if _crashes(step) else step for step in schedule.steps]
    runs = list(schedule.runs)
    if consumer.kind == "poller":
        steps = _with_other_writers(draw, steps, runs, consumer)
    elif draw(ONE_IN_FOUR):
        steps = _with_a_bad_message(draw, steps, runs, poison_for(undisturbed.takes), alone=consumer.batch_size == 1)
    waits, crashes, two, fails = draw(ONE_IN_FOUR), draw(st.booleans()), draw(st.booleans()), draw(ONE_IN_FOUR)
    if waits:
        steps.insert(draw(st.sampled_from(_turns(steps))), Wait(draw(st.integers(1, LONGEST_WAIT))))
    if crashes:  # what goes wrong at a crash goes wrong at few of a turn's operations: many are tried
        at = draw(st.sampled_from(_turns(steps)))
        steps[at] = _crashed_anywhere(draw, steps[at], deepest)
    failing = list(breaks(crossed(undisturbed))) if consumer.kind == "event-bus" else []
    if fails and failing:
        at = draw(st.sampled_from(_turns(steps)))
        steps[at : at + 1] = [draw(st.sampled_from(failing)), steps[at], Heal()]
    if two and consumer.workers > 1:
        at = draw(st.sampled_from(_turns(steps)))
        steps[at] = _by_two(draw, steps[at], deepest)
    return replace(schedule, runs=tuple(runs), steps=tuple(steps))


def _turns(steps: list[Step]) -> list[int]:
    return [at for at, step in enumerate(steps) if isinstance(step, (Deliver, Poll))]


def _with_other_writers(draw: st.DrawFn, steps: list[Step], runs: list[PlannedRun], consumer: Consumer) -> list[Step]:
    """Clocks that are off, and a poll that meets a run while its writer is on the way."""
    off, passing = draw(ONE_IN_FOUR), draw(ONE_IN_FOUR)
    if off:
        clock = draw(st.sampled_from(CLOCKS))
        steps = [replace(step, clock=clock) if isinstance(step, Write) else step for step in steps]
    return _in_passing(draw, steps, runs) if passing and consumer.layout == "lode" else steps


def _in_passing(draw: st.DrawFn, steps: list[Step], runs: list[PlannedRun]) -> list[Step]:
    slow = {run.run_id for run in runs if run.policy != "streaming" and not run.stored_twice}
    places = [at for at, step in enumerate(steps) if isinstance(step, Write) and step.run in slow]
    if not places:
        return steps
    at, window = draw(st.sampled_from(places)), draw(st.sampled_from(PASSING))
    step = steps[at]
    assert isinstance(step, Write)
    return [*steps[:at], replace(step, window=window), Poll(), *steps[at:]]


def _with_a_bad_message(
    draw: st.DrawFn, steps: list[Step], runs: list[PlannedRun], forms: tuple[Form, ...], *, alone: bool
) -> list[Step]:
    """After the last notification one that nobody can act on; it comes alone, or in a batch."""
    number = sum(isinstance(step, Notify) for step in steps) + 1
    told = max(at for at, step in enumerate(steps) if isinstance(step, Notify))
    bad = replace(runs[0], run_id=free_run_id([run.run_id for run in runs]))
    steps = [*steps[: told + 1], Notify(bad.run_id, form=draw(st.sampled_from(forms))), *steps[told + 1 :]]
    runs.append(bad)
    at = draw(st.sampled_from([at for at in _turns(steps) if at > told]))
    step = steps[at]
    assert isinstance(step, Deliver)
    if alone or draw(st.booleans()):
        return [*steps[:at], Deliver((number,)), *steps[at:]]
    place = draw(st.integers(0, len(step.messages)))
    return [
        *steps[:at],
        replace(step, messages=(*step.messages[:place], number, *step.messages[place:])),
        *steps[at + 1 :],
    ]


def _crashes(step: Step) -> bool:
    return isinstance(step, (Deliver, Poll)) and step.crash is not None


def _crashed_anywhere(draw: st.DrawFn, step: Step, deepest: int) -> Step:
    assert isinstance(step, (Deliver, Poll))
    occurrence = draw(st.integers(0, deepest))
    return replace(step, crash=Crash(ANY, occurrence) if occurrence else Crash(RETURN))


def _by_two(draw: st.DrawFn, step: Step, deepest: int) -> Step:
    places = draw(st.lists(st.integers(1, deepest), min_size=1, max_size=MOST_SWITCHES))
    switches = tuple(Switch(ANY, n) for n in places)
    messages = step.messages if isinstance(step, Deliver) else ()
    return Overlap(messages[:1], messages[-1:], switches, crash=getattr(step, "crash", None))
