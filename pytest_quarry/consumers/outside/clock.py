"""The clock of a program: the world's, as it reads it.

Real time counts only for a program that goes on looking at its clock without anything the world could see, so that a
loop with a deadline ends. Whoever reads it a few times reads the same in each execution, however busy the machine is.
"""

from __future__ import annotations

import threading
import time

WITHOUT = (
    "its clock: the system does not let us give it the world's time (Linux 5.5 or newer is needed, and leave to use seccomp and "
    "ptrace), so it has the real time"
)
# What these say depends on how much time passes for the consumer.
CHECKS = frozenset(("PO05", "PO06", "EB07", "EB09"))
MICROSECOND, MILLISECOND = 1_000, 1_000_000  # in nanoseconds
PATIENT = 20  # readings in a row


class ProgramClock:
    """What a program reads. All times are of the wall clock, in nanoseconds; only `tell` takes µs, as worlds count."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._time = self._readings = self._real = 0

    def tell(self, now: int) -> None:
        """The world's time. A clock that is ahead of it waits for it, and never goes back."""
        with self._lock:
            self._time = max(self._time, now * 1_000)
            self._readings = 0

    def goes_on(self) -> None:
        """The program did something the world saw: two readings around it differ, also in milliseconds."""
        with self._lock:
            self._time += MILLISECOND
            self._readings = 0

    def read(self) -> int:
        """What the clock says."""
        with self._lock:
            self._readings += 1
            if self._readings > PATIENT:
                real = time.monotonic_ns()
                self._time += real - self._real if self._readings > PATIENT + 1 else 0
                self._real = real
            self._time += MICROSECOND
            return self._time

    def until(self, moment: float) -> float:
        """Seconds from now to a moment of this clock; looking at it is no reading."""
        with self._lock:
            return moment - self._time / 1e9
