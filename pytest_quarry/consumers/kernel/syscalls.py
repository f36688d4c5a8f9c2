"""System calls of a program as boundaries: what each is called, which of the world's files it may change, how it is done.

What changes a file is done here, in the caller's place, so that it has happened when the world looks; names and labels are
those of a consumer in Python.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import struct
from collections.abc import Callable, Sequence
from typing import Any

from pytest_quarry.consumers.kernel import memory, metadata, said, sleeping
from pytest_quarry.consumers.kernel.connections import Connections, cut
from pytest_quarry.consumers.kernel.deed import Deed
from pytest_quarry.consumers.kernel.descriptors import Unreachable, duplicate, opened, reopened
from pytest_quarry.consumers.kernel.made_up import EXCLUSIVE, MadeUp
from pytest_quarry.consumers.kernel.seccomp import WRITING, Called, Listener, rename
from pytest_quarry.consumers.paths import path_now, shown
from pytest_quarry.consumers.protocol import TO_SERVER, Blocked, Boundary, Fail, Sleep
from pytest_quarry.consumers.synced import SYNCED, SYNCED_ONCE, Nameless

AT_REMOVEDIR, O_TMPFILE = 0x200, 0o20000000
SHORT = 0.01  # seconds; runtimes take naps of their own, Go's of exactly so long, which are nobody's business
LIBRARY = 0.2  # seconds; what waits for a process naps for less, and in real time
MOST_WRITTEN = 1 << 26
PRINTED = "printed/"
MOVING = {"sendfile": 0, "splice": 2}  # the number of the argument that is the file it writes to
REACHING = ("connect", "sendto", "sendmsg", "sendmmsg")
MESSAGE = (
    "@PIxxxxPN"  # a msghdr (recvmsg(2)) begins with an address and its size, and where the data is, in how many parts
)


class Seen:
    """Finds out what a call is about. `name_of` gives the world's name of a path, or None for what is not the world's; `until`
    the seconds to a moment of the wall clock; `sleeper` the thread whose sleeps are the world's, where not all are; `made_up` is told
    of names that may be."""

    def __init__(
        self,
        listener: Listener,
        name_of: Callable[[str], str | None],
        made_up: MadeUp,
        *,
        until: Callable[[float], float] = sleeping.until,
        reads: bool,
        network: bool,
        ignored: Sequence[str] = (),
        sleeper: int | None = None,
    ) -> None:
        self._listener, self._name_of, self._reads, self._network = listener, name_of, reads, network
        self._until, self._sleeper, self._made_up = until, sleeper, made_up
        self.connections = Connections(name_of, ignored)
        self._unnamed = Nameless()
        self.elsewhere: list[str] = []  # other machines it wanted to reach

    def deed(self, called: Called) -> Deed | None:
        """The call as something to wait for; None where it is none of the world's business."""
        with contextlib.suppress(OSError, ValueError, struct.error):  # it is gone, or names nothing
            report: Callable[[Called], Deed | None] | None = getattr(self, f"_{REPORTERS.get(called.name, '')}", None)
            deed = report(called) if report is not None else None
            if deed is not None:
                processes = frozenset(memory.lineage(called.tid))
                label = self._made_up.numbered.hidden(deed.boundary.label, processes)
                deed.boundary = deed.boundary._replace(label=label)
            return deed
        return None

    def refused(self, called: Called) -> int:
        """The error number with which a call is refused, whatever the world says; 0 where it is not."""
        if called.name in REACHING and not self._network:
            with contextlib.suppress(OSError, ValueError, struct.error):
                place = memory.elsewhere(called.tid, *_address(called))
                if place is not None:
                    self.elsewhere.append(place)
                    return errno.ECONNREFUSED
        if called.name in MOVING:
            to = called.arguments[MOVING[called.name]]
            if self._of_descriptor(called.tid, to) is not None or self.connections.leads_out(called.tid, to):
                return errno.EINVAL  # it writes instead, which can be seen
        return 0

    def _of_descriptor(self, tid: int, descriptor: int) -> str | None:
        number = memory.signed(descriptor)
        found = memory.path_of(tid, number)
        path = path_now(found, f"/proc/{tid}/fd/{number}", [os.path.dirname(found)])
        return self._name_of(path) if path.startswith("/") else None

    def _deed(
        self, called: Called, label: str, names: tuple[str, ...], act: Callable[[int | None], int | None]
    ) -> Deed:
        return Deed(Boundary(label, names), called, self._listener, act)

    def _open(self, called: Called) -> Deed | None:
        tid, (path, flags, mode) = called.tid, _opening(called)
        if flags & O_TMPFILE == O_TMPFILE or flags & os.O_DIRECTORY:
            return None
        self._made_up.opens(path, flags, mode)  # elsewhere too: from there it may be renamed
        name = self._name_of(path)
        if name is None or not _is_file(path):
            return None
        if name.startswith(PRINTED):  # opened anew, as /dev/stdout: what it printed before stays
            flags = flags & ~os.O_TRUNC | os.O_APPEND
        if not flags & WRITING:
            return self._deed(called, f"read {shown(name)}", (), lambda _: None) if self._reads else None

        def act(_: int | None) -> int | None:
            before = os.umask(memory.umask(tid))
            try:
                descriptor = os.open(path, flags | os.O_CLOEXEC, mode)
            finally:
                os.umask(before)
            given = self._listener.give(called, descriptor, close_on_exec=bool(flags & os.O_CLOEXEC))
            os.close(descriptor)
            return GIVEN if given else None

        return _Opening(Boundary(f"open {shown(name)}", (name,)), called, self._listener, act)

    def _write(self, called: Called) -> Deed | None:
        tid, arguments = called.tid, called.arguments
        name = self._of_descriptor(tid, arguments[0])
        if name is None:
            return self._send(called)
        if called.name in ("writev", "pwritev", "pwritev2"):
            data = memory.gathered(tid, arguments[1], memory.signed(arguments[2]))
        else:
            data = memory.read(tid, arguments[1], min(arguments[2], MOST_WRITTEN))
        offset = arguments[3] if called.name.startswith("pwrite") else None
        if called.name == "pwritev2" and memory.signed(offset or 0) == -1:
            offset = None  # the file's own position

        def act(keep: int | None) -> int | None:
            part = data if keep is None else data[:keep]
            try:
                with duplicate(tid, arguments[0]) as descriptor:
                    return os.write(descriptor, part) if offset is None else os.pwrite(descriptor, part, offset)
            except Unreachable:
                if keep is not None:
                    with reopened(tid, arguments[0]) as (descriptor, position):
                        os.pwrite(descriptor, part, position if offset is None else offset)
                return None

        if name.startswith(PRINTED):
            return self._deed(called, "print", (name,), act)
        flags, _ = opened(tid, arguments[0])
        once = called.name == "pwritev2" and arguments[5] & SYNCED_ONCE
        about = Boundary(f"write {shown(name)}", (name,), len(data), True, synced=bool(flags & SYNCED or once))
        return Deed(about, called, self._listener, act)

    def _connect(self, called: Called) -> None:
        self.connections.connects(called)

    def _send(self, called: Called) -> Deed | None:
        """What goes to a server changes nothing here, and may change something there."""
        conversation = self.connections.over(called.tid, called.arguments[0])
        what = conversation.hears(_sent(called)) if conversation is not None else None
        if what is None:
            return None
        deed = self._deed(called, f"{TO_SERVER}{what.words}", (), lambda _: None)
        deed.boundary = deed.boundary._replace(said=what)
        deed.breaks = lambda: cut(self._listener, called)
        return deed

    def _truncate(self, called: Called) -> Deed | None:
        tid, arguments = called.tid, called.arguments
        path = "" if called.name == "ftruncate" else memory.path_at(tid, memory.AT_FDCWD, arguments[0])
        name = self._name_of(path) if path else self._of_descriptor(tid, arguments[0])
        if name is None:
            return None

        def act(_: int | None) -> int | None:
            if called.name == "ftruncate":
                try:
                    with duplicate(tid, arguments[0]) as descriptor:
                        os.ftruncate(descriptor, arguments[1])
                except Unreachable:
                    return None
            else:
                os.truncate(path, arguments[1])
            return 0

        return self._deed(called, f"truncate {shown(name)}", (name,), act)

    def _allocate(self, called: Called) -> Deed | None:
        name = self._of_descriptor(called.tid, called.arguments[0])
        return None if name is None else self._deed(called, f"truncate {shown(name)}", (name,), lambda _: None)

    def _metadata(self, called: Called) -> Deed | None:
        verb, path = metadata.told(called)
        name = self._name_of(path) if path else self._of_descriptor(called.tid, called.arguments[0])
        return self._deed(called, f"{verb} {shown(name)}", (name,), lambda _: None) if name and verb else None

    def _sync(self, called: Called) -> Deed | None:
        name = self._of_descriptor(called.tid, called.arguments[0])
        if name is None:
            self._unnamed.synced(f"/proc/{called.tid}/fd/{memory.signed(called.arguments[0])}")
            return None
        return self._deed(called, f"fsync {shown(name)}", (name,), lambda _: None)

    def _sync_all(self, called: Called) -> Deed | None:
        """Not carried out: all that the machine has not written yet could take longer than the guard allows."""
        if called.name == "syncfs" and self._of_descriptor(called.tid, called.arguments[0]) is None:
            return None
        self._unnamed.all_synced(f"/proc/{called.tid}/fd")
        return self._deed(called, "sync", (), lambda _: 0)

    def _two_names(self, called: Called) -> Deed | None:
        tid, verb = called.tid, "rename" if called.name.startswith("rename") else "link"
        numbers = (memory.AT_FDCWD, 0, memory.AT_FDCWD, 1) if called.name in ("rename", "link") else (0, 1, 2, 3)
        if called.name in ("rename", "link"):
            paths = [memory.path_at(tid, memory.AT_FDCWD, called.arguments[at]) for at in (0, 1)]
        else:
            folders = called.arguments[numbers[0]], called.arguments[numbers[2]]
            paths = [memory.path_at(tid, folders[at], called.arguments[2 * at + 1]) for at in (0, 1)]
        if verb == "link":
            self._made_up.links(paths[1])
        names = [self._name_of(path) for path in paths]
        known = tuple(name for name in names if name is not None)
        if not known:
            return None
        flags = called.arguments[4] if called.name in ("renameat2", "linkat") else 0

        def act(_: int | None) -> int | None:
            if verb == "rename":
                rename(paths[0], paths[1], flags)
            elif flags:  # to what is open: nobody else may follow its path in /proc
                return None
            else:
                os.link(*paths, follow_symlinks=False)
            return 0

        label = f"{verb} {shown(names[0] or paths[0])} → {shown(names[1] or paths[1])}"
        about = Boundary(label, known, synced=not self._unnamed.is_unsynced(paths[0]))
        return Deed(about, called, self._listener, act)

    def _one_name(self, called: Called) -> Deed | None:
        tid, arguments = called.tid, called.arguments
        at = called.name.endswith("at")
        path = memory.path_at(tid, arguments[0] if at else memory.AT_FDCWD, arguments[1 if at else 0])
        verb, mode = called.name.removesuffix("at"), arguments[2 if at else 1] & 0o7777
        if verb == "mkdir":
            self._made_up.makes(path, mode)
        name = self._name_of(path)
        if name is None:
            return None
        if verb == "unlink" and at and arguments[2] & AT_REMOVEDIR:
            verb = "rmdir"

        def act(_: int | None) -> int:
            if verb == "mkdir":
                before = os.umask(memory.umask(tid))
                try:
                    os.mkdir(path, mode)
                finally:
                    os.umask(before)
            else:
                (os.rmdir if verb == "rmdir" else os.unlink)(path)
            return 0

        return self._deed(called, f"{verb} {shown(name)}", (name,), act)

    def _symlink(self, called: Called) -> Deed | None:
        tid, arguments = called.tid, called.arguments
        target = memory.text(tid, arguments[0])
        at = called.name == "symlinkat"
        path = memory.path_at(tid, arguments[1] if at else memory.AT_FDCWD, arguments[2 if at else 1])
        self._made_up.links(path)
        name = self._name_of(path)
        if name is None:
            return None

        def act(_: int | None) -> int:
            os.symlink(target, path)
            return 0

        return self._deed(called, f"symlink {shown(name)}", (name,), act)

    def _lock(self, called: Called) -> Deed | None:
        operation = called.arguments[1] & 0xFF
        name = self._of_descriptor(called.tid, called.arguments[0])
        if name is None or operation & fcntl.LOCK_UN:
            return None

        def act(_: int | None) -> int | None:
            try:
                with duplicate(called.tid, called.arguments[0]) as descriptor:
                    fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
            except Unreachable:
                with reopened(called.tid, called.arguments[0]) as (descriptor, _position):
                    fcntl.flock(descriptor, operation | fcntl.LOCK_NB)  # free, and so again for the caller
                return None
            return 0

        waits = Boundary(f"wait for the lock of {shown(name)}", call=Blocked(None))
        deed = self._deed(called, f"lock {shown(name)}", (), act)
        if not operation & fcntl.LOCK_NB:
            deed.again = lambda: waits
        return deed

    def _sleep(self, called: Called) -> Deed | None:
        if self._sleeper is not None and called.tid != self._sleeper:
            return None
        wanted = sleeping.wanted(called, self._until)
        if wanted <= (SHORT if self._sleeper is None else LIBRARY):
            return None
        call = Sleep(round(wanted, 2))
        return Deed(Boundary("sleep", call=call), called, self._listener, lambda _: 0)


