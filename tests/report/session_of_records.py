"""A session of pytest in which items carry records made by hand, as those of the suites carry what the engine found."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

# Imported once here: pytester forgets what was imported while it ran.
from pytest_quarry.report.record import Record

CONFTEST = """
import json
import pathlib
import pytest

from pytest_quarry.report.stream import place_of

records = json.loads(pathlib.Path(__file__).with_name("records.json").read_text())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call":
        report.quarry = records[int(item.name.rpartition("_")[2])]
        report.quarry_place = place_of(report.quarry["id"])
    return report
"""


def run(pytester: pytest.Pytester, records: Sequence[Record], *options: str) -> pytest.RunResult:
    """Run pytest with an item for each record; one that did not pass fails or is skipped as it says."""
    tests = ["import pytest"]
    for number, record in enumerate(records):
        body = {"passed": "pass", "skipped": "pytest.skip('…')", "known": "pytest.xfail('…')"}.get(record.status)
        tests.append(f"def test_{number}():\n    {body or 'pytest.fail(chr(46), pytrace=False)'}")
    pytester.makepyfile(test_made="\n\n".join(tests))
    pytester.makeconftest(CONFTEST)
    Path(pytester.path, "records.json").write_text(json.dumps([record.to_json() for record in records]))
    play = pytester.runpytest_subprocess if "-n" in options else pytester.runpytest_inprocess
    return play("-p", "no:randomly", "-p", "no:random_order", *options)


def section(result: pytest.RunResult, title: str = "quarry conformance") -> str:
    """What stands below a heading, up to the next."""
    lines = result.stdout.str().splitlines()
    at = next(number for number, line in enumerate(lines) if f" {title} " in line)
    found = []
    for line in lines[at + 1 :]:
        if re.sub(r"\x1b\[\d+m", "", line).startswith("==="):
            break
        found.append(line.rstrip())
    return "\n".join(found) + "\n"
