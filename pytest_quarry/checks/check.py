"""What a check is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from pytest_quarry.checks.stage import Stage
from pytest_quarry.checks.verdict import Verdict
from pytest_quarry.consumers.consumer import Kind
from pytest_quarry.simulation.schedule import Schedule

Severity = Literal["critical", "high", "medium", "advice"]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check: what it states, what the world does, which oracles judge, and the usual fix."""

    id: str
    slug: str
    states: str
    disturbance: str
    oracles: str
    severity: Severity
    kinds: tuple[Kind, ...]
    schedules: Callable[[Stage], Iterator[Schedule]]
    fix: str
    compares: Callable[[Stage], tuple[Verdict, Schedule] | None] | None = None  # judges several executions together

    @property
    def test_name(self) -> str:
        """The name of its pytest item."""
        return "test_" + self.slug.replace("-", "_")

    @property
    def title(self) -> str:
        """Its id and slug, as reports name it."""
        return f"{self.id} {self.slug}"
