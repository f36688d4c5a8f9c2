"""What `quarry-conformance` is told, on its command line and in TOML: what is wrong with it is one line, and exit code 2."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest
from consumers_of_orders import ORDERS

from pytest_quarry.cli import main
from pytest_quarry.commandline import options
from pytest_quarry.commandline.settings import KEYS, ROWS, Settings, option, read

HANDLER = 'handler = "orders:Sound"\nrows-from-sqlite = "orders.sqlite:SELECT run_id, item FROM orders"\n'


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "orders.py").write_text(ORDERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "orders", raising=False)
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line with which a command ends."""
    try:
        code = main(words)
    except SystemExit as ended:  # argparse
        code = int(ended.code or 0)
    out, err = capsys.readouterr()
    assert (code, out) == (2, ""), out + err
    return err.strip().splitlines()[-1]


IN_TOML = {
    "no TOML": ("handler =", "quarry-conformance.toml is no TOML: Invalid value (at *"),
    "unknown key": (
        'rows_from_stdout = "x"',
        "quarry-conformance.toml has unknown rows_from_stdout (did you mean rows-from-stdout?); the keys are batch-size, *",
    ),
    "another unknown key": ("colour = 1", "quarry-conformance.toml has unknown colour; the keys are *"),
    "no text": ("handler = 5", "quarry-conformance.toml: handler is 5; it must be text"),
    "no number": ('workers = "2"', "quarry-conformance.toml: workers is '2'; it must be a whole number"),
    "no truth": ('fifo = "yes"', "quarry-conformance.toml: fifo is 'yes'; it must be true or false"),
    "a truth for a number": ("workers = true", "quarry-conformance.toml: workers is True; it must be a whole number"),
    "no list": ('only = "EB03"', "quarry-conformance.toml: only is 'EB03'; it must be a list of texts, at least one"),
    "an empty list": (
        "sources = []",
        "quarry-conformance.toml: sources is []; it must be a list of texts, at least one",
    ),
    "no seconds": ('timeout = "1"', "quarry-conformance.toml: timeout is '1'; it must be a number of seconds"),
    "no time at all": (
        "timeout = 0",
        "quarry-conformance.toml: timeout is 0.0; it must be a number of seconds above 0",
    ),
    "endless": ("timeout = inf", "quarry-conformance.toml: timeout is inf; it must be a number of seconds above 0"),
    "no worker": ("workers = 0", "quarry-conformance.toml: workers is 0; it must be a whole number, at least 1"),
    "no such layout": ('layout = "hive"', "quarry-conformance.toml: layout is 'hive'; it must be one of lode, flat"),
    "no such severity": (
        'fail-on = "low"',
        "quarry-conformance.toml: fail-on is 'low'; it must be one of critical, high, medium, advice",
    ),
    "no environment": (
        'environment = ["A=1"]',
        "quarry-conformance.toml: environment is ['A=1']; it must be a table of texts",
    ),
    "no list of failures": (
        '[known-failures]\nEB03 = "x"',
        "quarry-conformance.toml: known-failures is {'EB03': 'x'}; it must be a list of tables with id, reason and expires",
    ),
    "a failure without a date": (
        '[[known-failures]]\nid = "EB03"\nreason = "x"',
        "quarry-conformance.toml: known-failures, entry 1 has id, reason; it must have id, reason and expires",
    ),
    "a failure of no check": (
        HANDLER + '[[known-failures]]\nid = "EB99"\nreason = "x"\nexpires = 2030-01-01',
        "known failure EB99 is no check of this consumer; they are EB01, *",
    ),
    "a failure of a number": (
        '[[known-failures]]\nid = 3\nreason = "x"\nexpires = 2030-01-01',
        "quarry-conformance.toml: known-failures, entry 1 is about 3; it must be the id of a check: EB05",
    ),
    "a failure without a reason": (
        '[[known-failures]]\nid = "EB03"\nreason = " "\nexpires = 2030-01-01',
        "quarry-conformance.toml: known-failures, entry 1 has the reason ' '; give it in words",
    ),
    "a failure with no day": (
        '[[known-failures]]\nid = "EB03"\nreason = "x"\nexpires = "soon"',
        "quarry-conformance.toml: known-failures, entry 1 expires soon; it must be a date, 2026-12-31",
    ),
    "a failure with a moment": (
        '[[known-failures]]\nid = "EB03"\nreason = "x"\nexpires = 2030-01-01T00:00:00',
        "quarry-conformance.toml: known-failures, entry 1 expires 2030-01-01 00:00:00; it must be a date, 2026-12-31",
    ),
    "a failure of another kind": (
        HANDLER + '[[known-failures]]\nid = "PO01"\nreason = "x"\nexpires = 2030-01-01',
        "known failure PO01 is no check of this consumer; they are EB01, *",
    ),
    "no such check": (HANDLER + 'only = ["EB99"]', "--only names EB99; the checks of this consumer are EB01, * FUZZ"),
    "two consumers": (
        HANDLER + 'poller = "bash poll.sh"',
        "--poller and --handler are both given: name one, by --poller, --worker, *",
    ),
    "no such sample": (
        HANDLER + 'sample-run = "nowhere"',
        "--sample-run 'nowhere': there is no such folder in *",
    ),
}


