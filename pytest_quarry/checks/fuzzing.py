"""Deep random: schedules that mix runs of all kinds, duplicates, crashes, faults, time and two workers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from pytest_quarry.checks.check import Check
from pytest_quarry.checks.stage import Stage
from pytest_quarry.consumers.consumer import Consumer
from pytest_quarry.simulation.schedule import ANY, RETURN, Crash, Deliver, Overlap, Poll, Schedule, Step, Switch
from pytest_quarry.strategies import schedules

DEEPEST = 40  # the last boundary of a turn that a drawn crash or switch looks at
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


def drawn(consumer: Consumer) -> st.SearchStrategy[Schedule]:
    """Schedules for this consumer; they shrink to one run, told and loaded once."""
    kind = "poller" if consumer.kind == "poller" else "event-bus"
    calm = schedules(
        kind=kind,  # type: ignore[arg-type]
        disturbances=DISTURBANCES,  # type: ignore[arg-type]
        storage=consumer.storage,
        sources=consumer.sources,
        categories=consumer.categories,
        ids="plain",
    )
    return _disturbed(calm, consumer.workers > 1)


@st.composite
def _disturbed(draw: st.DrawFn, calm: st.SearchStrategy[Schedule], two: bool) -> Schedule:
    schedule = draw(calm)
    steps = [_crashed_anywhere(draw, step) for step in schedule.steps]
    turns = [at for at, step in enumerate(steps) if isinstance(step, (Deliver, Poll))]
    if two and turns and draw(st.booleans()):
        at = draw(st.sampled_from(turns))
        steps[at] = _by_two(draw, steps[at])
    return replace(schedule, steps=tuple(steps))


def _crashed_anywhere(draw: st.DrawFn, step: Step) -> Step:
    if not isinstance(step, (Deliver, Poll)) or step.crash is None:
        return step
    occurrence = draw(st.integers(0, DEEPEST))
    return replace(step, crash=Crash(ANY, occurrence) if occurrence else Crash(RETURN))


def _by_two(draw: st.DrawFn, step: Step) -> Step:
    switches = tuple(Switch(ANY, n) for n in draw(st.lists(st.integers(1, DEEPEST), max_size=MOST_SWITCHES)))
    messages = step.messages if isinstance(step, Deliver) else ()
    return Overlap(messages[:1], messages[-1:], switches, crash=getattr(step, "crash", None))
