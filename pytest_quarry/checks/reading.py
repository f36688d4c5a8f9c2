"""What storage holds in the reading checks, for consumers of every kind: the schedules, smallest first."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_quarry.checks.stage import Stage
from pytest_quarry.simulation.schedule import Schedule

POLICIES = ("strict", "buffered", "streaming")


def stored_twice(stage: Stage) -> Iterator[Schedule]:
    """RD01: a flush was retried, so that each event of the run is stored in two snapshots."""
    yield stage.loaded(stage.run("A", items=1, policy="buffered", stored_twice=True))
    yield stage.loaded(
        stage.run("A", items=3, policy="buffered", stored_twice=True), stage.run("B", items=2, policy="strict")
    )


def all_segments(stage: Stage) -> Iterator[Schedule]:
    """RD02: one snapshot, one per flush, one per event; logs in between; past midnight."""
    for policy in POLICIES:
        yield stage.loaded(stage.run("A", items=5, policy=policy, logs=2))
        yield stage.loaded(stage.run("A", items=5, policy=policy, starts="23:59:59"))


def policy_blind(stage: Stage) -> Iterator[Schedule]:
    """RD05: one run under each policy, alone and side by side."""
    for policy in POLICIES:
        yield stage.loaded(stage.run("A", items=3, policy=policy))
    yield stage.loaded(*(stage.run(name, items=3, policy=policy) for name, policy in zip("ABC", POLICIES, strict=True)))
