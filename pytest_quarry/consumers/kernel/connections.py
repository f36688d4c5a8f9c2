"""The connections of a process to servers that are not the world's: a database, a cache, a service of the team's own."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from functools import partial

from pytest_quarry.bus import endpoint
from pytest_quarry.consumers.kernel import memory
from pytest_quarry.consumers.kernel.descriptors import Unreachable, duplicate
from pytest_quarry.consumers.kernel.seccomp import Called, descriptor_of

# The system's own, over which nobody's data goes: names of users, logs, windows.
OF_THE_SYSTEM = (
    "/var/run/nscd/",
    "/run/nscd/",
    "/dev/log",
    "/var/lib/sss/",
    "/run/systemd/",
    "/run/user/",
    "/run/dbus/",
    "/var/run/dbus/",
    "/tmp/.X11-",
)
HANG_UP = 1.0  # real seconds that servers have to notice that somebody is gone


class Connections:
    """Which sockets lead to a server: known from the moment they connect. `name_of` gives the world's name of a path; `ignored`
    are servers that are nobody's business here."""

    def __init__(self, name_of: Callable[[str], str | None], ignored: Sequence[str] = ()) -> None:
        self._name_of, self._ignored = name_of, ignored
        self._sockets: set[str] = set()  # as the kernel names them
        self.places: dict[str, None] = {}

    def connects(self, called: Called) -> None:
        """A socket is about to be connected."""
        with contextlib.suppress(OSError, ValueError, struct.error):
            place = self._place(memory.address(called.tid, called.arguments[1], called.arguments[2]))
            if (
                place
                and not any(map(partial(fnmatchcase, place), self._ignored))
                and _is_stream(called.tid, called.arguments[0])
            ):
                self._sockets.add(memory.path_of(called.tid, memory.signed(called.arguments[0])))
                self.places[place] = None

    def _place(self, address: tuple[str, int] | str | None) -> str:
        """The server at an address; nothing where that is the world's own, or the system's."""
        if isinstance(address, tuple):
            host, port = address
            return "" if port in endpoint.OPEN else f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        inside = not address or address.startswith(OF_THE_SYSTEM) or self._name_of(address) is not None
        return "" if inside else str(address)

    def __contains__(self, path: str) -> bool:
        """Whether an open file, by the path that the kernel gives it, is one of them."""
        return path in self._sockets

    def hold(self, processes: Iterable[int]) -> list[socket.socket]:
        """Those that these processes have open, as ours too: so that it can be seen when a server has let go of them."""
        held: dict[str, socket.socket] = {}
        for process in processes if self._sockets else ():
            with contextlib.suppress(OSError):
                for descriptor in os.listdir(f"/proc/{process}/fd"):
                    path = memory.path_of(process, int(descriptor))
                    if path in self._sockets and path not in held:
                        held[path] = socket.socket(fileno=descriptor_of(process, int(descriptor)))
        return list(held.values())


def hang_up(held: list[socket.socket]) -> None:
    """Who spoke is dead: wait until each server has noticed, and given back what it kept for the connection, its locks too."""
    deadline = time.monotonic() + HANG_UP
    for connection in held:
        with connection, contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
            while (left := deadline - time.monotonic()) > 0:
                connection.settimeout(left)
                if not connection.recv(1 << 16):
                    break


def cut(tid: int, descriptor: int) -> None:
    """The connection breaks, in both directions."""
    with contextlib.suppress(OSError, Unreachable), duplicate(tid, descriptor) as found:
        connection = socket.socket(fileno=found)
        try:
            connection.shutdown(socket.SHUT_RDWR)
        finally:
            connection.detach()


def _is_stream(tid: int, descriptor: int) -> bool:
    try:
        with duplicate(tid, descriptor) as found:
            connection = socket.socket(fileno=found)
            kind = connection.type
            connection.detach()
            return kind == socket.SOCK_STREAM
    except Unreachable:
        return True