GIVEN = -1  # what `act` returns when the caller has been answered already


class _Opening(Deed):
    def answer(self, message: Any) -> Boundary | None:
        """As any deed; the file that was opened has been handed over by then."""
        if isinstance(message, Fail) or not self.waits:
            return super().answer(message)
        try:
            if self.act(None) is None:
                self.listener.go_on(self.called)
        except OSError as error:
            self.listener.answer(self.called, error=error.errno or errno.EIO)
        return None


REPORTERS = {
    **dict.fromkeys(("open", "openat", "creat", "openat2"), "open"),
    **dict.fromkeys(("write", "pwrite64", "writev", "pwritev", "pwritev2"), "write"),
    **dict.fromkeys(("truncate", "ftruncate"), "truncate"),
    **dict.fromkeys(("fsync", "fdatasync"), "sync"),
    **dict.fromkeys(("sync", "syncfs"), "sync_all"),
    **dict.fromkeys(("rename", "renameat", "renameat2", "link", "linkat"), "two_names"),
    **dict.fromkeys(("unlink", "unlinkat", "mkdir", "mkdirat", "rmdir"), "one_name"),
    **dict.fromkeys(("symlink", "symlinkat"), "symlink"),
    **dict.fromkeys(("nanosleep", "clock_nanosleep", "poll", "ppoll", "select", "pselect6"), "sleep"),
    **dict.fromkeys(("sendto", "sendmsg", "sendmmsg"), "send"),
    **dict.fromkeys(metadata.CALLS, "metadata"),
    "connect": "connect",
    "flock": "lock",
    "fallocate": "allocate",
}


