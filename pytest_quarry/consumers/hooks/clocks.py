"""The child's clocks are the world's: wall clock, monotonic clock, sleeps, and waits with a timeout.

time-machine moves the wall clock at its C functions, however they were imported. The monotonic clocks and the
sleeps are ours: sleeping is a boundary, at which the world moves its own clock and lets the child go on at once.
"""

from __future__ import annotations

import datetime
import selectors
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from typing import Any

import time_machine

from pytest_quarry.consumers.link import Link
from pytest_quarry.consumers.protocol import Boundary, Sleep

GRACE = 0.01  # real seconds a wait gives the consumer's other threads before virtual time passes
MOST_GRACES = 200  # while those threads get somewhere
MICROSECOND = datetime.timedelta(microseconds=1)


class VirtualClock:
    """Virtual time inside one process, in microseconds since the epoch."""

    def __init__(self, now: int, epoch: int) -> None:
        self._epoch = epoch
        self.now = now
        # From a number, not a datetime: its time zone would become the consumer's.
        self._traveller = time_machine.travel(now // 1_000_000, tick=False).start()
        self._traveller.shift((now % 1_000_000) * MICROSECOND)

    def set(self, now: int) -> None:
        if now != self.now:
            self._traveller.shift((now - self.now) * MICROSECOND)
            self.now = now

    def seconds(self) -> float:
        return self.now / 1e6

    def monotonic_ns(self) -> int:
        return (self.now - self._epoch) * 1000 + 10**12

    def monotonic(self) -> float:
        return self.monotonic_ns() / 1e9


def install(link: Link, clock: VirtualClock) -> dict[int, Any]:
    """Install the virtual clocks in this process; the replacements of functions that others may hold by name."""
    real_sleep = time.sleep

    def sleep(seconds: float, /) -> None:
        if link.inside:
            real_sleep(seconds)
            return
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        link.boundary(Boundary("sleep", call=Sleep(float(seconds))))

    originals: dict[str, Callable[..., Any]] = {
        "sleep": sleep,
        "monotonic": clock.monotonic,
        "monotonic_ns": clock.monotonic_ns,
        "perf_counter": clock.monotonic,
        "perf_counter_ns": clock.monotonic_ns,
    }
    _spare_subprocess()
    replacements: dict[int, Any] = {}
    for name, replacement in originals.items():
        replacements[id(getattr(time, name))] = replacement
        setattr(time, name, replacement)
    _install_waits(link, sleep)
    return replacements


def _spare_subprocess() -> None:
    """Waiting for another program takes real time: `subprocess` keeps the real clock."""
    subprocess = sys.modules.get("subprocess")
    if subprocess is not None:
        subprocess.time = types.SimpleNamespace(sleep=time.sleep, monotonic=time.monotonic, time=time.time)  # type: ignore[attr-defined]


def _install_waits(link: Link, sleep: Callable[[float], None]) -> None:
    real_wait = threading.Condition.wait

    def wait(self: Any, timeout: float | None = None) -> bool:
        if timeout is None or timeout <= 0 or link.inside:
            return real_wait(self, timeout)
        if _others_alive():
            for _ in _while_others_work(link):
                if real_wait(self, GRACE):
                    return True
        sleep(timeout)
        return real_wait(self, 0)

    threading.Condition.wait = wait  # type: ignore[method-assign]
    real_join = threading.Thread.join

    def join(self: threading.Thread, timeout: float | None = None) -> None:
        if timeout is None or timeout <= 0 or link.inside:
            return real_join(self, timeout)
        for _ in _while_others_work(link):
            real_join(self, GRACE)
            if not self.is_alive():
                return None
        sleep(timeout)
        return real_join(self, 0)

    threading.Thread.join = join  # type: ignore[method-assign]
    for name in ("EpollSelector", "KqueueSelector", "PollSelector", "SelectSelector", "DevpollSelector"):
        selector = getattr(selectors, name, None)
        if selector is not None and "select" in vars(selector):
            selector.select = _virtual_select(selector.select, link, sleep)


def _virtual_select(real_select: Any, link: Link, sleep: Callable[[float], None]) -> Any:
    def select(self: Any, timeout: float | None = None) -> Any:
        if timeout is None or timeout <= 0 or link.inside:
            return real_select(self, timeout)
        ready = real_select(self, 0)
        # More than the event loop's own wake-up pipe, or other threads: something real may come.
        if not ready and (_others_alive() or len(self.get_map() or ()) > 1):
            for _ in _while_others_work(link):
                ready = real_select(self, GRACE)
                if ready:
                    break
        if ready:
            return ready
        sleep(timeout)
        return real_select(self, 0)

    return select


def _while_others_work(link: Link) -> Iterator[None]:
    """Again and again, as long as other threads come to boundaries or compute: their work must not time out."""
    for _ in range(MOST_GRACES):
        boundaries, computed = link.boundaries, time.process_time()
        yield
        if link.boundaries == boundaries and time.process_time() - computed < GRACE / 5:
            return


def _others_alive() -> bool:
    return threading.active_count() > 1
