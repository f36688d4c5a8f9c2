"""Holds a process just before the first instruction of a program it starts, by ptrace(2): nobody but us sees it stop."""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from collections.abc import Iterator

from pytest_quarry.consumers.kernel.seccomp import LIBC

DETACH, SEIZE, INTERRUPT = 17, 0x4206, 0x4207  # linux/ptrace.h
TRACE_EXEC = 1 << 4
EVENT_EXEC = 4
WALL = 0x40000000  # __WALL: also whoever is no child of ours
SHORT, LONG = 0.0001, 0.05  # real seconds: between two looks, and until a start is in doubt


@contextlib.contextmanager
def seized(thread: int) -> Iterator[bool]:
    """Trace a thread that waits in a system call; False where we may not. At the end it is left alone."""
    if _ptrace(SEIZE, thread, TRACE_EXEC) != 0:
        yield False
        return
    yield True
    _ptrace(DETACH, thread, 0)


def starts(process: int) -> bool:
    """Once a seized thread goes on: whether it starts a program. It is held then, before its first instruction."""
    asked = False
    began = time.monotonic()
    while True:
        try:
            found = os.waitid(os.P_PID, process, os.WSTOPPED | os.WEXITED | os.WNOHANG | os.WNOWAIT | WALL)
        except OSError:
            return False  # it is gone
        if found is not None:
            event, number = found.si_status >> 8, found.si_status & 0x7F
            if found.si_code == os.CLD_TRAPPED and not event:
                _ptrace(DETACH, process, number)  # a signal: it is to have it
            return found.si_code == os.CLD_TRAPPED and event == EVENT_EXEC
        if not asked and time.monotonic() - began > LONG:
            asked = True
            _ptrace(INTERRUPT, process, 0)  # it could not be started, it seems: it stops, or else when it has begun
        time.sleep(SHORT)


def _ptrace(request: int, thread: int, data: int) -> int:
    return int(LIBC.ptrace(ctypes.c_long(request), thread, None, ctypes.c_void_p(data)))
