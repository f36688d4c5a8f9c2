"""Which interleavings of two workers are tried: every switch, and what follows it where it can make a difference."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_quarry.checks.concurrency import MOST_OF_TWO, one_message
from pytest_quarry.checks.stage import Stage
from pytest_quarry.samples import SAMPLES
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import Overlap

CONNECT, SELECT, BEGIN = "sqlite connect orders.sqlite", "sqlite SELECT orders.sqlite", "sqlite BEGIN orders.sqlite"
INSERT, MARK = "sqlite INSERT orders orders.sqlite", "sqlite INSERT loaded_runs orders.sqlite"
COMMIT = "sqlite COMMIT orders.sqlite"
Place = tuple[str, int]


@pytest.fixture(scope="module")
def of_one_message() -> list[Overlap]:
    """What EB02 tries of a handler with one transaction, where both workers have the same message."""
    consumer = next(sample for sample in SAMPLES if sample.name == "one-transaction").suite()().consumer()
    stage = Stage(consumer, 0, lambda schedule: simulate(schedule, consumer))
    overlaps = (schedule.steps[-1] for schedule in one_message(stage))
    return [overlap for overlap in overlaps if isinstance(overlap, Overlap)]


def places(overlaps: Iterator[Overlap], at: int) -> list[Place]:
    return [(overlap.switches[at].label, overlap.switches[at].occurrence) for overlap in overlaps]


def test_no_switch_is_tried_first_then_one_at_every_operation(of_one_message: list[Overlap]) -> None:
    assert of_one_message[0] == Overlap((1,), (1,))
    once = [overlap for overlap in of_one_message if len(overlap.switches) == 1 and overlap.crash is None]
    assert of_one_message[1:8] == once
    durable, others = places(iter(once), 0)[:3], places(iter(once), 0)[3:]
    assert durable == [(INSERT, 1), (MARK, 1), (COMMIT, 1)]
    assert others == [(CONNECT, 1), (SELECT, 1), (BEGIN, 1), (INSERT, 2)]


def test_of_places_that_are_alike_the_last_is_tried_with_a_kill(of_one_message: list[Overlap]) -> None:
    """Before its look and before it connects, before it begins and before it has the lock, and while it has it."""
    killed = [overlap for overlap in of_one_message if len(overlap.switches) == 1 and overlap.crash is not None]
    assert sorted(places(iter(killed), 0)) == sorted([(SELECT, 1), (INSERT, 1), (COMMIT, 1)])


def test_of_places_that_are_alike_the_first_and_the_last_are_tried_with_a_second_switch(
    of_one_message: list[Overlap],
) -> None:
    twice = [overlap for overlap in of_one_message if len(overlap.switches) == 2 and overlap.crash is None]
    assert len(twice) == MOST_OF_TWO
    assert set(places(iter(twice), 0)) == {(CONNECT, 1), (SELECT, 1), (BEGIN, 1), (INSERT, 1), (INSERT, 2), (COMMIT, 1)}
    first = places(iter(twice), 0)[:3], places(iter(twice), 1)[:3]
    assert first == ([(INSERT, 1)] * 3, [(INSERT, 1), (MARK, 1), (COMMIT, 1)])  # something has changed at both


def test_the_second_worker_is_killed_where_both_have_changed_something(of_one_message: list[Overlap]) -> None:
    killed = [overlap for overlap in of_one_message if overlap.crash_second]
    assert {overlap.crash.label for overlap in killed if overlap.crash} == {
        INSERT,
        MARK,
        COMMIT,
        "sqlite ROLLBACK orders.sqlite",
    }
    assert {label for label, _ in places(iter(killed), 0)} == {INSERT, COMMIT}
