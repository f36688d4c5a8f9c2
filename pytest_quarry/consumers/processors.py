"""One processor for the test's process and the consumers of one execution, which take turns.

Where each turn wakes a process on another processor, a fifth of all time goes into that. The system chooses the processor, one that
is idle, and anew for each execution. What a consumer starts has all of them, and it is told of all.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from collections.abc import Callable, Iterator
from multiprocessing import util
from typing import Any

_current = getattr(ctypes.CDLL(None), "sched_getcpu", None) if hasattr(os, "sched_setaffinity") else None
real_getpid, real_sleep, real_start = os.getpid, time.sleep, util.spawnv_passfds
# Only Linux has them.
real_told: Callable[[int], set[int]] = getattr(os, "sched_getaffinity", lambda pid: set())
real_choose: Callable[[int, Any], None] = getattr(os, "sched_setaffinity", lambda pid, mask: None)
_all: set[int] = set()  # what this process had before it kept to one


@contextlib.contextmanager
def one() -> Iterator[None]:
    """Inside, this thread keeps to one processor, and what is forked here from it."""
    if _current is None or _all or len(real_told(0)) == 1:
        yield
        return
    _all.update(real_told(0))
    real_sleep(1e-6)  # whoever wakes is put where nobody else works
    _keep_to(0, {_current()})
    try:
        yield
    finally:
        leave()


def follow(pid: int) -> None:
    """Another process keeps to where this one does, and what is forked from it from now on."""
    if _all:
        _keep_to(pid, real_told(0))


def leave() -> None:
    """This process keeps to none any more: the test's, a consumer, or what that has started."""
    if _all:
        _keep_to(0, _all)
        _all.clear()


def told(pid: int, /) -> set[int]:
    """`os.sched_getaffinity` of a consumer: of all processors, as long as it has not chosen some itself."""
    return set(_all) if _all and pid in (0, real_getpid()) else real_told(pid)


def choose(pid: int, mask: Any, /) -> None:
    """`os.sched_setaffinity` of a consumer."""
    real_choose(pid, mask)
    if pid in (0, real_getpid()):
        _all.clear()


def install() -> None:
    """In a consumer: what multiprocessing starts, which no audit hook sees, has all processors."""

    def start(path: bytes, args: Any, passfds: Any) -> int:
        leave()
        return real_start(path, args, passfds)

    util.spawnv_passfds = start


def _keep_to(pid: int, processors: set[int]) -> None:
    with contextlib.suppress(OSError):  # not allowed, or gone
        real_choose(pid, processors)
