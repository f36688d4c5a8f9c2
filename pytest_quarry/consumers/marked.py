"""Processes found by a variable of their environment, wherever they went: in another group, another session, with init."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

PATIENCE = 1.0  # real seconds for which a process may be on its way into a program; milliseconds on a quiet machine
SETTLED = 0.02  # real seconds after which a process that was seen without an environment has none
PAUSE = 0.001
MOST_ENDED = 20  # looks, where somebody ends during each
KERNEL_THREAD = 0x00200000  # PF_KTHREAD of linux/sched.h: it never had memory of its own


@dataclass(frozen=True, slots=True)
class _Look:
    """What a look at one process told, where it told anything."""

    has_it: bool = False
    ended: bool = False  # it is gone, or a zombie
    address: bytes | None = None  # of its environment, which was empty: there is none, or none yet


def marked(text: str) -> list[int]:
    """The living processes that have this in their environment, where the system tells (Linux).

    One look may miss a process that is just about to execute another program, and one that was forked after the list
    was made by somebody who then ended: a daemon on its way. So it looks until nobody is in between.
    """
    deadline = time.monotonic() + PATIENCE
    ended: set[int] = set()
    empty: dict[tuple[int, bytes], float] = {}  # since when
    looks = 0
    while True:
        now, looks = time.monotonic(), looks + 1
        seen = {pid: _look(pid, text.encode()) for pid in _listed()}
        entering = [(pid, look.address) for pid, look in seen.items() if look.address is not None]
        in_between = any(process[1] == b"0" or now - empty.setdefault(process, now) < SETTLED for process in entering)
        newly_ended = {pid for pid, look in seen.items() if look.ended} - ended
        found = [pid for pid, look in seen.items() if look.has_it]
        if now > deadline or not (in_between or (newly_ended and not found and looks < MOST_ENDED)):
            return found
        ended |= newly_ended
        time.sleep(PAUSE)


def _listed() -> list[int]:
    try:
        return sorted((int(name) for name in os.listdir("/proc") if name.isdigit()), reverse=True)  # the youngest first
    except OSError:  # no such folder on this system
        return []


def _look(pid: int, wanted: bytes) -> _Look:
    try:
        with open(f"/proc/{pid}/environ", "rb", 0) as file:
            environment = file.read()
        if environment:
            return _Look(has_it=wanted in environment)
        with open(f"/proc/{pid}/stat", "rb", 0) as file:
            fields = file.read().rpartition(b")")[2].split()
    except PermissionError:  # somebody else's
        return _Look()
    except OSError:
        return _Look(ended=True)
    flags, memory, address = int(fields[6]), fields[20], fields[47]  # proc(5): fields 9, 23 and 50
    if memory == b"0":
        return _Look(ended=not flags & KERNEL_THREAD)
    return _Look(address=address)
