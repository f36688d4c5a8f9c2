"""A team's own checks and oracles: registered, refused, judged, and in every report like ours."""

from __future__ import annotations

import itertools
import json
import os
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from orders import BROKEN

from pytest_quarry import CheckError, History, NotApplicable, Schedule, Stage, Verdict, check, oracle, steps
from pytest_quarry.checks import catalogue, oracles, own
from pytest_quarry.checks.conduct import Conductor, Result
from pytest_quarry.cli import main
from pytest_quarry.report import machine, terminal
from pytest_quarry.samples.demo import BrokenOrders, RepairedOrders

PAGE = Path(__file__).parents[2] / "docs" / "own-checks.md"
GOOD: dict[str, Any] = {
    "slug": "over-night",
    "states": "A duplicate on the next morning loads nothing again.",
    "severity": "high",
    "kinds": ("event-bus",),
    "oracles": ("L", "D"),
}


@pytest.fixture(autouse=True)
def nothing_stays_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "OWN", {})
    monkeypatch.setattr(oracles, "ORACLES", dict(oracles.ORACLES))
    monkeypatch.setattr(own, "_PLACES", {})


def calm(stage: Stage) -> Iterator[Schedule]:
    yield stage.loaded(stage.run("A", items=2))


def conducted(schedules: Any, *, suite: Any = RepairedOrders, **details: Any) -> Result:
    check("ACME01", **{**GOOD, **details})(schedules)
    return Conductor(suite().consumer()).conduct(catalogue.OWN["ACME01"])


def with_step(step: Any) -> Any:
    """The schedules of a check that has this step among others."""

    def schedules(stage: Stage) -> Iterator[Schedule]:
        run = stage.run("A")
        yield stage.schedule([run], [*stage.told(run), step, steps.Deliver((1,))])

    return schedules


class TestRefused:
    @pytest.mark.parametrize(
        ("check_id", "details", "words"),
        [
            ("EB99", {}, "ids of EB are the kit's own; take other letters than EB, PO, RD, PB, FUZZ: ACME01"),
            ("FUZZ01", {}, "ids of FUZZ are the kit's own"),
            ("acme01", {}, "an id is two or more capital letters of yours and two to four digits: ACME01"),
            ("ACME01", {"slug": "Over night"}, "slug 'Over night' must be lower-case words with hyphens"),
            ("ACME01", {"slug": "redelivery"}, "slug 'redelivery' is that of EB01; its items would share a name"),
            ("ACME01", {"slug": "fuzz"}, "slug 'fuzz' is that of FUZZ"),
            ("ACME01", {"oracles": ("N", "O")}, "oracles 'N', 'O' say nothing of event-bus: "),
            ("ACME01", {"oracles": ("L", "N")}, "oracles 'N' say nothing of event-bus: "),
            ("ACME01", {"kinds": ("publisher",)}, "oracles 'L', 'D' say nothing of publisher: "),
            ("ACME01", {"kinds": ("poller", "publisher")}, "oracles 'L', 'D' say nothing of publisher: "),
            ("ACME01", {"states": " "}, "states ' ' must be a sentence"),
            ("ACME01", {"severity": "fatal"}, "severity 'fatal' must be one of critical, high, medium, advice"),
            (
                "ACME01",
                {"kinds": "event-bus"},
                "kinds 'event-bus' must be a tuple of 'event-bus', 'poller', 'publisher'",
            ),
            ("ACME01", {"kinds": ("lambda",)}, "kinds ('lambda',) must be a tuple"),
            ("ACME01", {"oracles": "LD"}, """oracles 'LD' must be a tuple of names, at least one: ("L", "D")"""),
            (
                "ACME01",
                {"oracles": ("L", "totals")},
                "no oracle 'totals'; there are L, D, P, V, C, U, S, B, T, J, N, O, A",
            ),
        ],
    )
    def test_a_check_that_cannot_be(self, check_id: str, details: dict[str, Any], words: str) -> None:
        with pytest.raises(CheckError) as refused:
            check(check_id, **{**GOOD, **details})(calm)
        assert words in str(refused.value)
        assert f"check {check_id!r} in {__file__}:" in str(refused.value)
        assert catalogue.OWN == {}

    def test_two_of_one_id(self) -> None:
        def another(stage: Stage) -> Iterator[Schedule]:
            yield from calm(stage)

        check("ACME01", **GOOD)(calm)
        with pytest.raises(CheckError, match=r"there is a check of that id in .*test_own_checks.py:\d+ \(calm\)"):
            check("ACME01", **{**GOOD, "slug": "other"})(another)
        check("ACME01", **GOOD)(calm)  # a module that is imported twice

    def test_oracles_that_cannot_be(self) -> None:
        with pytest.raises(CheckError, match="a name is lower-case words with hyphens"):
            oracle("L")
        oracle("totals")(lambda history: None)
        with pytest.raises(CheckError, match=r"there is one of that name in .*test_own_checks.py:\d+"):
            oracle("totals")(lambda history: [])


