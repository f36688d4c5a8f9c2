"""The clock of a program: the world's, as it reads it.

Between two things that the world sees of a program it stands still, so that the program reads the same in each execution,
however busy the machine is. Only for a thread that waits for real, for timers of its own, it goes on by whole seconds; so a
loop with a deadline ends.
"""

from __future__ import annotations

import contextlib
import threading
import time

WITHOUT = (
    "its clock: the system does not let us give it the world's time (Linux 5.5 or newer is needed, and leave to use seccomp and "
    "ptrace), so it has the real time"
)
# What these say depends on how much time passes for the consumer.
CHECKS = frozenset(("PO05", "PO06", "EB07", "EB09"))
MICROSECOND, MILLISECOND, SECOND = 1_000, 1_000_000, 1_000_000_000  # in nanoseconds


class ProgramClock:
    """What a program reads. All times are of the wall clock, in nanoseconds; only `tell` takes µs, as worlds count."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._time = 0
        self._waited: dict[int, int] = {}  # by thread: how long it had waited when the world last saw something

    def tell(self, now: int) -> None:
        """The world's time. A clock that is ahead of it waits for it, and never goes back."""
        with self._lock:
            self._time = max(self._time, now * 1_000)

    def goes_on(self, thread: int | None) -> None:
        """The world saw something, of this thread if it knows: readings before and after differ, also in milliseconds."""
        with self._lock:
            self._time += MILLISECOND
            threads = self._waited.keys() if thread is None else self._waited.keys() | {thread}
            self._waited = {known: waited(known) for known in threads}

    def read(self, thread: int) -> int:
        """What the clock says to a thread."""
        with self._lock:
            now = waited(thread)
            seconds = (now - self._waited.setdefault(thread, now)) // SECOND
            if seconds > 0:
                self._time += seconds * SECOND
                self._waited[thread] += seconds * SECOND
            self._time += MICROSECOND
            return self._time

    def until(self, moment: float) -> float:
        """Seconds from now to a moment of this clock; looking at it is no reading."""
        with self._lock:
            return moment - self._time / 1e9


def waited(thread: int) -> int:
    """How long a thread has neither run nor waited for a processor, counted from some moment on, in nanoseconds."""
    busy = 0
    with contextlib.suppress(OSError, ValueError):  # it is gone, or the kernel does not count
        with open(f"/proc/{thread}/schedstat", "rb") as counted:
            ran, ready, _ = counted.read().split()
        busy = int(ran) + int(ready)
    return time.monotonic_ns() - busy
