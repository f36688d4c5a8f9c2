"""pytest-quarry: finds the run your Quarry consumer loses or loads twice, and shows how.

The public names are those in `__all__`, imported when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_quarry.consumers.command import Command
    from pytest_quarry.consumers.consumer import ConsumerError
    from pytest_quarry.duplicates import Duplicates
    from pytest_quarry.simulation.world import World
    from pytest_quarry.storage import Storage, read_runs
    from pytest_quarry.suites import EventBusConformance, PollerConformance, PublisherConformance

__version__ = "0.1.0"
__all__ = [
    "Command",
    "ConsumerError",
    "Duplicates",
    "EventBusConformance",
    "PollerConformance",
    "PublisherConformance",
    "Storage",
    "World",
    "__version__",
    "read_runs",
]

_HOMES = {
    "Command": "pytest_quarry.consumers.command",
    "ConsumerError": "pytest_quarry.consumers.consumer",
    "Duplicates": "pytest_quarry.duplicates",
    "EventBusConformance": "pytest_quarry.suites",
    "PollerConformance": "pytest_quarry.suites",
    "PublisherConformance": "pytest_quarry.suites",
    "Storage": "pytest_quarry.storage",
    "World": "pytest_quarry.simulation.world",
    "read_runs": "pytest_quarry.storage",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pytest_quarry' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
