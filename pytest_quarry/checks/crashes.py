"""The crash checks, for every kind of consumer: killed at each distinct durable state, then in each torn write."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_quarry.checks.stage import Stage
from pytest_quarry.simulation import explore
from pytest_quarry.simulation.schedule import Deliver, Poll, Schedule, Write


def everywhere(stage: Stage) -> Iterator[Schedule]:
    """One run, then two in turn, then two at once: each undisturbed, killed at each durable state, and torn."""
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


def _together(stage: Stage) -> Schedule:
    """Two runs in one poll, or in one batch."""
    runs = [stage.run("A", items=2), stage.run("B", items=1)]
    if stage.polls:
        return stage.schedule(runs, [*(Write(run.run_id) for run in runs), Poll()])
    return stage.schedule(runs, [*stage.told(*runs), Deliver((1, 2))])
