"""What a check is."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pytest_quarry.checks.stage import Stage
from pytest_quarry.checks.verdict import Verdict
from pytest_quarry.consumers.consumer import Kind
from pytest_quarry.simulation.schedule import Schedule

Severity = Literal["critical", "high", "medium", "advice"]


def is_in(profile: str, check_id: str, severity: object) -> bool:
    """Whether a check belongs to a profile: core (the critical ones), fuzz (drawn schedules alone), full (all)."""
    if profile == "full":
        return True
    return check_id == "FUZZ" if profile == "fuzz" else check_id != "FUZZ" and severity == "critical"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check: what it states, what the world does, which oracles judge, and the usual fix.

    `own`: where a team defined it; empty for those of the catalogue, whose page is in the kit's documentation.
    """

    id: str
    slug: str
    states: str
    disturbance: str
    oracles: Sequence[str]
    severity: Severity
    kinds: tuple[Kind, ...]
    schedules: Callable[[Stage], Iterator[Schedule]]
    fix: str
    # Of the schedules, where several processes may share them out.
    parts: tuple[Callable[[Stage], Iterator[Schedule]], ...] = ()
    compares: Callable[[Stage], tuple[Verdict, Schedule] | None] | None = None  # judges several executions together
    own: str = ""
    docs: str = ""

    @property
    def test_name(self) -> str:
        """The name of its pytest item."""
        return "test_" + self.slug.replace("-", "_")

    @property
    def title(self) -> str:
        """Its id and slug, as reports name it."""
        return f"{self.id} {self.slug}"

    def is_in(self, profile: str) -> bool:
        """Whether it belongs to a profile: core, full, fuzz."""
        return is_in(profile, self.id, self.severity)

    @property
    def page(self) -> str:
        """Where it is documented: below the kit's documentation, or where a team says; empty where it does not."""
        return self.docs if self.own else f"checks/{self.id}"


class CheckRaised(Exception):
    """A check's own code went wrong, so nothing is known of the consumer: `words` say what, `place` where."""

    def __init__(self, words: str, place: str) -> None:
        super().__init__(words)
        self.words, self.place = words, place

    @staticmethod
    def of(what: str, error: Exception) -> CheckRaised:
        """What raised, what it raised and where."""
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
        return CheckRaised(f"{what} raised {type(error).__name__}: {error}", place)

    def verdict(self, oracle: str = "") -> Verdict:
        """It is not known whether the consumer conforms."""
        where = f" ({self.place})" if self.place else ""
        return Verdict(
            status="inconclusive",
            oracle=oracle,
            sentence=f"{self.words}{where}: nothing is known of the consumer.",
            why="This is a mistake in the check, not in the consumer: repair it, and run it again.",
        )


def place_of(function: Callable[..., Any]) -> str:
    """The file, line and name of a function, as errors name it."""
    code = getattr(function, "__code__", None)
    name = getattr(function, "__qualname__", repr(function))
    return name if code is None else f"{code.co_filename}:{code.co_firstlineno} ({name})"
