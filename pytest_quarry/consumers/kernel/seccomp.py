"""A process whose system calls of some kinds wait for us: Linux's seccomp user notifications, since Linux 5.5.

No ptrace, no strace: the kernel stops the thread that calls, in the program and in all that it starts, and tells us; we
say go on, or answer in the kernel's place.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import platform
import select
import socket
import struct
import sys
import threading
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import NamedTuple

from pytest_quarry.bus import own_sockets

PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG = 38, 1  # linux/prctl.h
SET_MODE_FILTER, NEW_LISTENER, WAIT_KILLABLE = 1, 1 << 3, 1 << 5  # linux/seccomp.h; the last since Linux 5.19
ALL_THREADS = 1 | 1 << 4  # … TSYNC and TSYNC_ESRCH, with a listener since Linux 5.7
ALLOW, NOTIFY, ERRNO = 0x7FFF0000, 0x7FC00000, 0x00050000
RECV, SEND, ID_VALID, ADDFD = 0xC0502100, 0xC0182101, 0x40082102, 0x40182103
CONTINUE, ADDFD_SETFD, ADDFD_SEND = 1, 1, 2
LD, JEQ, JSET, RET = 0x20, 0x15, 0x45, 0x06  # linux/bpf_common.h: BPF_LD|BPF_W|BPF_ABS, …
NOTIFICATION = struct.Struct("=QIIiIQ6Q")
RESPONSE = struct.Struct("=QqiI")
DESCRIPTOR = struct.Struct("=QIIII")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Machine:
    """The kernel's numbers on one architecture."""

    arch: int
    seccomp: int
    pidfd_open: int
    pidfd_getfd: int
    calls: dict[str, int]


_X86_64 = {
    "futex": 202, "clock_gettime": 228, "gettimeofday": 96, "time": 201, "execve": 59, "execveat": 322,
    "open": 2, "creat": 85, "openat": 257, "openat2": 437, "write": 1, "pwrite64": 18, "writev": 20, "pwritev": 296, "pwritev2": 328, "fallocate": 285,
    "sendfile": 40, "splice": 275, "copy_file_range": 326, "fsync": 74, "fdatasync": 75, "sync": 162, "syncfs": 306, "rename": 82, "renameat": 264,
    "renameat2": 316, "link": 86, "linkat": 265, "symlink": 88, "symlinkat": 266, "unlink": 87, "unlinkat": 263,
    "mkdir": 83, "mkdirat": 258, "rmdir": 84, "truncate": 76, "ftruncate": 77, "flock": 73, "nanosleep": 35,
    "clock_nanosleep": 230, "connect": 42, "sendto": 44, "sendmsg": 46, "sendmmsg": 307, "io_uring_setup": 425, "getrandom": 318,
    "poll": 7, "ppoll": 271, "select": 23, "pselect6": 270,
    "chmod": 90, "fchmod": 91, "fchmodat": 268, "fchmodat2": 452, "utime": 132, "utimes": 235, "futimesat": 261,
    "utimensat": 280, "setxattr": 188, "lsetxattr": 189, "fsetxattr": 190, "removexattr": 197, "lremovexattr": 198, "fremovexattr": 199,
}  # fmt: skip
_AARCH64 = {
    "futex": 98, "clock_gettime": 113, "gettimeofday": 169, "execve": 221, "execveat": 281,
    "openat": 56, "openat2": 437, "write": 64, "pwrite64": 68, "writev": 66, "pwritev": 70, "pwritev2": 287, "fallocate": 47, "splice": 76, "sendfile": 71,
    "copy_file_range": 285, "fsync": 82, "fdatasync": 83, "sync": 81, "syncfs": 267, "renameat": 38, "renameat2": 276, "linkat": 37,
    "symlinkat": 36, "unlinkat": 35, "mkdirat": 34, "truncate": 45, "ftruncate": 46, "flock": 32, "nanosleep": 101,
    "clock_nanosleep": 115, "connect": 203, "sendto": 206, "sendmsg": 211, "sendmmsg": 269, "io_uring_setup": 425, "getrandom": 278,
    "ppoll": 73, "pselect6": 72,
    "fchmod": 52, "fchmodat": 53, "fchmodat2": 452, "utimensat": 88, "setxattr": 5, "lsetxattr": 6, "fsetxattr": 7,
    "removexattr": 14, "lremovexattr": 15, "fremovexattr": 16,
}  # fmt: skip
MACHINES = {
    "x86_64": Machine(0xC000003E, 317, 434, 438, _X86_64),
    "aarch64": Machine(0xC00000B7, 277, 434, 438, _AARCH64),
}
MACHINE = MACHINES.get(platform.machine()) if sys.platform == "linux" else None
NAMES = {} if MACHINE is None else {number: name for name, number in MACHINE.calls.items()}
# Answered by the filter itself: every program has a slower way, which we can see.
REFUSED = {"io_uring_setup": errno.ENOSYS, "copy_file_range": errno.EXDEV}
# Of these only the calls that may change something wait: the number of the argument that says so.
OPENING = {"open": 1, "openat": 2}
# Of these only the calls that do not send over the link to the world.
SENDING = frozenset(["sendto", "sendmsg"])
HIGH = 500  # a number that no other open file of a process gets, as the lowest that is free is given
# Of these only the calls of which an argument has one of these bits: those that wait up to a moment of the wall clock.
FUTEX_CLOCK_REALTIME = 256  # linux/futex.h
MASKED = {"futex": (1, FUTEX_CLOCK_REALTIME)}
# Of these only the calls of which an argument is one of these: those that read the wall clock, and those that wait for no file at all.
CLOCK_REALTIME, CLOCK_REALTIME_COARSE, CLOCK_TAI = 0, 5, 11  # linux/time.h
CHOSEN = {
    "clock_gettime": (0, (CLOCK_REALTIME, CLOCK_REALTIME_COARSE, CLOCK_TAI)),
    **dict.fromkeys(("poll", "ppoll"), (1, (0,))),
    **dict.fromkeys(("select", "pselect6"), (0, (0,))),
}


