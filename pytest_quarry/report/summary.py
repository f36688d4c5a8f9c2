"""The table at the end of a session: every check of every consumer, in one line each."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from pytest_quarry.report.record import Record, Status
from pytest_quarry.report.session import DISTURBING, Session, words_of
from pytest_quarry.report.shown import shown

WORDS: dict[Status, str] = {
    "passed": "passed",
    "failed": "FAILED",
    "known": "known",
    "inconclusive": "INCONCLUSIVE",
    "skipped": "skipped",
}
MARKUP: dict[Status, dict[str, bool]] = {
    "passed": {"green": True},
    "failed": {"red": True, "bold": True},
    "known": {"yellow": True},
    "inconclusive": {"red": True},
    "skipped": {"yellow": True},
}
STATUS = max(len(word) for word in WORDS.values())
NUMBERS = 9  # the width of a column of numbers
WIDEST = 120


def in_actions() -> bool:
    """Whether this is a job of GitHub Actions."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def write(reporter: Any, records: Sequence[Record]) -> None:
    """Write the table through pytest's reporter: with -q what did not pass, with -qq nothing, with -v everything."""
    verbosity = reporter.verbosity
    if verbosity < -1:
        return
    width = min(WIDEST, reporter.config.get_terminal_writer().fullwidth)
    reporter.section("quarry conformance")
    for consumer, group in groupby(records, key=lambda record: record.consumer):
        mine = list(group)
        listed = mine if verbosity >= 0 else [record for record in mine if record.status != "passed"]
        if listed:
            reporter.line(shown(consumer), bold=True)
            slugs = _slugs(listed, width)
            reporter.line(_head(slugs, width))
            for record in listed:
                _write_row(reporter, record, slugs, width, verbosity)
    good = Session(records=tuple(records)).conforms
    reporter.line(total(records), green=good, red=not good)


def total(records: Sequence[Record]) -> str:
    """Everything in one line."""
    schedules = sum(record.schedules for record in records)
    seconds = sum(record.seconds for record in records)
    counts = words_of(Session(records=tuple(records)).counts)
    return f"{_count(len(records), 'check')}: {counts} · {_count(schedules, 'schedule')} · {seconds:.1f} s"


def _slugs(records: Sequence[Record], width: int) -> int:
    """The width of the column of slugs; 0 where there is no room for it."""
    longest = max(len(record.slug) for record in records)
    return longest if width >= 10 + longest + STATUS + 2 * NUMBERS + 6 else 0


def _head(slugs: int, width: int) -> str:
    name = f"{'slug':<{slugs}}  " if slugs else ""
    return f"  {'check':<6}{name}{'status':<{STATUS}}{'schedules':>{NUMBERS + 2}}{'seconds':>{NUMBERS}}"


def _write_row(reporter: Any, record: Record, slugs: int, width: int, verbosity: int) -> None:
    name = f"{record.slug:<{slugs}}  " if slugs else ""
    reporter.write(f"  {record.id:<6}{name}")
    reporter.write(f"{WORDS[record.status]:<{STATUS}}", **MARKUP[record.status])
    schedules = f"{record.schedules:,}" if record.schedules or record.status == "passed" else ""
    reporter.line(f"{schedules:>{NUMBERS + 2}}{record.seconds:>{NUMBERS}.1f}".rstrip())
    for text in _beside(record, verbosity):
        room = max(20, width - 8)
        lines = textwrap.wrap(shown(text), room)
        for line in lines if verbosity > 0 else lines[:2]:
            reporter.line(" " * 8 + line, **({"light": True} if record.status == "passed" else {}))


def _beside(record: Record, verbosity: int) -> Iterator[str]:
    """What a row says in lines of its own: why it is no pass, and what was not exercised."""
    if record.failure is not None:
        yield record.failure.sentence
    if record.reason:
        yield record.reason
    if record.not_exercised:
        yield "not exercised: " + "; ".join(record.not_exercised)
    if verbosity > 0 and record.status in (*DISTURBING, "passed"):
        yield f"{record.states} {_count(record.executions, 'execution')}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
