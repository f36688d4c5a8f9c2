"""The processes of one consumer, where it has several: who is at work, and so whose turn it is of those that wait for the world.

Side by side they come to the world in the order of luck. So the world answers none before all have come to rest, and then the one
whose label comes first: the same each time, whichever process of a pool has which task.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from pytest_quarry.consumers.arriving import Request
from pytest_quarry.consumers.at_work import group_at_work, has_children, has_ended
from pytest_quarry.consumers.kernel.deed import Deed

LOOK_EVERY = 0.0002  # real seconds between looks …
CALM = 3  # … of so many, one after another, must find nobody at work
MOST_LOOKS = 2_000  # after which who never rests is waited for no more


class Processes:
    """One process and all that it has started. `is_busy`: whether one of them is about to be heard of."""

    def __init__(self, pid: int, is_busy: Callable[[], bool]) -> None:
        self._pid, self._is_busy = pid, is_busy

    @property
    def several(self) -> bool:
        """Whether there is more than the one process."""
        return has_children(self._pid)

    def at_work(self, waiting: Iterable[Deed | Request]) -> bool:
        """Whether anybody is at work, or about to be heard of, but the processes of those that wait."""
        waits = frozenset(one.called.tid for one in waiting if isinstance(one, Deed))
        # Last whether one is about to be heard of: a moment ago it was at work.
        return group_at_work(self._pid, but=waits) or has_ended(self._pid) or self._is_busy()

    def come_to_rest(self, waiting: Sequence[Deed]) -> None:
        """Wait until nobody else is at work; at once where there is one process only."""
        calm = looks = 0
        while calm < CALM and looks < MOST_LOOKS and self.several:
            calm, looks = 0 if self.at_work(waiting) else calm + 1, looks + 1
            time.sleep(LOOK_EVERY)


Waiting = TypeVar("Waiting", Deed, Deed | Request)


def first(waiting: Sequence[Waiting]) -> Waiting:
    """Whose turn it is."""
    return min(waiting, key=lambda one: (one.boundary.label, one.called.tid if isinstance(one, Deed) else 0))
