"""What `quarry-conformance demo` shows: the loader makes its tables when it starts, and there is none before that."""

from __future__ import annotations

from pytest_quarry.checks.catalogue import BY_ID
from pytest_quarry.checks.conduct import Conductor
from pytest_quarry.samples.demo import BrokenOrders, RepairedOrders


def test_the_mistake_is_convicted_although_smaller_schedules_have_no_table() -> None:
    result = Conductor(BrokenOrders().consumer()).conduct(BY_ID["EB05"])
    assert (result.status, result.verdict and result.verdict.oracle) == ("failed", "D")


def test_the_repaired_twin_is_cleared() -> None:
    assert Conductor(RepairedOrders().consumer()).conduct(BY_ID["EB05"]).status == "passed"
