"""The processes of one session take turns at servers: a database is emptied at the beginning of each world, whoever else is at it."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path


class Turns:
    """Whether this process's consumer speaks to a server, and whose turn it is then. Without a folder it is alone."""

    def __init__(self, folder: Path | None) -> None:
        self._lock = folder / "turn" if folder is not None else None
        self._known = folder / "servers" if folder is not None else None
        self._speaks: bool | None = None

    def speaks(self) -> None:
        """This consumer spoke to a server."""
        self._speaks = True
        if self._known is not None:
            _make(self._known.parent)
            self._known.touch()

    def is_silent(self) -> None:
        """Undisturbed, this consumer speaks to none."""
        self._speaks = bool(self._speaks)

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """One execution: of a consumer that speaks to a server no other is under way meanwhile, nor one of which nobody knows yet."""
        if self._lock is None or self._known is None or self._speaks is False:
            yield
            return
        _make(self._lock.parent)
        with open(self._lock, "a+b") as lock:
            # Not flock(): the processes that are forked meanwhile would hold it too.
            fcntl.lockf(lock, fcntl.LOCK_EX if self._speaks or self._known.exists() else fcntl.LOCK_SH)
            yield


def _make(folder: Path) -> None:
    """Another process that died may have taken the folder with it; the session's own removes it in the end."""
    folder.mkdir(mode=0o700, exist_ok=True)
