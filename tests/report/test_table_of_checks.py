"""The table at the end of a session, as people see it: narrow and wide, quiet and verbose, coloured, under xdist, without."""

from __future__ import annotations

import json
import re

import pytest
from made_records import hostile, one_of_each, record
from session_of_records import run, section

WIDE = """\
test_orders.py::TestOrders
  check slug                      status        schedules  seconds
  EB01  redelivery                passed                4      0.5
  EB05  crash-duplicates-nothing  FAILED                4      0.5
        run-A was loaded twice: 1 row expected, 2 found.
        not exercised: writes of a child program
  EB06  redelivery                known                 4      0.5
        run-A was loaded twice: 1 row expected, 2 found.
        ticket 7
  EB07  redelivery                INCONCLUSIVE          4      0.5
        cannot be checked: rows() raised ValueError
  EB19  redelivery                skipped                      0.5
        it does not declare reconciles = True
5 checks: 1 passed, 1 failed, 1 known, 1 inconclusive, 1 skipped · 16 schedules · 2.5 s
"""
NARROW = """\
test_orders.py::TestOrders
  check slug                status        schedules  seconds
  EB01  redelivery          passed                4      0.5
  EB05  crash-duplicates-…  FAILED                4      0.5
        run-A was loaded twice: 1 row expected, 2 found.
        not exercised: writes of a child program
  EB06  redelivery          known                 4      0.5
        run-A was loaded twice: 1 row expected, 2 found.
        ticket 7
  EB07  redelivery          INCONCLUSIVE          4      0.5
        cannot be checked: rows() raised ValueError
  EB19  redelivery          skipped                      0.5
        it does not declare reconciles = True
5 checks: 1 passed, 1 failed, 1 known, 1 inconclusive, 1
skipped · 16 schedules · 2.5 s
"""
QUIET = "".join(line for line in WIDE.splitlines(keepends=True) if "EB01" not in line)
VERBOSE_FIRST = """\
test_orders.py::TestOrders
  check slug                      status        schedules  seconds
  EB01  redelivery                passed                4      0.5
        A notification delivered again loads nothing again. 6 executions
"""


