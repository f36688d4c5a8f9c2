"""What the random item draws: every disturbance that it promises, and only schedules that can be."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from pytest_quarry.checks.conduct import Conductor
from pytest_quarry.checks.failures import POISON
from pytest_quarry.checks.fuzzing import LONGEST_WAIT, drawn
from pytest_quarry.samples import SAMPLES
from pytest_quarry.simulation.schedule import (
    Break,
    Crash,
    Deliver,
    Heal,
    Notify,
    Overlap,
    Poll,
    Restart,
    Schedule,
    Step,
    Wait,
    Write,
)

NAMED = {sample.name: sample for sample in SAMPLES}
QUICKLY = settings(
    derandomize=True,
    max_examples=3_000,
    phases=[Phase.generate],
    database=None,
    suppress_health_check=list(HealthCheck),
    deadline=None,
)


def strategy(name: str) -> st.SearchStrategy[Schedule]:
    """What is drawn for a sample."""
    consumer = NAMED[name].suite()().consumer()
    return drawn(consumer, Conductor(consumer).undisturbed())


EVERYBODY: dict[str, Callable[[Step], Any]] = {
    "a crash": lambda step: isinstance(getattr(step, "crash", None), Crash),
    "two workers": lambda step: isinstance(step, Overlap) and len(step.switches) > 1,
    "two workers, one of them killed": lambda step: isinstance(step, Overlap) and step.crash,
    "time": lambda step: isinstance(step, Wait),
    "a restart": lambda step: isinstance(step, Restart),
    "reads that fail": lambda step: isinstance(step, Break) and step.error == "EIO",
    "reads that are slow": lambda step: isinstance(step, Break) and step.error == "slow",
}
HANDLERS: dict[str, Callable[[Step], Any]] = {
    "a batch": lambda step: isinstance(step, Deliver) and len(step.messages) > 1,
    "a bad message": lambda step: isinstance(step, Notify) and step.form in POISON,
    "an operation of its own": lambda step: isinstance(step, Break) and step.at.startswith("sqlite "),
}
POLLERS: dict[str, Callable[[Step], Any]] = {
    "a writer on its way": lambda step: isinstance(step, Write) and step.window,
    "a clock that is off": lambda step: isinstance(step, Write) and step.clock,
}


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("one-transaction", EVERYBODY | HANDLERS), ("poller-one-transaction", EVERYBODY | POLLERS)],
    ids=["handler", "poller"],
)
def test_every_disturbance_is_drawn(name: str, wanted: dict[str, Callable[[Step], Any]]) -> None:
    schedules = strategy(name)
    for holds in wanted.values():
        find(schedules, lambda schedule, holds=holds: any(map(holds, schedule.steps)), settings=QUICKLY)


@pytest.mark.parametrize("name", ["one-transaction", "worker", "lambda", "poller-one-transaction"])
def test_what_is_drawn_can_be(name: str) -> None:
    """It survives JSON, delivers only what was announced, and what is broken by its own operation is healed."""

    @settings(QUICKLY, max_examples=40)
    @given(schedule=strategy(name))
    def look(schedule: Schedule) -> None:
        assert Schedule.from_json(json.loads(json.dumps(schedule.to_json()))) == schedule
        assert any(isinstance(step, (Deliver, Poll, Overlap)) for step in schedule.steps)
        assert sum(step.seconds for step in schedule.steps if isinstance(step, Wait)) <= LONGEST_WAIT
        broken = [at for at, step in enumerate(schedule.steps) if isinstance(step, Break)]
        healed = [at for at, step in enumerate(schedule.steps) if isinstance(step, Heal)]
        assert not broken or (healed and max(healed) > max(broken))

    look()


def test_who_never_runs_twice_at_once_is_not_met_by_two() -> None:
    @settings(QUICKLY, max_examples=40)
    @given(schedule=strategy("ledger"))
    def look(schedule: Schedule) -> None:
        assert not any(isinstance(step, Overlap) for step in schedule.steps)

    look()
