"""What happened in a world, as plain data: the only thing that oracles and reports look at."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field, replace
from typing import Literal

# Sizes of one write that differ by less may differ by the digits of a number or a time.
DATA_SIZED = 8
PARTING = 40  # characters of a text that are shown where two part
# A time in a message: ISO 8601, or since the epoch.
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d+)?|\b1\d{9}(?:\d{3}){0,3}(?:\.\d+)?\b")

Happening = Literal[
    "wrote",
    "notified",
    "waited",
    "started",
    "delivered",
    "polled",
    "asked",
    "published",
    "crossed",
    "failed",
    "broke",
    "healed",
    "damaged",
    "littered",
    "returned",
    "raised",
    "acknowledged",
    "dead-lettered",
    "killed",
    "ended",
    "hung",
    "switched",
    "gave-up",
    "settling",
    "settled",
]


@dataclass(frozen=True, order=True)
class Row:
    """One row of the target: the run it belongs to and, where the consumer says so, the item."""

    run_id: str
    item: str | None = None


@dataclass(frozen=True, kw_only=True)
class RunView:
    """What a correct reader sees of one run at one moment, and so what a consumer may or must load.

    `due`: finished and eligible. `optional`: committed, but not in every partition yet; or another run takes its place.
    `forbidden`: running, uncommitted, failed (where failed runs are skipped) or not eligible.
    """

    run_id: str
    standing: Literal["due", "optional", "forbidden"]
    state: str
    items: tuple[str, ...]
    readable: bool = True
    replaced_by: tuple[str, ...] = ()  # the runs that take its place in the target, where the suite says so
    unwanted: str = ""  # why the consumer does not want it, where the suite says so by a declaration


def missing(view: RunView, rows: tuple[Row, ...]) -> list[str]:
    """What of a run is not there: its missing items, or the run itself where rows name no items."""
    mine = [row for row in rows if row.run_id == view.run_id]
    if any(row.item is None for row in mine):
        return []
    present = {row.item for row in mine}
    return [item for item in view.items if item not in present]


@dataclass(frozen=True, kw_only=True)
class Publication:
    """A message that SNS took from a publisher: its text as a queue gets it, its attributes as (name, type, value).

    `ours`: it went to the world's topic, not to another; `topic` is its ARN.
    `states`: every run an independent reader saw in storage at that moment, and its state. `swallowed`: a FIFO topic had
    taken a message of that deduplication id within five minutes, and sent this one to nobody.
    """

    topic: str
    ours: bool
    text: str
    attributes: tuple[tuple[str, str, str], ...]
    states: tuple[tuple[str, str], ...]
    swallowed: bool = False


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What is true of a run once all is over, and so what may be said of it.

    `storage_paths`: the URLs that name its folder. `state` as the independent reader sees it.
    """

    run_id: str
    source: str
    category: str
    day: str
    outcome: str
    job_id: str | None
    attempt: int
    event_count: int
    storage_paths: tuple[str, ...]
    state: str


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One happening. `state` numbers the distinct durable states in the order they were first seen.

    `rows` is what the target held just after, where that was looked at and had changed.
    """

    time: float
    what: Happening
    text: str = ""
    incarnation: int = 0
    worker: int = 0  # which of two; 0 where there is one
    state: int = 0
    step: int = 0
    messages: tuple[int, ...] = ()
    runs: tuple[RunView, ...] = ()
    rows: tuple[Row, ...] | None = None
    size: int | None = None
    buffered: bool = False
    changed: bool = False
    published: Publication | None = None

    @property
    def is_durable(self) -> bool:
        """Whether it is an operation that changed something which outlives the process."""
        return self.what == "crossed" and (self.changed or self.rows is not None)


@dataclass(frozen=True, kw_only=True)
class History:
    """All that happened while a schedule was executed, and what was left at the end."""

    entries: tuple[Entry, ...]
    rows: tuple[Row, ...] = ()
    notified: dict[int, str] = field(default_factory=dict)
    unexplained: tuple[str, ...] = ()
    unreached: tuple[str, ...] = ()
    not_exercised: tuple[str, ...] = ()
    # That the consumer reached, and the world does not keep. One that it began itself may have another port each time.
    servers: tuple[str, ...] = field(default=(), compare=False)
    unanswered: tuple[str, ...] = field(
        default=(), compare=False
    )  # of them, those that it gave up before they had answered
    asked: tuple[str, ...] = ()  # what was said to them that made them look at their clock
    takes: str = ""
    by_a_program: bool = False  # whose threads may all look at the clock: the times it tells may differ
    closer: bool = field(default=False, compare=False)  # what a library in C wrote, in sizes of its own, is seen too
    peeked: int | None = None
    outlived: tuple[Row, ...] = field(
        default=(), compare=False
    )  # rows that were there in another world too, where that was looked at
    late: int = 0  # rows that were there outside, too, once they had been asked for inside the consumer, and not before
    truths: dict[str, Truth] = field(default_factory=dict)
    # What storage held after an entry at which the world wrote to it: its keys, where a play asks for them.
    trees: dict[int, frozenset[str]] = field(default_factory=dict, compare=False)
    # The fewest bytes that were left where the world is; not in the text, by which processes know that they see the same.
    room: int = field(default=sys.maxsize, compare=False, repr=False)
    output: str = field(default="", compare=False)
    stack: str = field(default="", compare=False)

    @property
    def views(self) -> dict[str, RunView]:
        """The last view of every run that was written."""
        found: dict[str, RunView] = {}
        for entry in self.entries:
            found.update((view.run_id, view) for view in entry.runs)
        return found

    def difference(self, other: History) -> Difference | None:
        """Where two executions of one schedule part, and how; None when they are equal."""
        mine, theirs = (self, other)
        if self.by_a_program:
            mine, theirs = self._without_times(), other._without_times()
        if self.closer:
            theirs = theirs._with_sizes_of(mine)
        for at, pair in enumerate(zip(mine.entries, theirs.entries, strict=False)):
            if pair[0] != pair[1]:
                return Difference(at, _how(*pair))
        both = min(len(mine.entries), len(theirs.entries))
        if len(mine.entries) != len(theirs.entries):
            longer = max(mine.entries, theirs.entries, key=len)
            return Difference(both - 1, f"after that only one of them goes on, with “{_words(longer[both])}”")
        return None if mine == theirs else Difference(both - 1, _how_in_the_end(mine, theirs))

    def _with_sizes_of(self, other: History) -> History:
        """Writes that differ by the digits of a number count as alike: a library's file has some of its own."""
        pairs = zip(self.entries, other.entries, strict=False)
        alike = [replace(one, size=two.size) if _about_equal(one, two) else one for one, two in pairs]
        return replace(self, entries=(*alike, *self.entries[len(alike) :]))

    def _without_times(self) -> History:
        return replace(self, entries=tuple(_without_time(entry) for entry in self.entries))


