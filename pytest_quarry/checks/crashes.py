"""The crash checks, for every kind of consumer: killed at each distinct durable state, then in each torn write."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

from pytest_quarry.checks.failures import crossed, taken_in_part
from pytest_quarry.checks.stage import MANY_ITEMS, Stage
from pytest_quarry.simulation import explore
from pytest_quarry.simulation.schedule import Crash, Deliver, Notify, Poll, Schedule, Write

MOST_AGAIN = 24  # second crashes
MOST_OF_MANY = 12  # crashes of the run of many items
MANY_POLLS = 12  # with one new run each
MOST_RARE = 8  # crashes where it does what it seldom does


def everywhere(stage: Stage) -> Iterator[Schedule]:
    """One run, then two in turn, then two at once: each undisturbed, killed at each durable state, and torn; then killed again;
    after a batch that was taken in part; then a run of many items, killed where it goes another way than a small one."""
    one = stage.loaded(stage.run("A"))
    more = stage.loaded(stage.run("A", items=12))
    two = stage.loaded(stage.run("A"), stage.run("B", items=1))
    bases = [one, two, _together(stage)]
    sized = explore.data_sized([stage.history(base) for base in (one, more, two)])
    for base in bases:
        yield base
    for base in bases:
        yield from explore.crash_points(base, stage.history(base))
    for base in bases:
        yield from explore.torn_writes(base, stage.history(base), sized)
    again = list(_again(stage))
    luck = random.Random(one.fingerprint)
    yield from again if len(again) <= MOST_AGAIN else luck.sample(again, MOST_AGAIN)
    yield from _after_parts(stage)
    if not stage.polls:
        yield from _where_it_cannot_load(stage)
    yield from _now_and_then(stage, bases)
    yield from _between_batches(stage, one)


def _again(stage: Stage) -> Iterator[Schedule]:
    """A second crash while it makes up for the first, where it then goes another way than it usually does."""
    base = stage.loaded(stage.run("A", items=2))
    usual = explore.durable_work(stage.history(base), len(base.steps))
    for point in explore.crash_points(base, stage.history(base)):
        if point.steps[-1] == base.steps[-1]:
            continue  # another step is killed
        recovering = replace(point, steps=(*point.steps, base.steps[-1]))
        history = stage.history(recovering)
        again = explore.durable_work(history, len(recovering.steps))
        if again == usual[len(usual) - len(again) :]:
            continue  # the same code does the same work again, or the rest of it: its crashes are known
        for second in explore.crash_points(recovering, history):
            if second.steps[-1] != recovering.steps[-1]:
                yield second


def _where_it_cannot_load(stage: Stage) -> Iterator[Schedule]:
    """Told of a run that is not there yet, it is killed in the turn that fails, if that changes anything; then the run is there."""
    run = stage.run("A", items=2)
    early = stage.schedule([run], [Notify(run.run_id), Deliver((1,)), Write(run.run_id)])
    history = stage.history(early)
    if explore.durable_work(history, 2):
        yield from explore.crash_points(early, history)


def _after_parts(stage: Stage) -> Iterator[Schedule]:
    """Of a batch DynamoDB takes only a part; killed where it would not have come without that."""
    base = stage.loaded(stage.run("A", items=2))
    history = stage.history(base)
    known = {_crash(point) for point in explore.crash_points(base, history)}
    for label, occurrence in crossed(history):
        for fault in taken_in_part(label, occurrence):
            in_part = replace(base, steps=(*base.steps[:-1], fault, base.steps[-1]))
            points = explore.crash_points(in_part, stage.history(in_part))
            yield from (point for point in points if _crash(point) not in known)


def _between_batches(stage: Stage, small: Schedule) -> Iterator[Schedule]:
    """A run of more items than fit into one batch: killed at some of its durable states, where a small run has others."""
    many = stage.loaded(stage.run("A", items=MANY_ITEMS, policy="buffered"))
    history = stage.history(many)
    work = explore.durable_work(history, len(many.steps))
    if work == explore.durable_work(stage.history(small), len(small.steps)):
        return
    points = list(explore.crash_points(many, history))
    if len(points) >= MANY_ITEMS:
        return  # one for each item, or more: a small run has them too
    by_label: defaultdict[str, list[Schedule]] = defaultdict(list)
    for point in points:
        by_label[_killed_at(point)].append(point)
    # Of what repeats, the first, the last and one in the middle.
    some = {each for alike in by_label.values() for each in (alike[0], alike[len(alike) // 2], alike[-1])}
    chosen = [point for point in points if point in some]
    if len(chosen) > MOST_OF_MANY:  # each has a label of its own
        chosen = [chosen[at * (len(chosen) - 1) // (MOST_OF_MANY - 1)] for at in range(MOST_OF_MANY)]
    yield from (many, *chosen)


def _now_and_then(stage: Stage, known: list[Schedule]) -> Iterator[Schedule]:
    """Of many runs: killed where it does what it has not done for one or two, and after that. It merges its files, say."""
    many = stage.after_many() if not stage.polls else stage.loaded(*stage.small_runs(MANY_POLLS))
    history = stage.history(many)
    usual = {work for base in known for work in explore.kinds_of_work(stage.history(base), base)}
    rare = explore.rare_places(many, history, usual)
    yield from itertools.islice(rare, MOST_RARE)


def _killed_at(point: Schedule) -> str:
    return _crash(point).label


def _crash(point: Schedule) -> Crash:
    return next(step.crash for step in point.steps if isinstance(step, (Deliver, Poll)) and step.crash)


def _together(stage: Stage) -> Schedule:
    """Two runs in one poll, or in one batch."""
    runs = [stage.run("A", items=2), stage.run("B", items=1)]
    if stage.polls:
        return stage.schedule(runs, [*(Write(run.run_id) for run in runs), Poll()])
    return stage.schedule(runs, [*stage.told(*runs), Deliver((1, 2))])
