"""Under xdist the checks that take longest are shared out in parts: nothing is left out, and reports say it once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from orders import BROKEN, SOUND

from pytest_quarry import shards
from pytest_quarry.report.record import Record, merged

QUIET = ("-p", "no:randomly", "-p", "no:random_order", "-q", "-k", "concurrent_duplicates")


@pytest.fixture(autouse=True)
def _xdist() -> None:
    pytest.importorskip("xdist", reason="pytest-xdist is not installed; the extra `dev` has it")


def reported(pytester: pytest.Pytester, *options: str) -> tuple[pytest.RunResult, list[dict[str, Any]]]:
    result = pytester.runpytest_subprocess(*QUIET, "--quarry-report=json:report.json", *options, timeout=120)
    checks: list[dict[str, Any]] = json.loads((pytester.path / "report.json").read_text())["checks"]
    return result, checks


def test_the_parts_are_the_whole(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_orders=SOUND)
    one, (of_one,) = reported(pytester)
    two, (of_two,) = reported(pytester, "-n", "2")
    one.assert_outcomes(passed=1, deselected=one.parseoutcomes()["deselected"])
    two.assert_outcomes(passed=2)
    two.stdout.fnmatch_lines(["1 check: 1 passed *"])
    assert of_one["schedules"] == of_two["schedules"] > 50
    assert of_one["item"] == of_two["item"] == "test_orders.py::TestOrders::test_concurrent_duplicates"


def test_what_one_worker_executed_the_other_does_not(pytester: pytest.Pytester, tmp_path: Path) -> None:
    pytester.makepyfile(test_orders=SOUND)
    pytester.makeconftest(f"import tempfile; tempfile.tempdir = {str(tmp_path)!r}")
    crashes = ("-k", "crash_")
    _, one = reported(pytester, *crashes)
    _, two = reported(pytester, *crashes, "-n", "2")
    executed = [sum(check["executions"] for check in checks) for checks in (one, two)]
    assert [check["schedules"] for check in one] == [check["schedules"] for check in two]
    # Each begins with what the consumer does undisturbed; then one may be a schedule ahead of what the other is at.
    assert executed[0] <= executed[1] < 1.4 * executed[0]
    assert list(tmp_path.iterdir()) == []


def test_the_process_that_only_hands_out_loads_no_checks(pytester: pytest.Pytester) -> None:
    """Its workers begin when it has told them how wide the terminal is, and it writes the table when they have ended."""
    pytester.makepyfile(test_orders=SOUND)
    pytester.makeconftest(
        """
        import sys

        def pytest_unconfigure(config):
            if not hasattr(config, "workerinput"):
                loaded = {name.rpartition(".")[0] for name in sys.modules if name.startswith("pytest_quarry.")}
                print("LOADED", *sorted(loaded))
        """
    )
    result = pytester.runpytest_subprocess("-n", "2", "-k", "redelivery", timeout=120)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["*EB01*redelivery*passed*", "LOADED pytest_quarry pytest_quarry.consumers pytest_quarry.report"]
    )


def test_a_consumer_with_its_workers_name_is_checked_as_any(pytester: pytest.Pytester) -> None:
    """A crash at a label of the other worker's file would be none here, and nothing would be found."""
    named = BROKEN.replace('"orders.sqlite"', "f\"orders_{os.environ.get('PYTEST_XDIST_WORKER')}.sqlite\"")
    pytester.makepyfile(test_orders=f"import os\n{named}")
    result, checks = reported(pytester, "-k", "crash_", "-n", "2")
    assert [check["status"] for check in checks] == ["passed", "failed"]
    result.stdout.fnmatch_lines(["*KILLED*sqlite * orders_gw?.sqlite*"])


def test_a_failure_of_one_part_is_the_checks(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_orders=BROKEN)
    result, (check,) = reported(pytester, "-n", "2")
    result.stdout.fnmatch_lines(["run-A was loaded twice: *", "1 check: 1 failed *"])
    assert check["status"] == "failed"
    assert check["failure"]["replay"]
    saved = check["failure"]["saved"]
    again = pytester.runpytest_subprocess(*QUIET, "-n", "2", f"--quarry-replay={saved}", timeout=60)
    assert again.parseoutcomes()["failed"] == 1


def test_what_is_known_to_fail_is_one_item(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_orders=BROKEN + '\n    known_failures = {"EB02": "ticket 7"}\n')
    result, (check,) = reported(pytester, "-n", "2")
    result.assert_outcomes(xfailed=1)
    assert check["status"] == "known"


TWO_CONSUMERS = """

class Forgetful(Orders):
    def handle(self, notification):
        super().handle(notification)
        with self.database:
            self.database.execute("DELETE FROM marks")


@pytest.mark.parametrize("consumer_class", [{order}], ids=["worker-1-of-2", "worker-2-of-2"])
class TestBoth(TestOrders):
    @pytest.fixture(autouse=True)
    def _class(self, consumer_class):
        self.consumer_class = consumer_class

    def start(self, world):
        return self.consumer_class(world)
"""


