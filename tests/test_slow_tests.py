"""Shares of the slow tests: together they are all tests, and the list names tests that are there."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SLOW = (ROOT / "tests/slow.txt").read_text().split()


def test_the_slow_tests_are_there() -> None:
    assert [name for name in SLOW if not is_there(name)] == []


def is_there(name: str) -> bool:
    *path, function = name.split(".")
    files = (ROOT.joinpath(*path[:at]).with_suffix(".py") for at in range(len(path), 0, -1))
    file = next((file for file in files if file.is_file()), None)
    return file is not None and bool(re.search(rf"^ *def {function}\(", file.read_text(), re.MULTILINE))


def test_shares_are_together_all_and_share_no_slow_test(pytester: pytest.Pytester) -> None:
    def collected(*options: str) -> set[str]:
        there = ROOT / "tests/bus/test_conditions.py"
        done = pytester.run(sys.executable, "-m", "pytest", "-q", "--co", f"--rootdir={ROOT}", *options, there)
        assert done.ret == 0
        return {line for line in done.outlines if "::" in line}

    everything = collected()
    shares = [collected(f"--slow-tests={number}/3") for number in (1, 2, 3)]
    slow = {test for test in everything if test.partition("[")[0].rpartition("::")[2] in " ".join(SLOW)}
    assert set().union(*shares) == everything
    assert all(everything - slow < share for share in shares)
    assert sorted(test for share in shares for test in share & slow) == sorted(slow) != []


def test_a_share_from_the_environment_reaches_each_worker(pytester: pytest.Pytester) -> None:
    test = ROOT / "tests/bus/test_endpoint.py::test_aiobotocore"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTEST_ADDOPTS", "--slow-tests=2/2")
        done = pytester.run(sys.executable, "-m", "pytest", "-n", "1", f"--rootdir={ROOT}", test)
    assert done.ret == pytest.ExitCode.NO_TESTS_COLLECTED, "the first share has the only test"


@pytest.mark.parametrize("share", ["0/3", "4/3", "a", "1/", "/3", "-1/3"])
def test_a_share_that_cannot_be(pytester: pytest.Pytester, share: str) -> None:
    done = pytester.run(
        sys.executable, "-m", "pytest", "--co", f"--slow-tests={share}", ROOT / "tests/contract/test_run.py"
    )
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([f"*--slow-tests {share}: what it takes is K/N, as 1/6: K from 1 to N"])
