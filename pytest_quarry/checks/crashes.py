"""The crash checks, for every kind of consumer: killed at each distinct durable state, then in each torn write."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from pytest_quarry.checks.reading import MANY_ITEMS
from pytest_quarry.checks.stage import Stage
from pytest_quarry.simulation import explore
from pytest_quarry.simulation.schedule import Deliver, Poll, Schedule, Write

MOST_AGAIN = 24  # second crashes
MOST_OF_MANY = 8  # crashes between the parts in which a big run is loaded


def everywhere(stage: Stage) -> Iterator[Schedule]:
    """One run, then two in turn, then two at once: each undisturbed, killed at each durable state, and torn; then killed again."""
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
    yield from _between_parts(stage, one, more)
    again = list(_again(stage))
    luck = random.Random(one.fingerprint)
    yield from again if len(again) <= MOST_AGAIN else luck.sample(again, MOST_AGAIN)


def _between_parts(stage: Stage, one: Schedule, more: Schedule) -> Iterator[Schedule]:
    """A run of more items than fit into one batch, killed between its parts, where it has any: the first of them and the last.

    Where a run of a few items has parts already, item by item, the crashes there are known.
    """
    few, several = (len(list(explore.crash_points(base, stage.history(base)))) for base in (one, more))
    if several > few:
        return
    many = stage.loaded(stage.run("A", items=MANY_ITEMS, policy="buffered"))
    points = list(explore.crash_points(many, stage.history(many)))
    if len(points) > several:
        half = MOST_OF_MANY // 2
        yield from points if len(points) <= MOST_OF_MANY else (*points[:half], *points[-half:])


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


def _together(stage: Stage) -> Schedule:
    """Two runs in one poll, or in one batch."""
    runs = [stage.run("A", items=2), stage.run("B", items=1)]
    if stage.polls:
        return stage.schedule(runs, [*(Write(run.run_id) for run in runs), Poll()])
    return stage.schedule(runs, [*stage.told(*runs), Deliver((1, 2))])
