"""pytest-quarry: finds the run your Quarry consumer loses or loads twice, and shows how.

The public names are those in `__all__`, imported when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_quarry import steps
    from pytest_quarry.checks.own import CheckError, check, oracle
    from pytest_quarry.checks.stage import NotApplicable, Stage
    from pytest_quarry.checks.verdict import Verdict
    from pytest_quarry.consumers.command import Command
    from pytest_quarry.consumers.consumer import ConsumerError
    from pytest_quarry.duplicates import Duplicates
    from pytest_quarry.simulation.history import History
    from pytest_quarry.simulation.schedule import Schedule
    from pytest_quarry.simulation.world import World
    from pytest_quarry.storage import Storage, read_runs
    from pytest_quarry.suites import EventBusConformance, PollerConformance, PublisherConformance

__version__: str = "0.1.0"
__all__ = [
    "CheckError",
    "Command",
    "ConsumerError",
    "Duplicates",
    "EventBusConformance",
    "History",
    "NotApplicable",
    "PollerConformance",
    "PublisherConformance",
    "Schedule",
    "Stage",
    "Storage",
    "Verdict",
    "World",
    "__version__",
    "check",
    "oracle",
    "read_runs",
    "steps",
]

_HOMES = {
    "CheckError": "pytest_quarry.checks.own",
    "Command": "pytest_quarry.consumers.command",
    "ConsumerError": "pytest_quarry.consumers.consumer",
    "Duplicates": "pytest_quarry.duplicates",
    "EventBusConformance": "pytest_quarry.suites",
    "History": "pytest_quarry.simulation.history",
    "NotApplicable": "pytest_quarry.checks.stage",
    "PollerConformance": "pytest_quarry.suites",
    "PublisherConformance": "pytest_quarry.suites",
    "Schedule": "pytest_quarry.simulation.schedule",
    "Stage": "pytest_quarry.checks.stage",
    "Storage": "pytest_quarry.storage",
    "Verdict": "pytest_quarry.checks.verdict",
    "World": "pytest_quarry.simulation.world",
    "check": "pytest_quarry.checks.own",
    "oracle": "pytest_quarry.checks.own",
    "read_runs": "pytest_quarry.storage",
}


if not TYPE_CHECKING:  # or a checker would take every misspelt name for Any

    def __getattr__(name: str) -> Any:
        if name == "steps":
            return importlib.import_module("pytest_quarry.steps")
        if name not in _HOMES:
            raise AttributeError(f"module 'pytest_quarry' has no attribute {name!r}; it has {', '.join(__all__)}")
        return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
