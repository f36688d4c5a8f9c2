"""What examples shrink to, always found the same way."""

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, find, settings
from hypothesis.strategies import SearchStrategy

calm = settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
"""Settings for machines that are busy."""

_SEARCH = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=3000,
    report_multiple_bugs=False,
    phases=[Phase.generate, Phase.shrink],  # what is found is not explained to anybody
)


def simplest(strategy: SearchStrategy[Any], condition: Callable[[Any], Any] | None = None) -> Any:
    """The simplest value of a strategy for which the condition holds; the test fails where there is none."""
    if condition is None:  # any will do, so a few are enough
        return find(strategy, lambda value: True, settings=settings(_SEARCH, max_examples=10))
    return find(strategy, lambda value: bool(condition(value)), settings=_SEARCH)


def drawn(strategy: SearchStrategy[Any], condition: Callable[[Any], Any]) -> Any:
    """Some value of a strategy for which the condition holds; the test fails where there is none."""
    return find(strategy, lambda value: bool(condition(value)), settings=settings(_SEARCH, phases=[Phase.generate]))
