"""Times of files, folders and links: a change gives them the machine's time, which becomes the world's."""

from __future__ import annotations

import os
import time
from typing import Any

import time_machine

# A time this near to real time was set by a change, not by the consumer's own hand.
JUST_NOW = 3_600
real_stat, real_utime = os.stat, os.utime


def real_seconds() -> float:
    """The machine's time, also where the clocks of this process are the world's."""
    hatch = time_machine.escape_hatch
    return hatch.time.time() if hatch.is_travelling() else time.time()


def is_of_a_change(stat: os.stat_result, real: float) -> bool:
    """Whether what has this status was changed, and its time set by the file system, not long before `real`."""
    return abs(stat.st_mtime - real) < JUST_NOW


def give(path: Any, now: int, **where: Any) -> None:
    """Let this have been changed at `now` (µs)."""
    real_utime(path, ns=(now * 1000, now * 1000), **where)
