"""The steps of a schedule, as values: what happens in a world, in order. For checks of your own."""

from __future__ import annotations

from pytest_quarry.simulation.schedule import (
    Break,
    Crash,
    Damage,
    Deliver,
    Heal,
    Litter,
    Notify,
    Overlap,
    PlannedRun,
    Poll,
    Publish,
    Restart,
    Step,
    Switch,
    Wait,
    Write,
)

__all__ = [
    "Break",
    "Crash",
    "Damage",
    "Deliver",
    "Heal",
    "Litter",
    "Notify",
    "Overlap",
    "PlannedRun",
    "Poll",
    "Publish",
    "Restart",
    "Step",
    "Switch",
    "Wait",
    "Write",
]
