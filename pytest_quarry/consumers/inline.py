"""`--quarry-inline`: one start of the consumer is played by the test's own process, where a debugger reaches it.

The roles are swapped at the fork: the new process goes on as the world, and this one becomes the consumer, without isolation,
until it is killed or the schedule is over. The world plays the rest, tells what became of the schedule, and ends.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
from typing import Any, NoReturn

from pytest_quarry.bus import own_sockets
from pytest_quarry.consumers import child
from pytest_quarry.consumers.child import Birth, Home

_telling: int | None = None  # in the world's process: where what became of the schedule is written


class Played(BaseException):
    """The test's process was the consumer, and is it no more; `told` is what the world's process told, if anything."""

    def __init__(self, told: Any) -> None:
        super().__init__("the consumer was played in this process")
        self.told = told


def swap(home: Home, birth: Birth) -> socket.socket:
    """Fork; returns in the new process, the world's, with its end of the link. In this process it raises Played."""
    global _telling
    mine, theirs = own_sockets.pair()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        for end in (theirs, os.fdopen(reading)):
            end.close()
        _telling = writing
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # meant for the debugger
        return mine
    mine.close()
    os.close(writing)
    try:
        child.play(home, birth, theirs)
    finally:
        theirs.close()
        with os.fdopen(reading, "rb") as told:
            words = told.read()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
    raise Played(pickle.loads(words) if words else None)


def is_world() -> bool:
    """Whether this is the world's process of a pair."""
    return _telling is not None


def tell(what: Any) -> NoReturn:
    """In the world's process: tell the test's what became of the schedule, and end."""
    assert _telling is not None
    with contextlib.suppress(OSError), os.fdopen(_telling, "wb") as pipe:
        pickle.dump(what, pipe)
    os._exit(0)
