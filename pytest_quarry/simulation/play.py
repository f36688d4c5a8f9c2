"""How a schedule is played: how long a consumer may go on, what is observed, what is a boundary."""

from __future__ import annotations

from dataclasses import dataclass, field

from pytest_quarry.consumers.zygote import Nursery


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long a consumer may go on: boundaries in one turn, and real seconds without a sign of life."""

    boundaries: int = 10_000
    seconds: float = 10.0


@dataclass(frozen=True, kw_only=True)
class Play:
    """How a schedule is played: its limits, what is observed, and which operations are boundaries on this occasion."""

    limits: Limits = field(default_factory=Limits)
    observe: bool = True  # read the target at every durable change, not only between turns and after kills
    reads: bool = False  # opening a file for reading is a boundary too
    power: bool = False  # keep the log that a power loss needs
    inline: int = 0  # which start of the consumer, counted from 1, is played by this process
    trees: bool = False  # note which keys storage holds, whenever the world wrote some
    closer: bool = False  # what a consumer in Python does to files without Python is seen too
    afterwards: bool = False  # look whether its rows outlive the world
    nursery: Nursery | None = None  # keeps what the consumer's processes are forked from, for this schedule and others
