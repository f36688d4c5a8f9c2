"""Deep random: schedules that mix runs of all kinds, duplicates, crashes, faults, time and two workers."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from pytest_quarry.checks.check import Check
from pytest_quarry.checks.stage import Stage
from pytest_quarry.consumers.consumer import Consumer
from pytest_quarry.contract import Outcome
from pytest_quarry.simulation.history import History
from pytest_quarry.simulation.schedule import ANY, RETURN, Crash, Deliver, Overlap, Poll, Schedule, Step, Switch
from pytest_quarry.strategies import schedules

DEEPEST = 40  # boundaries of a turn, where nobody knows how many it has
MORE = 6  # boundaries than an undisturbed turn has: with more items, or after a failure, there are more
MOST_SWITCHES = 4
# An idempotency store commonly keeps its marks for an hour: no duplicate of an acknowledged message comes later.
DISTURBANCES = ("duplicates", "order", "batches", "restarts", "crashes", "breaks")


def _none(stage: Stage) -> Any:
    return iter(())


FUZZ = Check(
    id="FUZZ",
    slug="fuzz",
    states="No schedule that was drawn makes it lose, repeat or invent anything.",
    disturbance="draws schedules of runs, deliveries, duplicates, crashes, faults and two workers",
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


def drawn(consumer: Consumer, deepest: int = DEEPEST) -> st.SearchStrategy[Schedule]:
    """Schedules for this consumer; they shrink to one run, told and loaded once.

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
    return _disturbed(good, mixed, consumer.workers > 1, deepest)


@st.composite
def _disturbed(
    draw: st.DrawFn,
    good: st.SearchStrategy[Schedule],
    mixed: st.SearchStrategy[Schedule],
    two: bool,
    deepest: int,
) -> Schedule:
    schedule = draw(mixed if draw(st.integers(0, 2)) == 2 else good)
    steps = [_crashed_anywhere(draw, step, deepest) for step in schedule.steps]
    turns = [at for at, step in enumerate(steps) if isinstance(step, (Deliver, Poll))]
    if two and turns and draw(st.booleans()):
        at = draw(st.sampled_from(turns))
        steps[at] = _by_two(draw, steps[at], deepest)
    return replace(schedule, steps=tuple(steps))


def _crashed_anywhere(draw: st.DrawFn, step: Step, deepest: int) -> Step:
    if not isinstance(step, (Deliver, Poll)) or step.crash is None:
        return step
    occurrence = draw(st.integers(0, deepest))
    return replace(step, crash=Crash(ANY, occurrence) if occurrence else Crash(RETURN))


def _by_two(draw: st.DrawFn, step: Step, deepest: int) -> Step:
    places = draw(st.lists(st.integers(1, deepest), min_size=1, max_size=MOST_SWITCHES))
    switches = tuple(Switch(ANY, n) for n in places)
    messages = step.messages if isinstance(step, Deliver) else ()
    return Overlap(messages[:1], messages[-1:], switches, crash=getattr(step, "crash", None))
