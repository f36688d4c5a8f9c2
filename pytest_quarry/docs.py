"""`python -m pytest_quarry.docs`: writes docs/checks/, a page for each check, with the reports of real samples in them."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

from hypothesis import Phase, given, seed, settings

from pytest_quarry import explain
from pytest_quarry.checks.check import Check
from pytest_quarry.checks.conduct import Conductor, Result
from pytest_quarry.checks.fuzzing import FUZZ, drawn
from pytest_quarry.checks.production import checks_by_id
from pytest_quarry.fuzz import QUIET
from pytest_quarry.report import terminal
from pytest_quarry.simulation.schedule import Schedule

FOLDER = Path(__file__).parent.parent / "docs" / "checks"


def main(arguments: list[str] | None = None) -> int:
    """Write the index and the pages of the checks that are named, or of all."""
    wanted = sys.argv[1:] if arguments is None else arguments
    checks = checks_by_id()
    unknown = [name for name in wanted if name not in checks]
    if unknown:
        print(f"no check: {', '.join(unknown)}; there are {', '.join(checks)}", file=sys.stderr)
        return 2
    FOLDER.mkdir(parents=True, exist_ok=True)
    failed = 0
    for check_id in wanted or checks:
        try:
            text = explain.page(checks[check_id], reports(checks[check_id]))
        except Exception as error:  # the other pages are worth having
            failed += 1
            print(f"{check_id}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            continue
        (FOLDER / f"{check_id}.md").write_text(text, encoding="utf-8")
        print(check_id, flush=True)
    (FOLDER / "README.md").write_text(index(), encoding="utf-8")
    return 1 if failed else 0


def index() -> str:
    """The list of all pages."""
    lines = [
        f"| [{check.id}]({check.id}.md) | {check.slug} | {check.states} | {check.severity} |"
        for check in checks_by_id().values()
    ]
    head = ["# The checks", "", "Made by `python -m pytest_quarry.docs` from the catalogue and the samples.", ""]
    return "\n".join([*head, "| id | slug | states | severity |", "| --- | --- | --- | --- |", *lines]) + "\n"


def reports(check: Check) -> tuple[str, str] | None:
    """What the check says of the broken sample, and of the sound one. Raises where one of them ends otherwise."""
    example = explain.EXAMPLES.get(check.id)
    if example is None:
        return None
    broken, sound = _played(check, example.broken), _played(check, example.sound)
    if broken.status != "failed" or sound.status != "passed":
        raise RuntimeError(f"{check.id}: {example.broken} {broken.status}, {example.sound} {sound.status}")
    return portable(terminal.failure(broken, replay=None)), f"It passes: {sound.schedules:,} schedules."


def portable(report: str) -> str:
    """A report without the folders of the machine it was made on: files as their package calls them."""
    return re.sub(r'File "[^"]*/(?=pytest_quarry/)|File "[^"]*/(?:site-packages|python3\.\d+)/', 'File "', report)


def _played(check: Check, name: str) -> Result:
    conductor = Conductor(explain.samples()[name].suite()().consumer())
    return _drawn(conductor) if check is FUZZ else conductor.conduct(check)


def _drawn(conductor: Conductor) -> Result:
    """What `test_fuzz` finds, under a seed of its own."""
    results: list[Result] = []

    @seed(0)
    @settings(database=None, deadline=None, phases=[Phase.generate], suppress_health_check=QUIET)
    @given(schedule=conductor.closer(lambda: drawn(conductor.stage)))
    def play(schedule: Schedule) -> None:
        if not results or results[-1].status == "passed":
            results.append(conductor.play(FUZZ, schedule))

    play()
    conductor.close()
    executions = sum(result.executions for result in results)
    return replace(results[-1], schedules=len(results), executions=executions, drawn=True)


if __name__ == "__main__":
    sys.exit(main())