@pytest.mark.parametrize(("text", "words"), IN_TOML.values(), ids=IN_TOML)
def test_toml_that_cannot_be_used(text: str, words: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "quarry-conformance.toml").write_text(text)
    said = refused(capsys, "check")
    pytest.LineMatcher([said]).fnmatch_lines([f"quarry-conformance check: {words}".replace("[", "[[]")])


def test_pyproject(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = project / "pyproject.toml"
    file.write_text('[project]\nname = "x"\n')
    assert "no consumer is given" in refused(capsys, "check")
    file.write_text('[tool.pytest-quarry]\ncolour = "red"\n')
    assert "[tool.pytest-quarry] has unknown colour; the keys are " in refused(capsys, "check")
    file.write_text('tool = "none"\n')
    assert "no consumer is given" in refused(capsys, "check")
    file.write_text("[tool]\npytest-quarry = 5\n")
    assert "[tool.pytest-quarry] is 5, not a table" in refused(capsys, "check")
    file.write_bytes(b"\xff\xfe")
    assert "pyproject.toml is no TOML: " in refused(capsys, "check")
    (project / "quarry-conformance.toml").write_text("colour = 1\n")
    assert "quarry-conformance.toml has unknown colour" in refused(capsys, "check"), "it comes first"


def test_a_file_of_another_name(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, "check", "--config", "no.toml").endswith(
        ": no.toml cannot be read: No such file or directory"
    )
    (project / "poller.toml").write_text("colour = 1\n")
    assert "poller.toml has unknown colour" in refused(capsys, "check", "--config", "poller.toml")
    (project / "pyproject.toml").write_text("")
    assert refused(capsys, "check", "--config", "pyproject.toml").endswith("pyproject.toml has no [tool.pytest-quarry]")


SQLITE = ("--rows-from-sqlite", "orders.sqlite:SELECT run_id, item FROM orders")
ON_THE_COMMAND_LINE = {
    "nothing": ((), "no consumer is given: name one, by --poller, --worker, --publisher, --lambda, --handler, or in *"),
    "two consumers": (
        ("--poller", "a", "--worker", "b"),
        "--poller and --worker are both given: name one, by *",
    ),
    "no rows": (
        ("--handler", "orders:Sound"),
        "what its target holds is not given: name one of --rows-from-stdout, --rows-from-sqlite, --rows-from-jsonl, "
        "--rows-from-command, --rows",
    ),
    "two rows": (
        ("--handler", "orders:Sound", *SQLITE, "--rows", "orders:rows"),
        "--rows-from-sqlite and --rows are both given: name one of *",
    ),
    "rows of a publisher": (
        ("--publisher", "publish", *SQLITE),
        "--rows-from-sqlite is given for a publisher, which has no target",
    ),
    "no reference": (("--handler", "orders.py", *SQLITE), "--handler 'orders.py' is no Python reference, module:name"),
    "no such module": (
        ("--handler", "nowhere:handle", *SQLITE),
        "--handler 'nowhere:handle': nowhere cannot be imported from *: ModuleNotFoundError: No module named 'nowhere'",
    ),
    "no such name": (
        ("--poller", "orders:poll", *SQLITE),
        "--poller 'orders:poll': there is no 'poll' in it; it has ByNotification, *",
    ),
    "no such rows": (("--handler", "orders:Sound", "--rows", "orders:all"), "--rows 'orders:all': there is no 'all' *"),
    "rows that are no function": (
        ("--handler", "orders:Sound", "--rows", "orders:not_callable"),
        "--rows 'orders:not_callable' is int, and no function that takes the world",
    ),
    "rows that are a path": (
        ("--handler", "orders:Sound", "--rows", "rows.py"),
        "--rows 'rows.py' is no Python reference*",
    ),
    "what a reference prints": (
        ("--handler", "orders:Sound", "--rows-from-stdout", "(?P<run_id>.)"),
        "--rows-from-stdout is for commands; give a Python reference one of the others",
    ),
    "no regular expression": (
        ("--poller", "sh poll.sh", "--rows-from-stdout", "run: (?P<run_id>"),
        "rows from stdout: 'run: (?P<run_id>' is no regular expression: missing ), unterminated subpattern *",
    ),
    "no run_id": (
        ("--poller", "sh poll.sh", "--rows-from-stdout", "run: (?P<run>.+)"),
        "rows from stdout: 'run: (?P<run>.+)' has no group run_id (it has run). Name what is the run's id: *",
    ),
    "no group": (
        ("--poller", "sh poll.sh", "--rows-from-stdout", "run: (.+)"),
        "rows from stdout: 'run: (.+)' has no group run_id (it has no named group). *",
    ),
    "no query": (
        ("--poller", "sh poll.sh", "--rows-from-sqlite", "orders.sqlite"),
        "rows from sqlite: 'orders.sqlite' is not FILE:QUERY. For example 'orders.sqlite:SELECT run_id, item FROM orders'",
    ),
    "a place in the query's file": (
        ("--poller", "sh poll.sh", "--rows-from-sqlite", "{dsk}/orders.sqlite:SELECT run_id FROM orders"),
        "{dsk} in '{dsk}/orders.sqlite' is unknown: did you mean {disk}? *",
    ),
    "a place in the files": (
        ("--poller", "sh poll.sh", "--rows-from-jsonl", "{storage-root}/*.jsonl"),
        "{storage-root} in '{storage-root}/*.jsonl' is unknown: did you mean {storage_root}? *",
    ),
    "quotes": (
        ("--poller", "sh 'poll.sh", "--rows-from-jsonl", "*.jsonl"),
        'the command "sh \'poll.sh" cannot be split into words: No closing quotation',
    ),
    "quotes of the rows": (
        ("--poller", "sh poll.sh", "--rows-from-command", "sh 'rows.sh"),
        'the command "sh \'rows.sh" cannot be split into words: No closing quotation',
    ),
    "an unknown place": (
        ("--poller", "sh poll.sh {storage}", "--rows-from-jsonl", "*.jsonl"),
        "{storage} in '{storage}' is unknown: did you mean {storage_root}? *",
    ),
    "no such folder": (
        ("--poller", "sh poll.sh", "--rows-from-jsonl", "*.jsonl", "--working-directory", "nowhere"),
        "--working-directory 'nowhere': there is no such folder in *",
    ),
    "no such signal": (
        ("--worker", "sh work.sh", "--rows-from-jsonl", "*.jsonl", "--stop-signal", "SIGNOTHING"),
        "stop is 'SIGNOTHING', which is no signal; the usual ones are SIGTERM and SIGINT",
    ),
    "no variable": (("--env", "A"), "--env 'A' is not NAME=VALUE"),
    "no number of workers": (("--workers", "0"), "--workers is 0; it must be a whole number, at least 1"),
    "no batch": (("--batch-size", "10001"), "--batch-size is 10001; it must be a whole number, 1 to 10,000"),
    "no time": (("--timeout", "-1"), "--timeout is -1.0; it must be a number of seconds above 0"),
    "no sources": (("--sources", " , "), "--sources names nothing; name at least one"),
    "no date": (
        ("--known-failure", "EB03", "x", "12/31/2030"),
        "--known-failure expires 12/31/2030; it must be a date, 2026-12-31",
    ),
    "no Lambda": (("--lambda", "handler", "--rows", "orders:rows"), "the Lambda 'handler' is not file:export. *"),
}


@pytest.mark.parametrize(("words", "why"), ON_THE_COMMAND_LINE.values(), ids=ON_THE_COMMAND_LINE)
def test_a_command_line_that_cannot_be_used(
    words: tuple[str, ...], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, "check", *words)
    pytest.LineMatcher([said]).fnmatch_lines([f"quarry-conformance check: {why}".replace("[", "[[]")])


BY_ARGPARSE = {
    "no command": ((), "the following arguments are required: COMMAND"),
    "an unknown command": (("chck",), "invalid choice: 'chck' (choose from *check*"),
    "an unknown option": (("check", "--pollr", "x"), "unrecognized arguments: --pollr x"),
    "no number": (("check", "--workers", "two"), "argument --workers: invalid int value: 'two'"),
    "no such storage": (
        ("check", "--storage", "gcs"),
        "argument --storage: invalid choice: 'gcs' (choose from *fs*s3*)",
    ),
    "no reason": (("check", "--known-failure", "EB03"), "argument --known-failure: expected 3 arguments"),
    "no file": (("replay",), "the following arguments are required: FILE"),
    "options for pytest": (("list", "--", "-x"), "options for pytest, after --, are for check and replay"),
}


@pytest.mark.parametrize(("words", "why"), BY_ARGPARSE.values(), ids=BY_ARGPARSE)
def test_a_command_line_that_argparse_refuses(
    words: tuple[str, ...], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.LineMatcher([refused(capsys, *words)]).fnmatch_lines([f"quarry-conformance*: error: *{why}"])


def test_a_module_that_breaks_as_it_loads(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "broken_module.py").write_text("import os\nTABLE = os.environ['NO_SUCH_TABLE']\n")
    said = refused(capsys, "check", "--handler", "broken_module:handle", *SQLITE)
    assert said.endswith("broken_module cannot be imported from " + f"{project}: KeyError: 'NO_SUCH_TABLE'")
    said = refused(capsys, "check", "--handler", "broken_module:handle", *SQLITE, "--env", "NO_SUCH_TABLE={disk}/t")
    assert said.endswith("there is no 'handle' in it; it has TABLE, os")


def test_every_option_is_a_key_and_every_key_an_option() -> None:
    beside = {"environment": "env", "known_failures": "known-failure", "pytest_options": ""}  # after --
    names = [field.name for field in dataclasses.fields(Settings)]
    assert {name for name in names if name not in beside} == set(options.HELP)
    assert sorted(KEYS) == sorted(option(name).removeprefix("--") for name in names)


def test_every_key_is_read(project: Path) -> None:
    """A value of each key's type arrives under its name."""
    values = {str: ('"flat"', "flat"), int: ("3", 3), float: ("2", 2.0), bool: ("true", True), tuple: ('["a"]', ("a",))}
    special = {
        "storage": ('"s3"', "s3"),
        "failed_runs": ('"load"', "load"),
        "fail_on": ('"high"', "high"),
        "environment": ('{A = "1"}', (("A", "1"),)),
    }
    wanted = {}
    for key, field in KEYS.items():
        if field.name != "known_failures":
            wanted[key] = special.get(field.name) or values[type(getattr(Settings(), field.name))]
    (project / "all.toml").write_text("\n".join(f"{key} = {text}" for key, (text, _) in wanted.items()))
    found = read(project, "all.toml")
    assert {key: getattr(found, KEYS[key].name) for key in wanted} == {key: value for key, (_, value) in wanted.items()}
    assert Settings.from_json(found.to_json()) == found


def test_the_command_line_goes_over_the_file(project: Path) -> None:
    from pytest_quarry.cli import _parser

    (project / "quarry-conformance.toml").write_text(
        'poller = "sh poll.sh"\nrows-from-jsonl = "*"\nlayout = "flat"\nworkers = 1\n[environment]\nA = "1"\n'
    )
    words = ["check", "--publisher", "sh publish.sh", "--workers", "2", "--env", "B=2=3"]
    found = options.chosen(_parser().parse_args(words), read(project, None))
    assert (found.poller, found.publisher, found.layout, found.workers) == ("", "sh publish.sh", "flat", 2)
    assert [getattr(found, name) for name in ROWS] == [""] * len(ROWS), "a publisher has no target"
    assert found.environment == (("A", "1"), ("B", "2=3"))


def test_a_script_that_ends_the_process_as_it_loads(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "script.py").write_text("import sys\nsys.exit('no table')\n")
    said = refused(capsys, "check", "--handler", "script:handle", *SQLITE)
    assert said.endswith(f"script cannot be imported from {project}: SystemExit: no table")