# What changes files or goes to a server, what hides that, and a library's sleeps: enough for a process of which the rest is seen
# from within.
CHANGING = frozenset(
    [
        "open",
        "creat",
        "openat",
        "openat2",
        "write",
        "pwrite64",
        "writev",
        "pwritev",
        "pwritev2",
        "fallocate",
        "sendfile",
        "splice",
        "copy_file_range",
        "fsync",
        "fdatasync",
        "sync",
        "syncfs",
        "rename",
        "renameat",
        "renameat2",
        "link",
        "linkat",
        "symlink",
        "symlinkat",
        "unlink",
        "unlinkat",
        "mkdir",
        "mkdirat",
        "rmdir",
        "truncate",
        "ftruncate",
        "chmod",
        "fchmod",
        "fchmodat",
        "fchmodat2",
        "utime",
        "utimes",
        "futimesat",
        "utimensat",
        "setxattr",
        "lsetxattr",
        "fsetxattr",
        "removexattr",
        "lremovexattr",
        "fremovexattr",
        "io_uring_setup",
        "connect",
        "sendto",
        "sendmsg",
        "sendmmsg",
        "nanosleep",
        "clock_nanosleep",
        "poll",
        "ppoll",
        "select",
        "pselect6",
    ]
)


class Called(NamedTuple):
    """A system call that waits."""

    id: int
    tid: int
    name: str
    arguments: tuple[int, ...]


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def _instruction(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)


def _program(machine: Machine, reads: bool, calls: Container[str] | None, link: int) -> bytes:
    """The filter: in which calls a thread waits; of these alone, if any are named. What is sent over the `link` never waits."""
    parts = [_instruction(LD, 4), _instruction(JEQ, machine.arch, 1, 0), _instruction(RET, ALLOW), _instruction(LD, 0)]
    for name, number in machine.calls.items():
        if calls is not None and name not in calls:
            continue
        if name in REFUSED:
            block = [_instruction(RET, ERRNO | REFUSED[name])]
        elif name in SENDING and link >= 0:
            block = [_instruction(LD, 16), _instruction(JEQ, link, 0, 1)]
            block += [_instruction(RET, ALLOW), _instruction(RET, NOTIFY)]
        elif name in CHOSEN:
            at, values = CHOSEN[name]
            block = [_instruction(LD, 16 + 8 * at)]
            block += [_instruction(JEQ, value, len(values) - place) for place, value in enumerate(values)]
            block += [_instruction(RET, ALLOW), _instruction(RET, NOTIFY)]
        elif name in MASKED or (name in OPENING and not reads):
            at, bits = MASKED[name] if name in MASKED else (OPENING[name], WRITING)
            block = [_instruction(LD, 16 + 8 * at), _instruction(JSET, bits, 0, 1)]
            block += [_instruction(RET, NOTIFY), _instruction(RET, ALLOW)]
        else:
            block = [_instruction(RET, NOTIFY)]
        parts += [_instruction(JEQ, number, 0, len(block)), *block]
    return b"".join([*parts, _instruction(RET, ALLOW)])


