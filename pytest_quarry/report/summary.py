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
FEWEST = 12  # characters of a slug, below which it says nothing
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
            columns = _columns(listed, width)
            reporter.line(_head(columns))
            for record in listed:
                _write_row(reporter, record, columns, width, verbosity)
    good = Session(records=tuple(records)).conforms
    for line in textwrap.wrap(total(records), width):
        reporter.line(line, green=good, red=not good)


def total(records: Sequence[Record]) -> str:
    """Everything in one line."""
    schedules = sum(record.schedules for record in records)
    seconds = sum(record.seconds for record in records)
    counts = words_of(Session(records=tuple(records)).counts)
    return f"{_count(len(records), 'check')}: {counts} · {_count(schedules, 'schedule')} · {seconds:.1f} s"


def _columns(records: Sequence[Record], width: int) -> tuple[int, int]:
    """The widths of the columns of ids and of slugs; 0 for these where there is no room for half of one."""
    ids = max(6, *(len(record.id) + 2 for record in records))
    slugs = max(4, *(len(record.name) for record in records))
    room = width - ids - STATUS - 2 * NUMBERS - 6
    return ids, min(slugs, room) if room >= min(slugs, FEWEST) else 0


def _head(columns: tuple[int, int]) -> str:
    return f"  {_names(columns, 'check', 'slug')}{'status':<{STATUS}}{'schedules':>{NUMBERS + 2}}{'seconds':>{NUMBERS}}"


def _names(columns: tuple[int, int], check_id: str, slug: str) -> str:
    ids, slugs = columns
    return f"{check_id:<{ids}}" + (f"{_cut(slug, slugs):<{slugs}}  " if slugs else "")


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _write_row(reporter: Any, record: Record, columns: tuple[int, int], width: int, verbosity: int) -> None:
    reporter.write(f"  {_names(columns, record.id, shown(record.name))}")
    reporter.write(f"{WORDS[record.status]:<{STATUS}}", **MARKUP[record.status])
    schedules = f"{record.schedules:,}" if record.schedules or record.status == "passed" else ""
    reporter.line(f"{schedules:>{NUMBERS + 2}}{record.seconds:>{NUMBERS}.1f}".rstrip())
    for text in _beside(record, verbosity):
        room = max(20, width - 8)
        for line in textwrap.wrap(shown(text), room, max_lines=None if verbosity > 0 else 2, placeholder=" …"):
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
