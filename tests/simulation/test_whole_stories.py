"""Whole histories of one consumer, entry for entry: what happened, when (s), in which step, to which messages, what the target held."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from loaders import load, loader, poller
from together import meet
from whole_stories import A, B, check

from pytest_quarry.simulation.play import Limits, Play
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import (
    Break,
    Crash,
    Damage,
    Deliver,
    Heal,
    Litter,
    Notify,
    Poll,
    Restart,
    Schedule,
    Step,
    Wait,
    Write,
)
from pytest_quarry.simulation.world import EPOCH, SECOND, World
from pytest_quarry.storage import read_runs


def test_a_handler() -> None:
    def start(world: World) -> Callable[[Mapping[str, Any]], None]:
        if world.time < 4:
            raise ValueError("not yet")

        def handle(notification: Mapping[str, Any]) -> None:
            if notification["outcome"] == "success":
                load(world, notification["run_id"])
            world.boundary("told")

        return handle

    steps: tuple[Step, ...] = (
        Write("run-A"),
        Notify("run-A"),
        Deliver((1,)),
        Write("run-B"),
        Notify("run-B", form="minimal"),
        Deliver((2, 1), Crash("boundary told", 2)),
        Wait(60),
        Deliver((1,), ack="lost"),
        Restart(),
        Deliver((1,), Crash("*", 9)),
    )
    history = simulate(Schedule(runs=(A, B), steps=steps), loader(start=start))
    check(
        history,
        """
        1.000 | step 1 | wrote run-A finished, 1 item | run-A due 1 | state 1
        1.000 | step 2 | notified run-A (#1) | messages [1]
        2.000 | step 3 | 1 | started the consumer
        2.000 | step 3 | 1 | raised start raised ValueError: not yet
        4.000 | step 4 | 1 | wrote run-B failed, 2 items | run-B forbidden 2 | state 2
        4.000 | step 5 | 1 | notified run-B (#2) (minimal) | messages [2]
        5.000 | step 6 | 2 | started the consumer again
        5.000 | step 6 | 2 | delivered run-B (#2) | messages [2]
        5.000 | step 6 | 2 | crossed boundary told
        5.001 | step 6 | 2 | returned return
        5.001 | step 6 | 2 | acknowledged run-B (#2) | messages [2] | state 3
        5.001 | step 6 | 2 | delivered run-A (#1) | messages [1]
        5.001 | step 6 | 2 | crossed target UPSERT | state 4 | 1 rows
        5.002 | step 6 | 2 | killed before boundary told
        6.002 | step 7 | 2 | waited 60 s
        66.002 | step 8 | 3 | started the consumer again
        66.002 | step 8 | 3 | delivered run-A (#1) | messages [1]
        66.002 | step 8 | 3 | crossed target UPSERT | state 5
        66.003 | step 8 | 3 | crossed boundary told
        66.004 | step 8 | 3 | returned return
        66.004 | step 8 | 3 | failed the acknowledgement of run-A (#1) is lost
        67.004 | step 9 | 3 | killed between two turns
        67.004 | step 10 | 4 | started the consumer again
        67.004 | step 10 | 4 | delivered run-A (#1) | messages [1]
        67.004 | step 10 | 4 | crossed target UPSERT | state 6
        67.005 | step 10 | 4 | crossed boundary told
        67.006 | step 10 | 4 | returned return
        67.006 | step 10 | 4 | acknowledged run-A (#1) | messages [1] | state 7
        68.006 | step 11 | 4 | settling no more disturbances
        68.006 | step 11 | 4 | settled nothing more to do
        """,
        "step 10: * (occurrence 9)",
    )


@pytest.mark.parametrize("is_lambda", [False, True])
def test_a_handler_that_leaves_its_work_to_a_thread(is_lambda: bool) -> None:
    """It goes on after the acknowledgement, and may be killed there."""

    def start(world: World) -> Callable[..., None]:
        def later(run_id: str) -> None:
            time.sleep(1)
            load(world, run_id)

        def handle(notification: Mapping[str, Any]) -> None:
            threading.Thread(target=later, args=(notification["run_id"],)).start()

        def function(event: Any, context: object) -> None:
            for record in event["Records"]:
                handle(json.loads(json.loads(record["body"])["Message"]))

        return function if is_lambda else handle

    steps: tuple[Step, ...] = (Write("run-A"), Notify("run-A"), Deliver((1,), Crash("target UPSERT")), Deliver((1,)))
    check(
        simulate(Schedule(runs=(A,), steps=steps), loader(start=start)),
        """
        1.000 | step 1 | wrote run-A finished, 1 item | run-A due 1 | state 1
        1.000 | step 2 | notified run-A (#1) | messages [1]
        2.000 | step 3 | 1 | started the consumer
        2.000 | step 3 | 1 | delivered run-A (#1) | messages [1]
        2.000 | step 3 | 1 | returned return
        2.000 | step 3 | 1 | acknowledged run-A (#1) | messages [1] | state 2
        2.000 | step 3 | 1 | crossed sleep
        3.001 | step 3 | 1 | killed before target UPSERT
        4.001 | step 4 | 2 | started the consumer again
        4.001 | step 4 | 2 | delivered run-A (#1) | messages [1]
        4.001 | step 4 | 2 | returned return
        4.001 | step 4 | 2 | crossed sleep
        5.002 | step 4 | 2 | crossed target UPSERT | state 3 | 1 rows
        6.003 | step 5 | 2 | settling no more disturbances
        6.003 | step 5 | 2 | settled nothing more to do
        """,
    )


def test_a_function_that_answers_wrong() -> None:
    """It does not start, fails a batch by what it answers, then one record of two, then none."""

    def start(world: World) -> Callable[[Any, object], object]:
        if world.time < 4.5:
            raise ValueError("not yet")

        def function(event: Any, context: object) -> object:
            world.boundary(" ".join(record["attributes"]["ApproximateReceiveCount"] for record in event["Records"]))
            failed = [{"itemIdentifier": event["Records"][0]["messageId"]}]
            seconds = time.time() - EPOCH / SECOND
            return {"batchItemFailures": 7 if seconds < 10 else failed if seconds < 40 else []}

        return function

    steps = (Write("run-A"), Notify("run-A"), Write("run-B"), Notify("run-B"), Deliver((2, 1)), Deliver((2, 1)))
    check(
        simulate(Schedule(runs=(A, B), steps=steps), loader(start=start, batch_size=2)),
        """
        1.000 | step 1 | wrote run-A finished, 1 item | run-A due 1 | state 1
        1.000 | step 2 | notified run-A (#1) | messages [1]
        3.000 | step 3 | wrote run-B failed, 2 items | run-B forbidden 2 | state 2
        3.000 | step 4 | notified run-B (#2) | messages [2]
        4.000 | step 5 | 1 | started the consumer
        4.000 | step 5 | 1 | raised start raised ValueError: not yet
        5.000 | step 6 | 2 | started the consumer again
        5.000 | step 6 | 2 | delivered run-B (#2), run-A (#1) | messages [2, 1]
        5.000 | step 6 | 2 | crossed boundary 2 2
        5.001 | step 6 | 2 | returned return
        5.001 | step 6 | 2 | raised the batch failed: it answered {'batchItemFailures': 7}
        6.001 | step 7 | 2 | settling no more disturbances
        6.001 | step 7 | 2 | waited 31 s
        37.001 | step 7 | 2 | delivered run-A (#1), run-B (#2) | messages [1, 2]
        37.001 | step 7 | 2 | crossed boundary 3 3
        37.002 | step 7 | 2 | returned return
        37.002 | step 7 | 2 | acknowledged run-B (#2) | messages [2] | state 3
        38.002 | step 7 | 2 | waited 31 s
        69.002 | step 7 | 2 | delivered run-A (#1) | messages [1]
        69.002 | step 7 | 2 | crossed boundary 4
        69.003 | step 7 | 2 | returned return
        69.003 | step 7 | 2 | acknowledged run-A (#1) | messages [1] | state 4
        70.003 | step 7 | 2 | settled nothing more to do
        """,
    )


def test_a_poller_in_trouble() -> None:
    class Notes:
        def __init__(self, world: World) -> None:
            self.world = world

        def poll(self) -> None:
            note = self.world.disk / "note"
            time.sleep(5)
            note.write_bytes(note.read_bytes()[:12] + b"more " if note.exists() else b"first ")
            for run in read_runs(self.world.storage_root):
                if run.state == "finished":
                    load(self.world, run.run_id)

    steps: tuple[Step, ...] = (
        Write("run-A", window="w1"),
        Poll(),
        Break("write note", "ENOSPC", times=1),
        Poll(),
        Heal(),
        Break("target UPSERT", "slow", skip=1, times=2),
        Poll(Crash("write note", keep=4)),
        Damage("note", "older"),
        Damage("note", "garbage"),
        Damage("nothing", "empty"),
        Litter("notes.txt", "x"),
        Write("run-A"),
        Poll(),
        Poll(Crash("return", power="cut")),
        Break("unlink", "EIO", lasting=True),
    )
    check(
        simulate(Schedule(runs=(A,), steps=steps), poller(start=Notes), Play(power=True)),
        """
        1.000 | step 1 | wrote run-A running, 1 item, writer in window w1 | run-A forbidden 1
        1.000 | step 2 | 1 | started the consumer
        1.000 | step 2 | 1 | polled polls
        1.000 | step 2 | 1 | crossed sleep
        6.001 | step 2 | 1 | crossed open note | state 1
        6.002 | step 2 | 1 | crossed write note | state 2 | 6 bytes buffered
        6.003 | step 2 | 1 | returned return
        7.003 | step 3 | 1 | broke write note: ENOSPC once
        7.003 | step 4 | 1 | polled polls
        7.003 | step 4 | 1 | crossed sleep
        12.004 | step 4 | 1 | crossed open note | state 1
        12.006 | step 4 | 1 | failed write note: No space left on device
        12.006 | step 4 | 1 | raised OSError: [Errno 28] No space left on device
        13.006 | step 5 | 1 | healed what was broken
        13.006 | step 6 | 1 | broke target UPSERT: slow 2 times after 1
        13.006 | step 7 | 1 | polled polls
        13.006 | step 7 | 1 | crossed sleep
        18.007 | step 7 | 1 | crossed open note
        18.008 | step 7 | 1 | killed in write note, 4 of 5 bytes written | state 3
        19.008 | step 8 | 1 | damaged note: older
        19.008 | step 9 | 1 | damaged note: garbage
        19.008 | step 11 | 1 | littered notes.txt
        20.008 | step 12 | 1 | wrote run-A finished, 1 item | run-A due 1
        20.008 | step 13 | 2 | started the consumer again
        20.008 | step 13 | 2 | polled polls
        20.008 | step 13 | 2 | crossed sleep
        25.009 | step 13 | 2 | crossed open note | state 1
        25.010 | step 13 | 2 | crossed write note | state 4 | 17 bytes buffered
        25.011 | step 13 | 2 | crossed target UPSERT | state 5 | 1 rows
        25.012 | step 13 | 2 | returned return
        26.012 | step 14 | 2 | polled polls
        26.012 | step 14 | 2 | crossed sleep
        31.013 | step 14 | 2 | crossed open note | state 6
        31.014 | step 14 | 2 | crossed write note | state 5 | 17 bytes buffered
        31.015 | step 14 | 2 | crossed target UPSERT | state 7
        76.016 | step 14 | 2 | returned return
        76.016 | step 14 | 2 | killed power lost after it returned; not fsynced, so cut: note | state 8
        77.016 | step 15 | 2 | broke unlink: EIO for ever
        77.016 | step 16 | 2 | settling no more disturbances
        77.016 | step 16 | 2 | waited 60 s
        137.016 | step 16 | 3 | started the consumer again
        137.016 | step 16 | 3 | polled polls
        137.016 | step 16 | 3 | crossed sleep
        142.017 | step 16 | 3 | crossed open note
        142.018 | step 16 | 3 | crossed write note | state 9 | 5 bytes buffered
        142.019 | step 16 | 3 | crossed target UPSERT | state 10
        142.020 | step 16 | 3 | returned return
        143.020 | step 16 | 3 | waited 60 s
        203.020 | step 16 | 3 | polled polls
        203.020 | step 16 | 3 | crossed sleep
        208.021 | step 16 | 3 | crossed open note | state 11
        208.022 | step 16 | 3 | crossed write note | state 12 | 10 bytes buffered
        208.023 | step 16 | 3 | crossed target UPSERT | state 13
        208.024 | step 16 | 3 | returned return
        209.024 | step 16 | 3 | waited 60 s
        269.024 | step 16 | 3 | polled polls
        269.024 | step 16 | 3 | crossed sleep
        274.025 | step 16 | 3 | crossed open note | state 14
        274.026 | step 16 | 3 | crossed write note | state 15 | 15 bytes buffered
        274.027 | step 16 | 3 | crossed target UPSERT | state 16
        274.028 | step 16 | 3 | returned return
        275.028 | step 16 | 3 | settled nothing more to do
        """,
        "step 10: nothing cannot be damaged (empty)",
        "a boundary to break: unlink: EIO for ever",
    )


def test_one_that_is_never_through() -> None:
    def work(world: World) -> None:
        while True:
            world.boundary("again")

    history = meet(work, lambda world: world.boundary("once"), limits=Limits(boundaries=3))
    check(
        history,
        """
        0.000 | step 1 | 1/1 | started the consumer
        0.000 | step 1 | 1/1 | crossed mkdir started-1 | state 1
        0.001 | step 1 | 1/1 | polled polls
        0.001 | step 1 | 1/1 | crossed boundary again
        0.002 | step 1 | 1/1 | crossed boundary again
        0.003 | step 1 | 1/1 | hung it crossed 3 boundaries in one turn, the last at boundary again
        0.003 | step 1 | 2/2 | started the consumer again
        0.003 | step 1 | 2/2 | crossed mkdir started-2 | state 2
        0.004 | step 1 | 2/2 | polled polls
        0.004 | step 1 | 2/2 | crossed boundary once
        0.005 | step 1 | 2/2 | returned return
        """,
    )
    assert "in work" in history.stack


def test_a_handler_that_ends_its_process_and_hangs() -> None:
    """Nothing is acknowledged for a turn that did not return."""

    def handle(world: World, notification: Mapping[str, Any]) -> None:
        world.boundary(f"at {world.time:.0f}")
        note = world.disk / "note"
        if notification["run_id"] == "run-A":
            return
        if note.exists():
            while True:
                world.boundary("again")
        note.write_text("x")
        world.boundary("noted")
        os._exit(3)

    steps: tuple[Step, ...] = (
        Write("run-A"),
        Notify("run-A"),
        Write("run-B"),
        Notify("run-B"),
        Deliver((1,)),
        Deliver((1,)),
        Deliver((2, 1), Crash("boundary noted", power="back")),
        Deliver((2, 1)),
        Deliver((2, 1)),
    )
    consumer = loader(start=lambda world: lambda notification: handle(world, notification))
    check(
        simulate(Schedule(runs=(A, B), steps=steps), consumer, Play(power=True, limits=Limits(boundaries=5))),
        """
        1.000 | step 1 | wrote run-A finished, 1 item | run-A due 1 | state 1
        1.000 | step 2 | notified run-A (#1) | messages [1]
        3.000 | step 3 | wrote run-B failed, 2 items | run-B forbidden 2 | state 2
        3.000 | step 4 | notified run-B (#2) | messages [2]
        4.000 | step 5 | 1 | started the consumer
        4.000 | step 5 | 1 | delivered run-A (#1) | messages [1]
        4.000 | step 5 | 1 | crossed boundary at 4
        4.001 | step 5 | 1 | returned return
        4.001 | step 5 | 1 | acknowledged run-A (#1) | messages [1] | state 3
        5.001 | step 6 | 1 | delivered run-A (#1) | messages [1]
        5.001 | step 6 | 1 | crossed boundary at 5
        5.002 | step 6 | 1 | returned return
        6.002 | step 7 | 1 | delivered run-B (#2) | messages [2]
        6.002 | step 7 | 1 | crossed boundary at 6
        6.003 | step 7 | 1 | crossed open note | state 4
        6.004 | step 7 | 1 | crossed write note | state 5 | 1 bytes buffered
        6.005 | step 7 | 1 | killed power lost before boundary noted; not fsynced, so taken back: note | state 6
        7.005 | step 8 | 2 | started the consumer again
        7.005 | step 8 | 2 | delivered run-B (#2) | messages [2]
        7.005 | step 8 | 2 | crossed boundary at 7
        7.006 | step 8 | 2 | crossed open note | state 4
        7.007 | step 8 | 2 | crossed write note | state 5 | 1 bytes buffered
        7.008 | step 8 | 2 | crossed boundary noted
        7.009 | step 8 | 2 | ended its own process, with status 3
        8.009 | step 9 | 3 | started the consumer again
        8.009 | step 9 | 3 | delivered run-B (#2) | messages [2]
        8.009 | step 9 | 3 | crossed boundary at 8
        8.010 | step 9 | 3 | crossed boundary again
        8.011 | step 9 | 3 | crossed boundary again
        8.012 | step 9 | 3 | crossed boundary again
        8.013 | step 9 | 3 | crossed boundary again
        8.014 | step 9 | 3 | hung it crossed 5 boundaries in one turn, the last at boundary again
        """,
    )


def test_a_poller_that_does_not_start_again_at_once() -> None:
    class Starts:
        def __init__(self, world: World) -> None:
            if 0 < world.time < 60:
                raise ValueError("not yet")

        def poll(self) -> None:
            pass

    history = simulate(Schedule(runs=(), steps=(Poll(), Restart(), Poll())), poller(start=Starts))
    check(
        history,
        """
        0.000 | step 1 | 1 | started the consumer
        0.000 | step 1 | 1 | polled polls
        0.000 | step 1 | 1 | returned return
        1.000 | step 2 | 1 | killed between two turns
        1.000 | step 3 | 2 | started the consumer again
        1.000 | step 3 | 2 | raised start raised ValueError: not yet
        2.000 | step 4 | 2 | settling no more disturbances
        2.000 | step 4 | 2 | waited 60 s
        62.000 | step 4 | 3 | started the consumer again
        62.000 | step 4 | 3 | polled polls
        62.000 | step 4 | 3 | returned return
        63.000 | step 4 | 3 | waited 60 s
        123.000 | step 4 | 3 | polled polls
        123.000 | step 4 | 3 | returned return
        124.000 | step 4 | 3 | waited 60 s
        184.000 | step 4 | 3 | polled polls
        184.000 | step 4 | 3 | returned return
        185.000 | step 4 | 3 | settled nothing more to do
        """,
    )
    assert "in __init__" in history.stack
