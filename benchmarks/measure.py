"""Pairs of things timed in turn, and the table of their ratios."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Ratio:
    """One comparison: `value` must not be above `limit` (below, where `at_least`)."""

    what: str
    value: float
    limit: float
    detail: str
    at_least: bool = False

    @property
    def kept(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit


@dataclass(frozen=True)
class Cost:
    """Seconds of something, by the clock and of processors, ended children's included."""

    wall: float
    cpu: float

    @classmethod
    def of(cls, action: Callable[[], object]) -> Cost:
        wall, cpu = time.perf_counter(), _cpu()
        action()
        return cls(time.perf_counter() - wall, _cpu() - cpu)

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.wall - other.wall, self.cpu - other.cpu)

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.wall + other.wall, self.cpu + other.cpu)

    def __truediv__(self, count: int) -> Cost:
        return Cost(self.wall / count, self.cpu / count)


def _cpu() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in both)


def seconds(action: Callable[[], object]) -> float:
    """Real seconds one call takes."""
    before = time.perf_counter()
    action()
    return time.perf_counter() - before


def pairs(first: Callable[[], object], second: Callable[[], object], times: int) -> tuple[float, float, float]:
    """Medians of each, in seconds, and of the ratio first/second pair by pair; one warm-up pair goes before."""
    first(), second()
    found = [(seconds(first), seconds(second)) for _ in range(times)]
    ratio = statistics.median(one / other for one, other in found)
    return statistics.median(one for one, _ in found), statistics.median(other for _, other in found), ratio


def report(ratios: list[Ratio]) -> int:
    """Print the table; the exit status."""
    for ratio in ratios:
        sign = "≥" if ratio.at_least else "≤"
        state = "kept" if ratio.kept else "BROKEN"
        print(f"{state:<7} {ratio.what:<58} {ratio.value:7.2f}  ({sign} {ratio.limit:g})  {ratio.detail}")
    return 0 if all(ratio.kept for ratio in ratios) else 1
