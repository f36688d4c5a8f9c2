"""`quarry-conformance check` and `replay`: the checks as pytest runs them, and an exit code that a gate can use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_quarry.commandline.gate import RESULTS
from pytest_quarry.commandline.settings import SEVERITIES, Settings, UsageError
from pytest_quarry.commandline.suite import VARIABLE, made

CONFORMS, VIOLATES, USAGE, INCONCLUSIVE, INTERNAL = range(5)
SUITE = "pytest_quarry.commandline.suite"


def check(settings: Settings, pytest_options: Sequence[str]) -> int:
    """Run the checks; the exit code. Raises UsageError, ConsumerError."""
    suite = made(settings, Path.cwd())  # what is wrong is said before anything runs
    _check_ids(settings, suite)
    with tempfile.TemporaryDirectory(prefix="quarry-check-") as folder:
        results = Path(folder, "results.jsonl")
        environment = {**os.environ, VARIABLE: settings.to_json(), RESULTS: str(results)}
        words = [
            sys.executable,
            "-m",
            "pytest",
            "-c",
            os.devnull,
            "--rootdir",
            ".",
            "-p",
            "pytest_quarry.commandline.gate",
        ]
        sys.stdout.flush()
        ended = subprocess.run(
            [*words, "-p", "no:cacheprovider", "--pyargs", SUITE, *pytest_options], env=environment, check=False
        ).returncode
        found = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    return conclude(settings, found, ended)


def _check_ids(settings: Settings, suite: Any) -> None:
    from pytest_quarry.checks.catalogue import of_kind

    known = [check.id for check in of_kind(suite.kind)]
    unknown = [each for each in settings.only if each not in known]
    if unknown:
        raise UsageError(f"--only names {', '.join(unknown)}; the checks of this consumer are {', '.join(known)}")
    for failure in settings.known_failures:
        if failure.id not in known:
            raise UsageError(f"known failure {failure.id} is no check of this consumer; they are {', '.join(known)}")


def conclude(settings: Settings, records: Sequence[Any], ended: int) -> int:
    """The exit code for what became of the checks; what decided it is printed."""
    tolerated = SEVERITIES[SEVERITIES.index(settings.fail_on) + 1 :]
    known = {failure.id for failure in settings.known_failures}
    failed = [each for each in records if each["status"] == "failed"]
    violates = [each for each in failed if each["severity"] not in tolerated or each["id"] in known]
    over = [failure for failure in settings.known_failures if failure.is_over]
    unsure = [each for each in records if each["status"] == "inconclusive"]
    for failure in over:
        print(
            f"known failure {failure.id} ({failure.reason}) expired on {failure.expires}: repair it, or set another date"
        )
    for words in dict.fromkeys(line for each in records for line in each["not_exercised"] or ()):
        print(f"not exercised: {words}")
    if violates or over:
        names = ", ".join(dict.fromkeys([*(each["id"] for each in violates), *(failure.id for failure in over)]))
        return _said(VIOLATES, f"violates {names}")
    if any(each["unusable"] for each in unsure):
        return _said(USAGE, "cannot be checked: see above")
    if unsure:
        return _said(INCONCLUSIVE, f"inconclusive: {', '.join(each['id'] for each in unsure)}")
    if ended in (4, 5):
        return _said(USAGE, "pytest ran no check")
    if ended not in (0, 1) or not records:
        return _said(INTERNAL, f"pytest ended with status {ended}")
    below = f", with {', '.join(each['id'] for each in failed)} failing below --fail-on {settings.fail_on}"
    return _said(CONFORMS, f"conforms{below if failed else ''}")


def _said(code: int, words: str) -> int:
    print(f"\nquarry-conformance: {words}")
    return code


def replay(file: str, settings: Settings, pytest_options: Sequence[str]) -> int:
    """Execute a saved schedule against the consumer it was saved for. Raises UsageError."""
    try:
        saved = json.loads(Path(file).read_text(encoding="utf-8"))
        consumer = str(saved["consumer"])
    except OSError as error:
        raise UsageError(f"replay {file}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"replay {file}: is no schedule saved by pytest-quarry") from None
    path = consumer.split("::", 1)[0]
    if not path:
        return check(settings, ["--quarry-replay", str(Path(file).resolve()), *pytest_options])
    words = [sys.executable, "-m", "pytest", path, "--quarry-replay", file, *pytest_options]
    return {0: CONFORMS, 1: VIOLATES, 4: USAGE}.get(subprocess.run(words, check=False).returncode, INTERNAL)
