"""The clock that a consumer's process reads: the world's, and what passes for who only looks at it."""

from __future__ import annotations

import itertools
import threading
import time

import time_machine

from pytest_quarry.consumers.at_work import descendants

SPINS = 5_000  # looks in a row, with nothing else between, after which time passes for who looks …
PACE = 250  # … and after each so many more, by a microsecond more at each look
MICROSECOND, SECOND = 1_000, 1_000_000_000  # in nanoseconds


class VirtualClock:
    """Virtual time inside one process; it is told in microseconds since the epoch, and read in nanoseconds.

    Who waits in a loop that does nothing but look sees time pass by the number of looks, slowly first: some thirty thousand
    make a second, some hundred thousand half a minute. The wall clock then waits for the world's, and never goes back.
    """

    def __init__(self, epoch: int) -> None:
        self._epoch, self._stopped = epoch, False
        # From a number, not a datetime: its time zone would become the consumer's.
        self._travel = time_machine.travel(epoch // 1_000_000, tick=False)
        self._travel.start().time_ns = self._wall_ns  # type: ignore[method-assign]
        self.begin(epoch)

    def begin(self, now: int) -> None:
        """A start of the consumer begins now: whatever looked at the clock before is not to be noticed."""
        self._now = self._wall = now * MICROSECOND
        self._readings = itertools.count()
        self._looks = self._spun = 0
        self._alone = False

    def set(self, now: int) -> None:
        """The world has answered, and this is its time."""
        self._now = now * MICROSECOND
        self._wall = max(self._wall, self._now)
        self._looks = 0

    def stop(self) -> None:
        """The clocks are the machine's again."""
        self._travel.stop()
        self._stopped = True

    def seconds(self) -> float:
        """What the wall clock shows."""
        return self._wall / SECOND

    def monotonic_ns(self) -> int:
        """A nanosecond later each time it is read: who waits until a deadline is over looks again and again."""
        if self._stopped:
            return _real_monotonic_ns()
        self._look()
        return self._now - self._epoch * MICROSECOND + 10**12 + self._spun + next(self._readings)

    def monotonic(self) -> float:
        return self.monotonic_ns() / 1e9

    def _wall_ns(self) -> int:
        self._look()
        return self._wall

    def _look(self) -> None:
        self._looks += 1
        if self._looks < SPINS:
            return
        if self._looks % SPINS == 0:
            # Other threads, and programs that it started, take what real time they need.
            self._alone = threading.active_count() == 1 and not any(descendants("self"))
        if self._alone:
            passed = (self._looks - SPINS) // PACE * MICROSECOND
            self._spun += passed
            self._wall += passed


_real_monotonic_ns = time.monotonic_ns
