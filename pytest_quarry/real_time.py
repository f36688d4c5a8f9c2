"""Real seconds: what `--quarry-budget` gives to all checks together, and how long `--quarry-guard` waits for one consumer."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

WANTED = "it must be a number of seconds above 0"


class Budget:
    """`seconds` of real time for `items` checks, shared out among those still to come: what one leaves is for the others."""

    def __init__(self, seconds: float | None, items: int) -> None:
        self._seconds, self._left = seconds, items
        self._began: float | None = None

    @property
    def is_used_up(self) -> bool:
        """Whether nothing is left for a check that has not begun."""
        if self._seconds is None or self._began is None:
            return False
        return time.monotonic() >= self._began + self._seconds

    def next_share(self) -> Callable[[], bool]:
        """For the next check: tells whether its share is used up."""
        if self._seconds is None:
            return lambda: False
        now = time.monotonic()
        self._began = now if self._began is None else self._began
        ends = now + max(0.0, self._began + self._seconds - now) / max(1, self._left)
        self._left -= 1
        return lambda: time.monotonic() >= ends


def guard_seconds(config: pytest.Config) -> float:
    """The option or the ini key as a number. Raises UsageError where it is none, or not above 0."""
    option: float | None = config.getoption("--quarry-guard")
    if option is not None:
        return _above_zero("--quarry-guard", option)
    try:
        value: str | float = config.getini("quarry_guard")
    except (TypeError, ValueError, pytest.UsageError) as error:  # as pytest has it, by its version
        raise pytest.UsageError(f"quarry_guard is no number: {error}; {WANTED}") from None
    return _above_zero("quarry_guard", value)


def budget_seconds(config: pytest.Config) -> float | None:
    """The option, None where it was not given. Raises UsageError where it is not above 0."""
    seconds: float | None = config.getoption("--quarry-budget")
    return None if seconds is None else _above_zero("--quarry-budget", seconds)


def _above_zero(name: str, value: str | float) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise pytest.UsageError(f"{name} is {value!r}; {WANTED}")
    return seconds
