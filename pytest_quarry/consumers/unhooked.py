"""What a consumer's process does to files without Python: a library in C, a program that it starts.

The hooks see what Python does, and cost little. Where a file changed that no hook had announced, the consumer's processes are
begun with a filter too, and the kernel shows all that changes files; what a hook has announced is let through.
"""

from __future__ import annotations

import os
import queue
import socket
from collections import deque
from collections.abc import Callable

from pytest_quarry.consumers.kernel.seccomp import CHANGING, MACHINE, Called, Filter, Listener
from pytest_quarry.consumers.kernel.syscalls import Deed, Seen
from pytest_quarry.consumers.protocol import Boundary

POSSIBLE = MACHINE is not None
FEW = 2  # grants that a thread may still be carrying out while another is at its own


def show(connection: socket.socket) -> None:
    """In the consumer's process: from now on the kernel shows what it does to files. The world is told by `connection`."""
    descriptor = Filter(reads=False, calls=CHANGING).install()
    socket.send_fds(connection, [b"u"], [descriptor] if descriptor >= 0 else [])
    if descriptor >= 0:
        os.close(descriptor)


class Unhooked:
    """The world's end of that: deeds that no hook announced, one after another, each held until it is answered."""

    def __init__(self, connection: socket.socket, name_of: Callable[[str], str | None]) -> None:
        self._deeds: queue.SimpleQueue[Deed] = queue.SimpleQueue()
        self._granted: deque[Boundary] = deque(maxlen=FEW)
        self._ready, self._wake = os.pipe2(os.O_CLOEXEC)
        self._listener = Listener(self._hear, reads=False)
        self._seen = Seen(self._listener, name_of, reads=False, network=True)
        _, descriptors, _, _ = socket.recv_fds(connection, 1, 1)
        for descriptor in descriptors:
            self._listener.take(descriptor)
        self._listener.works()

    def fileno(self) -> int:
        """Readable when there is a deed."""
        return self._ready

    def _hear(self, called: Called) -> None:
        """In the listener's thread: a system call waits."""
        error = self._seen.refused(called)
        deed = None if error else self._seen.deed(called)
        if error:
            self._listener.answer(called, error=error)
        elif deed is None or any(announces(granted, deed.boundary) for granted in list(self._granted)):
            self._listener.go_on(called)
        else:
            self._deeds.put(deed)
            os.write(self._wake, b"d")

    def next(self) -> Deed | None:
        """The deed that has waited longest, if there is one."""
        try:
            deed = self._deeds.get_nowait()
        except queue.Empty:
            return None
        os.read(self._ready, 1)  # written right after the deed was put there
        return deed

    def grant(self, boundary: Boundary) -> None:
        """A hook announced this, and may do it now."""
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


VERBS = frozenset(["open", "write", "truncate", "fsync", "rename", "link", "unlink", "rmdir", "mkdir", "symlink"])


def announces(granted: Boundary, deed: Boundary) -> bool:
    """Whether what a hook announced is what the kernel sees now: the same operation on the same files; or any on the files of
    a database, which SQLite changes in steps of its own, and syncs with their folder."""
    verb, of_deed = granted.label.partition(" ")[0], deed.label.partition(" ")[0]
    if verb in VERBS:
        same = verb == of_deed or {verb, of_deed} == {"open", "truncate"}
        return same and set(deed.paths) <= set(granted.paths)
    if of_deed == "fsync" and any(path.startswith(f"{deed.paths[0]}/") for path in granted.paths):
        return True
    return all(
        name.startswith(granted.paths) for name in deed.paths
    )  # a journal has the name of its database, and more
