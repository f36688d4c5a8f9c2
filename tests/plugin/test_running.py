"""The suites under pytest, in every way ordinary tests: capturing, selecting, distributing, covering, reporting."""

from __future__ import annotations

import json
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from orders import BROKEN, SOUND

QUIET = ("-p", "no:randomly", "-p", "no:random_order", "-q")
HEAVY = ("boto3", "botocore", "moto", "hypothesis", "pyfakefs", "jinja2", "time_machine", "sqlite3")

FAILURE = """\
EB05 crash-duplicates-nothing                                                                         critical
run-A was loaded twice: 1 row expected, 2 found.

 step    time  world                          consumer                            target
    1      1s  writes run-A finished, 1 item
    2      1s  accepts run-A (#1)
    3      2s  starts the consumer
    4      2s  delivers run-A (#1)
    5      2s                                 sqlite INSERT orders orders.sqlite
    6      2s                                 sqlite COMMIT orders.sqlite         +1 row of run-A
    7      2s  KILLED                         before sqlite BEGIN orders.sqlite
    8      3s  no more disturbances
    9      3s  waits 31 s
   10     34s  starts the consumer again
   11     34s  delivers run-A (#1)
   12     34s                                 sqlite INSERT orders orders.sqlite
   13     34s                                 sqlite COMMIT orders.sqlite         +1 row of run-A  ◀ here
   14     34s                                 sqlite INSERT marks orders.sqlite
   15     34s                                 sqlite COMMIT orders.sqlite
   16     34s                                 acknowledged run-A (#1)

What step 6 loaded was durable; whatever should have told so was not when the consumer was killed at step 7.
So at step 13 nothing kept it from loading again.
Load and mark in one transaction, or upsert by (run_id, event_id).

schedule N was the first to fail, smallest first; N executions
replay: pytest test_orders.py --quarry-replay=.quarry/EB05-XXXXXXXX.json

docs: checks/EB05 (quarry-conformance explain EB05)
"""


@pytest.fixture
def broken(pytester: pytest.Pytester) -> Path:
    return pytester.makepyfile(test_orders=BROKEN)


@pytest.fixture
def sound(pytester: pytest.Pytester) -> Path:
    return pytester.makepyfile(test_orders=SOUND)


@pytest.mark.usefixtures("broken")
def test_the_text_of_a_failure(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest(*QUIET, "-k", "crash_duplicates")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    text = result.stdout.str()
    text = re.split("\n=+ ", text[text.index("EB05 crash") :])[0] + "\n"
    text = re.sub(r"EB05-\w{8}\.json", "EB05-XXXXXXXX.json", text)
    text = re.sub(r"schedule \d+ was (.*); \d+ executions", r"schedule N was \1; N executions", text)
    assert text == FAILURE


@pytest.mark.usefixtures("sound")
def test_a_sound_consumer_passes(pytester: pytest.Pytester) -> None:
    outcomes = pytester.runpytest(*QUIET, "-k", "redelivery or restart or crash_loses or policy_blind").parseoutcomes()
    assert set(outcomes) == {"passed", "deselected"}
    assert outcomes["passed"] == 4
    assert not (pytester.path / ".quarry").exists()


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize("capture", ["no", "sys", "fd"])
def test_every_way_of_capturing(pytester: pytest.Pytester, capture: str) -> None:
    source = (pytester.path / "test_orders.py").read_text()
    (pytester.path / "test_orders.py").write_text(
        source.replace(
            "    def mark(self, run_id):\n", "    def mark(self, run_id):\n        print('marking', run_id)\n"
        )
    )
    result = pytester.runpytest(*QUIET, f"--capture={capture}", "-k", "crash_duplicates")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["what the consumer printed:", "  marking run-A"])
    assert "marking" not in result.stdout.str().split("FAILURES")[0], "it shows with its failure, not before"


@pytest.mark.usefixtures("broken")
def test_under_xdist(pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    result = pytester.runpytest_subprocess(*QUIET, "-n", "2", "-k", "crash or restart or envelope_variants")
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["run-A was loaded twice: *", "replay: pytest test_orders.py --quarry-replay=*"])


