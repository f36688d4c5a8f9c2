"""The failure text: the verdict in one sentence, a table of steps, why, the usual fix, how to replay."""

from __future__ import annotations

import textwrap
from collections import Counter

from pytest_quarry.checks.conduct import Result
from pytest_quarry.checks.verdict import Verdict
from pytest_quarry.report.in_short import Again, LeftOut, Line, Part, in_short
from pytest_quarry.report.shown import shown, shown_lines
from pytest_quarry.report.width import WIDTH
from pytest_quarry.simulation.history import Entry, History, Row

WORLD = 32
CONSUMER = 42
NARROWEST = 40
LEAST = 18  # characters of the column `consumer`, below which there is no table
HERE = "  ◀ here"
OUTPUT_LINES = 12
QUIET = ("settled",)


def failure(result: Result, *, replay: str | None, width: int = WIDTH) -> str:
    """The text of a check that did not pass."""
    verdict = result.verdict
    assert verdict is not None
    assert result.history is not None
    lines = lines_of(result.history.entries)
    numbers = _numbers(lines)
    here = numbers.get(verdict.here) if verdict.here is not None else None
    parts = in_short(lines, here, {_number(numbers, at) for at in verdict.entries})
    width = max(NARROWEST, width)
    table = _table(parts, here, width) or _list(parts, here, width)
    text = [*_heading(result, width), *_wrapped(verdict.sentence, width), "", *table]
    if verdict.why:
        text += ["", *_wrapped(why_of(verdict, result.history), width)]
    if result.status == "failed" and result.check.fix:
        text += _wrapped(result.check.fix, width)
    text += ["", *_ending(result, replay, width)]
    text += _output(result)
    if result.check.page:
        explained = "" if result.check.own else f" (quarry-conformance explain {result.check.id})"
        text += ["", f"docs: {result.check.page}{explained}"]
    return "\n".join(text)


def why_of(verdict: Verdict, history: History) -> str:
    """Why, with the numbers of the table's lines in it."""
    if not verdict.entries:
        return verdict.why
    numbers = _numbers(lines_of(history.entries))
    return verdict.why.format(*(_number(numbers, at) for at in verdict.entries))


def _numbers(lines: list[Line]) -> dict[int, int]:
    return {at: number for number, line in enumerate(lines, 1) for at in line.entries}


def _number(numbers: dict[int, int], at: int) -> int:
    """The line of an entry; of one that has none, the last line before it."""
    return max((number for place, number in numbers.items() if place <= at), default=1)


def _heading(result: Result, width: int) -> list[str]:
    label = result.check.severity if result.status == "failed" else "inconclusive"
    gap = width - len(result.check.title) - len(label)
    return [result.check.title + " " * gap + label] if gap > 1 else [result.check.title, label]


def _ending(result: Result, replay: str | None, width: int) -> list[str]:
    words = f"schedule {result.schedules} was the first to fail, smallest first; {result.executions} executions"
    if result.drawn:
        executions = f"{result.executions} execution{'' if result.executions == 1 else 's'}"
        words = f"schedule {result.schedules} of those that Hypothesis drew; {executions}"
    if result.status == "inconclusive":
        words = f"neither passed nor failed; {result.executions} executions"
    lines = _wrapped(words, width)
    if replay is not None:
        lines.append(f"replay: {replay}")
    return lines


def _output(result: Result) -> list[str]:
    assert result.history is not None
    parts = []
    if result.history.stack and any(entry.what in ("hung", "raised", "ended") for entry in result.history.entries):
        parts += ["", "where it stood:", textwrap.indent(result.history.stack.rstrip(), "  ")]
    output = result.history.output.strip().splitlines()
    if output:
        more = len(output) - OUTPUT_LINES
        last = output[-OUTPUT_LINES:] if more > 0 else output
        note = f" (the last {OUTPUT_LINES} of {len(output)} lines)" if more > 0 else ""
        parts += ["", f"what the consumer printed{note}:", *(f"  {line}" for line in last)]
    return parts


def _wrapped(text: str, width: int) -> list[str]:
    """Broken at the width, line by line: a table keeps its lines."""
    return [part for line in shown_lines(text).split("\n") for part in textwrap.wrap(line, width) or [""]]


