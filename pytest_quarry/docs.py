"""`python -m pytest_quarry.docs`: writes docs/checks/, a page for each check, with the reports of real samples in them."""

from __future__ import annotations

import sys
from pathlib import Path

from pytest_quarry import explain
from pytest_quarry.checks.check import Check
from pytest_quarry.checks.conduct import Conductor, Result
from pytest_quarry.checks.production import checks_by_id
from pytest_quarry.report import terminal

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
    text = terminal.failure(broken, replay=None).replace(f'"{FOLDER.parent.parent}/', '"')  # the same on every machine
    return text, f"It passes: {sound.schedules:,} schedules."


def _played(check: Check, name: str) -> Result:
    return Conductor(explain.samples()[name].suite()().consumer()).conduct(check)


if __name__ == "__main__":
    sys.exit(main())
