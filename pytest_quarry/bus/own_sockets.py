"""Sockets of the kit's own, between its processes: there also where a test may open none, as with pytest-socket."""

from __future__ import annotations

import _socket
import socket
from typing import Any


def _plain() -> type[socket.socket]:
    """Python's class, also where one that is derived from it, and refuses, has its place."""
    derived = getattr(socket.socket, "__mro__", ())
    return next((each for each in derived if each.__module__ == "socket"), socket.socket)


def of(descriptor: int) -> socket.socket:
    """The socket that a descriptor is."""
    return _plain()(fileno=descriptor)


def pair() -> tuple[socket.socket, socket.socket]:
    """Two that are connected."""
    mine, theirs = _socket.socketpair()
    return of(mine.detach()), of(theirs.detach())


def listening(host: str, backlog: int) -> socket.socket:
    """One that is connected to, at a free port."""
    found = _plain()(socket.AF_INET, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, 0))
        found.listen(backlog)
    except BaseException:
        found.close()
        raise
    return found


def accepted(listener: Any) -> tuple[socket.socket, Any]:
    """The next connection, and who is at its other end. Raises OSError as `accept` does."""
    if socket.socket is _plain():
        found: tuple[socket.socket, Any] = listener.accept()
        return found
    descriptor, peer = listener._accept()  # what `accept` is made of, but for the class
    return of(descriptor), peer
