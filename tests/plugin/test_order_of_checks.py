"""A suite plays its checks in the order that finds most, earliest; reports list them by number."""

from __future__ import annotations

import pytest
from orders import BROKEN

from pytest_quarry import EventBusConformance, PollerConformance, PublisherConformance
from pytest_quarry.checks.catalogue import SOONEST, of_kind

SUITES = (EventBusConformance, PollerConformance, PublisherConformance)


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.kind)
def test_every_check_has_its_place(suite: type[EventBusConformance]) -> None:
    assert sorted(SOONEST[suite.kind].split()) == sorted(check.id for check in of_kind(suite.kind))


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.kind)
def test_what_shares_its_executions_stays_together(suite: type[EventBusConformance]) -> None:
    """Else what one of them executed may be forgotten when the other is due."""
    order = SOONEST[suite.kind].split()
    for one in of_kind(suite.kind):
        same = [order.index(other.id) for other in of_kind(suite.kind) if other.schedules == one.schedules]
        assert max(same) - min(same) < len(same)


def test_it_is_played_in_that_order_and_reported_by_number(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_orders=BROKEN)
    options = ("-p", "no:randomly", "-p", "no:random_order", "-v")
    result = pytester.runpytest(*options, "-k", "outcomes or restart or poison or any_order")
    played = [
        line.split("::")[2].split(" ")[0] for line in result.outlines if line.startswith("test_orders.py::TestOrders::")
    ]
    assert played == ["test_restart", "test_poison", "test_any_order", "test_outcomes"]
    listed = [line.split()[0] for line in result.outlines if line.startswith("  EB")]
    assert listed == ["EB03", "EB12", "EB13", "EB17"]
