"""The time that `--quarry-budget` gives to all checks together, shared out among those that are still to come."""

from __future__ import annotations

import time
from collections.abc import Callable


class Budget:
    """`seconds` of real time for `items` checks; what one does not use is left for the others."""

    def __init__(self, seconds: float | None, items: int) -> None:
        self._seconds, self._left = seconds, items
        self._began: float | None = None

    def next_share(self) -> Callable[[], bool]:
        """For the next check: tells whether its share is used up."""
        if self._seconds is None:
            return lambda: False
        now = time.monotonic()
        self._began = now if self._began is None else self._began
        ends = now + max(0.0, self._began + self._seconds - now) / max(1, self._left)
        self._left -= 1
        return lambda: time.monotonic() >= ends