def _message(called: Called) -> tuple[int, int, int, int]:
    address, size, at, parts = struct.unpack(MESSAGE, memory.read(called.tid, called.arguments[1], 32))
    return address, size, at, parts


def _address(called: Called) -> tuple[int, int]:
    """Where in its memory the address is to which a call goes, and the size of that."""
    if called.name in ("sendmsg", "sendmmsg"):
        return _message(called)[:2]
    at = 4 if called.name == "sendto" else 1
    return called.arguments[at], called.arguments[at + 1]


def _sent(called: Called) -> bytes:
    """The first of the bytes that it sends."""
    tid, (_, at, size, *_rest) = called.tid, called.arguments
    if called.name in ("sendmsg", "sendmmsg"):
        _, _, at, size = _message(called)
    if called.name in ("sendto", "write"):
        return memory.read(tid, at, min(size, said.MOST_READ))
    return memory.gathered(tid, at, memory.signed(size))[: said.MOST_READ]


def _opening(called: Called) -> tuple[str, int, int]:
    """The path, flags and mode of a call that opens a file."""
    tid, arguments = called.tid, called.arguments
    if called.name == "creat":
        path, flags, mode = (
            memory.path_at(tid, memory.AT_FDCWD, arguments[0]),
            os.O_CREAT | os.O_WRONLY | os.O_TRUNC,
            arguments[1],
        )
    elif called.name == "open":
        path, flags, mode = memory.path_at(tid, memory.AT_FDCWD, arguments[0]), arguments[1], arguments[2]
    else:
        path, flags, mode = memory.path_at(tid, arguments[0], arguments[1]), arguments[2], arguments[3]
        if called.name == "openat2":
            flags, mode = struct.unpack("=QQ", memory.read(tid, arguments[2], 16))
    if not flags & os.O_NOFOLLOW and flags & EXCLUSIVE != EXCLUSIVE:
        path = memory.real(tid, path)
    return path, flags & 0xFFFFFFFF, mode & 0o7777


def _is_file(path: str) -> bool:
    """Whether opening it makes or finds a file: neither a folder nor a pipe, whose opening waits for another program."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return True  # there is none yet, or it cannot be opened, and the caller is to hear why
