"""A check that is expected to fail, and whose budget ends before it could: nothing is known of it, so it is no pass."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from orders import BROKEN, SOUND

QUIET = ("-p", "no:randomly", "-p", "no:random_order", "-q", "-rx", "-k", "crash_duplicates or restart")
SAID = "ticket 7; the budget ended after 4 schedules, none of which failed: nothing can be said of it"
CUT = "EB05 crash-duplicates-nothing: the budget ended after 4 schedules"
KNOWN = '\n    known_failures = {"EB05": "ticket 7"}\n'
OVERRIDE = """
    {mark}
    def test_crash_duplicates_nothing(self):
        super().test_crash_duplicates_nothing()
"""


@pytest.fixture
def _cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """The share of each check is used up after four schedules."""

    def next_share(budget: object) -> Callable[[], bool]:
        looks = iter([False] * 3)
        return lambda: next(looks, True)

    monkeypatch.setattr("pytest_quarry.real_time.Budget.next_share", next_share)


def run(pytester: pytest.Pytester, source: str, mark: str = "") -> pytest.RunResult:
    override = OVERRIDE.format(mark=mark) if mark else ""
    pytester.makepyfile(test_orders=f"import pytest\n{source}{override}")
    return pytester.runpytest(*QUIET, "--quarry-report=json:r.json")


def reported(pytester: pytest.Pytester) -> tuple[str, str]:
    report = json.loads((pytester.path / "r.json").read_text())
    (found,) = (check for check in report["checks"] if check["id"] == "EB05")
    return found["status"], found["reason"]


@pytest.mark.usefixtures("_cut")
@pytest.mark.parametrize(
    ("source", "mark"),
    [
        (BROKEN + KNOWN, ""),
        (BROKEN, "@pytest.mark.xfail(reason='ticket 7', strict=True)"),
        (BROKEN, "@pytest.mark.xfail(reason='ticket 7', strict=False)"),
    ],
    ids=["known_failures", "strict mark", "mark"],
)
def test_it_is_still_expected_to_fail(pytester: pytest.Pytester, source: str, mark: str) -> None:
    result = run(pytester, source, mark)
    result.assert_outcomes(passed=1, xfailed=1)
    result.stdout.fnmatch_lines(["*= quarry budget =*", CUT])
    result.stdout.fnmatch_lines([f"XFAIL *test_crash_duplicates_nothing - {SAID}"])
    assert reported(pytester) == ("known", SAID)


@pytest.mark.usefixtures("_cut")
def test_a_mark_that_does_not_hold_expects_nothing(pytester: pytest.Pytester) -> None:
    run(pytester, BROKEN, "@pytest.mark.xfail(False, reason='ticket 7', strict=True)").assert_outcomes(passed=2)


def test_a_whole_pass_refutes_a_mark(pytester: pytest.Pytester) -> None:
    run(pytester, SOUND, "@pytest.mark.xfail(reason='ticket 7', strict=True)").assert_outcomes(passed=1, failed=1)
    assert reported(pytester) == ("failed", "[XPASS(strict)] ticket 7")
