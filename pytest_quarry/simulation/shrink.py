"""Makes a failing schedule smaller, until no step, run, copy, switch or crash can go without losing the failure."""

from __future__ import annotations

import datetime
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

from pytest_quarry.simulation.schedule import (
    Break,
    Deliver,
    Notify,
    Overlap,
    PlannedRun,
    Poll,
    Publish,
    Schedule,
    Step,
    Wait,
    Write,
)
from pytest_quarry.simulation.world import EPOCH, SECOND

# Of more runs than this, halves and quarters are tried before single ones.
MANY_RUNS = 8
MOST = 400
KEPT = {"run_id", "source", "category", "items", "first_item"}  # of a run, when it is made plainer
# A schedule of a thousand runs takes seconds: besides a dozen of them, no more are tried than have so many runs in all.
MOST_OF_MANY, MOST_RUNS_OF_MANY = 12, 2_500

# What goes with it: only a buffered flush is repeated, and a retry names the run before.
GOES_TOO = {"policy": "stored_twice", "attempt": "parent_run_id"}


def shrink(schedule: Schedule, fails: Callable[[Schedule], bool], most: int = MOST) -> Schedule:
    """The smallest schedule found that still fails: nothing `smaller` leaves out can go, but of hundreds of runs.

    It tries `most` schedules at most.
    """
    known: set[Schedule] = {schedule}
    tried = of_many = runs_of_many = 0
    again = True
    while again:
        again, place, candidates = False, 0, smaller(schedule)
        while (candidate := next(candidates, None)) is not None:
            if candidate in known:
                place += 1
                continue
            known.add(candidate)
            many = len(schedule.runs) > MANY_RUNS
            tried, of_many, runs_of_many = tried + 1, of_many + many, runs_of_many + many * len(candidate.runs)
            if tried > most or (many and of_many > MOST_OF_MANY and runs_of_many > MOST_RUNS_OF_MANY):
                return schedule
            if fails(candidate):
                schedule, again = candidate, True
                candidates = itertools.islice(smaller(schedule), place, None)  # what came next is in this place now
            else:
                place += 1
    return schedule


def smaller(schedule: Schedule) -> Iterator[Schedule]:
    """The schedule with one thing less: a part of many runs, a run, a step, a copy in a batch, a switch, a crash, items.

    What is odd about a run or a notification counts as a thing too. No run is written before its day has come.
    """
    ahead = is_ahead(schedule)
    return (each for each in _smaller(schedule) if ahead or not is_ahead(each))


