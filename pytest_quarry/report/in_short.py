"""A long table of steps in short: what repeats itself is shown once, and of what is still too long the middle is left out."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

MOST_LINES = 80  # of the table; of longer ones the beginning, the end, and what surrounds the first wrong effect
BEGINNING, AROUND, END = 24, 8, 24
LONGEST_ROUND = 12  # lines that come again and again
LEAST_AGAIN = 2  # times that they must come again
WAITED = re.compile(r"\bwaits [\d.]+ s")


@dataclass
class Line:
    """One line of the table."""

    time: float
    world: str = ""
    consumer: str = ""
    target: str = ""
    entries: tuple[int, ...] = ()


@dataclass(frozen=True)
class Again:
    """In the place of lines that say the same as those before them: how often, and the last of them.

    `waits`: but for how long it waits.
    """

    times: int
    waits: bool
    lines: int
    last: int  # its number
    until: float


@dataclass(frozen=True)
class LeftOut:
    """In the place of lines for which there is no room."""

    lines: int


Part = tuple[int, Line | Again | LeftOut]


def in_short(lines: Sequence[Line], here: int | None, named: Collection[int]) -> list[Part]:
    """The lines with their numbers, from 1; those that are `named`, and `here`, are always among them."""
    parts = list(_told_once(lines, {*named, *([] if here is None else [here])}))
    return parts if len(parts) <= MOST_LINES else list(_without_the_middle(parts, here, named))


def _told_once(lines: Sequence[Line], kept: Collection[int]) -> Iterator[Part]:
    words = [(WAITED.sub("waits", line.world), line.consumer, line.target) for line in lines]
    at = 0
    while at < len(lines):
        size, times = max(((size, _times(words, at, size, kept)) for size in range(1, LONGEST_ROUND + 1)), key=_gained)
        yield from ((number + 1, lines[number]) for number in range(at, at + size))
        at += size
        if times:
            last = at + size * times
            worlds = [line.world for line in lines[at - size : last]]
            waits = worlds[:size] * (times + 1) != worlds
            yield at + 1, Again(times, waits, size * times, last, lines[last - 1].time)
            at = last


def _gained(found: tuple[int, int]) -> tuple[int, int]:
    size, times = found
    return size * times, -size


def _times(words: Sequence[tuple[str, str, str]], at: int, size: int, kept: Collection[int]) -> int:
    """How often the lines from here come again right away, where that is often enough to be told so."""
    times = 0
    first = words[at : at + size]
    while len(first) == size:
        start = at + size * (times + 1)
        changes = any(target for _, _, target in first)  # of the target: each is to be seen
        if words[start : start + size] != first or changes or any(start < number <= start + size for number in kept):
            break
        times += 1
    return times if times >= LEAST_AGAIN else 0


def _without_the_middle(parts: Sequence[Part], here: int | None, named: Collection[int]) -> Iterator[Part]:
    """The beginning, what surrounds the first wrong effect, the end, and what is named."""
    place = next((at for at, (number, _) in enumerate(parts, 1) if number == here), len(parts))
    shown = {
        *range(1, BEGINNING + 1),
        *range(place - AROUND, place + AROUND),
        *range(len(parts) - END, len(parts) + 1),
    }
    left_out, since = 0, 0
    for at, (number, part) in enumerate(parts, 1):
        if at not in shown and number not in named:
            since = since or number
            left_out += part.lines if isinstance(part, Again) else 1
            continue
        if left_out:
            yield since, LeftOut(left_out)
            left_out = since = 0
        yield number, part
