"""What comes after `--` is pytest's: selection, workers, reports, profile and budget."""

from __future__ import annotations

import json
import re
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from consumers_of_orders import SQLITE, check

SOUND = ("--handler", "orders:Sound", *SQLITE)
FORGETFUL = ("--handler", "orders:Forgetful", *SQLITE)


def last(said: str) -> str:
    return said.strip().splitlines()[-1]


def test_two_workers_and_reports(tmp_path: Path) -> None:
    pytest.importorskip("xdist")
    wanted = ("-n", "2", "--junitxml", "junit.xml", "--quarry-report", "json:report.json")
    code, said = check(tmp_path, *FORGETFUL, "--only", "EB03,EB13", pytest=wanted)
    assert (code, last(said)) == (1, "quarry-conformance: violates EB03")
    report = json.loads((tmp_path / "report.json").read_text())
    assert {found["id"]: found["status"] for found in report["checks"]} == {"EB03": "failed", "EB13": "passed"}
    (failed,) = [found for found in report["checks"] if found["status"] == "failed"]
    assert (
        failed["failure"]["replay"]
        == f"quarry-conformance replay {next((tmp_path / '.quarry').iterdir()).relative_to(tmp_path)}"
    )
    cases = ET.parse(tmp_path / "junit.xml").getroot().iter("testcase")
    assert sorted((case.get("classname"), case.get("name")) for case in cases) == [
        ("quarry-conformance.TestHandler", "test_any_order"),
        ("quarry-conformance.TestHandler", "test_restart"),
    ]


def test_selection(tmp_path: Path) -> None:
    code, said = check(tmp_path, *SOUND, pytest=("-k", "restart"))
    assert (code, last(said)) == (0, "quarry-conformance: conforms: 1 passed")
    code, said = check(tmp_path, *SOUND, pytest=("-k", "no_such_check"))
    assert (code, last(said)) == (2, "quarry-conformance: pytest ran no check: see above")


def test_the_first_failure_ends_it(tmp_path: Path) -> None:
    code, said = check(tmp_path, *FORGETFUL, "--only", "EB01,EB03", pytest=("-x",))
    assert (code, last(said)) == (1, "quarry-conformance: violates EB03")
    assert "stopping after 1 failures" in said


def test_an_option_that_pytest_does_not_know(tmp_path: Path) -> None:
    code, said = check(tmp_path, *SOUND, pytest=("--no-such-option",))
    assert (code, last(said)) == (2, "quarry-conformance: pytest ran no check: see above")
    assert "unrecognized arguments: --no-such-option" in said


def test_the_profile(tmp_path: Path) -> None:
    wanted = ("--quarry-profile", "core", "--collect-only")
    code, said = check(tmp_path, *SOUND, pytest=wanted)
    assert code != 0, "nothing was checked"
    assert "::test_restart" in said
    assert "::test_any_order" not in said, "it is of severity high"
    assert "::test_fuzz" not in said


def test_a_budget_is_kept_and_what_it_cut_is_said(tmp_path: Path) -> None:
    wanted = ("--quarry-budget", "1.5", "--quarry-report", "json:report.json")
    code, said = check(tmp_path, *SOUND, "--only", "EB04,EB05,EB06", pytest=wanted)
    assert code == 0, said
    report = json.loads((tmp_path / "report.json").read_text())
    late = [found["id"] for found in report["checks"] if found["status"] == "skipped"]  # on a busy machine
    cut = [found["id"] for found in report["checks"] if found["reason"] and found["id"] not in late]
    assert cut, "each of them takes longer than that by far"
    words = [f"{', '.join(cut)} cut short by the budget", *([f"{', '.join(late)} left out by it"] if late else [])]
    assert last(said).endswith("; ".join(words)), said
    for found in report["checks"]:
        line = f"{found['id']} {found['slug']}: the budget ended after {found['schedules']} schedules"
        assert (line in said) == (found["id"] in cut), said


def test_a_budget_goes_to_the_likeliest_schedules_first(tmp_path: Path) -> None:
    """With next to no time at all, the mistake that most consumers make is still found."""
    code, said = check(tmp_path, *FORGETFUL, "--only", "EB03", pytest=("--quarry-budget", "0.3"))
    assert (code, last(said)) == (1, "quarry-conformance: violates EB03")


def test_a_budget_that_is_used_up_leaves_the_rest_unchecked(tmp_path: Path) -> None:
    (tmp_path / "slow_start.py").write_text(
        "import time\nimport orders\n\n"
        "class Loader(orders.Sound):\n"
        "    def __init__(self, world):\n"
        "        super().__init__(world)\n"
        "        deadline = time.process_time() + 0.2\n"
        "        while time.process_time() < deadline:\n            pass\n"
    )
    wanted = ("--only", "EB03,EB13,EB14,FUZZ")
    began = time.monotonic()
    code, said = check(tmp_path, "--handler", "slow_start:Loader", *SQLITE, *wanted, pytest=("--quarry-budget", "0.3"))
    assert (code, last(said)) == (
        0,
        "quarry-conformance: conforms: 1 passed, 3 skipped; EB03 cut short by the budget; EB13, EB14, FUZZ left out by it",
    )
    assert said.count("--quarry-budget was used up before this check") >= 3
    assert re.search(r"^EB03 restart: the budget ended after 1 schedules$", said, re.MULTILINE)
    (seconds,) = re.findall(r"4 checks: .* · 1 schedule · (.*) s", said)
    assert float(seconds) <= time.monotonic() - began
