"""A test that is marked `apart` fails as any other: where its process raises, and where that ends without a word."""

from __future__ import annotations

from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"
TESTS = """
import os
import pytest

here = os.getpid()

@pytest.mark.apart
@pytest.mark.parametrize("number", [1, 2])
def test_raises(number, tmp_path):
    assert tmp_path.is_dir()
    assert number == 1, "not one"

@pytest.mark.apart
def test_ends():
    os._exit(3)

@pytest.mark.apart
def test_is_elsewhere():
    assert os.getpid() != here
"""


def test_what_goes_wrong_apart_is_told(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST.read_text(encoding="utf-8"))
    pytester.makepyfile(TESTS)
    result = pytester.runpytest_subprocess("-q")
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(
        ["*ended with 0: Traceback*", "*AssertionError: not one*", "*ended with 3: nothing was told"]
    )
