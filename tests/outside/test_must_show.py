"""Four programs that are broken are convicted, step by step, and their repaired twins are cleared.

They are near to the consumers that Quarry publishes as examples, and run as they are: with arguments, environment variables
and a checkpoint among the runs. The twins meet the checks that convict the broken ones, each with the first schedules; with
`QUARRY_EVERY_SEED=1` in the environment all checks with all schedules, and PO04 too, which polls twenty times and more.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from pytest_quarry.checks.catalogue import BY_ID, of_kind
from pytest_quarry.checks.conduct import Conductor
from pytest_quarry.checks.stage import Stage
from pytest_quarry.report import terminal
from pytest_quarry.samples import SAMPLES, Sample
from pytest_quarry.samples.programs import PythonBucketPollerLooksBackSuite
from pytest_quarry.simulation.run import simulate

EVERYTHING = os.environ.get("QUARRY_EVERY_SEED") == "1"
BY_NAME = {sample.name: sample for sample in SAMPLES}
TWINS = {
    "outside-bash-poller-in-place": ("outside-bash-poller", "PO03 PO04 PO09" if EVERYTHING else "PO03 PO09"),
    "outside-node-lambda-remembers": ("outside-node-lambda", "EB03 EB11"),
    "outside-python-poller-looks-back": ("outside-python-poller", "PO05"),
    "outside-bash-publisher-pasted": ("outside-bash-publisher", "PB02 PB03"),
}
FIRST = 4  # schedules


def sample(name: str) -> Sample:
    """A sample; where what it needs is missing, the test is skipped."""
    found = BY_NAME[name]
    if found.missing:
        pytest.skip(found.missing)
    return found


@pytest.mark.parametrize("name", TWINS)
def test_the_broken_one_is_convicted(name: str) -> None:
    checks = TWINS[name][1].split()
    assert set(checks) <= set(BY_NAME[name].caught_by)
    conductor = Conductor(sample(name).suite()().consumer())
    for check in checks:
        result = conductor.conduct(BY_ID[check])
        assert result.status == "failed", check
        assert result.verdict is not None
        page = terminal.failure(result, replay="quarry-conformance replay …")
        assert "◀ here" in page or result.history is not None
        assert BY_ID[check].title in page


@pytest.mark.parametrize("name", [twin for twin, _ in TWINS.values()])
def test_its_twin_is_cleared(name: str) -> None:
    suite: Any = sample(name).suite()()
    checks = next(checks for twin, checks in TWINS.values() if twin == name)
    done = 0

    def watch(number: int, planned: int, all_known: bool) -> None:
        nonlocal done
        done = number

    conductor = Conductor(suite.consumer(), watch=watch, is_over=lambda: not EVERYTHING and done >= FIRST)
    for check in of_kind(suite.kind) if EVERYTHING else [BY_ID[each] for each in checks.split()]:
        done = 0
        result = conductor.conduct(check)
        assert result.status in ("passed", "skipped"), terminal.failure(result, replay=None)


def test_a_script_with_boto3_that_looks_back_is_convicted() -> None:
    """By one schedule that is replayed: each turn of it imports boto3."""
    consumer = PythonBucketPollerLooksBackSuite().consumer()
    conductor = Conductor(consumer)
    check = BY_ID["PO05"]
    schedule = next(iter(check.schedules(Stage(consumer, 0, lambda schedule: simulate(schedule, consumer)))))
    result = conductor.replay(check, schedule)
    assert result.status == "failed"
    assert result.verdict is not None
    assert "was lost" in result.verdict.sentence
