"""Pairs of things timed in turn, and the table of their ratios."""

from __future__ import annotations

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
