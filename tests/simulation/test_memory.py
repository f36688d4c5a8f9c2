"""The test's process does not grow with what was executed: fuzzing goes on for hours."""

from __future__ import annotations

import gc
import weakref

import pytest

from pytest_quarry.checks.stage import Stage
from pytest_quarry.consumers import zygote
from pytest_quarry.samples import SAMPLES
from pytest_quarry.simulation.run import simulate

EXECUTIONS = 20


# Those of AWS are left out: of their topics and queues moto keeps the last 64.
@pytest.mark.parametrize("name", ["one-transaction", "poller-one-transaction"])
def test_nothing_is_left_of_an_execution(name: str) -> None:
    consumer = next(sample for sample in SAMPLES if sample.name == name).suite()().consumer()
    stage = Stage(consumer, 0, lambda schedule: simulate(schedule, consumer))
    schedule = stage.loaded(stage.run("A"))

    def objects_after_some() -> int:
        for _ in range(EXECUTIONS):
            simulate(schedule, consumer)
        gc.collect()
        return len(gc.get_objects())

    objects_after_some()  # what is loaded and remembered once
    before = objects_after_some()
    assert objects_after_some() - before < EXECUTIONS


class Ring:
    """Something that only Python's collector lets go of."""

    def __init__(self, size: int) -> None:
        self.parts = [[self] for _ in range(size)]


def test_what_was_let_go_is_gone_before_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes of consumers are forks of the test's: what nobody needs any more would be in each of them."""
    consumer = next(sample for sample in SAMPLES if sample.name == "one-transaction").suite()().consumer()
    stage = Stage(consumer, 0, lambda schedule: simulate(schedule, consumer))
    schedule = stage.loaded(stage.run("A"))
    there = len(gc.get_objects())
    monkeypatch.setattr(zygote, "_held", there)
    ring = Ring(there)
    gc.collect()  # it is old now, as what a check keeps is at its end
    gone = weakref.ref(ring)
    del ring
    simulate(schedule, consumer)
    assert gone() is None
