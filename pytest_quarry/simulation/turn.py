"""One turn of a consumer under way: what the schedule has in mind for it, how far it is, and how it ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pytest_quarry.consumers.protocol import A_DAY, Boundary, Sleep
from pytest_quarry.simulation.schedule import ANY, Crash

T = TypeVar("T")
LONG = 1.0  # seconds; who naps for less may wait for what is at work meanwhile
MOST_SLEEPS = 500  # with nothing new that lasts: eight minutes at the least
MOST_NAPS = 3  # the same, of what a turn left to others: who polls looks again when the world has let time pass


@dataclass
class Turn:
    """One turn of the consumer, its start included where it was not running."""

    crash: Crash | None = None
    crossed: Counter[str] = field(default_factory=Counter)
    boundaries: int = 0
    failures: int = 0  # of operations that the schedule breaks
    reached: bool = False
    retry: bool = False  # somebody else went on: what waits for a lock may try again
    wakes: int | None = None  # the virtual time (µs) at which its sleep ends, where another worker is at work meanwhile
    refused: bool = False  # the lock it waits for is refused, as two that wait for each other would wait for ever
    contended: bool = False  # another worker stands still, and may hold what this one waits for unseen
    besides: str = ""  # what to say of the other worker, should this one never come back
    slept: int = 0  # sleeps since anything new was durable
    states: set[int] = field(default_factory=set)  # what was durable at some time in this turn
    naps: int = 0  # sleeps of what the turn left to others, since anything came of them
    left: set[int] = field(default_factory=set)  # what was durable since it was left to them

    def ends_at(self, label: str) -> bool:
        """Whether the boundary it has just crossed is the one at which it is killed."""
        if self.crash is None or self.reached:
            return False
        if self.crash.label == ANY:
            return self.crash.occurrence == self.boundaries
        return self.crash.label == label and self.crash.occurrence == self.crossed[label]

    def endless(self, boundary: Boundary, most: int) -> str:
        """Why it is taken to go on for ever, if so."""
        if self.boundaries > most:
            return f"it crossed {most:,} boundaries in one turn, the last at {boundary.label}{self.besides}"
        if self.slept > MOST_SLEEPS:
            return (
                f"it slept {MOST_SLEEPS:,} times in one turn, and nothing changed meanwhile: where it polls in a loop of its own, take "
                "the loop away, for each turn is a call of its own, or a start of the program, and must end"
            )
        return ""

    def sleeps(self, boundary: Boundary, state: int) -> None:
        """Count its sleeps while no other process has been there, whose lock it might wait for, and nothing fails."""
        if state not in self.states or self.failures or self.contended:
            self.states.add(state)
            self.slept = 0
        self.slept += isinstance(boundary.call, Sleep) and boundary.call.seconds >= LONG

    def leaves(self) -> None:
        """The turn is over, but for what it left to threads and tasks."""
        self.naps = 0
        self.left.clear()

    def only_naps(self, boundary: Boundary, state: int) -> bool:
        """Whether those it was left to sleep, look, and sleep again, and nothing comes of it."""
        if state not in self.left:
            self.left.add(state)
            self.naps = 0
        if not isinstance(boundary.call, Sleep) or not boundary.call.patient:
            return False
        self.naps += 1
        return self.naps > MOST_NAPS or boundary.call.seconds >= A_DAY  # nobody waits so long for what was left


@dataclass(frozen=True)
class Outcome:
    """Whether a turn came to its end, and what it returned; the history says what else became of it."""

    returned: bool
    value: Any = None


Going = Generator[Boundary, None, T]
"""A turn under way: it stands still at each boundary, and goes on when it is asked for the next."""


def finish(going: Going[T]) -> T:
    """Let a turn go on to its end."""
    try:
        while True:
            next(going)
    except StopIteration as end:
        value: T = end.value
        return value
