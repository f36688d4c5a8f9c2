"""What the engine costs, as ratios: a fresh world, one schedule, one boundary; and the core checks of a sample."""

from __future__ import annotations

import os
import statistics
import sys
import time

import boto3
import hypothesis
import moto
import pytest
from measure import Ratio, pairs, report, seconds

from pytest_quarry.bus.aws import MockedAws
from pytest_quarry.bus.calls import DUMMY_ENVIRONMENT
from pytest_quarry.checks.catalogue import of_kind
from pytest_quarry.checks.conduct import Conductor
from pytest_quarry.checks.stage import Stage
from pytest_quarry.consumers.consumer import Consumer
from pytest_quarry.samples.demo import RepairedOrders
from pytest_quarry.simulation import explore, places
from pytest_quarry.simulation.play import Play
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.world import EPOCH, World

LOADED = (pytest, hypothesis)  # a test process has them; a fork copies their page tables
BOUNDARIES = 400


def fresh_world() -> Ratio:
    """A world with its topology, against `mock_aws()` with one made through boto3 (shared clients)."""
    os.environ.update(DUMMY_ENVIRONMENT)
    sns, sqs, s3 = (boto3.client(name, region_name="us-east-1") for name in ("sns", "sqs", "s3"))

    def ours() -> None:
        World(places.base())
        MockedAws(seed=0, now=EPOCH).close()

    def theirs() -> None:
        with moto.mock_aws():
            topic = sns.create_topic(Name="runs")["TopicArn"]
            dead = sqs.create_queue(QueueName="dead")["QueueUrl"]
            sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])
            queue = sqs.create_queue(QueueName="runs")["QueueUrl"]
            arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
            sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
            s3.create_bucket(Bucket="storage")

    one, other, ratio = pairs(theirs, ours, 40)
    return Ratio("mock_aws with a boto3-made topology / a fresh world", ratio, 20, _ms(one, other), at_least=True)


def bare_fork() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def one_schedule() -> Ratio:
    """The small scope's schedules of a handler on disk, storage included, against bare forks of the same process."""
    consumer = RepairedOrders().consumer()
    stage = Stage(consumer, 0, lambda schedule: simulate(schedule, consumer))
    base = stage.loaded(stage.run("A"))
    schedules = [base, *explore.crash_points(base, stage.history(base))]
    incarnations = 0

    def ours() -> None:
        nonlocal incarnations
        incarnations = 0
        for schedule in schedules:
            history = simulate(schedule, consumer, Play(observe=schedule is base))
            incarnations += max(entry.incarnation for entry in history.entries)

    def theirs() -> None:
        for _ in range(incarnations):
            bare_fork()

    one, other, ratio = pairs(ours, theirs, 9)
    detail = _ms(one / len(schedules), other / len(schedules)) + f" over {len(schedules)} schedules"
    return Ratio("a schedule / its incarnations × (fork, exit, wait)", ratio, 4, detail)


def one_boundary() -> Ratio:
    """What a boundary adds, in milliseconds, from turns with and without many of them."""

    def consumer(crossings: int) -> Consumer:
        def start(world: World) -> object:
            def handle(notification: object) -> None:
                for _ in range(crossings):
                    world.boundary("here")

            return handle

        return Consumer(name="Benchmark", kind="event-bus", start=start, rows=lambda world: [])

    few, many = consumer(1), consumer(BOUNDARIES + 1)
    stage = Stage(few, 0, lambda schedule: simulate(schedule, few))
    schedule = stage.loaded(stage.run("A"))
    simulate(schedule, few)
    costs = [
        (seconds(lambda: simulate(schedule, many)) - seconds(lambda: simulate(schedule, few))) / BOUNDARIES
        for _ in range(15)
    ]
    value = statistics.median(costs) * 1000
    return Ratio("one boundary, in milliseconds", value, 0.15, f"{BOUNDARIES} boundaries a turn")


def core_checks() -> Ratio:
    """The critical checks of a SQLite sample, in seconds."""
    conductor = Conductor(RepairedOrders().consumer())
    before = time.perf_counter()
    checks = [check for check in of_kind("event-bus") if check.severity == "critical"]
    schedules = sum(conductor.conduct(check).executions for check in checks)
    value = time.perf_counter() - before
    return Ratio(
        "core checks of a SQLite sample, in seconds", value, 10, f"{len(checks)} checks, {schedules} executions"
    )


def _ms(one: float, other: float) -> str:
    return f"{one * 1000:.2f} ms / {other * 1000:.2f} ms"


if __name__ == "__main__":
    sys.exit(report([fresh_world(), one_schedule(), one_boundary(), core_checks()]))
