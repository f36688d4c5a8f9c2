"""Whole histories of two workers, slow writers, those who receive or look by themselves, and publishers, entry for entry."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Mapping
from typing import Any

import boto3
import pytest
from loaders import load, loader, poller
from together import Work, meet
from whole_stories import A, B, check

from pytest_quarry.bus import names
from pytest_quarry.consumers.consumer import Consumer
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import (
    Break,
    Crash,
    Deliver,
    Notify,
    Overlap,
    Publish,
    Schedule,
    Switch,
    Write,
)
from pytest_quarry.simulation.world import World
from pytest_quarry.storage import read_runs


def slow_loader(seconds: float) -> Consumer:
    """Sleeps so long before it loads."""

    def handle(world: World, notification: Mapping[str, Any]) -> None:
        world.boundary(f"begins {notification['run_id']}")
        time.sleep(seconds)
        load(world, notification["run_id"])

    return loader(start=lambda world: lambda notification: handle(world, notification))


def test_two_at_once() -> None:
    """The first is killed while the second sleeps; the second takes two turns, half an hour apart."""

    consumer = slow_loader(1)
    overlap = Overlap(
        (1,), (2, 1), (Switch("boundary begins run-A"), Switch("*", 9)), Crash("target UPSERT"), pause=1_800
    )
    steps = (Write("run-A"), Notify("run-A"), Write("run-B"), Notify("run-B"), overlap)
    check(
        simulate(Schedule(runs=(A, B), steps=steps), consumer),
        """
        1.000 | step 1 | wrote run-A finished, 1 item | run-A due 1 | state 1
        1.000 | step 2 | notified run-A (#1) | messages [1]
        3.000 | step 3 | wrote run-B failed, 2 items | run-B forbidden 2 | state 2
        3.000 | step 4 | notified run-B (#2) | messages [2]
        4.000 | step 5 | 1/1 | started the consumer
        4.000 | step 5 | 1/1 | delivered run-A (#1) | messages [1]
        4.000 | step 5 | 1/1 | switched stands before boundary begins run-A
        4.000 | step 5 | 2/2 | started the consumer again
        4.000 | step 5 | 2/2 | delivered run-B (#2) | messages [2]
        4.000 | step 5 | 2/2 | crossed boundary begins run-B
        4.001 | step 5 | 1/1 | crossed boundary begins run-A
        4.002 | step 5 | 2/2 | crossed sleep
        5.002 | step 5 | 2/2 | crossed target UPSERT | state 3 | 1 rows
        5.003 | step 5 | 2/2 | crossed target UPSERT | state 4 | 2 rows
        5.004 | step 5 | 2/2 | returned return
        5.004 | step 5 | 2/2 | acknowledged run-B (#2) | messages [2] | state 5
        5.004 | step 5 | 2/2 | waited 1800 s
        1805.004 | step 5 | 2/2 | delivered run-A (#1) | messages [1]
        1805.004 | step 5 | 2/2 | crossed boundary begins run-A
        1805.005 | step 5 | 1/1 | crossed sleep
        1805.006 | step 5 | 1/1 | killed before target UPSERT
        1805.006 | step 5 | 2/2 | crossed sleep
        1806.006 | step 5 | 2/2 | crossed target UPSERT | state 6 | 3 rows
        1806.007 | step 5 | 2/2 | returned return
        1806.007 | step 5 | 2/2 | acknowledged run-A (#1) | messages [1] | state 7
        1807.007 | step 6 | 1 | settling no more disturbances
        1807.007 | step 6 | 1 | settled nothing more to do
        """,
        "step 5: a switch at * (occurrence 9)",
    )


def test_a_deadlock() -> None:
    def takes(*names: str) -> Work:
        def work(world: World) -> None:
            for name in names:
                fcntl.flock(os.open(world.disk / name, os.O_CREAT | os.O_RDWR), fcntl.LOCK_EX)
                world.boundary(f"has {name}")

        return work

    history = meet(takes("a", "b"), takes("b", "a"), Switch("boundary has a"), Switch("boundary has b"))
    check(
        history,
        """
        0.000 | step 1 | 1/1 | started the consumer
        0.000 | step 1 | 1/1 | crossed mkdir started-1 | state 1
        0.001 | step 1 | 1/1 | polled polls
        0.001 | step 1 | 1/1 | crossed open a | state 2
        0.002 | step 1 | 1/1 | crossed lock a
        0.003 | step 1 | 1/1 | switched stands before boundary has a
        0.003 | step 1 | 2/2 | started the consumer again
        0.003 | step 1 | 2/2 | crossed mkdir started-2 | state 3
        0.004 | step 1 | 2/2 | polled polls
        0.004 | step 1 | 2/2 | crossed open b | state 4
        0.005 | step 1 | 2/2 | crossed lock b
        0.006 | step 1 | 2/2 | switched stands before boundary has b
        0.006 | step 1 | 1/1 | crossed boundary has a
        0.007 | step 1 | 1/1 | crossed open b
        0.008 | step 1 | 1/1 | crossed lock b
        0.009 | step 1 | 1/1 | switched waits for the lock of b
        0.009 | step 1 | 2/2 | crossed boundary has b
        0.010 | step 1 | 2/2 | crossed open a
        0.011 | step 1 | 2/2 | crossed lock a
        0.012 | step 1 | 2/2 | switched waits for the lock of a
        0.012 | step 1 | 1/1 | crossed wait for the lock of b
        0.013 | step 1 | 1/1 | crossed lock b
        0.014 | step 1 | 1/1 | gave-up each worker waits for a lock that the other holds: a deadlock
        0.014 | step 1 | 1/1 | hung wait for the lock of b: nobody will release it
        0.014 | step 1 | 2/2 | crossed wait for the lock of a
        0.015 | step 1 | 2/2 | crossed lock a
        0.016 | step 1 | 2/2 | crossed boundary has a
        0.017 | step 1 | 2/2 | returned return
        """,
    )


def test_runs_that_a_writer_is_slow_with() -> None:
    steps = (
        Write("run-B", window="w6", flush=0, clock=-30),
        Write("run-A", window="w4"),
        Break("target", "slow", times=2),
        Write("run-B"),
        Write("run-A"),
    )

    class LoadsFailedOnesToo:
        def __init__(self, world: World) -> None:
            self.world = world

        def poll(self) -> None:
            for run in read_runs(self.world.storage_root):
                load(self.world, run.run_id)

    history = simulate(Schedule(runs=(A, B), steps=steps), poller(start=LoadsFailedOnesToo, failed_runs="load"))
    check(
        history,
        """
        1.000 | step 1 | wrote run-B running, 2 items, writer in window w6 of its write call 1; by a clock 30 s behind | run-B forbidden 1
        2.000 | step 2 | wrote run-A running, 1 item, writer in window w4 | run-A forbidden 1
        2.000 | step 3 | broke target: slow 2 times
        3.000 | step 4 | wrote run-B failed, 2 items; by a clock 30 s behind | run-B due 2
        4.000 | step 5 | wrote run-A finished, 1 item | run-A due 1
        4.000 | step 6 | settling no more disturbances
        4.000 | step 6 | waited 60 s
        64.000 | step 6 | 1 | started the consumer
        64.000 | step 6 | 1 | polled polls
        64.000 | step 6 | 1 | crossed target UPSERT | state 1 | 1 rows
        64.001 | step 6 | 1 | crossed target UPSERT | state 2 | 2 rows
        64.002 | step 6 | 1 | crossed target UPSERT | state 3 | 3 rows
        64.003 | step 6 | 1 | returned return
        65.003 | step 6 | 1 | waited 60 s
        125.003 | step 6 | 1 | polled polls
        125.003 | step 6 | 1 | crossed target UPSERT | state 4
        125.004 | step 6 | 1 | crossed target UPSERT | state 5
        125.005 | step 6 | 1 | crossed target UPSERT | state 6
        125.006 | step 6 | 1 | returned return
        126.006 | step 6 | 1 | waited 60 s
        186.006 | step 6 | 1 | polled polls
        186.006 | step 6 | 1 | crossed target UPSERT | state 7
        186.007 | step 6 | 1 | crossed target UPSERT | state 8
        186.008 | step 6 | 1 | crossed target UPSERT | state 9
        186.009 | step 6 | 1 | returned return
        187.009 | step 6 | 1 | settled nothing more to do
        """,
        "a boundary to break: target: slow 2 times",
    )


@pytest.mark.parametrize("has_one", [True, False])
def test_who_reconciles(has_one: bool) -> None:
    """By its reconcile(), or at each start."""

    class Handler:
        def __init__(self, world: World) -> None:
            self.world = world
            if not has_one:
                self.look_around()

        def look_around(self) -> None:
            for run in read_runs(self.world.storage_root):
                load(self.world, run.run_id)

        def handle(self, notification: object) -> None:
            self.world.boundary("told")

    class Reconciles(Handler):
        def reconcile(self) -> None:
            self.look_around()

    history = simulate(
        Schedule(runs=(A,), steps=(Write("run-A"), Notify("run-A"), Deliver((1,)))),
        loader(start=Reconciles if has_one else Handler, reconciles=True),
    )
    check(
        history,
        """
        1.000 | step 1 | wrote run-A finished, 1 item | run-A due 1 | state 1
        1.000 | step 2 | notified run-A (#1) | messages [1]
        2.000 | step 3 | 1 | started the consumer
        2.000 | step 3 | 1 | delivered run-A (#1) | messages [1]
        2.000 | step 3 | 1 | crossed boundary told
        2.001 | step 3 | 1 | returned return
        2.001 | step 3 | 1 | acknowledged run-A (#1) | messages [1] | state 2
        3.001 | step 4 | 1 | settling no more disturbances
        3.001 | step 4 | 1 | waited 3600 s
        3603.001 | step 4 | 1 | polled reconciles
        3603.001 | step 4 | 1 | crossed target UPSERT | state 3 | 1 rows
        3603.002 | step 4 | 1 | returned return
        3604.002 | step 4 | 1 | waited 3600 s
        7204.002 | step 4 | 1 | polled reconciles
        7204.002 | step 4 | 1 | crossed target UPSERT | state 4
        7204.003 | step 4 | 1 | returned return
        7205.003 | step 4 | 1 | waited 3600 s
        10805.003 | step 4 | 1 | polled reconciles
        10805.003 | step 4 | 1 | crossed target UPSERT | state 5
        10805.004 | step 4 | 1 | returned return
        10806.004 | step 4 | 1 | settled nothing more to do
        """
        if has_one
        else """
        1.000 | step 1 | wrote run-A finished, 1 item | run-A due 1 | state 1
        1.000 | step 2 | notified run-A (#1) | messages [1]
        2.000 | step 3 | 1 | started the consumer
        2.000 | step 3 | 1 | crossed target UPSERT | state 2 | 1 rows
        2.001 | step 3 | 1 | delivered run-A (#1) | messages [1]
        2.001 | step 3 | 1 | crossed boundary told
        2.002 | step 3 | 1 | returned return
        2.002 | step 3 | 1 | acknowledged run-A (#1) | messages [1] | state 3
        3.002 | step 4 | 1 | settling no more disturbances
        3.002 | step 4 | 1 | waited 3600 s
        3603.002 | step 4 | 1 | killed between two turns
        3603.002 | step 4 | 2 | started the consumer again
        3603.002 | step 4 | 2 | crossed target UPSERT | state 4
        3604.003 | step 4 | 2 | waited 3600 s
        7204.003 | step 4 | 2 | killed between two turns
        7204.003 | step 4 | 3 | started the consumer again
        7204.003 | step 4 | 3 | crossed target UPSERT | state 5
        7205.004 | step 4 | 3 | waited 3600 s
        10805.004 | step 4 | 3 | killed between two turns
        10805.004 | step 4 | 4 | started the consumer again
        10805.004 | step 4 | 4 | crossed target UPSERT | state 6
        10806.005 | step 4 | 4 | settled nothing more to do
        """,
    )


def test_a_worker() -> None:
    """Its first turn dies of the second message, whose receipt is stale in the next; then it sees to both."""

    class Worker:
        def __init__(self, world: World) -> None:
            self.world, self.sqs = world, boto3.client("sqs")

        def run_once(self) -> None:
            url = self.world.queue_url
            for message in self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=2).get("Messages", []):
                self.world.boundary("works")
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    steps = (
        *(Write("run-A"), Notify("run-A"), Write("run-B"), Notify("run-B")),
        Deliver((2, 1), Crash("boundary works", 2)),
        Break("boundary works", "slow", times=1),
        Deliver((1,), ack="lost"),
    )
    check(
        simulate(Schedule(runs=(A, B), steps=steps), loader(start=Worker)),
        """
        1.000 | step 1 | wrote run-A finished, 1 item | run-A due 1 | state 1
        1.000 | step 2 | notified run-A (#1) | messages [1]
        3.000 | step 3 | wrote run-B failed, 2 items | run-B forbidden 2 | state 2
        3.000 | step 4 | notified run-B (#2) | messages [2]
        4.000 | step 5 | 1 | started the consumer
        4.000 | step 5 | 1 | crossed sqs.ReceiveMessage quarry-runs-consumer
        4.001 | step 5 | 1 | delivered run-B (#2), run-A (#1) | messages [2, 1] | state 3
        4.001 | step 5 | 1 | crossed boundary works
        4.002 | step 5 | 1 | crossed sqs.DeleteMessage quarry-runs-consumer
        4.003 | step 5 | 1 | acknowledged run-B (#2) | messages [2] | state 4
        4.003 | step 5 | 1 | killed before boundary works
        5.003 | step 6 | 1 | broke boundary works: slow once
        5.003 | step 7 | 2 | started the consumer again
        5.003 | step 7 | 2 | crossed sqs.ReceiveMessage quarry-runs-consumer
        5.004 | step 7 | 2 | delivered run-A (#1) | messages [1] | state 5
        5.004 | step 7 | 2 | crossed boundary works
        50.005 | step 7 | 2 | crossed sqs.DeleteMessage quarry-runs-consumer
        50.006 | step 7 | 2 | failed the receipt handle of run-A (#1) is stale: not deleted | state 6
        50.006 | step 7 | 2 | returned return
        51.006 | step 8 | 2 | settling no more disturbances
        51.006 | step 8 | 2 | waited 31 s
        82.006 | step 8 | 2 | crossed sqs.ReceiveMessage quarry-runs-consumer
        82.007 | step 8 | 2 | delivered run-A (#1) | messages [1] | state 7
        82.007 | step 8 | 2 | crossed boundary works
        82.008 | step 8 | 2 | crossed sqs.DeleteMessage quarry-runs-consumer
        82.009 | step 8 | 2 | acknowledged run-A (#1) | messages [1] | state 8
        82.009 | step 8 | 2 | returned return
        82.009 | step 8 | 2 | crossed sqs.ReceiveMessage quarry-runs-consumer
        82.010 | step 8 | 2 | returned return
        83.010 | step 8 | 2 | settled nothing more to do
        """,
    )


def test_a_publisher() -> None:
    def publish(run: Any) -> None:
        boto3.client("sns").publish(TopicArn=names.TOPIC_ARN, Message=f"about {run.run_id} " + "x" * 40)
        run.execute()
        text = json.dumps({"run_id": run.run_id, "outcome": run.outcome})
        boto3.client("sns").publish(TopicArn=names.TOPIC_ARN, Message=text)

    consumer = Consumer(
        name="Announces", kind="publisher", start=lambda world: publish, rows=lambda world: [], wraps_run=True
    )
    check(
        simulate(Schedule(runs=(A,), steps=(Publish("run-A"), Publish("run-A", Crash("never")))), consumer),
        """
        0.000 | step 1 | 1 | started the consumer
        0.000 | step 1 | 1 | asked run-A
        0.000 | step 1 | 1 | crossed sns.Publish quarry-runs
        0.001 | step 1 | 1 | published about run-A xxxxxxxxxxxxxxxxxxxxxxxxxxx… | state 1
        0.001 | step 1 | 1 | crossed quarry run run-A
        2.502 | step 1 | 1 | wrote run-A finished, 1 item | run-A due 1
        2.502 | step 1 | 1 | crossed sns.Publish quarry-runs
        2.503 | step 1 | 1 | published run-A success | state 3
        2.503 | step 1 | 1 | returned return
        3.503 | step 2 | 1 | asked run-A
        3.503 | step 2 | 1 | crossed sns.Publish quarry-runs
        3.504 | step 2 | 1 | published about run-A xxxxxxxxxxxxxxxxxxxxxxxxxxx… | state 4
        3.504 | step 2 | 1 | crossed quarry run run-A
        3.505 | step 2 | 1 | raised RuntimeError: run-A has been executed already: one run, one execution
        4.505 | step 3 | 1 | settling no more disturbances
        4.505 | step 3 | 1 | settled nothing more to do
        """,
        "step 2: never (occurrence 1)",
    )


def test_a_deadlock_that_the_system_ends() -> None:
    def upgrades(world: World) -> None:
        file = os.open(world.disk / "a", os.O_CREAT | os.O_RDWR)
        fcntl.lockf(file, fcntl.LOCK_SH)
        world.boundary("reads")
        try:
            fcntl.lockf(file, fcntl.LOCK_EX)
        except OSError:
            world.boundary("refused")
        else:
            world.boundary("writes")
        os.close(file)

    check(
        meet(upgrades, None, Switch("boundary reads")),
        """
        0.000 | step 1 | 1/1 | started the consumer
        0.000 | step 1 | 1/1 | crossed mkdir started-1 | state 1
        0.001 | step 1 | 1/1 | polled polls
        0.001 | step 1 | 1/1 | crossed open a | state 2
        0.002 | step 1 | 1/1 | crossed lock a
        0.003 | step 1 | 1/1 | switched stands before boundary reads
        0.003 | step 1 | 2/2 | started the consumer again
        0.003 | step 1 | 2/2 | crossed mkdir started-2 | state 3
        0.004 | step 1 | 2/2 | polled polls
        0.004 | step 1 | 2/2 | crossed open a
        0.005 | step 1 | 2/2 | crossed lock a
        0.006 | step 1 | 2/2 | crossed boundary reads
        0.007 | step 1 | 2/2 | crossed lock a
        0.008 | step 1 | 2/2 | switched waits for the lock of a
        0.008 | step 1 | 1/1 | crossed boundary reads
        0.009 | step 1 | 1/1 | crossed lock a
        0.010 | step 1 | 1/1 | switched waits for the lock of a
        0.010 | step 1 | 2/2 | crossed wait for the lock of a
        0.011 | step 1 | 2/2 | crossed lock a
        0.012 | step 1 | 2/2 | failed wait for the lock of a: a deadlock
        0.012 | step 1 | 2/2 | crossed boundary refused
        0.013 | step 1 | 2/2 | returned return
        0.013 | step 1 | 1/1 | crossed wait for the lock of a
        0.014 | step 1 | 1/1 | crossed lock a
        0.015 | step 1 | 1/1 | crossed boundary writes
        0.016 | step 1 | 1/1 | returned return
        1.016 | step 2 | 1 | settling no more disturbances
        1.016 | step 2 | 1 | waited 60 s
        61.016 | step 2 | 1 | polled polls
        61.016 | step 2 | 1 | returned return
        62.016 | step 2 | 1 | waited 60 s
        122.016 | step 2 | 1 | polled polls
        122.016 | step 2 | 1 | returned return
        123.016 | step 2 | 1 | waited 60 s
        183.016 | step 2 | 1 | polled polls
        183.016 | step 2 | 1 | returned return
        184.016 | step 2 | 1 | settled nothing more to do
        """,
    )


def test_the_second_is_killed_as_it_goes_to_sleep() -> None:
    """The process that comes after it has not slept yet."""

    consumer = slow_loader(5)
    overlap = Overlap((2,), (1, 2), (Switch("boundary begins run-B"),), Crash("sleep"), crash_second=True, pause=60)
    steps = (Write("run-A"), Notify("run-A"), Write("run-B"), Notify("run-B"), overlap)
    check(
        simulate(Schedule(runs=(A, B), steps=steps), consumer),
        """
        1.000 | step 1 | wrote run-A finished, 1 item | run-A due 1 | state 1
        1.000 | step 2 | notified run-A (#1) | messages [1]
        3.000 | step 3 | wrote run-B failed, 2 items | run-B forbidden 2 | state 2
        3.000 | step 4 | notified run-B (#2) | messages [2]
        4.000 | step 5 | 1/1 | started the consumer
        4.000 | step 5 | 1/1 | delivered run-B (#2) | messages [2]
        4.000 | step 5 | 1/1 | switched stands before boundary begins run-B
        4.000 | step 5 | 2/2 | started the consumer again
        4.000 | step 5 | 2/2 | delivered run-A (#1) | messages [1]
        4.000 | step 5 | 2/2 | crossed boundary begins run-A
        4.001 | step 5 | 1/1 | crossed boundary begins run-B
        4.002 | step 5 | 2/2 | killed before sleep
        4.002 | step 5 | 2/2 | waited 60 s
        64.002 | step 5 | 3/2 | started the consumer again
        64.002 | step 5 | 3/2 | delivered run-B (#2) | messages [2]
        64.002 | step 5 | 3/2 | crossed boundary begins run-B
        64.003 | step 5 | 1/1 | crossed sleep
        64.004 | step 5 | 1/1 | crossed target UPSERT | state 3 | 1 rows
        64.005 | step 5 | 1/1 | crossed target UPSERT | state 4 | 2 rows
        64.006 | step 5 | 1/1 | returned return
        64.006 | step 5 | 1/1 | acknowledged run-B (#2) | messages [2] | state 5
        64.006 | step 5 | 3/2 | crossed sleep
        69.004 | step 5 | 3/2 | crossed target UPSERT | state 6
        69.005 | step 5 | 3/2 | crossed target UPSERT | state 7
        69.006 | step 5 | 3/2 | returned return
        70.006 | step 6 | 1 | settling no more disturbances
        70.006 | step 6 | 1 | waited 31 s
        101.006 | step 6 | 1 | delivered run-A (#1) | messages [1]
        101.006 | step 6 | 1 | crossed boundary begins run-A
        101.007 | step 6 | 1 | crossed sleep
        106.008 | step 6 | 1 | crossed target UPSERT | state 8 | 3 rows
        106.009 | step 6 | 1 | returned return
        106.009 | step 6 | 1 | acknowledged run-A (#1) | messages [1] | state 9
        107.009 | step 6 | 1 | settled nothing more to do
        """,
    )
