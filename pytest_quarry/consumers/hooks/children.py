"""Child processes take real time: nobody sleeps while one is at work, and who looks for the end of one finds it at rest.

Who looks, and sleeps, and looks again would not find the same each time, and would have slept for years before a slow one ends.
"""

from __future__ import annotations

import sys
import time
import types
from dataclasses import dataclass
from typing import Any

from pytest_quarry.consumers.arriving import is_waiting
from pytest_quarry.consumers.at_work import children_alive, children_at_work, children_wait_in
from pytest_quarry.consumers.hooks.aio import answers
from pytest_quarry.consumers.kernel.seccomp import MACHINE
from pytest_quarry.consumers.link import Link

NAPS = [MACHINE.calls[name] for name in ("nanosleep", "clock_nanosleep")] if MACHINE is not None else []
LOOK_EVERY = 0.001  # real seconds
CALM = 30  # looks in a row at which none was at work
MOST_NAPS = 3_000  # looks, in one turn, at which one was taking a nap: who naps all the time is not waited for
LEFT = 0.1  # of the guard: how long what a turn left to them is waited for, after it
LOOK_THEMSELVES = ("subprocess", "asyncio.base_subprocess")  # before they send a signal


@dataclass
class _Patience:
    """What is left of it, in this process."""

    guard: float = 0.0  # real seconds after which the process counts as hung
    naps: int = 0  # looks of this turn


_patience = _Patience()
_real_sleep = time.sleep


def begin(guard: float) -> None:
    """This process is the consumer from now on; after so many real seconds it counts as hung."""
    _patience.guard = guard


def new_turn() -> None:
    """What is waited for in one turn is waited for again."""
    _patience.naps = 0


def waited_for(seconds: float) -> bool:
    """Whether what a turn left to them has been waited for long enough."""
    return seconds > LEFT * _patience.guard


def let_work(link: Link) -> None:
    """Let them get on as long as one is at work or naps."""
    _let_work(link, left=False)


def let_finish(link: Link) -> None:
    """Let them get on after the turn that left them their work; nobody waits for naps then, nor for who works on and on."""
    _let_work(link, left=True)


def _let_work(link: Link, *, left: bool) -> None:
    with link.aside():
        calm = looks = 0
        while calm < CALM and children_alive() and not (left and waited_for(looks * LOOK_EVERY)):
            looks += 1
            naps = not left and _patience.naps < MOST_NAPS and children_wait_in(NAPS)
            _patience.naps += naps
            calm = 0 if naps or children_at_work() or is_waiting(answers.place) else calm + 1
            _real_sleep(LOOK_EVERY)


def install(link: Link) -> None:
    """Waiting for another program takes real time: `subprocess` keeps the real clock."""
    subprocess = sys.modules.get("subprocess")
    if subprocess is None:
        return
    subprocess.time = types.SimpleNamespace(sleep=time.sleep, monotonic=time.monotonic, time=time.time)  # type: ignore[attr-defined]
    real_poll = subprocess.Popen.poll

    def poll(self: Any) -> Any:
        is_users = (
            sys._getframe(1).f_globals.get("__name__") not in LOOK_THEMSELVES
        )  # who kills one does not wait for it
        if self.returncode is None and is_users and not link.inside:
            let_work(link)
        return real_poll(self)

    subprocess.Popen.poll = poll