@pytest.mark.parametrize(
    ("columns", "options", "wanted"),
    [
        (110, (), WIDE),
        (60, (), NARROW),
        (110, ("-q",), QUIET),
        (110, ("--capture=no",), WIDE),
        (110, ("-n", "2"), WIDE),
    ],
    ids=["wide", "narrow", "quiet", "uncaptured", "xdist"],
)
def test_the_table(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, columns: int, options: tuple[str, ...], wanted: str
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    found = section(run(pytester, one_of_each(), *options))
    assert found == wanted
    assert max(map(len, found.splitlines())) <= columns


def test_verbose_says_what_each_check_states_and_took(pytester: pytest.Pytester) -> None:
    assert section(run(pytester, one_of_each(), "-v")).startswith(VERBOSE_FIRST)


def test_as_quiet_as_can_be_there_is_no_table(pytester: pytest.Pytester) -> None:
    assert "quarry conformance" not in run(pytester, one_of_each(), "-qq").stdout.str()


def test_colours_stand_at_the_words_they_are_for_and_nowhere_without_colour(pytester: pytest.Pytester) -> None:
    found = section(run(pytester, one_of_each(), "--color=yes"))
    painted = {
        name: code
        for code, name in re.findall(r"((?:\x1b\[\d+m)+)(passed|FAILED|known|INCONCLUSIVE|skipped) *\x1b\[0m", found)
    }
    assert painted == {
        "passed": "\x1b[32m",
        "FAILED": "\x1b[31m\x1b[1m",
        "known": "\x1b[33m",
        "INCONCLUSIVE": "\x1b[31m",
        "skipped": "\x1b[33m",
    }
    plain = section(run(pytester, one_of_each(), "--color=no"))
    assert "\x1b" not in plain
    assert re.sub(r"\x1b\[\d+m", "", found) == plain, "colour changes no column"


def test_long_words_are_cut_where_that_is_said_and_whole_with_v(pytester: pytest.Pytester) -> None:
    long = record("EB07", "inconclusive", reason=" ".join(f"word-{number}" for number in range(60)))
    short = section(run(pytester, [long]))
    assert " …\n" in short
    assert "word-59" not in short
    assert "word-59" in section(run(pytester, [long], "-v"))


def test_hostile_texts_move_no_cursor(pytester: pytest.Pytester) -> None:
    found = section(run(pytester, [hostile()], "-v", "--color=no"))
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", found)
    assert "escape\\x1b[31m" in found


def test_reports_are_written_without_a_terminal_too(pytester: pytest.Pytester) -> None:
    result = run(
        pytester, one_of_each(), "-p", "no:terminal", "--quarry-report=json:r.json", "--quarry-report=html:r.html"
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert len(json.loads((pytester.path / "r.json").read_text())["checks"]) == 5
    assert "Does not conform" in (pytester.path / "r.html").read_text()


def test_a_session_without_checks_has_no_table(pytester: pytest.Pytester) -> None:
    result = run(pytester, [])
    assert "quarry conformance" not in result.stdout.str()


def test_annotations_in_actions_and_only_there(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    assert "::error" not in run(pytester, one_of_each()).stdout.str()
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    lines = [line for line in run(pytester, one_of_each(), "-n", "2").outlines if line.startswith("::")]
    assert [line.partition(",title=")[2].partition("::")[0] for line in lines] == [
        "EB05 crash-duplicates-nothing (critical) failed",
        "EB06 redelivery (critical) known",
        "EB07 redelivery (critical) inconclusive",
    ]


@pytest.mark.parametrize(
    ("workspace", "file"), [("..", "{folder}/test_orders.py"), (".", "test_orders.py"), ("x", "test_orders.py")]
)
def test_files_are_named_from_where_github_has_checked_out(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workspace: str, file: str
) -> None:
    file = file.format(folder=pytester.path.name)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(pytester.path / workspace))
    lines = run(pytester, [record("EB05", "failed")], "--quarry-report=sarif:r.sarif").outlines
    (annotation,) = (line for line in lines if line.startswith("::"))
    assert annotation.startswith(f"::error file={file},title=")
    (result,) = json.loads((pytester.path / "r.sarif").read_text())["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == file


class TestWhereReportsGo:
    def test_all_of_them_under_xdist(self, pytester: pytest.Pytester) -> None:
        wanted = [
            f"--quarry-report={kind}"
            for kind in ("html:a/x.html", "json:a/x.json", "sarif:x.sarif", "badge:x.svg", "badge:x.json")
        ]
        run(pytester, one_of_each(), "-n", "2", *wanted)
        assert sorted(file.name for file in (pytester.path / "a").iterdir()) == ["x.html", "x.json"]
        assert [found["id"] for found in json.loads((pytester.path / "a" / "x.json").read_text())["checks"]] == [
            "EB01",
            "EB05",
            "EB06",
            "EB07",
            "EB19",
        ]
        assert len(json.loads((pytester.path / "x.sarif").read_text())["runs"][0]["results"]) == 3
        words = "full 1: does not conform, 1 known, 1 skipped, [0-9]+ not run"
        assert re.fullmatch(words, json.loads((pytester.path / "x.json").read_text())["message"])
        assert "does not conform" in (pytester.path / "x.svg").read_text()

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            ("xml:x", "is not KIND:FILE, where KIND is one of html, json, sarif, badge: html:quarry.html"),
            ("html", "is not KIND:FILE"),
            ("json:", "names no file: json:quarry.json"),
            ("badge:x.png", "must end with .svg (an image) or .json (an endpoint for shields.io)"),
            ("html:.", "is a folder; name a file in it: html:./quarry.html"),
            ("html:test_made.py/x.html", "test_made.py is no folder"),
        ],
    )
    def test_a_report_that_cannot_be_is_refused_first(self, pytester: pytest.Pytester, given: str, words: str) -> None:
        result = run(pytester, [], f"--quarry-report={given}")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"*--quarry-report {given}: *"])
        assert words in result.stderr.str()

    def test_one_file_twice(self, pytester: pytest.Pytester) -> None:
        result = run(pytester, [], "--quarry-report=html:x", "--quarry-report=json:./x")
        assert "names the same file as another --quarry-report" in result.stderr.str()

    def test_a_report_that_cannot_be_written_is_no_success(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(test_made_full="def test_it_0():\n    import os\n    os.mkdir('x.json')\n")
        result = run(pytester, [record()], "--quarry-report=json:x.json")
        assert result.ret == pytest.ExitCode.INTERNAL_ERROR
        result.stdout.fnmatch_lines(["--quarry-report json:x.json: cannot be written: Is a directory"])
