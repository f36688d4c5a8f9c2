"""What the failure of two workers looks like: who did what, where one stood still, who waited for whom."""

from __future__ import annotations

import pytest

from pytest_quarry.checks.catalogue import BY_ID
from pytest_quarry.checks.conduct import Conductor
from pytest_quarry.report import terminal
from pytest_quarry.samples import SAMPLES

RACE = """\
EB02 concurrent-duplicates                                                                            critical
run-A was loaded twice: 1 row expected, 2 found.

 step    time  world                       consumer                                    target
    1      1s  writes run-A finished, 1 …
    2      1s  accepts run-A (#1)
    3      2s  starts worker 1
    4      2s  gives worker 1 run-A (#1)
    5      2s                              worker 1: open orders.lock
    6      2s                              worker 1: sqlite INSERT orders orders.sql…
    7      2s                              worker 1: sqlite INSERT loaded_runs order…
    8      2s                              worker 1: stands before sqlite COMMIT ord…
    9      2s  starts worker 2
   10      2s  gives worker 2 run-A (#1)
   11      2s                              worker 2: waits for the lock of orders.sq…
   12      2s                              worker 1: sqlite COMMIT orders.sqlite       +1 row of run-A
   13      2s                              worker 1: acknowledged run-A (#1)
   14      2s                              worker 2: sqlite INSERT orders orders.sql…
   15      2s                              worker 2: sqlite INSERT loaded_runs order…
   16      2s                              worker 2: sqlite COMMIT orders.sqlite       +1 row of run-A  ◀ here
   17      3s  no more disturbances

At step 12 worker 1 loaded it; at step 16 worker 2, which had begun before that, loaded it again.
"""


def told(name: str) -> str:
    sample = next(sample for sample in SAMPLES if sample.name == name)
    result = Conductor(sample.suite()().consumer()).conduct(BY_ID["EB02"])
    return terminal.failure(result, replay=None)


def test_a_race() -> None:
    assert told("unlocks-before-commit").startswith(RACE)


@pytest.mark.parametrize(
    "words",
    [
        "The consumer does not settle: each worker waits for a lock that the other holds: a deadlock.",
        "neither can go on",
        "worker 2: waits for the lock of",
        "worker 1: waits for the lock of",
    ],
)
def test_a_deadlock(words: str) -> None:
    assert words in told("takes-locks-in-any-order")
