"""A check whose method a suite overrides, to mark it for one, is that check in reports, profiles and replays."""

from __future__ import annotations

import json
import shlex
import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest
from orders import BROKEN, SOUND

QUIET = ("-p", "no:randomly", "-p", "no:random_order", "-q")
OVERRIDE = """
    {mark}
    def test_crash_duplicates_nothing(self):
        {body}
"""
CALLS = "super().test_crash_duplicates_nothing()"
SWALLOWS = """
        try:
            super().test_crash_duplicates_nothing()
        except pytest.fail.Exception:
            pass
"""


def overridden(pytester: pytest.Pytester, source: str, mark: str = "", body: str = CALLS) -> None:
    pytester.makepyfile(test_orders=f"import pytest\n{source}{OVERRIDE.format(mark=mark, body=body)}")


def reported(pytester: pytest.Pytester) -> dict[str, Any]:
    pytester.runpytest(
        *QUIET, "--quarry-report=json:r.json", "--junitxml=junit.xml", "-k", "crash_duplicates or restart"
    )
    data: dict[str, Any] = json.loads((pytester.path / "r.json").read_text())
    return data


@pytest.mark.parametrize(
    ("mark", "status", "reason", "conforms"),
    [
        ("", "failed", "", False),
        ("@pytest.mark.quarry(storage='s3')", "failed", "", False),
        ("@pytest.mark.xfail(reason='ticket 12', strict=True)", "known", "ticket 12", True),
        ("@pytest.mark.skip(reason='later')", "skipped", "later", True),
    ],
)
def test_it_is_in_the_reports(pytester: pytest.Pytester, mark: str, status: str, reason: str, conforms: bool) -> None:
    overridden(pytester, BROKEN, mark)
    report = reported(pytester)
    restart, found = sorted(report["checks"], key=lambda check: str(check["id"]))
    assert (restart["id"], restart["status"]) == ("EB03", "passed")
    assert (found["id"], found["status"], found["reason"], report["conforms"]) == ("EB05", status, reason, conforms)
    cases = ElementTree.parse(pytester.path / "junit.xml").getroot().findall(".//testcase")
    told = [case.find("properties/property[@name='quarry_check']") for case in cases]
    assert "EB05 crash-duplicates-nothing" in {each.get("value") for each in told if each is not None}


def test_a_check_that_the_override_never_calls_has_not_passed(pytester: pytest.Pytester) -> None:
    overridden(pytester, BROKEN, body="pass")
    found = reported(pytester)["checks"][1]
    assert (found["id"], found["status"]) == ("EB05", "skipped")
    assert found["reason"] == ("TestOrders.test_crash_duplicates_nothing, which overrides the check, checked nothing")


def test_a_failure_that_the_override_bears_with_is_known(pytester: pytest.Pytester) -> None:
    overridden(pytester, BROKEN, body=SWALLOWS)
    found = reported(pytester)["checks"][1]
    assert (found["id"], found["status"]) == ("EB05", "known")
    assert found["failure"]["sentence"].startswith("run-A was loaded twice")


def test_profiles_choose_it(pytester: pytest.Pytester) -> None:
    overridden(pytester, SOUND)
    for profile, is_chosen in (("fuzz", False), ("core", True), ("full", True)):
        chosen = pytester.runpytest(*QUIET, f"--quarry-profile={profile}", "--collect-only").stdout.str()
        assert ("test_crash_duplicates_nothing" in chosen) is is_chosen
    chosen = pytester.runpytest(*QUIET, "-m", "quarry", "--collect-only").stdout.str()
    assert "test_crash_duplicates_nothing" in chosen


def test_its_schedule_is_replayed(pytester: pytest.Pytester) -> None:
    overridden(pytester, BROKEN)
    result = pytester.runpytest(*QUIET, "-k", "crash_duplicates")
    (command,) = (line.strip() for line in result.outlines if line.strip().startswith("replay: "))
    again = pytester.runpytest(*QUIET, *shlex.split(command)[2:])
    again.stdout.fnmatch_lines(["still failing", "*EB05-*.json: still failing"])
