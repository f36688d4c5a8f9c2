"""Which interleavings of two workers are tried: every switch, and what follows it where it can make a difference."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from pytest_quarry.checks.concurrency import MOST_OF_TWO, one_message
from pytest_quarry.checks.stage import Stage
from pytest_quarry.samples import SAMPLES
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import Break, Overlap

CONNECT, SELECT, BEGIN = "sqlite connect orders.sqlite", "sqlite SELECT orders.sqlite", "sqlite BEGIN orders.sqlite"
INSERT, MARK = "sqlite INSERT orders orders.sqlite", "sqlite INSERT loaded_runs orders.sqlite"
COMMIT, ROLLBACK = "sqlite COMMIT orders.sqlite", "sqlite ROLLBACK orders.sqlite"
Place = tuple[str, int]


def stage_of(name: str) -> Stage:
    consumer = next(sample for sample in SAMPLES if sample.name == name).suite()().consumer()
    return Stage(consumer, 0, lambda schedule: simulate(schedule, consumer))


@pytest.fixture(scope="module")
def of_one_message() -> list[Overlap]:
    """What EB02 tries of a handler with one transaction, where both workers have the same message."""
    schedules = one_message(stage_of("one-transaction"))
    overlaps = (each.steps[-1] for each in schedules if not any(isinstance(step, Break) for step in each.steps))
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


def test_a_second_switch_is_tried_first_where_something_has_changed_at_both(of_one_message: list[Overlap]) -> None:
    """Of places that are alike for the first worker, at the last."""
    twice = [overlap for overlap in of_one_message if len(overlap.switches) == 2 and overlap.crash is None]
    first = list(zip(places(iter(twice), 0), places(iter(twice), 1), strict=True))[:4]
    there = [((INSERT, 1), (INSERT, 1)), ((INSERT, 1), (MARK, 1)), ((INSERT, 1), (COMMIT, 1))]
    assert first == [*there, ((COMMIT, 1), (ROLLBACK, 1))]


def test_then_in_rounds_over_all_places_until_one_shows_nothing_new(of_one_message: list[Overlap]) -> None:
    """Of places that are alike, at the first and the last."""
    twice = [overlap for overlap in of_one_message if len(overlap.switches) == 2 and overlap.crash is None][4:]
    first, second = places(iter(twice[:6]), 0), places(iter(twice[6:]), 0)
    assert first == second
    assert set(first) == {(CONNECT, 1), (SELECT, 1), (BEGIN, 1), (INSERT, 1), (INSERT, 2), (COMMIT, 1)}
    assert len(twice) < MOST_OF_TWO // 2


def test_the_second_worker_is_killed_where_both_have_changed_something(of_one_message: list[Overlap]) -> None:
    killed = [overlap for overlap in of_one_message if overlap.crash_second]
    assert sorted(overlap.crash.label for overlap in killed if overlap.crash) == sorted(
        [INSERT, MARK, COMMIT, ROLLBACK]
    )
    assert {label for label, _ in places(iter(killed), 0)} == {INSERT, COMMIT}


def test_in_the_end_the_first_worker_fails_where_it_stood() -> None:
    """What it fails at is its own operation, however many of that name the other had before it."""
    stage = stage_of("one-transaction")
    failing = list(one_message(stage))[-2:]
    assert [[step.at for step in each.steps if isinstance(step, Break)] for each in failing] == [[INSERT], [COMMIT]]
    for schedule in failing:
        history = stage.history(schedule)
        assert [entry.worker for entry in history.entries if entry.what == "failed"][:1] == [1]
        assert not history.unreached


def test_before_a_message_is_deleted_is_among_the_first_places() -> None:
    """That it changed something shows only when the queue has acknowledged it."""
    schedules = itertools.islice(one_message(stage_of("worker")), 1, 5)
    once = [step for schedule in schedules if isinstance(step := schedule.steps[-1], Overlap)]
    assert places(iter(once), 0) == [(INSERT, 1), (MARK, 1), (COMMIT, 1), ("sqs.DeleteMessage quarry-runs-consumer", 1)]
