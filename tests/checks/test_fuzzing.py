"""What the random item draws: every disturbance that it promises, and only schedules that can be."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from pytest_quarry.checks.conduct import Conductor
from pytest_quarry.checks.failures import POISON
from pytest_quarry.checks.fuzzing import LONGEST_WAIT, drawn
from pytest_quarry.checks.publisher import LONG, NOT_RUN, SPECIAL
from pytest_quarry.contract import Outcome, Policy
from pytest_quarry.samples import SAMPLES
from pytest_quarry.simulation.schedule import (
    Break,
    Crash,
    Deliver,
    Heal,
    Notify,
    Overlap,
    PlannedRun,
    Poll,
    Publish,
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
    return drawn(Conductor(consumer).stage)


EVERYBODY: dict[str, Callable[[Step], Any]] = {
    "a crash": lambda step: isinstance(getattr(step, "crash", None), Crash),
    "two workers": lambda step: isinstance(step, Overlap) and len(step.switches) > 1,
    "two workers, the first of them killed": lambda step: (
        isinstance(step, Overlap) and step.crash and not step.crash_second
    ),
    "two workers, the second of them killed": lambda step: (
        isinstance(step, Overlap) and step.crash and step.crash_second
    ),
    "a crash where something has changed": lambda step: (
        getattr(step, "crash", None) == Crash("sqlite COMMIT orders.sqlite")
    ),
    "time": lambda step: isinstance(step, Wait),
    "a restart": lambda step: isinstance(step, Restart),
    "reads that fail": lambda step: isinstance(step, Break) and step.error == "EIO",
    "reads that are slow": lambda step: isinstance(step, Break) and step.error == "slow",
}
HANDLERS: dict[str, Callable[[Step], Any]] = {
    "a batch": lambda step: isinstance(step, Deliver) and len(step.messages) > 1,
    "a bad message": lambda step: isinstance(step, Notify) and step.form in POISON,
    "an operation of its own": lambda step: isinstance(step, Break) and step.at.startswith("sqlite "),
    "a message that is visible again": lambda step: isinstance(step, Overlap) and step.pause and len(step.second) == 2,
}
POLLERS: dict[str, Callable[[Step], Any]] = {
    "a writer on its way": lambda step: isinstance(step, Write) and step.window,
    "a clock that is off": lambda step: isinstance(step, Write) and step.clock,
}
PUBLISHERS: dict[str, Callable[[Step], Any]] = {
    "a crash": lambda step: isinstance(step, Publish) and step.crash,
    "SNS that fails once": lambda step: isinstance(step, Break) and (step.at, step.times) == ("sns.Publish", 1),
    "SNS that fails for long": lambda step: isinstance(step, Break) and (step.at, step.times) == ("sns.Publish", LONG),
    "time": lambda step: isinstance(step, Wait),
    "a restart": lambda step: isinstance(step, Restart),
}
OUTBOX: dict[str, Callable[[Step], Any]] = {
    "an operation of its own": lambda step: isinstance(step, Break) and step.at.startswith("sqlite "),
}
WRAPPERS: dict[str, Callable[[Step], Any]] = {"Quarry that cannot be run": lambda step: step == NOT_RUN}


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("one-transaction", EVERYBODY | HANDLERS),
        ("poller-one-transaction", EVERYBODY | POLLERS),
        ("publisher-outbox", PUBLISHERS | OUTBOX),
        ("publisher-wrapper", PUBLISHERS | WRAPPERS),
    ],
    ids=["handler", "poller", "publisher", "wrapper"],
)
def test_every_disturbance_is_drawn(name: str, wanted: dict[str, Callable[[Step], Any]]) -> None:
    schedules = strategy(name)
    for holds in wanted.values():
        find(schedules, lambda schedule, holds=holds: any(map(holds, schedule.steps)), settings=QUICKLY)


def test_a_write_is_cut_at_any_byte() -> None:
    def kept(least: int, most: int) -> Callable[[Schedule], bool]:
        def holds(schedule: Schedule) -> bool:
            crashes = [crash for step in schedule.steps if (crash := getattr(step, "crash", None)) is not None]
            torn = [crash.keep for crash in crashes if crash.label == "write ledger.jsonl" and crash.keep is not None]
            return any(least <= keep <= most for keep in torn)

        return holds

    schedules = strategy("ledger")
    for least, most in ((1, 1), (2, 200), (201, 1_000)):
        find(schedules, kept(least, most), settings=QUICKLY)


def test_the_turn_that_makes_up_for_a_crash_crashes_too() -> None:
    def holds(schedule: Schedule) -> bool:
        pairs = itertools.pairwise(schedule.steps)
        return any(
            isinstance(one, Deliver) and one.crash and isinstance(two, Deliver) and two.crash for one, two in pairs
        )

    find(strategy("one-transaction"), holds, settings=QUICKLY)


def test_what_is_named_after_a_run_is_met_under_the_ids_of_others() -> None:
    """The place of a crash is known from a run that is none of the schedule's."""

    def holds(schedule: Schedule) -> bool:
        names = [run.run_id for run in schedule.runs]
        labels = [crash.label for step in schedule.steps if (crash := getattr(step, "crash", None)) is not None]
        assert not any("run-A" in label for label in labels)
        return any(name in label for name in names for label in labels)

    find(strategy("marker-by-rename"), holds, settings=QUICKLY)


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


@pytest.mark.parametrize("name", ["publisher", "publisher-wrapper"])
def test_publishers_are_asked_for_what_can_be(name: str) -> None:
    """It survives JSON; each run is announced; one that is wrapped is executed once, by its publisher."""
    wraps = name == "publisher-wrapper"

    @settings(QUICKLY, max_examples=100)
    @given(schedule=strategy(name))
    def look(schedule: Schedule) -> None:
        assert Schedule.from_json(json.loads(json.dumps(schedule.to_json()))) == schedule
        asked = [step.run for step in schedule.steps if isinstance(step, Publish)]
        assert sorted(set(asked)) == sorted(run.run_id for run in schedule.runs)
        assert len(asked) == len(schedule.runs) or not wraps
        if wraps:
            assert not any(isinstance(step, Write) for step in schedule.steps)

    look()


def test_runs_of_every_outcome_policy_and_odd_names_are_announced() -> None:
    schedules = strategy("publisher")
    wanted: list[Callable[[PlannedRun], bool]] = [
        *(lambda run, outcome=outcome: run.outcome == outcome for outcome in Outcome),
        *(lambda run, policy=policy: run.policy == policy for policy in Policy),
        *(lambda run, special=special: special in run.run_id for special in SPECIAL),
        lambda run: run.attempt == 2 and run.job_id == "job-1",
        lambda run: run.day != "2026-02-02",
        lambda run: run.source == "shop-eu" and run.category == "default",
    ]
    for holds in wanted:
        find(schedules, lambda schedule, holds=holds: any(map(holds, schedule.runs)), settings=QUICKLY)
