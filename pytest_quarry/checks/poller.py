"""What the world does to pollers: the schedules of each check, smallest first."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_quarry.checks.stage import Stage
from pytest_quarry.simulation.schedule import PlannedRun, Poll, Schedule, Step, Wait, Write

HOUR, DAY = 3_600, 86_400
# The writer died here: nothing of the run is committed.
DEAD = ("w1b", "w1c", "w1", "w2", "w3")
# The writer is still here, and goes on: the manifest becomes whole, the copies follow.
PASSING = ("w4b", "w4", "w5", "w6", "w6b")


def poll_again(stage: Stage) -> Iterator[Schedule]:
    """PO01: polls again and again, nothing new; then something new, and again."""
    first, second = stage.run("A"), stage.run("B", items=1)
    yield stage.schedule([first], [Write(first.run_id), Poll(), Poll()])
    yield stage.schedule([first], [Poll(), Write(first.run_id), *[Poll()] * 4])
    steps: list[Step] = [Write(first.run_id), Poll(), Poll(), Write(second.run_id), Poll(), Poll()]
    yield stage.schedule([first, second], steps)


def downtime(stage: Stage) -> Iterator[Schedule]:
    """PO05: runs finish while the poller is down, for longer than anybody's look-back window."""
    first, second = stage.run("A"), stage.run("B", items=2)
    for seconds in (2 * HOUR, 2 * DAY, 40 * DAY):
        steps: list[Step] = [Write(first.run_id), Poll(), Write(second.run_id), Wait(seconds), Poll()]
        yield stage.schedule([first, second], steps)
    yield stage.schedule([first], [Write(first.run_id), Wait(40 * DAY), Poll()])


def late_and_tied(stage: Stage) -> Iterator[Schedule]:
    """PO06: an old day appears late; equal timestamps; clocks that are off; a long run that ends after a short one."""
    first, second = stage.run("A"), stage.run("B", items=2)
    old = stage.run("B", items=2, day="2026-01-10")
    yield stage.schedule([first, old], [Write(first.run_id), Poll(), Write(old.run_id), Poll()])
    for clock in (0, -1, -2, -HOUR, -2 * DAY, HOUR):
        steps: list[Step] = [Write(first.run_id), Write(second.run_id, clock=clock), Poll()]
        yield stage.schedule([first, second], steps)
        yield _one_after_the_other(stage, first, second, clock)
    yield _one_after_the_other(stage, stage.run("B"), stage.run("A", items=2), -1)
    slow = stage.run("B", items=2)
    steps = [Write(slow.run_id, "before"), Write(first.run_id), Poll(), Wait(HOUR), Write(slow.run_id), Poll()]
    yield stage.schedule([first, slow], steps)


def _one_after_the_other(stage: Stage, first: PlannedRun, second: PlannedRun, clock: int) -> Schedule:
    # One second and a few boundaries pass at the first poll: a clock that lags as much makes the times equal.
    return stage.schedule([first, second], [Write(first.run_id), Poll(), Write(second.run_id, clock=clock), Poll()])


def committed_only(stage: Stage) -> Iterator[Schedule]:
    """PO07: running runs, and every window of the commit protocol: first dead for good, then passed through."""
    good = stage.run("A")
    for policy in ("strict", "buffered"):
        run = stage.run("B", items=2, policy=policy)
        yield _passing(stage, good, run, "before")
    if stage.consumer.layout == "flat":
        return
    for policy in ("buffered", "strict"):
        run = stage.run("B", items=2, policy=policy)
        for window in DEAD:
            steps: list[Step] = [Write(good.run_id), Write(run.run_id, window), Poll(), Poll()]
            yield stage.schedule([good, run], steps)
        for window in (*DEAD, *PASSING):
            yield _passing(stage, good, run, window)


def _passing(stage: Stage, good: PlannedRun, run: PlannedRun, window: str) -> Schedule:
    steps: list[Step] = [Write(good.run_id), Write(run.run_id, window), Poll(), Write(run.run_id), Poll()]
    return stage.schedule([good, run], steps)
