"""Deep random: schedules that mix runs of all kinds, duplicates, crashes, faults, time and two workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from pytest_quarry.checks.check import Check
from pytest_quarry.checks.concurrency import VISIBILITY
from pytest_quarry.checks.failures import breaks, crossed, poison_for
from pytest_quarry.checks.fuzzing_publishers import ONE_IN_FOUR, published
from pytest_quarry.checks.stage import Stage
from pytest_quarry.consumers.consumer import Consumer
from pytest_quarry.contract import Outcome
from pytest_quarry.simulation import explore
from pytest_quarry.simulation.schedule import (
    ANY,
    RETURN,
    Break,
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
MANY = 12  # items of a second execution: the writes that are longer there may be cut by a crash
# An idempotency store commonly keeps its marks for an hour: no duplicate of an acknowledged message comes much later.
LONGEST_WAIT = 900
PASSING = ("before", "w1", "w2", "w3", "w4", "w5")  # where a poll meets a writer
CLOCKS = (-1, -3_600, 3_600)  # seconds by which the writers' clock is off
DISTURBANCES = ("duplicates", "order", "batches", "restarts", "crashes", "breaks")


def _none(stage: Stage) -> Any:
    return iter(())


FUZZ = Check(
    id="FUZZ",
    slug="fuzz",
    states="No schedule that was drawn makes it lose, repeat or invent anything.",
    disturbance="draws schedules of runs, deliveries, duplicates, bad messages, crashes, faults, time and two workers; for "
    "publishers of runs, crashes, faults of SNS and time",
    oracles="PDLVBTJNOA",
    severity="critical",
    kinds=("event-bus", "poller", "publisher"),
    schedules=_none,
    fix="See which check states what this schedule shows; its page tells the usual fix.",
)


@dataclass(frozen=True)
class _Known:
    """What undisturbed executions show of a consumer: where something can go wrong, and at which run it was seen.

    Crashes and switches are drawn at any of so many boundaries of a turn (`depth`), half of them where they make a
    difference: at a `durable` one, before which something durable has changed. Those are known by their labels, since
    with more or fewer items the same operation has another number.
    """

    run_id: str
    takes: str
    depth: int
    durable: tuple[tuple[str, int], ...]
    torn: tuple[Crash, ...]
    failing: tuple[Break, ...]

    @classmethod
    def of(cls, stage: Stage) -> _Known:
        one, more = (stage.loaded(stage.run("A", **items)) for items in ({}, {"items": MANY}))
        history = stage.history(one)
        turns = Counter(entry.step for entry in history.entries if entry.what == "crossed")
        # With other items the n-th write of a name may be another one: all of them are to be such as a kill can cut.
        whole = {entry.text for entry in history.entries if entry.what == "crossed" and not entry.buffered}
        sized = explore.data_sized([history, stage.history(more)]) - whole
        torn = {(crash.label, crash.occurrence): crash for crash in _kills(explore.torn_writes(one, history, sized))}
        return cls(
            run_id=one.runs[0].run_id,
            takes=history.takes,
            depth=max(turns.values(), default=DEEPEST) + MORE,
            durable=tuple((crash.label, crash.occurrence) for crash in _kills(stage.crashes(one))),
            torn=tuple(torn.values()),
            failing=tuple(breaks(crossed(history))),
        )


def _kills(schedules: Iterable[Schedule]) -> Iterator[Crash]:
    """The crashes of schedules, unless luck names the operation."""
    for schedule in schedules:
        crashes = (getattr(step, "crash", None) for step in schedule.steps)
        yield from (crash for crash in crashes if crash and not explore.RANDOM_NAME.search(crash.label))


def drawn(stage: Stage) -> st.SearchStrategy[Schedule]:
    """Schedules for this stage's consumer; they shrink to one run, told and loaded, or announced, once.

    Where something can go wrong is known from what it does undisturbed. Of the schedules for who loads runs, two of three have
    successful runs only: a failed one is not to be loaded, so nothing of it can be lost.
    """
    consumer = stage.consumer
    if consumer.kind == "publisher":
        return published(stage)
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
    return _disturbed(good, mixed, consumer, _Known.of(stage))


@st.composite
def _disturbed(
    draw: st.DrawFn,
    good: st.SearchStrategy[Schedule],
    mixed: st.SearchStrategy[Schedule],
    consumer: Consumer,
    known: _Known,
) -> Schedule:
    # Drawn first: the first tenth of Hypothesis's examples are small, nothing in them but what is drawn early.
    crashes, two, fails, waits = draw(st.booleans()), draw(st.booleans()), draw(ONE_IN_FOUR), draw(ONE_IN_FOUR)
    schedule = draw(mixed if draw(st.integers(0, 2)) == 2 else good)
    runs = list(schedule.runs)
    steps = [_crashed(draw, step, known, runs) if _crashes(step) else step for step in schedule.steps]
    if consumer.kind == "poller":
        steps = _with_other_writers(draw, steps, runs, consumer)
    elif draw(ONE_IN_FOUR):
        steps = _with_a_bad_message(draw, steps, runs, poison_for(known.takes), alone=consumer.batch_size == 1)
    if waits:
        steps.insert(draw(st.sampled_from(_turns(steps))), Wait(draw(st.integers(1, LONGEST_WAIT))))
    if crashes:  # what goes wrong at a crash goes wrong at few of a turn's operations: many are tried
        at, again = draw(st.sampled_from(_turns(steps))), draw(st.booleans())
        # The second crash comes while it makes up for the first.
        steps[at : at + 1] = [_crashed(draw, steps[at], known, runs) for _ in range(1 + again)]
    if fails and known.failing:
        at = draw(st.sampled_from(_turns(steps)))
        failing = draw(st.sampled_from(known.failing))
        steps[at : at + 1] = [replace(failing, at=_renamed(draw, failing.at, known, runs)), steps[at], Heal()]
    if two and consumer.workers > 1:
        at = draw(st.sampled_from(_turns(steps)))
        steps[at] = _by_two(draw, steps[at], known, runs)
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
    run = next(run for run in runs if run.run_id == step.run)
    # The last write call has its end; who writes each event at once has one for each item before.
    flush = draw(st.sampled_from([-1, *range(1, run.items)])) if run.policy == "strict" else -1
    return [*steps[:at], replace(step, window=window, flush=flush), Poll(), *steps[at:]]


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


def _crashed(draw: st.DrawFn, step: Step, known: _Known, runs: list[PlannedRun]) -> Step:
    assert isinstance(step, (Deliver, Poll))
    if draw(ONE_IN_FOUR) and known.torn:
        torn = draw(st.sampled_from(known.torn))
        keep = draw(st.integers(1, torn.keep or 1))  # of fewer items the write is shorter
        return replace(step, crash=replace(torn, label=_renamed(draw, torn.label, known, runs), keep=keep))
    return replace(step, crash=Crash(*_place(draw, known, runs)))


def _place(draw: st.DrawFn, known: _Known, runs: list[PlannedRun]) -> tuple[str, int]:
    """A boundary of a turn: its label and occurrence."""
    if draw(st.booleans()) and known.durable:
        label, occurrence = draw(st.sampled_from(known.durable))
        return _renamed(draw, label, known, runs), occurrence
    number = draw(st.integers(0, known.depth))
    return (ANY, number) if number else (RETURN, 1)


def _renamed(draw: st.DrawFn, label: str, known: _Known, runs: list[PlannedRun]) -> str:
    """The label of an operation on the known run, of one on another."""
    if known.run_id not in label:
        return label
    return label.replace(known.run_id, draw(st.sampled_from([run.run_id for run in runs])))


def _by_two(draw: st.DrawFn, step: Step, known: _Known, runs: list[PlannedRun]) -> Step:
    """The second worker gets the last message of the batch, or, one in four, that message again when it is visible again."""
    places = [_place(draw, known, runs) for _ in range(draw(st.integers(1, MOST_SWITCHES)))]
    messages = step.messages if isinstance(step, Deliver) else ()
    overlap = Overlap(messages[:1], messages[-1:], tuple(Switch(*place) for place in places))
    crash = getattr(step, "crash", None)
    if crash is not None:
        overlap = replace(overlap, crash=crash, crash_second=draw(st.booleans()))
    later = draw(ONE_IN_FOUR)
    return replace(overlap, second=overlap.second * 2, pause=VISIBILITY) if later and messages else overlap