def _table(parts: list[Part], here: int | None, width: int) -> list[str]:
    """The steps in columns, as wide as there is room for; none where there is too little."""
    lines = [part for _, part in parts if isinstance(part, Line)]
    target = max([len("target"), *(len(line.target) + len(HERE) for line in lines)])
    world = min(WORLD, max([len("world"), *(len(part) for line in lines for part in _below(line.world))]))
    consumer = min(CONSUMER, max([len("consumer"), *(len(line.consumer) for line in lines)]))
    room = width - len(" step    time  ") - len("    ") - target
    if world + consumer > room:
        world = min(world, max(room // 3, room - consumer))
        consumer = room - world
    if consumer < LEAST or world < min(LEAST, len("delivers")):
        return []
    found = [f" step  {'time':>6}  {'world':<{world}}  {'consumer':<{consumer}}  target"]
    for number, line in parts:
        if not isinstance(line, Line):
            found += _instead(line, width)
            continue
        mark = HERE if number == here else ""
        first, *below = _below(line.world)
        found.append(
            f" {number:>4}  {_time(line.time):>6}  {_cut(first, world):<{world}}  "
            f"{_cut(line.consumer, consumer):<{consumer}}  {shown(line.target)}{mark}".rstrip()
        )
        found += [f"{'':>15}{_cut(part, world)}" for part in below]
    return found


def _below(world: str) -> list[str]:
    """What the world does, and each thing that is odd about it in a line of its own, which no narrow column cuts off."""
    first, *more = world.split("; ")
    return [first, *(f"  {part}" for part in more)]


def _list(parts: list[Part], here: int | None, width: int) -> list[str]:
    """The steps one below the other, for narrow terminals."""
    found = []
    for number, line in parts:
        if not isinstance(line, Line):
            found += _instead(line, width)
            continue
        words = [shown(part) for part in (line.world, line.consumer, line.target) if part]
        text = f" {number:>3} {_time(line.time):>4}  {'; '.join(words)}"
        found += textwrap.wrap(text, width, subsequent_indent=" " * 11, break_long_words=True)
        if number == here:
            if len(found[-1] + HERE) > width:
                found.append(" " * (11 - len(HERE) + len(HERE.lstrip())))
            found[-1] += HERE
    return found


def _instead(part: Again | LeftOut, width: int) -> list[str]:
    if isinstance(part, LeftOut):
        words = f"{part.lines} steps, which the reports of --quarry-report have"
    else:
        waits = ", with other waits" if part.waits else ""
        words = f"the same {part.times} times more{waits}, up to step {part.last} ({_time(part.until)})"
    return textwrap.wrap(words, width, initial_indent="    ⋮  ", subsequent_indent=" " * 7)


def _time(seconds: float) -> str:
    if seconds < 7200:
        return f"{seconds:.0f}s"
    return f"{seconds / 3600:.0f}h" if seconds < 172_800 else f"{seconds / 86_400:.0f}d"


def _cut(text: str, width: int) -> str:
    text = shown(text)
    return text if len(text) <= width else text[: width - 1] + "…"


def lines_of(entries: tuple[Entry, ...]) -> list[Line]:
    """One line per happening that matters; boundaries at which nothing durable changed are left out."""
    lines: list[Line] = []
    rows: tuple[Row, ...] = ()
    for at, entry in enumerate(entries):
        line = _line(entry, lines)
        if line is None:
            continue
        if entry.rows is not None:
            line.target = _change(rows, entry.rows)
            rows = entry.rows
        line.entries = (*line.entries, at)
    return lines


def _line(entry: Entry, lines: list[Line]) -> Line | None:
    """The line an entry belongs to, a new one or the last, or None where it says nothing."""
    if entry.what in QUIET or (entry.what in ("crossed", "returned") and not (entry.changed or entry.rows is not None)):
        return None
    if entry.what == "waited" and lines and lines[-1].world.startswith("waits"):
        lines[-1].world, lines[-1].time = f"{lines[-1].world}, {entry.text}", entry.time
        return lines[-1]
    line = Line(entry.time)
    match entry.what:
        case "wrote":
            line.world = f"writes {entry.text}"
        case "notified":
            line.world = f"accepts {entry.text}"
        case "delivered":
            line.world = f"delivers {entry.text}"
        case "waited":
            line.world = f"waits {entry.text}"
        case "killed":
            line.world = "KILLED"
            line.consumer = entry.text
        case "started":
            line.world = f"starts {entry.text}"
        case "polled":
            line.world = "its turn"
            line.consumer = "polls"
        case "asked":
            line.world = "its turn"
            line.consumer = f"publish({entry.text})"
        case "dead-lettered":
            line.world = f"moves {entry.text} to the dead-letter queue"
        case "settling":
            line.world = entry.text
        case "gave-up" | "hung":
            line.world = "GIVES UP"
            line.consumer = entry.text
        case _:
            line.consumer = entry.text if entry.what in ("crossed", "switched") else f"{entry.what} {entry.text}"
    if entry.worker:
        _name_worker(line, entry)
    lines.append(line)
    return line


def _name_worker(line: Line, entry: Entry) -> None:
    """Two are at work: say whose line it is."""
    who = f"worker {entry.worker}"
    if entry.what == "started":
        line.world = f"starts {who}"
    elif entry.what == "delivered":
        line.world = f"gives {who} {entry.text}"
    if line.consumer:
        line.consumer = f"{who}: {line.consumer}"


def _change(before: tuple[Row, ...], after: tuple[Row, ...]) -> str:
    """`+3 rows`, and of which run where there are several."""
    old, new = Counter(before), Counter(after)
    gained, lost = new - old, old - new
    runs = {row.run_id for row in (*gained, *lost)}
    of = f" of {next(iter(runs))}" if len(runs) == 1 else ""
    words = []
    for sign, rows in (("+", gained), ("-", lost)):
        count = sum(rows.values())
        if count:
            words.append(f"{sign}{count} row{'' if count == 1 else 's'}")
    return ", ".join(words) + of
