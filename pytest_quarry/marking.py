"""Which check an item of pytest's is: its method says so by a marker, or the method that it overrides."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest


def mark_override(item: pytest.Item) -> None:
    """Give an item whose method overrides a check's, to mark it for one, that check's marker."""
    if marker(item) is None:
        found = (
            each for method in _methods(item) for each in getattr(method, "pytestmark", ()) if _names_a_check(each)
        )
        for inherited in found:
            item.add_marker(pytest.mark.quarry(**inherited.kwargs))
            return


def marker(item: pytest.Item) -> pytest.Mark | None:
    """The marker that says which check an item is. Others of that name say where quarry_storage is."""
    return next(filter(_names_a_check, item.iter_markers("quarry")), None)


def owner(item: Any) -> str:
    """The node id of the class an item belongs to: how reports and saved schedules name its consumer."""
    return str(item.parent.nodeid)  # parameters' ids may hold `::`, so that the item's own cannot be cut


def check_id(item: pytest.Item) -> str | None:
    """The id of the check that an item is."""
    found = marker(item)
    return None if found is None else found.kwargs["id"]


def override(item: pytest.Item) -> str:
    """The name of a method that overrides a check's; of the check's own, nothing."""
    is_one = [any(map(_names_a_check, getattr(method, "pytestmark", ()))) for method in _methods(item)]
    return f"{item.cls.__name__}.{item.originalname}" if any(is_one) and not is_one[0] else ""  # type: ignore[attr-defined]


def is_as_made(item: Any) -> bool:
    """Whether an item runs a check's method as the suites have it: no other that overrides, wraps, or calls it."""
    name = item.originalname
    home = next(base for base in item.cls.__mro__ if name in vars(base))
    return home.__module__ == "pytest_quarry.suites" or hasattr(vars(home)[name], "quarry_made")


def fuzz(item: pytest.Item) -> Callable[..., None] | None:
    """The `test_fuzz` made for a suite that an item is, or overrides."""
    return next((method for method in _methods(item) if hasattr(method, "quarry_made")), None)


def is_of_unittest(item: pytest.Function) -> bool:
    """Whether unittest calls an item's method: its class is a TestCase."""
    unittest: Any = sys.modules.get("unittest")
    return unittest is not None and item.cls is not None and issubclass(item.cls, unittest.TestCase)


def _methods(item: Any) -> list[Any]:
    """What an item runs, and then what this overrides."""
    name, bases = getattr(item, "originalname", None), getattr(getattr(item, "cls", None), "__mro__", ())
    return [vars(base)[name] for base in bases if name in vars(base)]


def _names_a_check(found: pytest.Mark) -> bool:
    return found.name == "quarry" and "id" in found.kwargs
