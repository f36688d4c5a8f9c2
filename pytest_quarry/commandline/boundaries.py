"""`quarry-conformance boundaries`: at which operations a consumer can be stopped, and what of it cannot be seen."""

from __future__ import annotations

import itertools
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from pytest_quarry.checks.conduct import Conductor
from pytest_quarry.checks.silence import of_loader, of_publisher
from pytest_quarry.commandline.settings import Settings
from pytest_quarry.commandline.suite import made
from pytest_quarry.simulation.history import Entry, History

TURNS = ("polled", "delivered", "asked", "started")
ENDS = ("raised", "hung", "gave-up", "failed")
WIDTH = 100
MOST_PRINTED = 5  # lines
MOST_ALIKE = 3  # operations in a row


def boundaries(settings: Settings) -> tuple[str, bool]:
    """The operations of the undisturbed consumer, turn by turn; and whether it did what was due. Raises ConsumerError."""
    consumer = made(settings, Path.cwd())().consumer()
    conductor = Conductor(consumer)
    stage = conductor.stage
    schedule = stage.loaded(stage.run("A"))
    history = conductor.closer(lambda: stage.history(schedule))
    lines = [
        "One run is written, and the consumer meets it undisturbed. It can be stopped before and after each operation;",
        "those with a * changed something that survives a crash.",
    ]
    crossed = [entry for entry in history.entries if entry.what == "crossed"]
    lines += _turns(history)
    lines += ["", f"{len(crossed)} operations, of which {sum(map(_durable, crossed))} changed something that survives"]
    lines += [f"not seen: what changed {name}" for name in history.unexplained]
    lines += [f"not exercised: {words}" for words in history.not_exercised]
    if consumer.kind == "publisher":
        lines.append(f"messages that SNS took: {sum(entry.published is not None for entry in history.entries)}")
        doubt = of_publisher(history, consumer, stage.run_id("A"))
    else:
        lines.append(f"rows at the end: {len(history.rows)}")
        doubt = None if history.rows else of_loader(history, consumer, stage.run_id("A"))
    if doubt is not None:
        lines += ["", textwrap.fill(f"{doubt.sentence} {doubt.why}", WIDTH)]
        lines += [f"  it printed: {line}" for line in history.output.strip().splitlines()[-MOST_PRINTED:]]
    return "\n".join(lines), doubt is None


def _durable(entry: Entry) -> bool:
    return entry.changed or entry.rows is not None or entry.published is not None


def _turns(history: History) -> Iterator[str]:
    """Each turn with its operations; turns that are like the one before in one line."""
    before: list[str] = []
    alike = 0
    for number, turn in enumerate(_split(history.entries), 1):
        lines = list(_lines(turn))
        if lines == before:
            alike += 1
            continue
        yield from _again(alike)
        alike, before = 0, lines
        yield ""
        yield f"turn {number}: {lines[0]}"
        yield from lines[1:] or ["    no operation"]
    yield from _again(alike)


def _again(count: int) -> Iterator[str]:
    if count:
        yield f"and {count} more {'turn' if count == 1 else 'turns'} like this one"


def _split(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """The entries by turn; a start belongs to the turn after it."""
    turn: list[Entry] = []
    for entry in entries:
        if entry.what in TURNS and any(each.what in TURNS and each.what != "started" for each in turn):
            yield turn
            turn = []
        if entry.what in (*TURNS, *ENDS, "crossed", "returned", "published"):
            turn.append(entry)
    if turn:
        yield turn


def _lines(turn: Sequence[Entry]) -> Iterator[str]:
    begins = [entry for entry in turn if entry.what in TURNS and entry.what != "started"]
    yield " and ".join(f"{entry.text or entry.what}" for entry in begins) or "start"
    seen: Counter[str] = Counter()
    for (what, text, durable), entries in itertools.groupby(turn, lambda each: (each.what, each.text, _durable(each))):
        count = sum(1 for _ in entries)
        if what == "crossed":
            yield from _operations(f"  {'*' if durable else ' '} {text}", seen[text], count)
            seen[text] += count
        elif what in ENDS:
            yield from [f"    {what} {text}"] * count


def _operations(line: str, before: int, count: int) -> Iterator[str]:
    """Equal operations in a row, each with its number; many of them in two lines."""
    shown = count if count <= MOST_ALIKE else 1
    for number in range(before + 1, before + shown + 1):
        yield line if number == 1 else f"{line} ({number})"
    if shown < count:
        yield f"    and {count - shown:,} more like this one"