@dataclass(frozen=True)
class Difference:
    """Where two histories part: the place of the entry, and what differs there, in words."""

    at: int
    how: str


def _about_equal(one: Entry, two: Entry) -> bool:
    return one.size is not None and two.size is not None and abs(one.size - two.size) < DATA_SIZED


def _without_time(entry: Entry) -> Entry:
    if entry.published is None:
        return entry
    attributes = tuple((name, kind, TIME.sub("", value)) for name, kind, value in entry.published.attributes)
    text = TIME.sub("", entry.published.text)
    return replace(entry, published=replace(entry.published, text=text, attributes=attributes))


def _how(mine: Entry, theirs: Entry) -> str:
    """What differs between two entries at one place."""
    if _words(mine) != _words(theirs):
        return f"“{_words(mine)}” in one, “{_words(theirs)}” in the other"
    if mine.published is not None and theirs.published is not None and mine.published != theirs.published:
        part, one, other = _published(mine.published, theirs.published)
        return f"{part} “{_words(mine)}” has “{one}” in one, “{other}” in the other"
    if mine.size != theirs.size:
        return f"“{_words(mine)}” is of {mine.size or 0} bytes in one, of {theirs.size or 0} in the other"
    if mine.rows != theirs.rows:
        numbers = [0 if entry.rows is None else len(entry.rows) for entry in (mine, theirs)]
        rows = "other rows in one than in the other"
        if numbers[0] != numbers[1]:
            rows = f"{numbers[0]} rows in one, {numbers[1]} in the other"
        return f"after “{_words(mine)}” the target holds {rows}"
    if mine.time != theirs.time:
        return f"“{_words(mine)}” comes {mine.time:g} s after the beginning in one, {theirs.time:g} s in the other"
    return f"“{_words(mine)}” leaves something else behind in one than in the other: on disk, in AWS or in the target"


def _how_in_the_end(mine: History, theirs: History) -> str:
    """What differs between two executions of which all that happened is alike."""
    if mine.rows != theirs.rows:
        return "the rows at the end differ"
    if mine.unexplained != theirs.unexplained:
        one, other = (", ".join(history.unexplained) or "nothing" for history in (mine, theirs))
        return f"what changed, and no operation explains, is {one} in one, {other} in the other"
    return "what the world found out at the end differs"


def _words(entry: Entry) -> str:
    return f"{entry.what} {entry.text}".strip()


def _published(one: Publication, other: Publication) -> tuple[str, str, str]:
    """The first part in which two messages differ, and what it is in each."""

    def parts(told: Publication) -> dict[str, str]:
        return {
            "the message of": told.text,
            "the attributes of": ", ".join(f"{name} ({kind}): {value}" for name, kind, value in told.attributes),
            "the topic of": told.topic,
            "storage at": ", ".join(f"{run_id} {state}" for run_id, state in told.states),
        }

    mine, theirs = parts(one), parts(other)
    part = next((part for part in mine if mine[part] != theirs[part]), "the message of")
    return part, *_parting(mine[part], theirs[part])


def _parting(one: str, other: str) -> tuple[str, str]:
    """Two texts from a little before the place where they part."""
    at = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    start = max(0, at - PARTING // 2)
    return one[start : start + PARTING], other[start : start + PARTING]
