"""What a consumer's process does to files without Python, a library in C, a program that it starts; and what it says to servers.

The hooks see what Python does, and cost little. Where a file changed that no hook had announced, the consumer's processes are
begun with a filter too, and the kernel shows all that changes files; what a hook has announced is let through. A smaller filter, which is
always there, shows whom it connects to: at the first server that is not the world's, it is begun with the other one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import re
import select
import socket
from collections import deque
from collections.abc import Callable, Sequence

from pytest_quarry.consumers.kernel import memory
from pytest_quarry.consumers.kernel.connections import Connections
from pytest_quarry.consumers.kernel.deed import Deed
from pytest_quarry.consumers.kernel.made_up import MadeUp
from pytest_quarry.consumers.kernel.seccomp import (
    CHANGING,
    MACHINE,
    SEND,
    Called,
    Filter,
    Listener,
    going_on,
    lifted,
    received,
)
from pytest_quarry.consumers.kernel.syscalls import Seen
from pytest_quarry.consumers.protocol import Boundary
from pytest_quarry.consumers.side_by_side import Processes, first

POSSIBLE = MACHINE is not None
UNHELD = (
    "what it says to servers: this system does not show its calls (Linux 5.5 or newer is needed, and leave to use seccomp), so it "
    "was killed before and after its turns, and not between two messages"
)
blind = False  # this is a consumer's process, and the kernel shows nothing of it
FEW = 2  # grants that a thread may still be carrying out while another is at its own
CONNECTING = Filter(reads=False, calls=frozenset(["connect"]))


def show(connection: socket.socket) -> socket.socket:
    """In the consumer's process: from now on the kernel shows what it does to files, and says to servers. The world is told by
    `connection`, which is another one from now on."""
    connection = lifted(connection)
    _install(Filter(reads=False, calls=CHANGING, link=connection.fileno()), connection)
    return connection


def watch(connection: socket.socket) -> socket.socket:
    """In the consumer's process: from now on the kernel shows whom it reaches, and nothing else."""
    _install(CONNECTING, connection)
    return connection


def _install(what: Filter, connection: socket.socket) -> None:
    global blind
    descriptor = what.install()
    if descriptor < 0:
        blind = True
        connection.sendall(b"u")
        return
    socket.send_fds(connection, [b"u"], [descriptor])
    os.close(descriptor)