def lifted(connection: socket.socket) -> socket.socket:
    """The same under a high number. It is closed under its old one, which may be another file's soon."""
    try:
        high = fcntl.fcntl(connection, fcntl.F_DUPFD_CLOEXEC, HIGH)
    except OSError:  # so many may not be open
        return connection
    connection.close()
    return own_sockets.of(high)


class Filter:
    """In which system calls the threads of a process wait for us; not where they send over this `link`. It is made before a
    fork, if it is for another process."""

    def __init__(self, *, reads: bool, calls: Container[str] | None = None, link: int = -1) -> None:
        code = b"" if MACHINE is None else _program(MACHINE, reads, calls, link)
        self._code = ctypes.create_string_buffer(code, len(code))
        self._program = _Program(len(code) // 8, ctypes.cast(self._code, ctypes.c_void_p))

    def install(self) -> int:
        """From now on this process has it, and whatever it starts. A descriptor for a listener; -1 where that cannot be."""
        if MACHINE is None:
            return -1
        LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        number, program = MACHINE.seccomp, ctypes.byref(self._program)
        # A library may have begun threads in the fork, by os.register_at_fork.
        for besides in (WAIT_KILLABLE | ALL_THREADS, WAIT_KILLABLE, 0):
            listener = int(LIBC.syscall(number, SET_MODE_FILTER, NEW_LISTENER | besides, program))
            if listener >= 0:
                break
        return listener


def received(descriptor: int) -> Called | None:
    """The next call that waits; None where it was killed meanwhile."""
    buffer = bytearray(NOTIFICATION.size)
    try:
        fcntl.ioctl(descriptor, RECV, buffer)
    except OSError:
        return None
    found, tid, _, number, _, _, *arguments = NOTIFICATION.unpack(buffer)
    return Called(found, tid, NAMES.get(number, ""), tuple(arguments))


def going_on(called: Called) -> bytes:
    """The answer that lets the kernel carry out the call."""
    return RESPONSE.pack(called.id, 0, 0, CONTINUE)


class Listener:
    """Hears of the waiting calls of one process and its descendants, and answers them.

    Pass `in_child` to the child, between fork and exec; or `take` what a child of its own has installed. `hear` is called in a
    thread of the listener's.
    """

    def __init__(self, hear: Callable[[Called], None], *, reads: bool) -> None:
        self._hear = hear
        self._fd = -1
        self._heard = threading.Event()
        self._hearing = False
        self._lock = threading.Lock()
        self._mine, theirs = own_sockets.pair()
        self._theirs = lifted(theirs)
        self._wake, self._woken = os.pipe2(os.O_CLOEXEC)
        self._filter = Filter(reads=reads, link=self._theirs.fileno())
        self._thread = threading.Thread(target=self._listen, name="quarry listener", daemon=True)
        self._thread.start()

    def in_child(self) -> None:
        """In the new process: from now on its calls wait for us."""
        if sys.platform == "linux":
            LIBC.prctl(PR_SET_PDEATHSIG, 9, 0, 0, 0)
        listener = self._filter.install()
        if listener >= 0:
            self.take(listener)

    def take(self, descriptor: int) -> None:
        """What `Filter.install` gave; it is closed here."""
        socket.send_fds(self._theirs, [b"l"], [descriptor])
        os.close(descriptor)

    def works(self) -> bool:
        """Once the program runs: whether its calls wait for us."""
        self._theirs.close()  # now the other side has an end
        self._heard.wait()
        return self._fd >= 0

    def _listen(self) -> None:
        fds = socket.recv_fds(self._mine, 1, 1)[1]
        self._fd = fds[0] if fds else -1
        self._heard.set()
        if self._fd < 0:
            return
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while True:
            ready = dict(poll.poll())
            if self._wake in ready or not ready.get(self._fd, 0) & select.POLLIN:
                return  # closed, or no process is left
            self._hearing = True
            called = received(self._fd)
            if called is not None:
                self._hear(called)
            self._hearing = False

    @property
    def busy(self) -> bool:
        """Whether a call has come of which nobody has heard yet."""
        poll = select.poll()
        with self._lock:
            if self._fd >= 0:
                poll.register(self._fd, select.POLLIN)
            came = poll.poll(0)
        return self._hearing or any(events & select.POLLIN for _, events in came)

    def waits(self, called: Called) -> bool:
        """Whether the caller still waits for its answer."""
        with self._lock, contextlib.suppress(OSError):
            fcntl.ioctl(self._fd, ID_VALID, struct.pack("=Q", called.id))
            return True
        return False

    def go_on(self, called: Called) -> None:
        """Let the kernel carry out the call."""
        self._respond(going_on(called))

    def answer(self, called: Called, value: int = 0, error: int = 0) -> None:
        """The call is over: it returns this value, or fails with this error number."""
        self._respond(RESPONSE.pack(called.id, value, -error, 0))

    def give(self, called: Called, descriptor: int, *, close_on_exec: bool) -> bool:
        """The call is over: it returns this open file. False where the kernel cannot do that."""
        request = DESCRIPTOR.pack(called.id, ADDFD_SEND, descriptor, 0, os.O_CLOEXEC if close_on_exec else 0)
        with self._lock:
            try:
                fcntl.ioctl(self._fd, ADDFD, bytearray(request))
            except OSError as error:
                return error.errno != errno.EINVAL
        return True

    def replace(self, called: Called, number: int, descriptor: int) -> None:
        """The caller's open file of this number is this one from now on; what it was is closed."""
        request = DESCRIPTOR.pack(called.id, ADDFD_SETFD, descriptor, number, os.O_CLOEXEC)
        with self._lock, contextlib.suppress(OSError):  # the kernel cannot, or the caller is gone
            fcntl.ioctl(self._fd, ADDFD, bytearray(request))

    def _respond(self, response: bytes) -> None:
        with self._lock, contextlib.suppress(OSError):  # who called may be gone
            if self._fd >= 0:
                fcntl.ioctl(self._fd, SEND, bytearray(response))

    def all_gone(self, seconds: float) -> bool:
        """Whether no process with this filter is left, after so long at most."""
        if self._fd < 0:
            return True
        poll = select.poll()
        poll.register(self._fd, 0)
        return bool(poll.poll(seconds * 1000))

    def close(self) -> None:
        """Hear no more. Whoever still waits gets an error."""
        os.close(self._woken)
        with contextlib.suppress(OSError):
            self._theirs.close()
        self._mine.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._mine.close()
        os.close(self._wake)
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
            self._fd = -1


def rename(old: str, new: str, flags: int) -> None:
    """What renameat2(2) does with paths that are absolute. Raises OSError."""
    assert MACHINE is not None
    if LIBC.syscall(MACHINE.calls["renameat2"], 0, os.fsencode(old), 0, os.fsencode(new), flags) < 0:
        raise OSError(ctypes.get_errno(), "renameat2")


def descriptor_of(process: int, descriptor: int) -> int:
    """A duplicate, in this process, of an open file of another. Raises OSError."""
    assert MACHINE is not None
    of_process = LIBC.syscall(MACHINE.pidfd_open, process, 0)
    if of_process < 0:
        raise OSError(ctypes.get_errno(), "pidfd_open")
    try:
        found = LIBC.syscall(MACHINE.pidfd_getfd, of_process, descriptor, 0)
        if found < 0:
            raise OSError(ctypes.get_errno(), "pidfd_getfd")
        return int(found)
    finally:
        os.close(of_process)
