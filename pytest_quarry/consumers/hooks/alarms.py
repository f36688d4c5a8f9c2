"""Waits for a signal take virtual time, where an alarm of the consumer's own or a timeout ends them.

The alarm that the system keeps stays: one that guards real work ends it.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterable
from typing import Any

from pytest_quarry.consumers.at_work import descendants
from pytest_quarry.consumers.hooks.clocks import GRACE, while_others_work
from pytest_quarry.consumers.hooks.names import replace
from pytest_quarry.consumers.link import SECOND, Link


def install(link: Link) -> dict[int, Any]:
    """Install the hooks in this process, after those of the clocks; the replacements of functions that others may hold by name."""
    waits = _Waits(link)
    replacements: dict[int, Any] = {}
    for name in ("setitimer", "alarm", "pause", "sigtimedwait"):  # macOS has no sigtimedwait
        replace(replacements, signal, name, lambda original: getattr(waits, original.__name__))
    return replacements


class _Waits:
    """What they do, in the main thread, and when its alarm is due."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._due: int | None = None  # in virtual microseconds
        self._interval = 0.0

    def setitimer(self, which: int, seconds: float, interval: float = 0.0, /) -> Any:
        before = _setitimer(which, seconds, interval)
        if which == signal.ITIMER_REAL and not self._link.inside:
            self._set(seconds, interval)
        return before

    def alarm(self, seconds: int, /) -> int:
        before = _alarm(seconds)
        if not self._link.inside:
            self._set(seconds, 0.0)
        return before

    def pause(self) -> None:
        left = self._left()
        alone = threading.active_count() == 1 and not any(descendants("self"))
        if left is None or not alone or self._link.inside or signal.getsignal(signal.SIGALRM) is signal.SIG_IGN:
            _pause()
            return
        time.sleep(left)
        self._goes_off()

    def sigtimedwait(self, sigset: Iterable[int], timeout: float, /) -> Any:
        if timeout <= 0 or self._link.inside or not self._link.on_main:
            return _sigtimedwait(sigset, timeout)
        wanted = set(sigset)
        with self._link.yields():
            for _ in while_others_work(self._link):
                found = _sigtimedwait(wanted, GRACE)
                if found is not None:
                    return found
            left = self._left()
            if left is not None and left <= timeout:
                time.sleep(left)
                self._goes_off()
                timeout -= left
            found = _sigtimedwait(wanted, 0)
            if found is None:
                time.sleep(timeout)
                found = _sigtimedwait(wanted, 0)
            return found

    def _set(self, seconds: float, interval: float) -> None:
        self._due = self._link.now + round(seconds * SECOND) if seconds > 0 else None
        self._interval = interval

    def _left(self) -> float | None:
        """Virtual seconds until the alarm goes off; None where it does not, or has gone off in real time."""
        if self._due is None or not signal.getitimer(signal.ITIMER_REAL)[0]:
            return None
        return max(0, self._due - self._link.now) / SECOND

    def _goes_off(self) -> None:
        self.setitimer(signal.ITIMER_REAL, self._interval, self._interval)
        signal.raise_signal(signal.SIGALRM)


_setitimer, _alarm, _pause = signal.setitimer, signal.alarm, signal.pause
_sigtimedwait: Any = getattr(signal, "sigtimedwait", None)
