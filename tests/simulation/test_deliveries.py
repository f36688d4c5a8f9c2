"""Deliveries while something else happens: the consumer dies or hangs of one of them, or its target is looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import boto3
import pytest
from loaders import load, loader

from pytest_quarry.simulation.history import Entry, History
from pytest_quarry.simulation.play import Limits, Play
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import Crash, Deliver, Notify, Overlap, PlannedRun, Schedule, Step, Write
from pytest_quarry.simulation.world import World

RUNS = tuple(PlannedRun(run_id=f"run-{name}", items=1) for name in "ABC")
TOLD: tuple[Step, ...] = tuple(step for run in RUNS for step in (Write(run.run_id), Notify(run.run_id)))


def told(start: Callable[[World], object], *steps: Step, play: Play | None = None, **details: Any) -> History:
    return simulate(Schedule(runs=RUNS, steps=(*TOLD, *steps)), loader(start=start, **details), play)


def entries(history: History, what: str) -> list[Entry]:
    return [entry for entry in history.entries if entry.what == what]


def a_handler(act: Callable[[World, str], None]) -> Callable[[World], object]:
    """Does this with each run it is told of."""

    def start(world: World) -> Callable[[Mapping[str, Any]], None]:
        return lambda notification: act(world, notification["run_id"])

    return start


def a_worker(act: Callable[[World, str], None]) -> Callable[[World], object]:
    """Does this with each run it finds in its queue, and deletes the message."""

    class Worker:
        def __init__(self, world: World) -> None:
            self.world, self.sqs = world, boto3.client("sqs")

        def run_once(self) -> None:
            url = self.world.queue_url
            for message in self.sqs.receive_message(QueueUrl=url).get("Messages", []):
                act(self.world, next(run.run_id for run in RUNS if run.run_id in message["Body"]))
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                self.world.boundary("deleted")

    return Worker


def test_what_is_delivered_with_the_message_it_died_of_is_lost_until_it_comes_again() -> None:
    history = told(a_handler(load), Deliver((2, 1, 3), Crash("return")))
    delivered = entries(history, "delivered")
    assert [entry.messages for entry in delivered if entry.step == len(TOLD) + 1] == [(2,)]
    assert [entry.messages for entry in entries(history, "acknowledged")] == [(1,), (2,), (3,)]


@pytest.mark.parametrize("start", [a_handler, a_worker])
def test_who_hangs_beside_another_is_told_nothing_more(start: Callable[..., Any]) -> None:
    def act(world: World, run_id: str) -> None:
        while run_id == "run-B":
            world.boundary("works")

    history = told(start(act), Overlap((1,), (2, 3)), play=Play(limits=Limits(boundaries=9)))
    assert [(entry.worker, entry.messages) for entry in entries(history, "delivered")] == [(1, (1,)), (2, (2,))]
    assert len(entries(history, "hung")) == 1


def rows_seen(history: History) -> list[tuple[str, int]]:
    """The words of the entries with rows, and how many rows."""
    return [(entry.text, len(entry.rows)) for entry in history.entries if entry.rows is not None]


def test_what_the_target_held_before_is_seen_when_the_consumer_starts() -> None:
    def prepare(world: World) -> None:
        world.target.insert({"run_id": "run-0"})

    history = told(a_handler(lambda world, run_id: None), Deliver((1,)), prepare=prepare)
    assert rows_seen(history) == [("the consumer", 1)]


@pytest.mark.parametrize(("observe", "where"), [(True, "target UPSERT"), (False, "boundary deleted")])
def test_a_delete_is_no_occasion_to_read_the_rows(observe: bool, where: str) -> None:
    history = told(a_worker(load), Deliver((1,)), Deliver((2,)), Deliver((3,)), play=Play(observe=observe))
    assert rows_seen(history) == [(where, 1), (where, 2), (where, 3)]
