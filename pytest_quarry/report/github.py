"""Annotations in GitHub Actions: one for each check that did not pass, at the suite it belongs to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pytest_quarry.report.record import Record
from pytest_quarry.report.session import file_of
from pytest_quarry.report.shown import shown

LEVELS = {"failed": "error", "inconclusive": "error", "known": "warning"}


def write(reporter: Any, records: Sequence[Record], below: str) -> None:
    """Write the commands that make GitHub annotate; each on a line of its own."""
    for line in commands(records, below):
        reporter.ensure_newline()
        reporter.line(line)


def commands(records: Sequence[Record], below: str = "") -> Iterator[str]:
    """The workflow commands. `below`: where pytest's root folder is in the checkout."""
    for record in records:
        level = LEVELS.get(record.status)
        if level is None:
            continue
        failure = record.failure
        lines = [record.reason] if failure is None else [failure.sentence, failure.why, failure.fix]
        if failure is not None and record.status == "known":
            lines.append(f"known: {record.reason}")
        if failure is not None and failure.replay:
            lines.append(f"replay: {failure.replay}")
        words = "\n".join(shown(part) for line in lines for part in line.split("\n") if part)
        title = f"{record.title} ({record.severity}) {record.status}"
        file = file_of(record, below)
        yield f"::{level} file={_property(file)},title={_property(title)}::{_data(words)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(shown(text)).replace(":", "%3A").replace(",", "%2C")
