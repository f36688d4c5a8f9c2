"""`quarry-conformance check`: what the exit code says, and the last line with it."""

from __future__ import annotations

import datetime
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from consumers_of_orders import COMMAND, ORDERS, SQLITE, check, run

import pytest_quarry
from pytest_quarry.commandline.check import conclude
from pytest_quarry.commandline.pytest_process import Ended
from pytest_quarry.commandline.settings import Settings

SOUND = ("--handler", "orders:Sound", *SQLITE)
FORGETFUL = ("--handler", "orders:Forgetful", *SQLITE)
TODAY = datetime.date.today().isoformat()
TOMORROW = (datetime.date.today() + datetime.timedelta(days=1)).isoformat()
YESTERDAY = (datetime.date.today() - datetime.timedelta(days=1)).isoformat()


def last(said: str) -> str:
    return said.strip().splitlines()[-1]


@pytest.mark.parametrize(
    "only", [("--only", "EB03,EB13"), ("--only", "EB03", "--only", "EB13")], ids=["comma", "twice"]
)
def test_conforms(tmp_path: Path, only: tuple[str, ...]) -> None:
    code, said = check(tmp_path, *SOUND, *only)
    assert (code, last(said)) == (0, "quarry-conformance: conforms: 2 passed")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "__pycache__") == ["orders.py"]


def test_violates(tmp_path: Path) -> None:
    code, said = check(tmp_path, *FORGETFUL, "--only", "EB03")
    assert (code, last(said)) == (1, "quarry-conformance: violates EB03")
    assert "EB03 restart" in said
    assert "run-A was loaded twice" in said


def test_usage(tmp_path: Path) -> None:
    code, said = check(tmp_path, "--handler", "orders:Missing", *SQLITE)
    assert code == 2
    assert said.startswith("quarry-conformance check: --handler 'orders:Missing': there is no 'Missing' in it; it has ")
    assert "Forgetful, Idle" in said


def test_inconclusive(tmp_path: Path) -> None:
    code, said = check(tmp_path, "--handler", "orders:Idle", *SQLITE, "--only", "EB03")
    assert (code, last(said)) == (3, "quarry-conformance: inconclusive: EB03")
    assert "did nothing where something was due" in said


def test_nothing_checked_is_no_pass(tmp_path: Path) -> None:
    code, said = check(tmp_path, *SOUND, "--only", "EB02", "--workers", "1")
    assert (code, last(said)) == (3, "quarry-conformance: inconclusive: nothing was checked, EB02 skipped")