class TestJudged:
    def test_it_convicts_and_shrinks_and_clears(self) -> None:
        def with_crashes(stage: Stage) -> Iterator[Schedule]:
            run = stage.run("A", items=2)
            base = stage.schedule([run], [*stage.told(run), steps.Deliver((1,)), steps.Wait(60), steps.Deliver((1,))])
            yield base
            yield from stage.crashes(base)

        result = conducted(with_crashes, suite=BrokenOrders, fix="Keep marks for longer.")
        assert (result.status, result.verdict and result.verdict.sentence) == (
            "failed",
            "run-A was loaded twice: 1 row expected, 2 found.",
        )
        text = terminal.failure(result, replay=None)
        assert text.startswith("ACME01 over-night ")
        assert "Keep marks for longer." in text
        assert "docs:" not in text
        assert "explain" not in text
        assert conducted(with_crashes).status == "passed"

    def test_an_oracle_of_ones_own(self) -> None:
        @oracle("few-rows")
        def few_rows(history: History) -> Iterator[Verdict]:
            at = max(at for at, entry in enumerate(history.entries) if entry.rows)
            if len(history.rows) > 1:
                yield Verdict(sentence="Too many rows.", why="They came at step {0}.", entries=(at,), here=at)

        result = conducted(calm, oracles=("L", "few-rows"))
        assert result.verdict is not None
        assert (result.status, result.verdict.oracle) == ("failed", "few-rows")
        assert "◀ here" in terminal.failure(result, replay=None)
        assert conducted(calm, oracles=("L",)).status == "passed"

    @pytest.mark.parametrize(
        ("found", "words"),
        [
            (
                ValueError("no {such} total"),
                "The oracle totals raised ValueError: no {such} total (test_own_checks.py, line",
            ),
            ("a string", "it yielded 'a', which is no Verdict"),
            (False, "it returned False; it yields a Verdict for each violation"),
            (Verdict(sentence="x"), "it returned Verdict("),
            ([Verdict(sentence="x", entries=(999,))], "its verdict names entry 999; the history has entries 0 to "),
            ([Verdict(sentence="x", why="{1}", entries=(0,))], "IndexError"),
            ([Verdict(sentence="x", why="{left}", entries=(0,))], "KeyError: 'left'"),
        ],
    )
    def test_an_oracle_that_goes_wrong_is_no_pass(self, found: Any, words: str) -> None:
        @oracle("totals")
        def totals(history: History) -> Any:
            if isinstance(found, Exception):
                raise found
            return found

        result = conducted(calm, oracles=("totals", "L"))
        assert result.status == "inconclusive"
        text = terminal.failure(result, replay=None, width=400)
        assert words in text
        assert "nothing is known of the consumer" in text
        assert "repair it" in text

    def test_what_another_oracle_or_schedule_shows_counts_for_more(self) -> None:
        @oracle("totals")
        def totals(history: History) -> None:
            raise ValueError("always")

        def crashed(stage: Stage) -> Iterator[Schedule]:
            base = stage.loaded(stage.run("A"))
            yield base
            yield from stage.crashes(base)

        assert conducted(crashed, suite=BrokenOrders, oracles=("totals", "D")).status == "failed"

    @pytest.mark.parametrize(
        ("disturbed", "words"),
        [
            ([steps.Deliver((1,), crash=steps.Crash("target UPZERT"))], "step 3: target UPZERT (occurrence 1); "),
            ([steps.Break("target UPZERT", "EIO"), steps.Deliver((1,))], "a boundary to break: target UPZERT: EIO "),
            ([steps.Damage("no-such-file", "empty"), steps.Deliver((1,))], "step 3: no-such-file cannot be damaged"),
        ],
    )
    def test_what_never_disturbs_is_no_pass(self, disturbed: list[Any], words: str) -> None:
        """One schedule in which it does is enough."""

        def misspelt(stage: Stage) -> Iterator[Schedule]:
            run = stage.run("A")
            yield stage.loaded(run)
            yield stage.schedule([run], [*stage.told(run), *disturbed])

        def met_once(stage: Stage) -> Iterator[Schedule]:
            yield from misspelt(stage)
            run = stage.run("A")
            yield stage.schedule([run], [*stage.told(run), steps.Deliver((1,), crash=steps.Crash("return"))])

        result = conducted(misspelt)
        assert (result.status, result.schedules) == ("inconclusive", 0)
        assert result.verdict is not None
        assert "ACME01 disturbed nothing: no schedule came to " in result.verdict.sentence
        assert words in result.verdict.sentence
        catalogue.OWN.clear()
        assert conducted(met_once).status == "passed"

    def test_a_violation_that_needs_no_disturbance_is_one(self) -> None:
        def misspelt(stage: Stage) -> Iterator[Schedule]:
            run = stage.run("A")
            yield stage.schedule([run], [*stage.told(run), steps.Deliver((1,), crash=steps.Crash("target UPZERT"))])

        @oracle("always")
        def always(history: History) -> Iterator[Verdict]:
            yield Verdict(sentence="It is wrong.", entries=(0,))

        assert conducted(misspelt, oracles=("always",)).status == "failed"

    @pytest.mark.parametrize(
        ("schedules", "words"),
        [
            (lambda stage: iter([1 / 0]), "The schedules of ACME01 raised ZeroDivisionError: division by zero"),
            (lambda stage: ["x"], "ACME01 yielded 'x', which is no Schedule"),
            (lambda stage: None, "The schedules of ACME01 raised TypeError"),
            (lambda stage: [], 'ACME01 yielded no schedule, and raised no NotApplicable("why")'),
            (
                lambda stage: [stage.schedule([stage.run("A")], [steps.Write("run-A"), steps.Poll()])],
                "ACME01 has a step Poll for a consumer of kind event-bus, whose turns are Deliver, Overlap",
            ),
            (lambda stage: [stage.schedule([], [steps.Deliver((1,))])], "ScheduleError: step 1 delivers (1,)"),
            (with_step(steps.Restart), "ACME01 yielded a schedule that cannot be: step 3 is <class "),
            (with_step("deliver"), "step 3 is 'deliver', which is no step; there are Write, Notify, Deliver, "),
            (with_step(steps.Damage("x", "weird")), "step 3 has how 'weird'; it must be one of missing, empty, "),
            (with_step(steps.Wait(-5)), "step 3 waits for -5 seconds"),
            (with_step(steps.Wait("5")), "step 3 has seconds '5'; it must be a whole number"),
            (with_step(steps.Wait(float("nan"))), "step 3 has seconds nan; it must be a whole number"),
            (with_step(steps.Deliver((1,), crash="return")), "step 3, crash is 'return', not an object"),
            (
                lambda stage: [stage.loaded(stage.run("A", policy="weird"))],
                "run 1 has policy 'weird'; it must be one of ",
            ),
        ],
    )
    def test_schedules_that_go_wrong_are_no_pass(self, schedules: Any, words: str) -> None:
        result = conducted(schedules)
        assert result.status == "inconclusive"
        assert words in terminal.failure(result, replay=None, width=400)

    def test_it_may_say_nothing_of_a_consumer(self) -> None:
        def polls(stage: Stage) -> Iterator[Schedule]:
            if not stage.consumer.reconciles:
                raise NotApplicable("it does not declare reconciles = True")
            yield from calm(stage)

        result = conducted(polls)
        assert (result.status, result.reason) == ("skipped", "it does not declare reconciles = True")

    def test_one_that_never_ends_is_played_until_its_time_is_over(self) -> None:
        def endless(stage: Stage) -> Iterator[Schedule]:
            for number in itertools.count(1):
                yield stage.loaded(stage.run("A", items=number))

        check("ACME01", **GOOD)(endless)
        looks = iter([False, False, True])
        conductor = Conductor(RepairedOrders().consumer(), is_over=lambda: next(looks))
        result = conductor.conduct(catalogue.OWN["ACME01"])
        assert (result.status, result.schedules) == ("passed", 3)
        assert result.reason == "the budget ended after 3 schedules"


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project with the check of the documentation."""
    block = PAGE.read_text().partition("```python\n")[2].partition("```")[0]
    known = '\n\nclass TestKnown(TestOrders):\n    known_failures = {"ACME01": "ticket 12"}\n'
    pytester.makepyfile(acme_checks=block, conftest="import acme_checks", test_orders=BROKEN + known)
    return pytester


def run(project: pytest.Pytester, *options: str) -> pytest.RunResult:
    return project.runpytest_subprocess("-p", "no:randomly", "-p", "no:random_order", *options)


def command(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return project.run(sys.executable, "-c", "from pytest_quarry.cli import main; raise SystemExit(main())", *arguments)


def test_it_is_in_every_report(project: pytest.Pytester) -> None:
    reports = ("json:r.json", "html:r.html", "sarif:r.sarif", "badge:r.svg")
    options = [f"--quarry-report={each}" for each in reports]
    result = run(project, "-m", "quarry", "-k", "over_night", "-n", "2", "--junitxml=r.xml", *options)
    result.assert_outcomes(failed=1, xfailed=1)
    document = json.loads((project.path / "r.json").read_text())
    pytest.importorskip("jsonschema").Draft202012Validator(machine.schema()).validate(document)
    checks = document["checks"]
    assert [(found["id"], found["status"], found["docs"]) for found in checks] == [
        ("ACME01", "known", "https://wiki.acme.example/quarry/ACME01"),
        ("ACME01", "failed", "https://wiki.acme.example/quarry/ACME01"),
    ]
    assert "ACME01</b> over-night" in (project.path / "r.html").read_text()
    (rule,) = json.loads((project.path / "r.sarif").read_text())["runs"][0]["tool"]["driver"]["rules"]
    assert "Keep marks for longer than a night" in rule["help"]["text"]
    properties = {
        each.get("name"): each.get("value") for each in ElementTree.parse(project.path / "r.xml").iter("property")
    }
    assert properties["quarry_check"] == "ACME01 over-night"
    assert properties["quarry_docs"] == "https://wiki.acme.example/quarry/ACME01"
    result.stdout.fnmatch_lines(["docs: https://wiki.acme.example/quarry/ACME01", "  ACME01  over-night *FAILED *"])
    (saved,) = (project.path / ".quarry").glob("ACME01-*.json")
    replayed = run(project, f"--quarry-replay={saved}")
    replayed.stdout.fnmatch_lines(["*still failing*"])
    replayed.assert_outcomes(failed=1, deselected=replayed.parseoutcomes()["deselected"])


def test_it_is_listed_and_explained(project: pytest.Pytester) -> None:
    run(project, "--quarry-list").stdout.fnmatch_lines(
        ["ACME01  over-night *high *event-bus *A duplicate on the next*"]
    )
    project.makeconftest("")
    assert "ACME01" not in run(project, "--quarry-list").stdout.str()
    command(project, "list", "--checks", "acme_checks").stdout.fnmatch_lines(["ACME01  over-night*"])
    explained = command(project, "explain", "over-night", "--checks", "acme_checks")
    explained.stdout.fnmatch_lines(
        ["# ACME01 over-night", "*## What the world does", "*twelve hours*", "## The usual fix"]
    )


def test_an_entry_point_needs_no_import(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    project.makeconftest("")
    folder = project.mkdir("acme-1.0.dist-info")
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[pytest_quarry.checks]\nacme = acme_checks\n")
    monkeypatch.setenv("PYTHONPATH", str(project.path), prepend=os.pathsep)
    run(project, "--quarry-list").stdout.fnmatch_lines(["ACME01  over-night*"])
    run(project, "--collect-only", "-q").stdout.fnmatch_lines(["test_orders.py::TestOrders::test_over_night"])
    (project.path / "acme_checks.py").write_text("import nothing_of_that_name")
    broken = run(project, "test_orders.py")
    broken.stdout.fnmatch_lines(
        [
            "entry point acme = acme_checks of acme: cannot be imported: ModuleNotFoundError: No module named 'nothing_of_that_name'"
        ]
    )
    assert broken.ret == pytest.ExitCode.INTERRUPTED


def test_a_mistake_in_conftest_is_said_before_anything_runs(project: pytest.Pytester) -> None:
    text = (project.path / "acme_checks.py").read_text()
    (project.path / "acme_checks.py").write_text(text.replace('"ACME01",', '"EB23",', 1))
    result = run(project)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*CheckError: check 'EB23' in *acme_checks.py:*ids of EB are the kit's own*"])


def test_the_command_line_checks_it(project: pytest.Pytester, capfd: pytest.CaptureFixture[str]) -> None:
    project.makepyfile(
        acme_polls="""
        from pytest_quarry import check

        @check("ACME02", slug="nothing-new", states="It polls.", severity="high", kinds=("poller",), oracles=("L",))
        def nothing_new(stage):
            yield stage.loaded(stage.run("A"))
        """
    )
    script = (
        "echo Processing run: $(ls -d {storage_root}/datasets/quarry/partitions/*/*/*/run_id=* | sed 's/.*run_id=//')"
    )
    arguments = ["check", "--poller", f'bash -c "{script}"', "--rows-from-stdout", "Processing run: (?P<run_id>.+)"]
    only = ["--checks", "acme_polls", "--only", "ACME02", "--", "-q", "-n", "1", "--quarry-report", "json:r.json"]
    done = command(project, *arguments, *only)
    assert done.ret == 0, done.outlines
    (found,) = json.loads((project.path / "r.json").read_text())["checks"]
    assert (found["id"], found["status"]) == ("ACME02", "passed")
    assert main(["list", "--checks", "no_such_module_here"]) == 2
    assert "the checks of module no_such_module_here: cannot be imported: ModuleNotFoundError" in capfd.readouterr().err
