"""How long a program is to sleep: by a sleep, or by waiting for no file at all."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from pytest_quarry.consumers.kernel import memory
from pytest_quarry.consumers.kernel.seccomp import CLOCK_REALTIME, Called

TIMER_ABSTIME = 1  # linux/time.h
TIMEOUTS = {"nanosleep": 0, "ppoll": 2, "select": 4, "pselect6": 4}  # the number of the argument


def until(moment: float) -> float:
    """The seconds to a moment of the machine's clock."""
    return moment - time.time()


def wanted(called: Called, until: Callable[[float], float]) -> float:
    """The seconds; none where there is no end."""
    tid, arguments = called.tid, called.arguments
    if called.name == "poll":
        return memory.signed(arguments[2]) / 1000
    if called.name == "clock_nanosleep":
        seconds = memory.seconds(tid, arguments[2])
        if not arguments[1] & TIMER_ABSTIME:
            return seconds
        number = memory.signed(arguments[0])
        return _asked(until(seconds) if number == CLOCK_REALTIME else seconds - time.clock_gettime(number))
    at = arguments[TIMEOUTS[called.name]]
    return memory.seconds(tid, at, 1e6 if called.name == "select" else 1e9) if at else 0.0


def _asked(left: float) -> float:
    """How long a sleep was to be of which so much is left: saying so took a moment, a busy machine a longer one."""
    grid = 0.1 if left > 0.2 else 0.01
    return math.ceil(left / grid - 1e-6) * grid