def test_internal(tmp_path: Path) -> None:
    (tmp_path / "breaks.py").write_text("def pytest_runtestloop():\n    raise RuntimeError('of this test')\n")
    (tmp_path / "orders.py").write_text(ORDERS)
    done = subprocess.run(
        [str(COMMAND), "check", *SOUND, "--only", "EB03", "--", "-p", "breaks"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4
    assert last(done.stdout) == "quarry-conformance: pytest ended with status 3, though no check failed: see above"


STATUSES = {
    "usage": (4, (), 2, "pytest ran no check: see above"),
    "no check left": (5, (), 2, "pytest ran no check: see above"),
    "killed": (-9, (), 4, "pytest ended with status -9, though no check failed: see above"),
    "nothing came back": (0, (), 4, "pytest ended with status 0, though no check failed: see above"),
    "something else failed": (
        1,
        ("passed",),
        4,
        "pytest ended with status 1, though no check failed: see above",
    ),
    "killed after a failure": (-9, ("failed",), 1, "violates EB03"),
    "failed before inconclusive": (1, ("failed", "inconclusive"), 1, "violates EB03"),
    "inconclusive": (1, ("passed", "inconclusive"), 3, "inconclusive: EB04"),
    "some skipped": (0, ("passed", "skipped"), 0, "conforms: 1 passed, 1 skipped"),
}


@pytest.mark.parametrize(("status", "found", "code", "words"), STATUSES.values(), ids=STATUSES)
def test_how_pytest_ended(
    status: int, found: tuple[str, ...], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rest = {"severity": "critical", "reason": "", "not_exercised": []}
    rest |= dict.fromkeys(("unusable", "too_late", "cut_short"), False)
    records = tuple({"id": f"EB0{number}", "status": each, **rest} for number, each in enumerate(found, 3))
    assert conclude(Settings(), Ended(status=status, records=records)) == code
    assert last(capsys.readouterr().out) == f"quarry-conformance: {words}"


@pytest.mark.parametrize(
    ("severity", "code", "words"),
    [("critical", 0, "conforms: 1 passed; EB15 failed, below --fail-on critical"), ("high", 1, "violates EB15")],
)
def test_fail_on(tmp_path: Path, severity: str, code: int, words: str) -> None:
    options = ("--handler", "orders:ByNotification", *SQLITE, "--only", "EB03,EB15", "--fail-on", severity)
    found, said = check(tmp_path, *options)
    assert (found, last(said)) == (code, f"quarry-conformance: {words}")


def test_a_known_failure(tmp_path: Path) -> None:
    known = ("--known-failure", "EB03", "ticket 12", TODAY)  # its last day
    code, said = check(tmp_path, *FORGETFUL, "--only", "EB03", *known)
    assert (code, last(said)) == (0, "quarry-conformance: conforms: 1 known")
    assert "EB03  restart" in said
    assert "ticket 12" in said


ENDS = """
from pytest_quarry.real_time import Budget


def next_share(budget):
    looks = iter([False] * 3)
    return lambda: next(looks, True)


Budget.next_share = next_share
"""


def test_a_known_failure_that_the_budget_cut_short(tmp_path: Path) -> None:
    """Whether it comes to fail depends on how fast the machine is: a gate must not."""
    (tmp_path / "ends_early.py").write_text(ENDS)
    known = ("--known-failure", "EB08", "ticket 12", TODAY)
    code, said = check(tmp_path, *SOUND, "--only", "EB08", *known, pytest=("-p", "ends_early"))
    assert (code, last(said)) == (0, "quarry-conformance: conforms: 1 known; EB08 cut short by the budget")
    assert "ticket 12; the budget ended after 4 schedules, none of which failed" in said


def test_a_known_failure_that_passes(tmp_path: Path) -> None:
    known = ("--known-failure", "EB03", "ticket 12", TOMORROW, "--fail-on", "critical")
    code, said = check(tmp_path, *SOUND, "--only", "EB03", *known)
    assert (code, last(said)) == (1, "quarry-conformance: violates EB03")
    assert "EB03 restart passed, but" in said
    assert "expects it to fail (ticket 12). Remove the entry." in said


def test_a_known_failure_that_expired(tmp_path: Path) -> None:
    known = ("--known-failure", "EB03", "ticket 12", YESTERDAY)
    code, said = check(tmp_path, *FORGETFUL, "--only", "EB03", *known)
    assert (code, last(said)) == (1, "quarry-conformance: violates EB03")
    assert f"known failure EB03 (ticket 12) expired on {YESTERDAY}: repair it, or set another date" in said


def test_an_interrupt_says_nothing_of_the_consumer(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import time\nfrom pathlib import Path\n\n"
        "def pytest_runtest_call():\n    Path('running').write_text('yes')\n    time.sleep(60)\n"
    )
    (tmp_path / "orders.py").write_text(ORDERS)
    # In the background of a script, SIGINT is ignored, and so it would be there.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [str(COMMAND), "check", *SOUND, "--only", "EB03", "--", "-p", "slow"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    signal.signal(signal.SIGINT, before)
    wait_for(tmp_path / "running", process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    said, _ = process.communicate(timeout=60)
    assert (process.returncode, last(said)) == (3, "quarry-conformance: inconclusive: it was interrupted")


def test_a_cancelled_job_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import os, time\nfrom pathlib import Path\n\n"
        "def pytest_runtest_call():\n    Path('running').write_text(str(os.getpid()))\n    time.sleep(60)\n"
    )
    (tmp_path / "orders.py").write_text(ORDERS)
    words = [str(COMMAND), "check", *SOUND, "--only", "EB03", "--", "-p", "slow"]
    process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL)
    wait_for(tmp_path / "running", process)
    process.terminate()
    assert process.wait(timeout=60) == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "running").read_text()), 0)


def wait_for(file: Path, process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    """Until pytest is in the middle of a check."""
    deadline = time.monotonic() + 60
    while not (file.exists() and file.read_text()) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.02)


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_change_no_exit_code(tmp_path: Path, closed: str) -> None:
    (tmp_path / "orders.py").write_text(ORDERS)
    for consumer, code in ((SOUND, 0), (FORGETFUL, 1)):
        words = [str(COMMAND), "check", *consumer, "--only", "EB03", "--", "-q"]
        done = subprocess.run(
            ["sh", "-c", f'exec "$@" {closed}', "sh", *words], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (code, "")


def test_the_settings_of_a_project(tmp_path: Path) -> None:
    (tmp_path / "quarry-conformance.toml").write_text(
        'handler = "orders:Forgetful"\n'
        f'rows-from-sqlite = "{SQLITE[1]}"\n'
        'only = ["EB03"]\n'
        'pytest-options = ["-v"]\n'
        "[[known-failures]]\n"
        'id = "EB03"\n'
        'reason = "ticket 12"\n'
        f"expires = {TOMORROW}\n"
    )
    (tmp_path / "orders.py").write_text(ORDERS)
    code, said = run(tmp_path, "check")
    assert (code, last(said)) == (0, "quarry-conformance: conforms: 1 known")
    assert "quarry-conformance::TestHandler::test_restart" in said
    code, said = run(tmp_path, "check", "--handler", "orders:Sound")
    assert (code, last(said)) == (1, "quarry-conformance: violates EB03"), "over the file: another consumer"


def test_where_the_kit_is_installed_makes_no_difference(tmp_path: Path) -> None:
    site = tmp_path / ".venv" / "lib"
    shutil.copytree(Path(pytest_quarry.__file__).parent, site / "pytest_quarry")
    (tmp_path / "orders.py").write_text(ORDERS)
    code, said = run(tmp_path, "check", *FORGETFUL, "--only", "EB03", environment={"PYTHONPATH": str(site)})
    assert code == 1
    assert "FAILED quarry-conformance::TestHandler::test_restart" in said
    assert "replay: quarry-conformance replay .quarry/EB03-" in said


def test_the_projects_own_tests_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("raise RuntimeError('needs a database')\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    code, said = check(tmp_path, *SOUND, "--only", "EB03")
    assert code == 0, said
