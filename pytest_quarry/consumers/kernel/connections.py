"""The connections of a process to servers that are not the world's: a database, a cache, a service of the team's own."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase

from pytest_quarry.bus import endpoint, own_sockets
from pytest_quarry.consumers.kernel import memory
from pytest_quarry.consumers.kernel.descriptors import Unreachable, duplicate
from pytest_quarry.consumers.kernel.said import Conversation
from pytest_quarry.consumers.kernel.seccomp import Called, Listener

# The system's own, over which nobody's data goes: names of users, logs, windows.
OF_THE_SYSTEM = (
    "/var/run/nscd/",
    "/run/nscd/",
    "/dev/log",
    "/var/lib/sss/",
    "/run/systemd/",
    "/run/dbus/",
    "/var/run/dbus/",
    "/tmp/.X11-",
)
# Of what is in a user's runtime folder: a development environment keeps its databases' sockets there too.
OF_A_SESSION = re.compile(
    r"/run/user/\d+/(?:bus\Z|(?:systemd|dbus-1|pulse|gnupg|keyring|gcr|at-spi|gvfs|gvfsd|speech-dispatcher)/|pipewire-|wayland-)"
)
HANG_UP = 1.0  # real seconds that servers have to notice that somebody is gone
UNSEEN = 0.05  # real seconds that they are given where it cannot be seen that they have


class Connections:
    """Which sockets lead to a server: known from the moment they connect. `name_of` gives the world's name of a path; `ignored`
    are servers that are nobody's business here."""

    def __init__(self, name_of: Callable[[str], str | None], ignored: Sequence[str] = ()) -> None:
        self._name_of, self._ignored = name_of, ignored
        self._sockets: dict[str, Conversation] = {}  # as the kernel names them
        self._unsure: set[str] = set()  # those that may be for datagrams: once they are connected, that can be told
        self.places: dict[str, None] = {}

    def connects(self, called: Called) -> None:
        """A socket is about to be connected."""
        with contextlib.suppress(OSError, ValueError, struct.error):
            place = self._place(memory.address(called.tid, called.arguments[1], called.arguments[2]))
            if not place or any(fnmatchcase(place, pattern) for pattern in self._ignored):
                return
            streams = _is_stream(called.tid, called.arguments[0])
            path = memory.path_of(called.tid, memory.signed(called.arguments[0]))
            if streams is not False:
                self._sockets[path] = Conversation()
                self.places[place] = None
            if streams is None:
                self._unsure.add(path)

    def _place(self, address: tuple[str, int] | str | None) -> str:
        """The server at an address; nothing where that is the world's own, or the system's."""
        if isinstance(address, tuple):
            host, port = address
            return "" if port in endpoint.OPEN_PORTS else f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if not address or address.startswith(OF_THE_SYSTEM) or OF_A_SESSION.match(address):
            return ""
        return address if self._name_of(address) is None else ""

    def leads_out(self, tid: int, descriptor: int) -> bool:
        """Whether an open file of a process is one of them."""
        return self.over(tid, descriptor) is not None

    def over(self, tid: int, descriptor: int) -> Conversation | None:
        """What has been said over an open file of a process, where it is one of them."""
        path = memory.path_of(tid, memory.signed(descriptor))
        if path in self._unsure:
            self._unsure.discard(path)
            if _is_listed(tid, path):
                self._sockets.pop(path, None)
        return self._sockets.get(path)

    def hold(self, processes: Iterable[int]) -> list[socket.socket | None]:
        """Those that these processes have open, as ours too, so that it can be seen when a server has let go of them; None for one
        that the kernel does not let us have."""
        held: dict[str, socket.socket | None] = {}
        for process in processes if self._sockets else ():
            with contextlib.suppress(OSError):
                for descriptor in os.listdir(f"/proc/{process}/fd"):
                    path = memory.path_of(process, int(descriptor))
                    if path in self._sockets and path not in held:
                        held[path] = _ours(process, int(descriptor))
        return list(held.values())


def _ours(process: int, descriptor: int) -> socket.socket | None:
    try:
        with duplicate(process, descriptor) as found:
            return own_sockets.of(os.dup(found))
    except (OSError, Unreachable):
        return None


def hang_up(held: list[socket.socket | None]) -> None:
    """Who spoke is dead: wait until each server has noticed, and given back what it kept for the connection, its locks too."""
    deadline = time.monotonic() + HANG_UP
    if None in held:
        time.sleep(UNSEEN)
    for connection in filter(None, held):
        with connection, contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
            while (left := deadline - time.monotonic()) > 0:
                connection.settimeout(left)
                if not connection.recv(1 << 16):
                    break


def cut(listener: Listener, called: Called) -> None:
    """The connection over which a call would send breaks, in both directions."""
    try:
        with duplicate(called.tid, called.arguments[0]) as found, contextlib.suppress(OSError):
            connection = own_sockets.of(found)
            try:
                connection.shutdown(socket.SHUT_RDWR)
            finally:
                connection.detach()
    except Unreachable:  # in its place, one of which the other end is closed
        ours, theirs = own_sockets.pair()
        theirs.close()
        with ours:
            listener.replace(called, memory.signed(called.arguments[0]), ours.fileno())


def _is_stream(tid: int, descriptor: int) -> bool | None:
    """Whether bytes go over it, and no datagrams; None where the kernel does not let us look."""
    try:
        with duplicate(tid, descriptor) as found:
            connection = own_sockets.of(found)
            kind = connection.type
            connection.detach()
            return kind == socket.SOCK_STREAM
    except Unreachable:
        return None


def _is_listed(tid: int, path: str) -> bool:
    """Whether it is one of the sockets for datagrams that are in use: their numbers are in the tenth column (proc(5))."""
    number = path.removeprefix("socket:[").removesuffix("]")
    for kind in ("udp", "udp6"):
        with contextlib.suppress(OSError), open(f"/proc/{tid}/net/{kind}", encoding="ascii") as lines:
            if any(line.split()[9] == number for line in lines):
                return True
    return False
