"""What the world owes a consumer after the last disturbance: how often, and after how much time, it gets another turn."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boto3
import pytest
from loaders import load, loader, poller

from pytest_quarry.consumers.consumer import Consumer
from pytest_quarry.simulation.history import History
from pytest_quarry.simulation.play import Limits, Play
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import Break, Deliver, Notify, PlannedRun, Restart, Schedule, Step, Write
from pytest_quarry.simulation.world import EPOCH, SECOND, World
from pytest_quarry.storage import read_runs

RUN = PlannedRun(run_id="run-A", items=1)
DAY = 86_400
LONGER_AND_LONGER = [31, 31, 31, 60, 300, 900, 3_600, 21_600, DAY, DAY, *[7_200] * 12]


def settled(consumer: Consumer, *steps: Step, play: Play | None = None) -> History:
    return simulate(Schedule(runs=(RUN,), steps=(Write("run-A"), *steps)), consumer, play)


def waits(history: History) -> list[int]:
    return [int(entry.text.removesuffix(" s")) for entry in history.entries if entry.what == "waited"]


def words(history: History, what: str) -> list[tuple[str, tuple[int, ...]]]:
    return [(entry.text, entry.messages) for entry in history.entries if entry.what == what]


def polls(poll: Callable[[World], object]) -> Consumer:
    class Polls:
        def __init__(self, world: World) -> None:
            self.world = world

        def poll(self) -> None:
            poll(self.world)

    return poller(start=Polls)


def virtual_seconds() -> float:
    return time.time() - EPOCH / SECOND


def refuses(_: object) -> None:
    raise ValueError("no")


class TestPollers:
    def test_who_loads_at_once_is_polled_three_times(self) -> None:
        assert waits(settled(poller())) == [60, 60, 60]

    def test_one_that_misses_a_run_is_given_more_and_more_time(self) -> None:
        history = settled(polls(lambda world: load(world, "run-A") if virtual_seconds() > 1_000 else None))
        assert waits(history) == [60, 60, 60, 31, 31, 31, 60, 300, 900, 900]
        assert len(history.rows) == 1
        assert words(history, "gave-up") == []

    def test_one_that_loads_a_run_at_each_poll_is_polled_as_often_as_it_takes(self) -> None:
        def one_more(world: World) -> None:
            done = {path.name for path in (world.disk / "done").glob("*")}
            for run in [run for run in read_runs(world.storage_root) if run.run_id not in done][:1]:
                load(world, run.run_id)
                (world.disk / "done").mkdir(exist_ok=True)
                (world.disk / "done" / run.run_id).touch()

        runs = tuple(PlannedRun(run_id=f"run-{number:02}", items=1, policy="buffered") for number in range(20))
        history = simulate(Schedule(runs=runs, steps=tuple(Write(run.run_id) for run in runs)), polls(one_more))
        assert len(history.rows) == 20
        assert waits(history) == [60] * 3 + [60] * 18, "no more time between two of them than at first"

    def test_one_that_loads_an_item_at_each_poll_is_polled_as_often_as_it_takes(self) -> None:
        def one_more(world: World) -> None:
            (run,) = read_runs(world.storage_root)
            there = [path.name for path in (world.disk / "rows").glob("*")]
            for item in [item for item in run.items if item.event_id not in there][:1]:
                (world.disk / "rows").mkdir(exist_ok=True)
                (world.disk / "rows" / item.event_id).touch()

        def rows(world: World) -> list[dict[str, str]]:
            return [{"run_id": "run-A", "item": path.name} for path in (world.disk / "rows").glob("*")]

        large = PlannedRun(run_id="run-A", items=20, policy="buffered")
        consumer = replace(polls(one_more), rows=rows)
        history = simulate(Schedule(runs=(large,), steps=(Write("run-A"),)), consumer)
        assert len(history.rows) == 20
        assert waits(history) == [60] * 3 + [60] * 18, "no more time between two of them than at first"

    def test_one_that_has_a_part_of_a_run_is_given_more_and_more_time_for_the_rest(self) -> None:
        def two_parts(world: World) -> None:
            (world.disk / "rows").mkdir(exist_ok=True)
            for number in range(1 + (virtual_seconds() > 1_000)):
                (world.disk / "rows" / str(number)).touch()

        def rows(world: World) -> list[dict[str, str]]:
            items = next(iter(read_runs(world.storage_root))).items
            parts = (world.disk / "rows").glob("*")
            return [{"run_id": "run-A", "item": items[int(path.name)].event_id} for path in parts]

        large = PlannedRun(run_id="run-A", items=2)
        consumer = replace(polls(two_parts), rows=rows)
        history = simulate(Schedule(runs=(large,), steps=(Write("run-A"),)), consumer)
        assert len(history.rows) == 2
        assert waits(history) == [60, 60, 60, 60, 31, 31, 31, 60, 300, 900, 900]

    def test_what_it_never_loads_ends_it_where_it_is_idle(self) -> None:
        history = settled(polls(lambda world: None))
        assert waits(history) == [60, 60, 60, *LONGER_AND_LONGER[:13]]
        assert words(history, "gave-up") == []
        assert history.entries[-1].text == "nothing more to do"

    @pytest.mark.parametrize("fails", [refuses, lambda world: os._exit(3)], ids=["raises", "ends"])
    def test_who_always_fails_is_given_up(self, fails: Callable[[World], object]) -> None:
        history = settled(polls(fails))
        assert waits(history) == [60, 60, 60, *LONGER_AND_LONGER[:13]]
        assert words(history, "gave-up") == [("not idle after 16 polls", ())]

    def test_who_raises_at_what_is_broken_for_ever_is_not(self) -> None:
        history = settled(polls(refuses), Break("write", "EIO", lasting=True))
        assert words(history, "gave-up") == []

    def test_who_hangs_has_no_other_turn(self) -> None:
        def works(world: World) -> None:
            while True:
                world.boundary("works")

        history = settled(polls(works), play=Play(limits=Limits(boundaries=9)))
        assert waits(history) == [60]
        assert history.entries[-1].what == "hung"


class TestHandlers:
    def test_what_it_refuses_ends_in_the_dead_letter_queue(self) -> None:
        history = settled(loader(start=lambda world: refuses), Notify("run-A"))
        assert waits(history) == LONGER_AND_LONGER[:11]
        assert words(history, "dead-lettered") == [("#1", (1,))]
        assert words(history, "gave-up") == []

    def test_what_the_schedule_delivers_does_not_use_its_receives_up(self) -> None:
        """A claim of a quarter of an hour, whose holder died: no queue delivers eight times while it is held."""

        def start(world: World) -> Callable[[dict[str, Any]], None]:
            def handle(notification: dict[str, Any]) -> None:
                if virtual_seconds() < 900:
                    raise ValueError("claimed")
                load(world, notification["run_id"])

            return handle

        history = settled(loader(start=start), Notify("run-A"), *[Deliver((1,))] * 8)
        assert words(history, "acknowledged") == [("run-A (#1)", (1,))]
        assert len(history.rows) == 1

    def test_who_hangs_is_told_nothing_more_and_reconciles_nothing(self) -> None:
        def start(world: World) -> Callable[[object], None]:
            def handle(notification: object) -> None:
                while True:
                    world.boundary("works")

            return handle

        told = (Notify("run-A"), *[Notify("run-A")] * 11)
        history = settled(loader(start=start, reconciles=True), *told, play=Play(limits=Limits(boundaries=9)))
        assert waits(history) == [31]
        assert len(words(history, "delivered")) == 1

    def test_so_many_messages_come_in_tens(self) -> None:
        told = [Notify("run-A")] * 23
        consumer = loader(start=lambda world: lambda event, context: None, batch_size=10)
        sizes = [len(messages) for _, messages in words(settled(consumer, *told), "delivered")]
        assert sizes == [10, 10, 3]


def inbox(**details: Any) -> Consumer:
    """Writes down what it is told, and loads it where it starts."""

    def start(world: World) -> Callable[[dict[str, Any]], None]:
        def handle(notification: dict[str, Any]) -> None:
            (world.disk / "inbox").write_text(notification["run_id"])

        if (world.disk / "inbox").exists():
            load(world, (world.disk / "inbox").read_text())
        return handle

    return loader(**{"start": start, **details})


def polled(seconds: float, **details: Any) -> Consumer:
    """Writes down what it is told; a thread looks for it every so many seconds."""

    def start(world: World) -> Callable[[dict[str, Any]], None]:
        def work_off() -> None:
            while True:
                if (world.disk / "inbox").exists():
                    load(world, (world.disk / "inbox").read_text())
                time.sleep(seconds)

        threading.Thread(target=work_off, daemon=True).start()
        return lambda notification: (world.disk / "inbox").write_text(notification["run_id"]) and None

    return loader(**{"start": start, **details})


class TestServices:
    def test_one_that_was_killed_is_started_again_though_nothing_is_to_come(self) -> None:
        history = settled(inbox(), Notify("run-A"), Deliver((1,)), Restart())
        assert [text for text, _ in words(history, "started")] == ["the consumer", "the consumer again"]
        assert len(history.rows) == 1

    def test_one_that_has_all_it_was_told_of_is_not(self) -> None:
        history = settled(loader(), Notify("run-A"), Deliver((1,)), Restart())
        assert len(words(history, "started")) == 1

    def test_one_that_runs_and_has_no_threads_is_given_nothing(self) -> None:
        history = settled(inbox(), Notify("run-A"), Deliver((1,)))
        assert waits(history) == []
        assert history.rows == ()

    def test_what_nobody_told_it_of_is_not_waited_for(self) -> None:
        assert waits(settled(polled(5))) == []

    @pytest.mark.parametrize(("seconds", "waited"), [(5, [31]), (100, [31, 31, 31, 60])])
    def test_its_thread_gets_time(self, seconds: float, waited: list[int]) -> None:
        history = settled(polled(seconds), Notify("run-A"), Deliver((1,)))
        assert waits(history) == waited
        assert len(history.rows) == 1
        assert history.entries[-1].text == "nothing more to do"

    def test_one_that_never_loads_it_is_given_up_after_seven_hours(self) -> None:
        history = settled(polled(5, rows=lambda world: []), Notify("run-A"), Deliver((1,)))
        assert waits(history) == LONGER_AND_LONGER[:8]

    def test_a_function_that_nobody_invokes_is_not_started(self) -> None:
        def start(world: World) -> Callable[[Any, Any], None]:
            handle = inbox().start(world)
            return lambda event, context: handle(json.loads(json.loads(event["Records"][0]["body"])["Message"]))

        history = settled(inbox(start=start), Notify("run-A"), Deliver((1,)), Restart())
        assert len(words(history, "started")) == 1
        assert history.rows == ()


class TestWorkers:
    def test_one_that_never_receives_is_given_up(self) -> None:
        class Worker:
            def __init__(self, world: World) -> None:
                self.sqs = boto3.client("sqs")

            def run_once(self) -> None:
                pass

        history = settled(loader(start=Worker), Notify("run-A"), Notify("run-A"))
        assert waits(history) == LONGER_AND_LONGER
        assert words(history, "gave-up") == [
            ("#1 is still not acknowledged", (1,)),
            ("#2 is still not acknowledged", (2,)),
        ]

    def test_what_the_schedule_delivers_does_not_use_its_receives_up(self) -> None:
        class Worker:
            def __init__(self, world: World) -> None:
                self.world, self.sqs = world, boto3.client("sqs")

            def run_once(self) -> None:
                for message in self.sqs.receive_message(QueueUrl=self.world.queue_url).get("Messages", []):
                    if virtual_seconds() < 900:
                        raise ValueError("claimed")
                    load(self.world, "run-A")
                    self.sqs.delete_message(QueueUrl=self.world.queue_url, ReceiptHandle=message["ReceiptHandle"])

        history = settled(loader(start=Worker), Notify("run-A"), *[Deliver((1,))] * 8)
        assert words(history, "acknowledged") == [("run-A (#1)", (1,))]
        assert len(history.rows) == 1

    def test_one_that_reconciles_takes_turns_and_starts_again_where_it_has_no_other_way(self) -> None:
        def worker(**more: Any) -> Consumer:
            class Worker:
                def __init__(self, world: World) -> None:
                    self.world = world

                def run_once(self) -> None:
                    self.world.boundary("looks around")

            return loader(start=type("Worker", (Worker,), more), reconciles=True)

        # The first of its three occasions is its start.
        assert [text for text, _ in words(settled(worker()), "crossed")] == ["boundary looks around"] * 2
        reconciles = worker(reconcile=lambda self: self.world.boundary("reconciles"))
        history = settled(reconciles)
        assert waits(history) == [3_600] * 3
        assert [text for text, _ in words(history, "crossed")] == ["boundary reconciles"] * 3
