"""`list`, `explain`, `boundaries`, `--version`: what the command line says without checking anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from consumers_of_orders import COMMAND, ORDERS, POLL, SQLITE, check, run

import pytest_quarry
from pytest_quarry.checks.catalogue import BY_ID
from pytest_quarry.cli import main


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [[check.id, check.slug] for check in BY_ID.values()]


def test_a_reader_who_has_seen_enough() -> None:
    done = subprocess.run(f"{COMMAND} list | head -n 1", shell=True, capture_output=True, text=True, check=False)
    assert (done.stdout[:4], done.stderr) == ("EB01", "")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"pytest-quarry {pytest_quarry.__version__}\n"


@pytest.mark.parametrize("name", ["EB05", "eb05", "crash-duplicates-nothing"])
def test_explain(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", name]) == 0
    said = capsys.readouterr().out
    assert said.startswith("# EB05 crash-duplicates-nothing\n")
    assert "## The usual fix" in said
    if name.startswith("crash"):
        assert said.endswith("PO03 is the same for poller consumers: quarry-conformance explain PO03\n\n")


@pytest.mark.parametrize("check_id", [*BY_ID, "FUZZ"])
def test_every_check_is_explained(check_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", check_id]) == 0
    assert capsys.readouterr().out.startswith(f"# {check_id} ")


@pytest.mark.parametrize(
    ("name", "meant"),
    [("EB055", " (did you mean EB05 *)"), ("crash-duplicate", " (did you mean EB05 *)"), ("xyz", "")],
)
def test_explain_what_is_no_check(name: str, meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", name]) == 2
    said = capsys.readouterr().err.strip()
    own_too = "" if meant else "; checks of your own are known with --checks MODULE"
    wanted = f"quarry-conformance explain: '{name}' is no check{meant}; there are EB01, *, FUZZ{own_too}"
    pytest.LineMatcher([said]).fnmatch_lines([wanted])


def test_boundaries_of_a_handler(tmp_path: Path) -> None:
    code, said = _boundaries(tmp_path, "--handler", "orders:Sound", *SQLITE)
    assert code == 0, said
    pytest.LineMatcher(said.splitlines()).fnmatch_lines(
        [
            "One run is written, and the consumer meets it undisturbed. *",
            "turn 1: *run-A*",
            "    sqlite BEGIN orders.sqlite",
            "  [*] sqlite INSERT orders orders.sqlite",
            "    sqlite INSERT orders orders.sqlite (2)",
            "  [*] sqlite COMMIT orders.sqlite*",
            "rows at the end: 3",
        ]
    )


def test_boundaries_of_a_program(tmp_path: Path) -> None:
    (tmp_path / "poll.sh").write_text(POLL)
    words = ("--poller", "bash poll.sh {storage_root} {disk}/checkpoint", "--layout", "flat")
    code, said = _boundaries(tmp_path, *words, "--rows-from-stdout", "Processing run: (?P<run_id>.+)")
    assert code == 0, said
    pytest.LineMatcher(said.splitlines()).fnmatch_lines(["turn 1: polls", "turn 2: polls", "and * like this one"])
    assert "rows at the end: 1" in said
    if "the system does not let us see them" in said:
        pytest.skip("this system does not let programs' files be seen")
    pytest.LineMatcher(said.splitlines()).fnmatch_lines(["  [*] print", "  [*] write checkpoint"])


def test_boundaries_of_a_poller_that_polls_in_a_loop_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "daemon.py").write_text("import time\nwhile True:\n    time.sleep(10)\n")
    code, said = _boundaries(tmp_path, "--poller", f"{sys.executable} {tmp_path}/daemon.py", *SQLITE)
    assert code == 3, said
    lines = said.splitlines()
    at = lines.index("turn 1: polls")
    assert lines[at + 1 : at + 3] == ["    sleep", "    and 499 more like this one"]
    assert lines[at + 3].startswith("    hung it slept 500 times in one turn, and nothing changed meanwhile")
    assert "take the loop away" in " ".join(lines[at + 4 :])


def test_boundaries_of_what_does_nothing(tmp_path: Path) -> None:
    code, said = _boundaries(tmp_path, "--poller", "sh -c 'echo no such table >&2; exit 7'", *SQLITE)
    assert code == 3, said
    assert "The consumer did nothing where something was due" in said
    assert "exit status 7" in said
    assert "  it printed: no such table" in said


def test_boundaries_of_a_command_that_is_not_there(tmp_path: Path) -> None:
    code, said = _boundaries(tmp_path, "--poller", "no-such-program", *SQLITE)
    assert (code, said) == (
        2,
        "quarry-conformance boundaries: the command 'no-such-program' cannot be run: there is no program "
        "'no-such-program' on the PATH\n",
    )


def _boundaries(folder: Path, *options: str) -> tuple[int, str]:
    (folder / "orders.py").write_text(ORDERS)
    return run(folder, "boundaries", *options)


def test_a_command_that_is_not_there_is_said_once(tmp_path: Path) -> None:
    code, said = check(tmp_path, "--poller", "no-such-program", *SQLITE)
    assert code == 2
    assert said.count("\nPO05 downtime: cannot be checked\n") == 1
    assert "PO11 exact-keys: cannot be checked" not in said
    assert "each of the other checks would say the same" in said