@pytest.mark.usefixtures("sound")
def test_under_xdist_the_longest_check_is_begun_first(pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    pytester.makeconftest(
        "import pytest\n"
        "@pytest.hookimpl(trylast=True)\n"
        "def pytest_collection_modifyitems(items):\n"
        "    open('order', 'w').write(' '.join(item.name for item in items))\n"
        "    items.clear()\n"
    )
    orders = []
    for options in (("-n", "2"), ()):
        pytester.runpytest_subprocess(*QUIET, *options)
        orders.append((pytester.path / "order").read_text().split())
    one, two = orders[1], orders[0]
    assert one[:2] == ["test_failure_is_retried", "test_restart"]
    chunk = len(two) // 8  # what xdist's LoadScheduling gives each of two workers to begin with
    assert [two[0], two[chunk]] == ["test_concurrent_duplicates[1-of-2]", "test_concurrent_duplicates[2-of-2]"]


@pytest.mark.usefixtures("all_plugins")
def test_lines_that_run_only_in_consumers_are_covered(pytester: pytest.Pytester) -> None:
    pytest.importorskip("pytest_cov")
    module, suite = SOUND.split("class TestOrders")
    pytester.makepyfile(loader=module)
    pytester.makepyfile(test_orders=f"from loader import *\nimport sqlite3\n\nclass TestOrders{suite}")
    result = pytester.runpytest_subprocess(*QUIET, "--cov=loader", "--cov-report=json", "-k", "restart", timeout=60)
    result.assert_outcomes(passed=1)
    report = json.loads((pytester.path / "coverage.json").read_text())["files"]["loader.py"]
    lines = [line.strip() for line in (pytester.path / "loader.py").read_text().splitlines()]
    executed = {lines[number - 1] for number in report["executed_lines"]}
    missed = {lines[number - 1] for number in report["missing_lines"]}
    assert {'run_id = notification["run_id"]', "if run.damage:", "with self.database:"} <= executed
    assert "raise OSError(run.damage)" in missed


def test_in_ci_the_last_lines_name_what_failed_once(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")  # pytest cuts no line there
    pytester.makepyfile(test_orders=BROKEN)
    result = pytester.runpytest_subprocess("-q", "-k", "crash_duplicates")
    result.stdout.fnmatch_lines(
        ["FAILED test_orders.py::* - EB05 crash-duplicates-nothing: run-A was loaded twice: 1 row expected, 2 found."]
    )
    assert len([line for line in result.outlines if line.startswith("replay: ")]) == 1


@pytest.mark.usefixtures("sound")
def test_checks_of_one_class_share_what_they_execute(pytester: pytest.Pytester) -> None:
    pytester.runpytest(*QUIET, "-k", "crash", "--quarry-report", "json:found.json").assert_outcomes(passed=2)
    checks = {check["id"]: check for check in json.loads((pytester.path / "found.json").read_text())["checks"]}
    assert checks["EB04"]["executions"] > 20
    assert checks["EB05"]["executions"] == 0
    assert checks["EB05"]["schedules"] == checks["EB04"]["schedules"]


PARAMETERS = """
import pytest
from test_orders import TestOrders as Orders

@pytest.mark.parametrize("target", ["one", "two"])
class TestParametrized(Orders):
    @pytest.fixture(autouse=True)
    def which(self, target):
        self.target = target

    def prepare(self, world):
        assert self.target in ("one", "two")
        super().prepare(world)
"""


@pytest.mark.usefixtures("sound")
def test_under_other_parameters_nothing_is_shared(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_parametrized=PARAMETERS)
    options = ("-k", "crash_loses", "--quarry-report", "json:found.json", "test_parametrized.py::TestParametrized")
    pytester.runpytest(*QUIET, *options).assert_outcomes(passed=2)
    checks = json.loads((pytester.path / "found.json").read_text())["checks"]
    assert [check["executions"] > 20 for check in checks] == [True, True]


@pytest.mark.usefixtures("broken")
def test_last_failed(pytester: pytest.Pytester) -> None:
    pytester.runpytest(*QUIET, "-k", "crash_duplicates or restart").assert_outcomes(passed=1, failed=1)
    pytester.runpytest(*QUIET, "--lf").assert_outcomes(failed=1)


@pytest.mark.usefixtures("sound")
def test_selecting_by_name_by_marker_and_by_node(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_other="def test_other(): pass")
    every = pytester.runpytest("--collect-only", "-q", "-m", "quarry").stdout.str()
    assert "test_orders.py::TestOrders::test_restart" in every
    assert "test_other.py" not in every
    assert "test_orders.py" not in pytester.runpytest("--collect-only", "-q", "-m", "not quarry").stdout.str()
    pytester.runpytest(*QUIET, "test_orders.py::TestOrders::test_restart").assert_outcomes(passed=1)


@pytest.mark.usefixtures("sound")
def test_strict_markers_and_warnings_as_errors(pytester: pytest.Pytester) -> None:
    options = ("--strict-markers", "--strict-config", "-W", "error", "-k", "restart")
    pytester.runpytest_subprocess(*QUIET, *options).assert_outcomes(passed=1)


def test_the_suites_themselves_are_not_collected(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("from pytest_quarry import EventBusConformance as TestBus, PollerConformance")
    assert pytester.runpytest(*QUIET).ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_a_shared_base_is_collected_only_where_its_name_says_so(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from pytest_quarry import EventBusConformance

        class Shared(EventBusConformance):
            def start(self, world): raise NotImplementedError

        class TestMine(Shared):
            pass
        """
    )
    collected = pytester.runpytest("--collect-only", "-q").stdout.str()
    assert "TestMine::test_restart" in collected
    assert "Shared::" not in collected


def test_an_inherited_check_may_be_overridden(pytester: pytest.Pytester) -> None:
    override = """
    @pytest.mark.xfail(reason="orders are loaded twice", strict=True)
    def test_crash_duplicates_nothing(self):
        super().test_crash_duplicates_nothing()

    @pytest.mark.skip(reason="not ours")
    def test_restart(self):
        super().test_restart()
"""
    pytester.makepyfile(f"import pytest\n{BROKEN}{override}")
    pytester.runpytest(*QUIET, "-k", "crash_duplicates or restart").assert_outcomes(xfailed=1, skipped=1)


def test_fixtures_of_the_team_reach_the_consumer(pytester: pytest.Pytester) -> None:
    fixture = """
    @pytest.fixture(autouse=True)
    def _settings(self, tmp_path, monkeypatch):
        monkeypatch.setenv("ORDERS", "on")
        self.settings = {"folder": tmp_path}

    def start(self, world):
        import os
        assert os.environ["ORDERS"] == "on"
        assert self.settings["folder"].is_dir()
        return Orders(world)
"""
    pytester.makepyfile(f"import pytest\n{SOUND}{fixture}")
    pytester.runpytest(*QUIET, "-k", "restart").assert_outcomes(passed=1)


def test_a_subclass_of_a_suite_inherits_and_overrides(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f'{SOUND}\n\nclass TestEurope(TestOrders):\n    sources = ("shop-eu",)\n\n    def test_own(self): pass\n'
    )
    pytester.runpytest(*QUIET, "-k", "TestEurope and (restart or own)").assert_outcomes(passed=2)


@pytest.mark.usefixtures("broken")
def test_junit(pytester: pytest.Pytester) -> None:
    pytester.runpytest(*QUIET, "--junitxml=junit.xml", "-k", "crash_duplicates or restart")
    cases = ElementTree.parse(pytester.path / "junit.xml").getroot().findall(".//testcase")
    failures = {case.get("name"): [failure.text or "" for failure in case.findall("failure")] for case in cases}
    assert failures["test_restart"] == []
    assert "run-A was loaded twice" in failures["test_crash_duplicates_nothing"][0]


@pytest.mark.usefixtures("broken")
def test_one_that_is_run_again_says_once_which_check_it_is(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        from _pytest.runner import runtestprotocol

        def pytest_runtest_protocol(item, nextitem):
            for _ in range(2):
                reports = runtestprotocol(item, log=False, nextitem=nextitem)
            for report in reports:
                item.ihook.pytest_runtest_logreport(report=report)
            return True
        """
    )
    pytester.runpytest(*QUIET, "--junitxml=junit.xml", "-k", "restart")
    (case,) = ElementTree.parse(pytester.path / "junit.xml").getroot().findall(".//testcase")
    told = [each.get("name") for each in case.findall("properties/property")]
    assert sorted(told) == sorted(set(told))
    assert "quarry_check" in told


def test_the_list_of_checks(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest("--quarry-list")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["EB01  redelivery *critical *event-bus *A notification delivered again loads nothing again."]
    )
    lines = [line for line in result.stdout.lines if re.match("[A-Z]{2}[0-9]{2} ", line)]
    assert len(lines) > 15
    assert len({line.split()[0] for line in lines}) == len(lines)


def test_the_plugin_is_light(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run without a suite imports because of the plugin: nothing heavy."""
    pytester.makepyfile(test_empty="")
    pytester.makeconftest(
        """
        import sys

        def pytest_unconfigure(config):
            print("LOADED", *sorted({name.partition(".")[0] for name in sys.modules}))
        """
    )
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # other plugins are heavy
    result = pytester.runpytest_subprocess("--collect-only", "-s", "-p", "pytest_quarry.plugin")
    (line,) = (line for line in result.stdout.lines if line.startswith("LOADED"))
    loaded = set(line.split())
    assert "pytest_quarry" in loaded
    assert loaded & set(HEAVY) == set()


def test_the_package_is_light() -> None:
    import subprocess

    code = "import pytest_quarry, sys; print([name for name in sys.modules if name.startswith('pytest_quarry')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['pytest_quarry']\n"


class TestKnownFailures:
    """`known_failures`: strict in both directions."""

    def run(self, pytester: pytest.Pytester, source: str, known: str) -> pytest.RunResult:
        pytester.makepyfile(f"{source}\n    known_failures = {known}\n")
        return pytester.runpytest(*QUIET, "-rx", "-k", "crash_duplicates or restart")

    def test_a_failure_that_is_known_is_an_xfail(self, pytester: pytest.Pytester) -> None:
        result = self.run(pytester, BROKEN, '{"EB05": "ticket 7"}')
        result.assert_outcomes(passed=1, xfailed=1)
        result.stdout.fnmatch_lines(["XFAIL * ticket 7"])

    def test_a_pass_that_is_not_expected_fails(self, pytester: pytest.Pytester) -> None:
        result = self.run(pytester, SOUND, '{"EB05": "ticket 7"}')
        result.assert_outcomes(passed=1, failed=1)
        result.stdout.fnmatch_lines(
            ["EB05 * passed, but TestOrders.known_failures expects it to fail (ticket 7). Remove the entry."]
        )

    def test_an_inconclusive_check_is_not_a_known_failure(self, pytester: pytest.Pytester) -> None:
        nothing = "\n    def start(self, world):\n        return lambda notification: None\n"
        result = self.run(pytester, SOUND + nothing, '{"EB05": "ticket 7"}')
        result.assert_outcomes(failed=2)


class TestRealTime:
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (("--quarry-guard=0",), "--quarry-guard is 0.0; it must be a number of seconds above 0"),
            (("--quarry-guard=-1",), "--quarry-guard is -1.0; *"),
            (("-o", "quarry_guard=abc"), "quarry_guard is *'abc'; it must be a number of seconds above 0"),
            (("--quarry-budget=0",), "--quarry-budget is 0.0; it must be a number of seconds above 0"),
            (("--quarry-budget=-1",), "--quarry-budget is -1.0; *"),
            (("--quarry-budget=nan",), "--quarry-budget is nan; *"),
        ],
    )
    def test_what_is_no_time_is_said(self, pytester: pytest.Pytester, options: tuple[str, ...], words: str) -> None:
        result = pytester.runpytest(*options)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"ERROR: {words}"])

    @pytest.mark.skipif(pytest.version_tuple < (9,), reason="pytest has no native TOML table")
    @pytest.mark.parametrize(("value", "code"), [("15", 5), ("0.5", 5), ("0", 4), ("true", 4), ('"abc"', 4)])
    def test_a_bare_number_in_the_native_toml_table(self, pytester: pytest.Pytester, value: str, code: int) -> None:
        pytester.makepyprojecttoml(f"[tool.pytest]\nquarry_guard = {value}\n")
        result = pytester.runpytest("-q")
        assert result.ret == code
        if code == 4:
            result.stderr.fnmatch_lines(["ERROR: quarry_guard is *; it must be a number of seconds above 0"])
