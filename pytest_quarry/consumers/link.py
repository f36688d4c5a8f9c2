"""The child's end of the link: every boundary is reported here and waits here for leave."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import contextlib
import functools
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

from pytest_quarry.consumers import protocol
from pytest_quarry.consumers.at_work import thread_at_work
from pytest_quarry.consumers.protocol import Boundary, Fail, Grant, Tear, Torn

real_get_ident = threading.get_ident
real_native_id = threading.get_native_id  # the thread's; gevent gives each greenlet an identity of its own
real_readlink = os.readlink
real_fspath = os.fspath
real_utime = os.utime
real_sleep = time.sleep
UNLINKED = " (deleted)"  # how Linux shows an open file that has no name any more: it dies with the process
real_mask = _signal.pthread_sigmask  # without the enums, which cost more than the call
# A consumer's own signal handler may raise: not in the middle of a message. Those that end or dump it stay open.
HELD = signal.valid_signals() - {
    signal.SIGUSR2,
    signal.SIGSEGV,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGABRT,
}
HOLD = 0.001  # real seconds between looks of a thread that waits while the main thread goes on
MOST_SILENT = 1.0  # real seconds in which the main thread neither waits for the world nor comes to a boundary …
BUSY = 4  # … and so many times more where it computes, or waits for a processor
F_GETPATH = 50  # macOS: fcntl.F_GETPATH, from <sys/fcntl.h>


class Disconnected(BaseException):
    """The world is gone; nothing this process does can matter any more."""


@dataclass
class Link:
    """Reports boundaries to the world, one at a time whatever the number of threads."""

    directories: tuple[tuple[str, str], ...]  # (absolute path, the name the world gives it)
    on_time: Callable[[int], None] = lambda now: None
    socket: Any = field(init=False, default=None)  # from the beginning of a start on
    now: int = 0
    enabled: bool = False
    reads: bool = False  # opening a file for reading is a boundary too
    inline: bool = (
        False  # this is the test's own process: when the world has gone it stays, and is told by Disconnected
    )
    boundaries: int = 0
    waiting: int = 0  # threads on their way to a boundary
    _lock: Any = field(default_factory=threading.RLock)
    _inside: set[int] = field(default_factory=set)
    _main: int = field(default_factory=real_native_id)
    _yielding: int = 0
    _asking: int = 0  # the main thread waits for the world: for leave, or for its next turn
    _holds: bool = True
    _only_starts: bool = False

    def begin(self, connection: socket.socket, now: int, *, reads: bool, inline: bool) -> None:
        """From now on what this process does is the consumer's, and reported."""
        self.socket, self.now, self.reads, self.inline = connection, now, reads, inline
        self._main = real_native_id()
        self.enabled = True

    @property
    def inside(self) -> bool:
        """Whether the calling thread is in the kit's own code, whose operations are not the consumer's."""
        return not self.enabled or real_get_ident() in self._inside

    @property
    def _on_main(self) -> bool:
        return real_native_id() == self._main

    @contextlib.contextmanager
    def yields(self) -> Iterator[None]:
        """Meanwhile the main thread waits: the others' turn."""
        main = self._on_main and not self._only_starts
        self._yielding += main
        try:
            yield
        finally:
            self._yielding -= main

    def starting(self, start: Callable[..., Any]) -> Callable[..., Any]:
        """A function that starts a thread and waits until it runs: no wait in which other threads get on."""

        @functools.wraps(start)
        def starting(*arguments: Any, **keywords: Any) -> Any:
            if not self._on_main:
                return start(*arguments, **keywords)
            self._only_starts = True
            try:
                return start(*arguments, **keywords)
            finally:
                self._only_starts = False

        return starting

    def yielding(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function that waits, during which other threads get on."""

        @functools.wraps(function)
        def waiting(*arguments: Any, **keywords: Any) -> Any:
            with self.yields():
                return function(*arguments, **keywords)

        return waiting

    def main_ahead(self, moment: float) -> Iterator[None]:
        """Again and again, as long as the main thread goes on and the calling one is to wait; each time `moment` passes.

        Other threads get on while the main thread waits: so their order is no luck, however busy the machine is. Where it
        waits in a way that is not seen, they go on after a while, and need not wait any more.
        """
        if self._on_main:
            return
        silent, seen = 0.0, self.boundaries
        while self._holds and not self._yielding:
            yield
            if self._asking or self.boundaries != seen:
                silent, seen = 0.0, self.boundaries
                continue
            with self.aside():
                silent += moment / BUSY if thread_at_work(self._main) else moment
            if silent >= MOST_SILENT:
                self._holds = False

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """What the calling thread does meanwhile is the kit's own."""
        me = real_get_ident()
        self._inside.add(me)
        try:
            yield
        finally:
            self._inside.discard(me)

    def exchange(self, message: Any) -> Any:
        """Send a message and wait for the answer; exits when the world is gone."""
        me, main = real_get_ident(), self._on_main
        mask = real_mask(signal.SIG_BLOCK, ())
        self._asking += main
        try:
            real_mask(signal.SIG_BLOCK, HELD)
            self.waiting += 1
            for _ in self.main_ahead(HOLD):
                real_sleep(HOLD)
            with self._lock:
                self.waiting -= 1
                self._inside.add(me)
                try:
                    return self._exchange(message)
                finally:
                    self._inside.discard(me)
        finally:
            self._asking -= main
            real_mask(signal.SIG_SETMASK, mask)

    def _exchange(self, message: Any) -> Any:
        try:
            protocol.send(self.socket, message)
            answer = protocol.receive(self.socket)
        except (EOFError, OSError):
            if self.inline:
                raise Disconnected from None
            os._exit(70)
        now = getattr(answer, "now", None)
        if now is not None:
            self.now = now
            self.on_time(now)
        return answer

    def boundary(self, boundary: Boundary) -> Any:
        """Wait for leave to cross; the grant's value, or the injected error."""
        self.boundaries += 1
        answer = self.exchange(boundary)
        if isinstance(answer, Fail):
            raise injected(answer)
        assert isinstance(answer, Grant), answer
        return answer.value

    def write_boundary(self, boundary: Boundary) -> int | None:
        """Wait for leave to write; None for all of it, or the number of bytes after which this process dies."""
        self.boundaries += 1
        answer = self.exchange(boundary)
        if isinstance(answer, Fail):
            raise injected(answer)
        return answer.keep if isinstance(answer, Tear) else None

    def torn(self) -> NoReturn:
        """Report that the cut write is on disk; does not return."""
        self.exchange(Torn())
        if self.inline:
            raise Disconnected
        os._exit(70)

    def stamp(self, file: Any) -> None:
        """Give a file that was just changed the world's time: the file system gave it the real one."""
        with contextlib.suppress(OSError):
            real_utime(file, ns=(self.now * 1000, self.now * 1000))

    def name_of(self, path: Any, dir_fd: int | None = None) -> str | None:
        """The world's name of a path, or None for one outside the world's directories."""
        if isinstance(path, int):
            found = path_of_descriptor(path)
            if found is None or (found.endswith(UNLINKED) and not os.path.exists(found)):
                return None
        else:
            found = os.fsdecode(real_fspath(path))
            if not found.startswith("/"):
                base = path_of_descriptor(dir_fd) if dir_fd is not None and dir_fd >= 0 else os.getcwd()
                found = f"{base}/{found}"
        if "/." in found or "//" in found:
            found = os.path.normpath(found)
        return self.name_within(found)

    def name_within(self, found: str) -> str | None:
        """The world's name of an absolute, normal path."""
        for directory, name in self.directories:
            if found.startswith(directory) and found[len(directory) : len(directory) + 1] in ("/", ""):
                return name + found[len(directory) :]
        return None


def injected(fail: Fail) -> BaseException:
    """The exception an injected failure stands for."""
    if fail.error == "OSError":
        number, _, words = fail.message.partition(" ")
        return OSError(int(number), words)
    if fail.error.startswith("aws-"):
        from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

        return {"aws-reset": ConnectionClosedError, "aws-timeout": ReadTimeoutError}[fail.error](
            endpoint_url=fail.message
        )
    return RuntimeError(fail.message)


def path_of_descriptor(descriptor: int) -> str | None:
    """The path an open descriptor has now, or None where the system cannot tell."""
    try:
        return real_readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        pass
    try:
        import fcntl

        return fcntl.fcntl(descriptor, F_GETPATH, bytes(1024)).rstrip(b"\0").decode()
    except (OSError, ImportError):
        return None


def shown(name: str) -> str:
    """A world's name of a path as people read it in labels: what is on the consumer's own disk needs no prefix."""
    return name.removeprefix("disk/")
