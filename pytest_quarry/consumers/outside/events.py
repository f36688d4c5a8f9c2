"""What comes from a program: requests, system calls, its end; of several of its processes in a fixed order.

Who sleeps waits until nobody else is at work: programs take real time, and a sleep none, and so who starts another, looks for its end,
and sleeps, and looks again, would find it after another number of sleeps each time. So does who asks a queue for messages: a long
poll that finds none takes twenty seconds of virtual time, in which nobody's work would go on.
"""

from __future__ import annotations

import queue
from typing import Any

from pytest_quarry.consumers import side_by_side
from pytest_quarry.consumers.arriving import Request
from pytest_quarry.consumers.kernel.deed import Deed
from pytest_quarry.consumers.link import SECOND
from pytest_quarry.consumers.outside.verdicts import is_receive
from pytest_quarry.consumers.protocol import Sleep
from pytest_quarry.consumers.side_by_side import Processes

LOOK_EVERY = 0.001  # real seconds between looks at who is at work, where all that wait sleep …
CALM = 30  # … of so many, one after another, must find nobody


class Events:
    """What comes from one program and all that it starts."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._waiting: list[Deed | Request] = []
        self._asleep: list[
            tuple[int, Deed]
        ] = []  # the virtual time (µs) at which each wakes, in the order of their coming
        self._calm = self._looks = 0

    def put(self, event: Any) -> None:
        """Tell of an event, from whatever thread."""
        self._queue.put(event)

    def next(self, seconds: float, processes: Processes | None, now: int) -> Any:
        """What comes within so many real seconds, or None."""
        left = seconds
        while left > 0:
            wait = side_by_side.LOOK_EVERY if self._waiting else LOOK_EVERY if self._asleep else left
            try:
                event = self._queue.get(timeout=wait)
            except queue.Empty:
                left -= wait
                event = None if processes is None else self._whose_turn(processes, now)
            else:
                self._calm = self._looks = 0
                event = self._unless_it_waits(event, processes, now)
            if event is not None:
                self._calm = self._looks = 0  # it is at work from now on
                return event
        return None

    def _unless_it_waits(self, event: Any, processes: Processes | None, now: int) -> Any:
        """The event, unless others may have to go before it, or who wanted it is gone."""
        if isinstance(event, Deed) and not event.waits:
            return None
        if isinstance(event, Deed) and isinstance(event.boundary.call, Sleep):
            self._asleep.append((now + round(event.boundary.call.seconds * SECOND), event))
            return None
        if not isinstance(event, (Deed, Request)) or processes is None:
            return event
        if self._waiting or is_receive(event.boundary) or processes.several:
            self._waiting.append(event)
            return None
        return event

    def _whose_turn(self, processes: Processes, now: int) -> Deed | Request | None:
        """Who goes on, if somebody waits and others have rested for long enough; who sleeps does when nobody else waits."""
        if not (self._waiting or self._asleep):
            return None
        self._waiting = [one for one in self._waiting if not isinstance(one, Deed) or one.waits]
        self._asleep = [(wakes, deed) for wakes, deed in self._asleep if deed.waits]
        at_work = processes.at_work([*self._waiting, *(deed for _, deed in self._asleep)])
        self._calm, self._looks = 0 if at_work else self._calm + 1, self._looks + 1
        if not self._queue.empty():
            return None  # somebody has come meanwhile
        if self._waiting and (self._calm >= side_by_side.CALM or self._looks >= side_by_side.MOST_LOOKS):
            at_its_work = [one for one in self._waiting if not is_receive(one.boundary)]
            chosen = side_by_side.first(at_its_work or self._waiting)
            self._waiting.remove(chosen)
            return chosen
        return self._who_wakes(now) if self._asleep and not self._waiting and self._calm >= CALM else None

    def _who_wakes(self, now: int) -> Deed:
        """Who wakes first, as if all slept at one time."""
        first = min(self._asleep, key=lambda one: one[0])
        self._asleep.remove(first)
        wakes, deed = first
        deed.boundary = deed.boundary._replace(call=Sleep(max(0, wakes - now) / SECOND))
        return deed
