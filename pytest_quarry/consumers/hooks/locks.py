"""File locks are real, and waiting for one is a boundary: whoever holds it goes on, and the wait ends.

`flock` and `lockf` are tried without waiting; where they would wait, the world is told and they are tried again.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

from pytest_quarry.consumers.hooks.clocks import pause, while_others_work
from pytest_quarry.consumers.link import Link
from pytest_quarry.consumers.paths import shown
from pytest_quarry.consumers.protocol import Blocked, Boundary


def install(link: Link) -> dict[int, Any]:
    """Install the hooks in this process; the replacements of functions that others may hold by name."""
    replacements: dict[int, Any] = {}
    for name in ("flock", "lockf"):
        original = getattr(fcntl, name)
        replacements[id(original)] = _patient(original, link, detects=name == "lockf")
        setattr(fcntl, name, replacements[id(original)])
    replacements[id(os.lockf)] = os.lockf = _patient_os_lockf(os.lockf, link)
    return replacements


def _patient(original: Callable[..., Any], link: Link, *, detects: bool) -> Callable[..., Any]:
    def lock(fd: Any, operation: int, /, *rest: Any) -> Any:
        if link.inside or operation & (fcntl.LOCK_NB | fcntl.LOCK_UN):
            return original(fd, operation, *rest)
        return _patiently(lambda: original(fd, operation | fcntl.LOCK_NB, *rest), fd, link, detects=detects)

    return lock


def _patient_os_lockf(original: Callable[..., None], link: Link) -> Callable[..., None]:
    def lockf(fd: int, command: int, length: int, /) -> None:
        if link.inside or command != os.F_LOCK:
            return original(fd, command, length)
        _patiently(lambda: original(fd, os.F_TLOCK, length), fd, link, detects=True)
        return None

    return lockf


def _patiently(attempt: Callable[[], Any], fd: Any, link: Link, *, detects: bool) -> Any:
    waiting: Iterator[None] | None = None
    while True:
        try:
            return attempt()
        except OSError as error:
            if not isinstance(error, (BlockingIOError, PermissionError)):
                raise
        if waiting is None:
            name = link.name_of(fd if isinstance(fd, int) else fd.fileno())
            waiting = waits(link, shown(name or "a file"), Blocked(None, detects))
        next(waiting)


def waits(link: Link, name: str, blocked: Blocked) -> Iterator[None]:
    """What comes between tries for a lock, again and again: this process's other threads get on, then the world is told."""
    if threading.active_count() > 1:  # one of them may hold it
        for _ in while_others_work(link):
            with link.yields():
                pause()
            yield
    while True:
        link.boundary(Boundary(f"wait for the lock of {name}", call=blocked))
        yield
