"""What a suite declares on its instance, in a fixture, counts like what its class declares."""

from __future__ import annotations

import pytest

SUITE = """
import pytest
from pytest_quarry.samples.handlers import OneTransaction, SqliteHandlerSuite
from pytest_quarry.samples.wanted_runs import OneSource


class BySource(SqliteHandlerSuite):
    __test__ = False

    @pytest.fixture(autouse=True, params=["shop"])
    def wanted(self, request):
        self.sources = (request.param,)


class TestOneSource(BySource):
    __test__ = True
    loader = OneSource


class TestEverySource(BySource):
    __test__ = True
    loader = OneTransaction


class TestFirstItem(SqliteHandlerSuite):
    loader = OneTransaction

    @pytest.fixture(autouse=True)
    def due(self):
        self.expected = lambda run: [event.event_id for event in run.items][:1]
"""


def test_sources_and_what_is_expected(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SUITE)
    result = pytester.runpytest(
        "-q", "-p", "no:random_order", "-k", "runs_stay_apart", "-o", "console_output_style=classic"
    )
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines_random(
        [
            "*run-B was loaded although it is of source 'shop2', and the suite declares sources = ('shop',).",
            "*has no item 'ev-run-10-0002', but the target holds one.",
        ]
    )
