"""Items of one class share what they execute where their consumer is the same, and only there."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import pytest_quarry.suites  # noqa: F401  # pytester forgets what was imported while it ran
from pytest_quarry.kept import kept

QUIET = ("-p", "no:randomly", "-p", "no:random_order", "-q")
BOTH = """
from unittest import mock
import pytest
from pytest_quarry import EventBusConformance, read_runs


class Orders:
    def __init__(self, world):
        self.world = world

    def handle(self, notification):
        if notification["event_type"] == "run_completed" and notification["outcome"] == "success":
            run = next(run for run in read_runs(self.world.storage_root) if run.run_id == notification["run_id"])
            for event in run.items:
                self.put({"run_id": run.run_id, "item": event.event_id})

    def put(self, row):
        self.world.target.upsert(row)


class Forgetful(Orders):
    def put(self, row):
        self.world.target.insert(row)


class TestBoth(EventBusConformance):
    made = Orders

    def start(self, world):
        return self.made(world)
"""
BY_FIXTURE = """
    @pytest.fixture
    def old(self, monkeypatch):
        monkeypatch.setattr(Orders, "put", Forgetful.put)

    @pytest.mark.usefixtures("old")
    def test_crash_duplicates_nothing(self):
        super().test_crash_duplicates_nothing()
"""
BY_ATTRIBUTE = """
    def test_crash_duplicates_nothing(self):
        self.made = Forgetful
        super().test_crash_duplicates_nothing()
"""
BY_PATCH = """
    test_crash_duplicates_nothing = mock.patch.object(Orders, "put", Forgetful.put)(
        EventBusConformance.test_crash_duplicates_nothing
    )
"""
UNDER_ANOTHER_NAME = """
    def test_old_crash(self):
        self.made = Forgetful
        self.test_crash_duplicates_nothing()
"""
BY_NAME_OF_THE_ITEM = """
    @pytest.fixture(autouse=True)
    def wanted(self, request):
        if "duplicates" in request.node.name:
            self.made = Forgetful
"""
WITH_ONE_MORE_FIXTURE = """
    @pytest.fixture
    def old(self, monkeypatch):
        monkeypatch.setattr(Orders, "put", Forgetful.put)
"""
ADDS_A_FIXTURE = """
def pytest_itemcollected(item):
    if "duplicates" in item.name:
        item.fixturenames = [*item.fixturenames, "old"]
"""


def both(pytester: pytest.Pytester, differs: str) -> None:
    pytester.makepyfile(test_both=BOTH + differs)


def statuses(pytester: pytest.Pytester, *arguments: str) -> dict[str, str]:
    pytester.runpytest(*QUIET, "--quarry-report=json:r.json", *arguments)
    checks = json.loads((pytester.path / "r.json").read_text())["checks"]
    return {check["id"]: check["status"] for check in checks}


@pytest.mark.parametrize(
    ("differs", "plugin"),
    [
        (BY_FIXTURE, ""),
        (BY_ATTRIBUTE, ""),
        (BY_PATCH, ""),
        (BY_NAME_OF_THE_ITEM, ""),
        (WITH_ONE_MORE_FIXTURE, ADDS_A_FIXTURE),
    ],
    ids=["a fixture", "an attribute", "a patch", "by the item's name", "one more fixture"],
)
def test_each_is_judged_by_what_its_own_consumer_did(pytester: pytest.Pytester, differs: str, plugin: str) -> None:
    both(pytester, differs)
    pytester.makeconftest(plugin)
    assert statuses(pytester, "-k", "crash_") == {"EB04": "passed", "EB05": "failed"}
    turned = [f"test_both.py::TestBoth::test_crash_{name}" for name in ("duplicates_nothing", "loses_nothing")]
    assert statuses(pytester, *turned) == {"EB04": "passed", "EB05": "failed"}


def test_a_method_of_another_name_that_calls_a_check_has_a_consumer_of_its_own(pytester: pytest.Pytester) -> None:
    both(pytester, UNDER_ANOTHER_NAME)
    result = pytester.runpytest(*QUIET, "-k", "crash")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["FAILED *::test_old_crash - *EB05 crash-duplicates-nothing*"])


def executions(pytester: pytest.Pytester) -> list[int]:
    pytester.runpytest(*QUIET, "--quarry-report=json:r.json", "-k", "crash_")
    return [check["executions"] for check in json.loads((pytester.path / "r.json").read_text())["checks"]]


def test_what_each_item_is_given_anew_makes_no_other_consumer_of_it(pytester: pytest.Pytester) -> None:
    both(pytester, "")
    alike = executions(pytester)
    given = """
    @pytest.fixture(autouse=True)
    def given(self, tmp_path):
        self.folder, self.log = tmp_path / "a", str(tmp_path)
        self.client, self.mock, self.named = object(), mock.Mock(), lambda: tmp_path
    """
    both(pytester, given)
    assert executions(pytester) == alike
    pytester.makepyfile(test_both=f"import unittest\n{BOTH.replace('Conformance)', 'Conformance, unittest.TestCase)')}")
    assert sorted(executions(pytester)) == sorted(alike)  # unittest has an order of its own
    both(pytester, BY_ATTRIBUTE.replace("Forgetful", "Orders"))
    assert executions(pytester)[1] > alike[1]


class _Suite:
    def test_usual(self) -> None: ...


_Suite.__module__ = "pytest_quarry.suites"  # as if the kit had made it


class _Derived(_Suite):
    def test_own(self) -> None: ...


def _kept(config: Any, name: str, fixtures: tuple[str, ...] = (), **attributes: Any) -> Any:
    suite: Any = _Derived()
    vars(suite).update(attributes)
    parent = SimpleNamespace(nodeid="t.py::T")
    suite._quarry_node = SimpleNamespace(
        cls=_Derived, originalname=name, parent=parent, fixturenames=list(fixtures), funcargs={}
    )
    return kept(suite, config)


def test_among_workers_too(tmp_path: Path) -> None:
    config: Any = SimpleNamespace(workerinput={"workercount": 2, "quarry_shared": str(tmp_path / "shared")})
    usual = _kept(config, "test_usual", ("a", "b"))
    assert usual.folder is not None
    own = _kept(config, "test_own", ("a", "b"))
    assert own is not usual
    assert own.folder is None
    assert _kept(config, "test_usual", ("b", "a", "quarry_shard")) is usual
    others = _kept(config, "test_usual", ("a",)), _kept(config, "test_usual", ("a", "b"), made=1)
    assert len({usual.whose, *(other.whose for other in others)}) == 3
