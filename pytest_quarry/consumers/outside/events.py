"""What comes from a program, in its order: requests, system calls, its end. Who sleeps waits until nobody else is at work.

For programs take real time, and a sleep none: who starts another, looks for its end, and sleeps, and looks again, would find it
after another number of sleeps each time.
"""

from __future__ import annotations

import queue
from typing import Any

from pytest_quarry.consumers.at_work import group_at_work
from pytest_quarry.consumers.kernel.deed import Deed
from pytest_quarry.consumers.link import SECOND
from pytest_quarry.consumers.protocol import Sleep

LOOK_EVERY = 0.001  # real seconds between looks at who is at work, where somebody sleeps …
CALM = 30  # … of so many, one after another, must find nobody


class Events:
    """What comes from one program and all that it starts."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._asleep: list[
            tuple[int, Deed]
        ] = []  # the virtual time (µs) at which each wakes, in the order of their coming
        self._calm = 0

    def put(self, event: Any) -> None:
        """Tell of an event, from whatever thread."""
        self._queue.put(event)

    def next(self, seconds: float, group: int, now: int) -> Any:
        """What comes within so many real seconds, or None. `group`: the first process of those that may be at work."""
        left = seconds
        while left > 0:
            wait = LOOK_EVERY if self._asleep else left
            try:
                event = self._queue.get(timeout=wait)
            except queue.Empty:
                left -= wait
                event = self._who_wakes(group, now) if self._asleep else None
            else:
                if isinstance(event, Deed) and isinstance(event.boundary.call, Sleep):
                    self._asleep.append((now + round(event.boundary.call.seconds * SECOND), event))
                    self._calm = 0
                    continue
            if event is not None:
                return event
        return None

    def _who_wakes(self, group: int, now: int) -> Deed | None:
        """Who wakes first, as if all slept at one time, if others have rested for long enough."""
        self._asleep = [(wakes, deed) for wakes, deed in self._asleep if deed.listener.waits(deed.called)]
        sleeping = frozenset(deed.called.tid for _, deed in self._asleep)
        self._calm = 0 if group_at_work(group, but=sleeping) else self._calm + 1
        if self._calm < CALM or not self._asleep:
            return None
        first = min(self._asleep, key=lambda one: one[0])
        self._asleep.remove(first)
        wakes, deed = first
        deed.boundary = deed.boundary._replace(call=Sleep(max(0, wakes - now) / SECOND))
        return deed