@pytest.mark.parametrize(
    ("order", "became"), [("Orders, Forgetful", ["passed", "failed"]), ("Forgetful, Orders", ["failed", "passed"])]
)
@pytest.mark.parametrize(
    ("check", "options"), [("redelivery", ()), ("concurrent_duplicates", ("-n", "2"))], ids=["alone", "shared out"]
)
def test_parameters_that_read_like_shards_are_consumers_of_their_own(
    pytester: pytest.Pytester, check: str, options: tuple[str, ...], order: str, became: list[str]
) -> None:
    pytester.makepyfile(test_orders=f"import pytest\n{SOUND}{TWO_CONSUMERS.format(order=order)}")
    _, checks = reported(pytester, "-k", f"TestBoth and {check}", *options)
    assert [found["item"].partition("[")[2] for found in checks] == ["worker-1-of-2]", "worker-2-of-2]"]
    assert [found["status"] for found in checks] == became


RECORD = Record(
    id="EB02",
    slug="concurrent-duplicates",
    states="",
    severity="critical",
    status="passed",
    consumer="t.py::T",
    item="t.py::T::test",
    schedules=3,
    executions=4,
    seconds=1.25,
    not_exercised=("a",),
)


@pytest.mark.parametrize(
    ("one", "other", "all_of_it"),
    [
        ("passed", "passed", "passed"),
        ("passed", "failed", "failed"),
        ("failed", "inconclusive", "failed"),
        ("inconclusive", "passed", "inconclusive"),
        ("passed", "skipped", "skipped"),
        ("known", "skipped", "known"),
    ],
)
def test_of_several_shards_the_worst_counts(one: Any, other: Any, all_of_it: str) -> None:
    second = replace(RECORD, status=other, reason="so", not_exercised=("b", "a"))
    (found,) = merged([replace(RECORD, status=one), second])
    assert (found.status, found.item) == (all_of_it, "t.py::T::test")
    assert (found.schedules, found.executions, found.seconds, found.not_exercised) == (6, 8, 2.5, ("a", "b"))
    assert found.reason == ("so" if other == all_of_it else "")


def test_other_items_stay_apart() -> None:
    others = [
        replace(RECORD, item="t.py::T::test[a]"),
        replace(RECORD, item="t.py::T::test[b]"),
        replace(RECORD, consumer="t.py::U", item="t.py::U::test"),
        replace(RECORD, id="EB03", item="t.py::T::test"),
    ]
    assert merged(others) == others


@pytest.mark.parametrize(
    ("shard", "parameters", "rest"),
    [
        ((1, 1), None, None),
        ((1, 1), "sqlite", "sqlite"),
        ((1, 1), "1-of-2", "1-of-2"),
        ((1, 2), "1-of-2", None),
        ((12, 16), "12-of-16", None),
        ((2, 2), "sqlite-2-of-2", "sqlite"),
        ((2, 2), "2-of-2-sqlite-2-of-2", "2-of-2-sqlite"),
        ((1, 2), "1-of-2-1-of-2", "1-of-2"),
    ],
)
@pytest.mark.parametrize("group", ["", "@slow"], ids=["plain", "in a group of xdist's"])
def test_the_whole_of_a_shard(group: str, shard: tuple[int, int], parameters: str | None, rest: str | None) -> None:
    def named(text: str | None) -> str:
        return f"t.py::T::test{'' if text is None else f'[{text}]'}{group}"

    callspec = SimpleNamespace(params={shards.SHARD: shard} if shard[1] > 1 else {}, id=parameters)
    item = SimpleNamespace(nodeid=named(parameters), **({} if parameters is None else {"callspec": callspec}))
    assert shards.whole(item) == named(rest)
    assert shards.parameters(item) == (rest or "")


def test_each_worker_begins_with_one_of_the_longest() -> None:
    others = list(range(30))
    found = shards.spread(["a", "b"], others, 2)
    assert [found.index("a"), found.index("b")] == [0, 4]
    assert [item for item in found if item not in ("a", "b")] == others
    assert shards.spread(["a", "b", "c"], [1, 2, 3], 2) == ["a", "c", "b", 1, 2, 3]
    assert shards.spread([], [1, 2], 3) == [1, 2]


@pytest.mark.parametrize(
    ("count", "place", "shares"), [(2, "shared", True), (1, "shared", False), (2, "file/shared", False)]
)
def test_what_workers_share_is_where_several_can_reach_it(count: int, place: str, shares: bool, tmp_path: Path) -> None:
    (tmp_path / "file").touch()  # as on another machine, where there is no such place
    config: Any = SimpleNamespace(workerinput={"workercount": count, shards.SHARED: str(tmp_path / place)})
    assert (shards.folder(config) == tmp_path / place) is shares
    assert (tmp_path / "shared").is_dir() is shares


def test_what_dies_with_its_process_conforms_to_nothing(pytester: pytest.Pytester) -> None:
    """A segfault in a library that `rows` calls, say: xdist reports it, and the item can note nothing."""
    dying = SOUND.replace(
        "def rows(self, world):\n",
        'def rows(self, world):\n        import os\n        if "[2-of-2]" in os.environ["PYTEST_CURRENT_TEST"]:\n'
        "            os.kill(os.getpid(), 11)\n",
    )
    assert dying != SOUND
    pytester.makepyfile(test_orders=dying)
    result, (check,) = reported(pytester, "-n", "2")
    assert result.parseoutcomes()["failed"] == 1
    assert (check["id"], check["status"]) == ("EB02", "inconclusive")
    assert check["item"] == "test_orders.py::TestOrders::test_concurrent_duplicates"
    assert "crashed" in check["reason"]
    assert not json.loads((pytester.path / "report.json").read_text())["conforms"]
