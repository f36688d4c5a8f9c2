"""What the bus costs: a fresh world with topology, a delivery to a running handler, a queue worker's turn."""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import hypothesis
import moto
import pytest
from measure import Cost, Ratio, report, seconds

from pytest_quarry.bus.aws import MockedAws
from pytest_quarry.bus.calls import DUMMY_ENVIRONMENT
from pytest_quarry.consumers.consumer import Consumer
from pytest_quarry.simulation import places
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import Deliver, Notify, PlannedRun, Schedule, Step, Write
from pytest_quarry.simulation.world import EPOCH, World

LOADED = (pytest, hypothesis)  # a test process has them
DELIVERIES = 300
TURNS = 60
PAIRS = 15


def fresh_world() -> Ratio:
    """A world with its topic, queues, subscription and bucket, in milliseconds."""

    def ours() -> None:
        world = World(places.base())
        MockedAws(seed=0, now=EPOCH).close()
        world.close()

    return Ratio("a fresh world with topology, in milliseconds", _median(ours, 60), 1.0, "opened and closed")


def one_delivery() -> Ratio:
    """What a delivery to a handler that is already running adds, from schedules with and without many of them."""

    def start(world: World) -> Any:
        def handle(notification: object) -> None: ...

        return handle

    consumer = Consumer(name="Benchmark", kind="event-bus", start=start, rows=lambda world: [])
    play(consumer, 1)
    costs = [
        (Cost.of(lambda: play(consumer, DELIVERIES + 1)) - Cost.of(lambda: play(consumer, 1))) / DELIVERIES
        for _ in range(11)
    ]
    cpu, wall = (
        statistics.median(values) * 1000 for values in zip(*((cost.cpu, cost.wall) for cost in costs), strict=True)
    )
    detail = f"{DELIVERIES} deliveries a schedule; by the clock {wall:.2f}"
    return Ratio("a delivery to a running handler, in milliseconds", cpu, 0.5, detail)


def worker_turn() -> Ratio:
    """A worker's turn (receive, delete) against the same calls to bare moto in one process: medians of pairs.

    By the processor time of both processes, which a busy machine changes least; the clock is beside it. That a message is
    there to be received is part of neither.
    """
    os.environ.update(DUMMY_ENVIRONMENT)
    sqs = boto3.client("sqs", region_name="us-east-1")

    class Worker:
        def __init__(self, world: World) -> None:
            self.url = world.queue_url

        def run_once(self) -> None:
            turn(sqs, self.url)

    def ours(count: int) -> Cost:
        with arriving() as spent:
            consumer = Consumer(name="Benchmark", kind="event-bus", start=Worker, rows=lambda world: [])
            return Cost.of(lambda: play(consumer, count)) - spent[0]

    ours(1)
    found = [((ours(TURNS + 1) - ours(1)) / TURNS, bare_turns(sqs)) for _ in range(PAIRS)]
    cpu = statistics.median(one.cpu / other.cpu for one, other in found)
    wall = statistics.median(one.wall / other.wall for one, other in found)
    one, other = (statistics.median(pair[at].wall for pair in found) * 1000 for at in (0, 1))
    detail = f"by the clock {wall:.2f}: {one:.2f} ms / {other:.2f} ms"
    return Ratio("a worker's turn / its calls to bare moto", cpu, 1.6, detail)


@contextlib.contextmanager
def arriving() -> Iterator[list[Cost]]:
    """What it costs meanwhile that messages arrive in the queue."""
    real, spent = World.put, [Cost(0, 0)]

    def put(*given: Any, **named: Any) -> None:
        spent[0] += Cost.of(lambda: real(*given, **named))

    World.put = put  # type: ignore[method-assign]
    try:
        yield spent
    finally:
        World.put = real  # type: ignore[method-assign]


def turn(sqs: Any, url: str) -> None:
    """One receive, and a delete of what it found."""
    for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def bare_turns(sqs: Any) -> Cost:
    """One turn against moto alone, with one message that is there."""
    with moto.mock_aws():
        url = sqs.create_queue(QueueName="runs")["QueueUrl"]
        body = "x" * 1_500  # an enveloped notification
        taken = Cost(0, 0)
        for _ in range(TURNS):
            sqs.send_message(QueueUrl=url, MessageBody=body)
            taken += Cost.of(lambda: turn(sqs, url))
        return taken / TURNS


def play(consumer: Consumer, count: int) -> None:
    """A schedule in which one run is delivered so often."""
    run = PlannedRun(run_id="run-A", items=1)
    steps: list[Step] = [Deliver(messages=(1,))] * count
    simulate(Schedule(runs=(run,), steps=(Write(run="run-A"), Notify(run="run-A"), *steps)), consumer)


def _median(action: Callable[[], None], times: int) -> float:
    action()
    return statistics.median(seconds(action) for _ in range(times)) * 1000


if __name__ == "__main__":
    sys.exit(report([fresh_world(), one_delivery(), worker_turn()]))
