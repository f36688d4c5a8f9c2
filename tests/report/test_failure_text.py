"""The text of a failure, narrow and wide: a table where there is room, a list where there is none, no line too long."""

from __future__ import annotations

import pytest

from pytest_quarry.checks.catalogue import BY_ID
from pytest_quarry.checks.conduct import Conductor, Result
from pytest_quarry.report import terminal
from pytest_quarry.samples import SAMPLES
from pytest_quarry.samples.demo import BrokenOrders

AT_60 = """\
EB05 crash-duplicates-nothing                       critical
run-A was loaded twice: 1 row expected, 2 found.

   1   1s  writes run-A finished, 1 item
   2   1s  accepts run-A (#1)
   3   2s  starts the consumer
   4   2s  sqlite connect orders.sqlite
   5   2s  sqlite CREATE orders orders.sqlite
   6   2s  sqlite CREATE processed orders.sqlite
   7   2s  delivers run-A (#1)
   8   2s  sqlite INSERT orders orders.sqlite
   9   2s  sqlite COMMIT orders.sqlite; +1 row of run-A
  10   2s  KILLED; before sqlite BEGIN orders.sqlite
  11   3s  no more disturbances
  12   3s  waits 31 s
  13  34s  starts the consumer again
  14  34s  delivers run-A (#1)
  15  34s  sqlite INSERT orders orders.sqlite
  16  34s  sqlite COMMIT orders.sqlite; +1 row of run-A
           ◀ here
  17  34s  sqlite INSERT processed orders.sqlite
  18  34s  sqlite COMMIT orders.sqlite
  19  34s  acknowledged run-A (#1)

What step 9 loaded was durable; whatever should have told so
was not when the consumer was killed at step 10. So at step
16 nothing kept it from loading again.
Load and mark in one transaction, or upsert by (run_id,
event_id).

schedule 9 was the first to fail, smallest first; 21
executions
replay: pytest x

docs: checks/EB05 (quarry-conformance explain EB05)
"""


@pytest.fixture(scope="module")
def twice() -> Result:
    return Conductor(BrokenOrders().consumer()).conduct(BY_ID["EB05"])


@pytest.mark.parametrize("width", [40, 60, 80, 110, 200])
def test_no_line_is_longer_than_the_terminal_is_wide(twice: Result, width: int) -> None:
    lines = terminal.failure(twice, replay=None, width=width).splitlines()
    told = [line for line in lines if not line.startswith("docs:")]
    assert max(map(len, told)) <= width
    assert sum("◀ here" in line for line in lines) == 1
    assert any("KILLED" in line for line in lines)


def test_a_narrow_terminal(twice: Result) -> None:
    assert terminal.failure(twice, replay="pytest x", width=60) + "\n" == AT_60


def test_a_wide_one_cuts_nothing(twice: Result) -> None:
    assert "…" not in terminal.failure(twice, replay=None, width=200)


@pytest.mark.parametrize("width", [60, 110])
def test_the_numbers_in_the_words_are_those_of_the_lines(twice: Result, width: int) -> None:
    lines = terminal.failure(twice, replay=None, width=width).splitlines()
    (killed,) = (line.split()[0] for line in lines if "KILLED" in line)
    assert f"killed at step {killed}" in " ".join(lines)


def test_what_is_odd_about_a_run_has_lines_of_its_own() -> None:
    sample = next(sample for sample in SAMPLES if sample.name == "newest-day-only")
    text = terminal.failure(Conductor(sample.suite()().consumer()).conduct(BY_ID["EB13"]), replay=None)
    assert "    1      1s  writes run-A finished, 1 item\n                 of 2026-02-02\n    2 " in text
    assert "    3      3s  writes run-B finished, 1 item\n                 of 2026-01-10\n    4 " in text