def is_ahead(schedule: Schedule) -> bool:
    """Whether a run is written before its day has come."""
    now = EPOCH
    for step in schedule.steps:
        if isinstance(step, Wait):
            now += round(step.seconds * SECOND)
        elif isinstance(step, Write):
            today = datetime.datetime.fromtimestamp(now // SECOND, datetime.UTC).date()
            if any(run.run_id == step.run and run.day > today.isoformat() for run in schedule.runs):
                return True
    return False


def _smaller(schedule: Schedule) -> Iterator[Schedule]:
    for part in _parts(schedule.runs):
        yield _without_runs(schedule, part)
    for run in schedule.runs if len(schedule.runs) > 1 else ():
        yield _without_runs(schedule, (run,))
    for at in range(len(schedule.steps)):
        yield without_step(schedule, at)
    for at, step in enumerate(schedule.steps):
        for less in _less(step):
            yield replace(schedule, steps=(*schedule.steps[:at], less, *schedule.steps[at + 1 :]))
    names = {run.run_id for run in schedule.runs}
    for at, run in enumerate(schedule.runs):
        for plainer in _plainer(run):
            yield replace(schedule, runs=(*schedule.runs[:at], plainer, *schedule.runs[at + 1 :]))
        if not run.run_id.startswith("run-"):
            free = next(name for name in map("run-{}".format, itertools.count(1)) if name not in names)
            yield _renamed(schedule, run.run_id, free)
        if run.items > 1:
            fewer_items = replace(run, items=1, logs=0)
            yield replace(schedule, runs=(*schedule.runs[:at], fewer_items, *schedule.runs[at + 1 :]))


def _plainer(run: PlannedRun) -> Iterator[PlannedRun]:
    """Without all that is odd about it; then, where that is several things, without one of them."""
    odd: dict[str, Any] = {
        one.name: one.default for one in fields(run) if one.name not in KEPT and getattr(run, one.name) != one.default
    }
    if odd:
        yield replace(run, **odd)
    for name in odd if len(odd) > 1 else ():
        gone = {name, GOES_TOO.get(name, name)}
        if name != "parent_run_id":
            yield replace(run, **{one: usual for one, usual in odd.items() if one in gone})


def _parts(runs: tuple[PlannedRun, ...]) -> Iterator[tuple[PlannedRun, ...]]:
    """Halves of many runs, every second one; then quarters, eighths, and so on down to two."""
    size = 2
    while len(runs) > MANY_RUNS and size * 2 <= len(runs):
        yield from (runs[start::size] for start in range(size))
        size *= 2


def without_step(schedule: Schedule, at: int) -> Schedule:
    """The schedule without one of its steps; without a notification, also without its deliveries.

    A publisher is called for a run that is over: without its write it is not called.
    """
    gone_step = schedule.steps[at]
    steps = (*schedule.steps[:at], *schedule.steps[at + 1 :])
    if isinstance(gone_step, Write) and not any(
        isinstance(step, Write) and step.run == gone_step.run for step in steps
    ):
        steps = tuple(step for step in steps if not (isinstance(step, Publish) and step.run == gone_step.run))
    if not isinstance(gone_step, Notify):
        return replace(schedule, steps=steps)
    gone = sum(isinstance(step, Notify) for step in schedule.steps[: at + 1])
    accepted = sum(isinstance(step, Notify) for step in schedule.steps)
    numbers = {number: number - (number > gone) for number in range(1, accepted + 1) if number != gone}
    return replace(schedule, steps=tuple(_renumbered(steps, numbers)))


def _renamed(schedule: Schedule, old: str, new: str) -> Schedule:
    """The schedule with another id for one of its runs, in the labels of operations too."""
    runs = tuple(replace(run, run_id=new) if run.run_id == old else run for run in schedule.runs)
    return replace(schedule, runs=runs, steps=tuple(_step_renamed(step, old, new) for step in schedule.steps))


def _step_renamed(step: Step, old: str, new: str) -> Step:
    def told(label: str) -> str:
        return re.sub(rf"(?<!\w){re.escape(old)}(?!\w)", lambda match: new, label)

    if isinstance(step, (Write, Notify, Publish)) and step.run == old:
        step = replace(step, run=new)
    if isinstance(step, (Deliver, Poll, Publish, Overlap)) and step.crash is not None:
        step = replace(step, crash=replace(step.crash, label=told(step.crash.label)))
    if isinstance(step, Overlap):
        step = replace(step, switches=tuple(replace(switch, label=told(switch.label)) for switch in step.switches))
    if isinstance(step, Break):
        step = replace(step, at=told(step.at), containing=told(step.containing))
    return step


def _less(step: Step) -> Iterator[Step]:
    if isinstance(step, Deliver) and len(step.messages) > 1:
        for place in range(len(step.messages)):
            yield replace(step, messages=step.messages[:place] + step.messages[place + 1 :])
    if isinstance(step, (Deliver, Poll, Publish)) and step.crash is not None:
        yield replace(step, crash=None)
    if isinstance(step, Deliver) and step.ack != "kept":
        yield replace(step, ack="kept")
    if isinstance(step, Notify) and step.form != "full":
        yield replace(step, form="full")
    if isinstance(step, Notify) and step.outcome is not None:
        yield replace(step, outcome=None)
    if isinstance(step, Overlap):
        yield Deliver(step.first) if step.first else Poll()
        for place in range(len(step.switches)):
            yield replace(step, switches=step.switches[:place] + step.switches[place + 1 :])
        if step.crash is not None:
            yield replace(step, crash=None, crash_second=False)
        if step.stands:
            yield replace(step, stands=0)
        if len(step.second) > 1:
            yield replace(step, second=step.second[:-1], pause=0)


def _without_runs(schedule: Schedule, gone: tuple[PlannedRun, ...]) -> Schedule:
    """Leave out runs, their notifications and the deliveries of those; the rest of the messages get new numbers."""
    names = {run.run_id for run in gone}
    numbers: dict[int, int] = {}
    accepted = 0
    for step in schedule.steps:
        if isinstance(step, Notify):
            accepted += 1
            if step.run not in names:
                numbers[accepted] = len(numbers) + 1
    kept = (step for step in schedule.steps if not (isinstance(step, (Write, Notify, Publish)) and step.run in names))
    runs = tuple(run for run in schedule.runs if run.run_id not in names)
    return replace(schedule, runs=runs, steps=tuple(_renumbered(kept, numbers)))


def _renumbered(steps: Iterator[Step] | tuple[Step, ...], numbers: dict[int, int]) -> Iterator[Step]:
    """The steps with new numbers of messages, without those that are left with none."""
    for step in steps:
        if isinstance(step, Deliver):
            kept = tuple(numbers[message] for message in step.messages if message in numbers)
            if kept:
                yield replace(step, messages=kept)
        elif isinstance(step, Overlap) and step.first:
            first, second = (tuple(numbers[n] for n in told if n in numbers) for told in (step.first, step.second))
            if first and second:
                yield replace(step, first=first, second=second)
            elif first or second:
                yield Deliver(first or second)
        else:
            yield step
