"""One processor for the test's process and the consumers of one execution, which take turns.

Where each turn wakes a process on another processor, a fifth of all time goes into that. The system chooses the processor, one that
is idle, and anew for each execution. What a consumer starts has all of them, and it is told of all.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from collections.abc import Iterator
from typing import Any

_current = getattr(ctypes.CDLL(None), "sched_getcpu", None) if hasattr(os, "sched_setaffinity") else None
real_getpid, real_sleep = os.getpid, time.sleep
_all: set[int] = set()  # what this process had before it kept to one


@contextlib.contextmanager
def one() -> Iterator[None]:
    """Inside, this thread keeps to one processor, and what is forked here from it."""
    if _current is None or _all or len(os.sched_getaffinity(0)) == 1:
        yield
        return
    _all.update(os.sched_getaffinity(0))
    real_sleep(1e-6)  # whoever wakes is put where nobody else works
    _keep_to(0, {_current()})
    try:
        yield
    finally:
        leave()


def follow(pid: int) -> None:
    """Another process keeps to where this one does, and what is forked from it from now on."""
    if _all:
        _keep_to(pid, os.sched_getaffinity(0))


def leave() -> None:
    """This process keeps to none any more: the test's, a consumer, or what that has started."""
    if _all:
        _keep_to(0, _all)
        _all.clear()


def install() -> None:
    """In a consumer: it is told of all processors, as long as it does not choose some itself."""
    if _current is None:
        return
    told, choose = os.sched_getaffinity, os.sched_setaffinity

    def sched_getaffinity(pid: int, /) -> set[int]:
        pid = 0 if pid == real_getpid() else pid
        return set(_all) if _all and pid == 0 else told(pid)

    def sched_setaffinity(pid: int, mask: Any, /) -> None:
        pid = 0 if pid == real_getpid() else pid
        choose(pid, mask)
        if pid == 0:
            _all.clear()

    os.sched_getaffinity, os.sched_setaffinity = sched_getaffinity, sched_setaffinity


def _keep_to(pid: int, processors: set[int]) -> None:
    with contextlib.suppress(OSError):  # not allowed, or gone
        os.sched_setaffinity(pid, processors)
