"""`quarry-conformance replay FILE`: the printed command works as it is, and says still failing, fixed or drifted."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from consumers_of_orders import ORDERS, SQLITE, check, run

from pytest_quarry.cli import main
from pytest_quarry.commandline.pytest_process import Ended
from pytest_quarry.commandline.replay import conclude

FORGETFUL = ("--handler", "orders:Forgetful", *SQLITE, "--only", "EB03")

_found: dict[str, str] = {}


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """The words of the command that a failing check prints, in a folder as that check left it."""
    (tmp_path / "orders.py").write_text(ORDERS)
    if not _found:
        code, said = check(tmp_path, *FORGETFUL, "--workers", "1")
        assert code == 1, said
        (line,) = [line for line in said.splitlines() if line.startswith("replay: ")]
        (file,) = (tmp_path / ".quarry").iterdir()
        _found.update(command=line.removeprefix("replay: "), file=file.name, text=file.read_text())
    (tmp_path / ".quarry").mkdir(exist_ok=True)
    (tmp_path / ".quarry" / _found["file"]).write_text(_found["text"])
    name, *words = shlex.split(_found["command"])
    assert name == "quarry-conformance"
    return words


def last(said: str) -> str:
    return said.strip().splitlines()[-1]


def test_the_printed_command(command: list[str], tmp_path: Path) -> None:
    code, said = run(tmp_path, *command)
    assert (code, last(said)) == (1, "quarry-conformance: still failing: EB03 restart")
    assert said.startswith(f"saved by: quarry-conformance check {shlex.join([*FORGETFUL, '--workers', '1'])}\n")
    assert "run-A was loaded twice" in said
    assert [file.name for file in (tmp_path / ".quarry").iterdir()] == [_found["file"]], "a replay saves nothing"


def test_after_the_repair(command: list[str], tmp_path: Path) -> None:
    broken, repaired = 'statement = "INSERT INTO orders', 'statement = "INSERT OR IGNORE INTO orders'
    source = ORDERS.replace(broken, repaired).replace(
        'orders (run_id, item)"', 'orders (run_id, item, UNIQUE (run_id, item))"'
    )
    (tmp_path / "orders.py").write_text(source)
    code, said = run(tmp_path, *command)
    assert (code, last(said)) == (0, "quarry-conformance: fixed: EB03 restart holds for this schedule")


def test_options_go_over_those_it_was_found_with(command: list[str], tmp_path: Path) -> None:
    code, said = run(tmp_path, *command, "--handler", "orders:Sound")
    assert (code, last(said)) == (0, "quarry-conformance: fixed: EB03 restart holds for this schedule")


def test_a_consumer_that_goes_another_way(command: list[str], tmp_path: Path) -> None:
    file = tmp_path / command[1]
    data = json.loads(file.read_text())
    delivery = next(step for step in data["schedule"]["steps"] if step["do"] == "deliver")
    delivery["crash"] = {"label": "sqlite COMMIT other.sqlite", "occurrence": 1}
    file.write_text(json.dumps(data))
    code, said = run(tmp_path, *command, "--handler", "orders:Sound")
    assert code == 3, said
    assert last(said) == (
        "quarry-conformance: drifted: EB03 restart. The consumer goes another way now; run the check again"
    )
    assert "it never came to " in said


def test_a_consumer_that_cannot_be_played(command: list[str], tmp_path: Path) -> None:
    code, said = run(tmp_path, *command, "--rows-from-sqlite", "orders.sqlite:SELECT sku FROM orders")
    assert (code, last(said)) == (2, "quarry-conformance: cannot be checked: see above")


def test_known_failures_and_choices_of_the_project_do_not_matter(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "quarry-conformance.toml").write_text(
        'only = ["EB04"]\n[[known-failures]]\nid = "EB03"\nreason = "ticket 12"\nexpires = 2020-01-01\n'
    )
    code, said = run(tmp_path, *command)
    assert (code, last(said)) == (1, "quarry-conformance: still failing: EB03 restart")


def test_two_consumers_that_fail_the_same_schedule(command: list[str], tmp_path: Path) -> None:
    """Their files have names of their own: the command printed for the first replays the first."""
    code, said = check(tmp_path, "--handler", "orders:Forgetful", "--rows", "orders:rows", "--only", "EB03")
    assert code == 1, said
    assert len(list((tmp_path / ".quarry").iterdir())) == 2
    assert (tmp_path / ".quarry" / _found["file"]).read_text() == _found["text"]


def test_of_a_suite(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "test_orders.py").write_text(
        "import orders\nfrom pytest_quarry import EventBusConformance\n\n"
        "class TestOrders(EventBusConformance):\n"
        "    def start(self, world):\n        return orders.Sound(world)\n\n"
        "    def rows(self, world):\n        return orders.rows(world)\n"
    )
    file = tmp_path / command[1]
    data = {**json.loads(file.read_text()), "consumer": "test_orders.py::TestOrders"}
    del data["options"]
    file.write_text(json.dumps(data))
    code, said = run(tmp_path, *command, "--", "-q")
    assert (code, last(said)) == (0, "quarry-conformance: fixed: EB03 restart holds for this schedule")


@pytest.mark.parametrize("here", ["tests", "elsewhere"])
def test_of_a_suite_whose_root_is_elsewhere(here: str, command: list[str], tmp_path: Path) -> None:
    """A file names its suite from the root of the tests, which need be neither where this is run nor have a configuration."""
    for folder in ("tests", "elsewhere"):
        (tmp_path / folder).mkdir()
    (tmp_path / "tests" / "test_orders.py").write_text(
        "import sys; sys.path.insert(0, __file__.rpartition('/tests/')[0])\n"
        "import orders\nfrom pytest_quarry import EventBusConformance\n\n"
        "class TestOrders(EventBusConformance):\n"
        "    def start(self, world):\n        return orders.Sound(world)\n\n"
        "    def rows(self, world):\n        return orders.rows(world)\n"
    )
    file = tmp_path / command[1]
    data = {**json.loads(file.read_text()), "consumer": "tests/test_orders.py::TestOrders"}
    del data["options"]
    file.write_text(json.dumps(data))
    code, said = run(tmp_path / here, "replay", f"../.quarry/{file.name}", "--", "-q")
    assert (code, last(said)) == (0, "quarry-conformance: fixed: EB03 restart holds for this schedule")


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (("passed", "failed"), 1, "still failing: EB03 restart"),
        (("inconclusive", "passed"), 3, "drifted: EB03 restart"),
        (("passed", "passed"), 0, "fixed: EB03 restart holds"),
    ],
)
def test_the_worst_of_several_consumers_of_one_suite(
    status: tuple[str, ...], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    record = {"id": "EB03", "slug": "restart", "unusable": False}
    ended = Ended(status=1, records=tuple({**record, "status": each} for each in status))
    assert conclude(ended) == code
    assert words in capsys.readouterr().out


BAD = {
    "no file": (None, "no.json: cannot be read: No such file or directory"),
    "no JSON": ("{", "no.json: is no schedule saved by pytest-quarry"),
    "no schedule": ("[]", "no.json: is no schedule saved by pytest-quarry"),
    "another's": ('{"check": "EB03"}', "no.json: is no schedule saved by pytest-quarry"),
}


@pytest.mark.parametrize(("text", "words"), BAD.values(), ids=BAD)
def test_a_file_that_cannot_be_used(
    text: str | None,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / "no.json").write_text(text)
    assert main(["replay", "no.json"]) == 2
    assert capsys.readouterr().err == f"quarry-conformance replay: {words}\n"


def test_a_schedule_of_another_version(command: list[str], tmp_path: Path) -> None:
    file = tmp_path / command[1]
    file.write_text(json.dumps({**json.loads(file.read_text()), "pytest-quarry": 99}))
    code, said = run(tmp_path, *command)
    assert code == 2
    assert "is of file version 99; this pytest-quarry reads version 1" in said
