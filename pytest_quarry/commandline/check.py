"""`quarry-conformance check`: the checks as pytest runs them, and an exit code that a gate can use."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pytest_quarry.commandline import consumers, pytest_process
from pytest_quarry.commandline.pytest_process import COMMAND_LINE, SETTINGS, Ended
from pytest_quarry.commandline.settings import SEVERITIES, Settings, UsageError

CONFORMS, VIOLATES, USAGE, INCONCLUSIVE, INTERNAL = range(5)
SUITE = "pytest_quarry.commandline.suite"
# The project's own configuration of pytest, and its fixtures, are for its own tests.
ALONE = ("-c", os.devnull, "--rootdir", ".", "--noconftest", "--no-header", "-p", "no:cacheprovider", "--pyargs", SUITE)


def check(settings: Settings, options: Sequence[str], pytest_options: Sequence[str]) -> int:
    """Run the checks; the exit code. `options`: those of the command line, for replays. Raises UsageError, ConsumerError."""
    return conclude(settings, run(settings, options, pytest_options))


def run(settings: Settings, options: Sequence[str], pytest_options: Sequence[str]) -> Ended:
    """Run pytest on the suite of a consumer. What is wrong with the settings is said before anything runs."""
    if settings.environment and consumers.command(settings, Path.cwd()) is None:
        consumers.check_reference(settings)  # here, since pytest's process must not have imported it without that
    environment = {SETTINGS: settings.to_json(), COMMAND_LINE: json.dumps(list(options))}
    ended = pytest_process.run([*ALONE, *settings.pytest_options, *pytest_options], environment)
    if ended.refused:
        raise UsageError(ended.refused)
    return ended


def conclude(settings: Settings, ended: Ended) -> int:
    """The exit code for what became of the checks; what decided it is printed."""
    records = ended.records
    tolerated = SEVERITIES[SEVERITIES.index(settings.fail_on) + 1 :]
    known = {failure.id for failure in settings.known_failures}
    over = [failure for failure in settings.known_failures if failure.is_over]
    failed = [each for each in records if each["status"] == "failed"]
    unsure = [each for each in records if each["status"] == "inconclusive"]
    violates = [each for each in failed if each["severity"] not in tolerated or each["id"] in known]
    _print_asides(records, over)
    if violates or over:
        return said(VIOLATES, f"violates {_ids([*violates, *({'id': failure.id} for failure in over)])}")
    if any(each["unusable"] for each in unsure):
        return said(USAGE, "cannot be checked: see above")
    if ended.interrupted:
        return said(INCONCLUSIVE, "inconclusive: it was interrupted")
    if any(each["severity"] not in tolerated for each in unsure):
        return said(INCONCLUSIVE, f"inconclusive: {_ids(unsure)}")
    if ended.status in (4, 5):
        return said(USAGE, "pytest ran no check: see above")
    if ended.status not in (0, 1) or not records or (ended.status == 1 and not (failed or unsure)):
        return said(INTERNAL, f"pytest ended with status {ended.status}, though no check failed: see above")
    if not any(each["status"] in ("passed", "known", "failed") for each in records):
        return said(INCONCLUSIVE, f"inconclusive: nothing was checked, {_ids(records)} skipped")
    return said(CONFORMS, "conforms: " + "; ".join(_what_conforms(settings, records)))


def _print_asides(records: Sequence[Any], over: Sequence[Any]) -> None:
    for failure in over:
        reason = f"known failure {failure.id} ({failure.reason})"
        print(f"{reason} expired on {failure.expires}: repair it, or set another date")
    for words in dict.fromkeys(line for each in records for line in each["not_exercised"] or ()):
        print(f"not exercised: {words}")


def _what_conforms(settings: Settings, records: Sequence[Any]) -> Iterator[str]:
    """What a gate let through, so that nobody takes it for more than it is."""
    counts = Counter(each["status"] for each in records)
    yield ", ".join(f"{counts[status]} {status}" for status in ("passed", "known", "skipped") if counts[status])
    for status in ("failed", "inconclusive"):
        found = [each for each in records if each["status"] == status]
        if found:
            yield f"{_ids(found)} {status}, below --fail-on {settings.fail_on}"
    cut = [each for each in records if each["cut_short"]]
    if cut:
        yield f"{_ids(cut)} cut short by the budget"
    late = [each for each in records if each["too_late"]]
    if late:
        yield f"{_ids(late)} left out by it"


def _ids(records: Sequence[Any]) -> str:
    return ", ".join(dict.fromkeys(each["id"] for each in records))


def said(code: int, words: str) -> int:
    """An exit code, after the words for it."""
    print(f"\nquarry-conformance: {words}")
    return code
