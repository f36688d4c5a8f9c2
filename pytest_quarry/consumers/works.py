"""What a consumer does at once, in one order: its threads as they were begun, and what it hands to pools of threads as it was handed
over.

Which thread of a pool takes which piece of work is luck, and whether it begins another thread for it; what was handed over first is not.
"""

from __future__ import annotations

import _thread
import math
import threading
from concurrent.futures import thread as pools
from dataclasses import dataclass
from typing import Any

real_get_ident = _thread.get_ident  # gevent gives each greenlet an identity of its own
UNKNOWN = (math.inf,)  # of a thread that a library began without `threading`: after all others


@dataclass(eq=False)
class Work:
    """What a thread does, or one piece of it: `place` is its own in the order, after that of what began it."""

    place: tuple[float, ...] = ()
    luck: Any = None  # what it draws from, once it has drawn
    _begun: int = 0

    def begins(self) -> Work:
        """Another one, which this begins."""
        self._begun += 1
        return Work((*self.place, self._begun))

    def is_served(self) -> Work:
        """What a thread does that a pool begins for the last of those: luck, and so no piece of work of its own."""
        return Work((*self.place, self._begun, 0))


_main = Work()


def begin() -> None:
    """This process is the consumer from now on."""
    global _main
    _main = Work()


def current() -> Work:
    """What the calling thread does."""
    thread = threading._active.get(real_get_ident())  # type: ignore[attr-defined]
    return getattr(thread, "_quarry_work", None) or _main


def place_of(thread: threading.Thread) -> tuple[float, ...]:
    """The place of what a thread does."""
    work: Work | None = getattr(thread, "_quarry_work", None)
    return UNKNOWN if work is None else work.place


def install() -> None:
    """Install it in this process: threads, and the work of pools, are told their places."""
    real_start = threading.Thread.start
    item: Any = pools._WorkItem
    real_init, real_run = item.__init__, item.run

    def start(self: Any) -> None:
        is_of_pool = getattr(self, "_target", None) is pools._worker
        self._quarry_work = current().is_served() if is_of_pool else current().begins()
        real_start(self)

    def init(self: Any, *arguments: Any, **keywords: Any) -> None:
        self._quarry_work = current().begins()
        real_init(self, *arguments, **keywords)

    def run(self: Any, *arguments: Any) -> None:
        thread: Any = threading.current_thread()
        before = getattr(thread, "_quarry_work", None)
        thread._quarry_work = getattr(self, "_quarry_work", None)
        try:
            real_run(self, *arguments)
        finally:
            thread._quarry_work = before

    threading.Thread.start = start  # type: ignore[method-assign]
    item.__init__, item.run = init, run