class Unhooked:
    """The world's end of that: deeds that no hook announced, one after another, each held until it is answered."""

    def __init__(
        self,
        connection: socket.socket,
        name_of: Callable[[str], str | None],
        made_up: MadeUp,
        ignored: Sequence[str],
        pid: int,
    ) -> None:
        self._deeds: queue.SimpleQueue[Deed] = queue.SimpleQueue()
        self._granted: deque[Boundary] = deque(maxlen=FEW)
        self._own: tuple[str, ...] = ()
        self._pid = pid
        self._ready, self._wake = os.pipe2(os.O_CLOEXEC)
        self._listener = Listener(self._hear, reads=False)
        self._seen = Seen(self._listener, name_of, made_up, reads=False, network=True, ignored=ignored, sleeper=pid)
        self.connections = self._seen.connections
        for descriptor in _taken(connection):
            self._listener.take(descriptor)
        self._listener.works()
        self._waiting: list[Deed] = []
        self._processes = Processes(pid, lambda: self._listener.busy)

    def fileno(self) -> int:
        """Readable when there is a deed."""
        return self._ready

    def _hear(self, called: Called) -> None:
        """In the listener's thread: a system call waits."""
        error = self._seen.refused(called)
        deed = None if error else self._seen.deed(called)
        if error:
            self._listener.answer(called, error=error)
        elif deed is None or (deed.boundary.said is None and self._is_announced(deed.boundary, called)):
            self._listener.go_on(called)
        else:
            self._deeds.put(deed)
            os.write(self._wake, b"d")

    def _is_announced(self, deed: Boundary, called: Called) -> bool:
        if deed.paths and all(name.startswith(self._own) for name in deed.paths):
            return True
        granted = list(self._granted)
        if deed.label.startswith("utime ") and memory.process_of(called.tid) == self._pid:
            # The hooks give what was just changed the world's time, and the folder that it is in.
            return any(set(deed.paths) <= {*each.paths, *map(os.path.dirname, each.paths)} for each in granted)
        return any(announces(each, deed) for each in granted)

    def next(self, *, goes_first: Callable[[], bool]) -> Deed | None:
        """The deed that has waited longest, if there is one; of several processes the one whose turn it is, once all rest.

        None where the consumer itself `goes_first` then.
        """
        several = self._processes.several
        if several:
            self._processes.come_to_rest(self._come())
            if goes_first():
                return None
        waiting = self._come()
        for gone in [deed for deed in waiting if not deed.waits]:
            self._take(gone)
        return self._take(first(waiting) if several else waiting[0]) if waiting else None

    def _take(self, deed: Deed) -> Deed:
        self._waiting.remove(deed)
        os.read(self._ready, 1)  # written right after the deed was put there
        return deed

    def _come(self) -> list[Deed]:
        """Those that wait."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._waiting.append(self._deeds.get_nowait())
        return self._waiting

    def grant(self, boundary: Boundary) -> None:
        """A hook announced this, and may do it now; for files that are its `own` the team answers from then on."""
        self._own += boundary.own
        if boundary.paths:
            self._granted.append(boundary)

    def forget(self) -> None:
        """What was granted has been done."""
        self._granted.clear()

    def close(self) -> None:
        """Hear no more; the process is dead."""
        self._listener.close()
        os.close(self._ready)
        os.close(self._wake)


class Door:
    """Whom a consumer reaches, where nothing else of it is shown: whoever reads its link tells what is `ready` there too."""

    def __init__(
        self,
        connection: socket.socket,
        poll: select.poll,
        name_of: Callable[[str], str | None],
        ignored: Sequence[str],
    ) -> None:
        self._connection, self._poll = connection, poll
        self._listener: int | None = None
        self.connections = Connections(name_of, ignored)

    def answers(self, ready: list[tuple[int, int]]) -> bool:
        """Whether the next thing to hear of was the door's own."""
        if self._listener is None:
            descriptors = _taken(self._connection)
            self._listener = descriptors[0] if descriptors else -1
            if descriptors:
                self._poll.register(self._listener, select.POLLIN)
            return True
        events = dict(ready).get(self._listener, 0)
        if events & select.POLLIN:
            called = received(self._listener)
            if called is not None:
                self.connections.connects(called)
                with contextlib.suppress(OSError):  # it may be gone
                    fcntl.ioctl(self._listener, SEND, bytearray(going_on(called)))
            return True
        if events:  # nobody is left that could call
            self._poll.unregister(self._listener)
        return False

    def close(self) -> None:
        """The process is dead."""
        if self._listener is not None and self._listener >= 0:
            os.close(self._listener)
            self._listener = -1


def _taken(connection: socket.socket) -> list[int]:
    """What `_install` sent, if there was anything to send."""
    return list(socket.recv_fds(connection, 1, 1)[1])


SUPER_JOURNAL = re.compile(r"-mj[0-9A-F]{9}$")
METADATA = ("chmod", "utime", "touch", "setxattr", "removexattr")
VERBS = frozenset(
    ["open", "write", "truncate", "fsync", "rename", "link", "unlink", "rmdir", "mkdir", "symlink", *METADATA]
)


def announces(granted: Boundary, deed: Boundary) -> bool:
    """Whether what a hook announced is what the kernel sees now: the same operation on the same files; or any on the files of
    a database, which SQLite changes in steps of its own, and syncs with their folder."""
    verb, of_deed = granted.label.partition(" ")[0], deed.label.partition(" ")[0]
    if verb in VERBS or of_deed == "sync":
        same = verb == of_deed or {verb, of_deed} == {"open", "truncate"}
        return same and set(deed.paths) <= set(granted.paths)
    if of_deed == "fsync" and any(path.startswith(f"{deed.paths[0]}/") for path in granted.paths):
        return True
    return all(without_luck(name) in granted.paths for name in deed.paths)


def without_luck(name: str) -> str:
    """The database's name, of the journal that SQLite writes for a transaction over several beside the first of them."""
    return SUPER_JOURNAL.sub("", name)
