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
from pytest_quarry.consumers.at_work import thread_at_work, threads, threads_at_work, waits_of_threads
from pytest_quarry.consumers.file_times import give
from pytest_quarry.consumers.paths import path_now, path_of_descriptor
from pytest_quarry.consumers.protocol import Boundary, Call, Fail, Grant, Later, Sleep, Tear, Torn, injected
from pytest_quarry.consumers.works import place_of

real_get_ident = threading.get_ident
real_native_id = threading.get_native_id  # the thread's; gevent gives each greenlet an identity of its own
real_fspath = os.fspath
real_sleep = time.sleep
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
SECOND, FOR_EVER = 1_000_000, float("inf")  # virtual microseconds
AT_ONCE = 0  # when those wake who do not sleep
SOON = 1  # … and those who wait a moment for others to get on
HOLD = 0.001  # real seconds between looks of a thread that waits while the main thread goes on
MOST_SILENT = 1.0  # real seconds in which the main thread neither waits for the world nor comes to a boundary …
BUSY = 4  # … and so many times more where it computes, or waits for a processor
CALM = 2  # looks in a row since the last of which no other thread has got on …
SWITCH = HOLD / 2  # … as who waits for Python's lock does, each so many real seconds
MOST_LOOKS = 300  # for those who compute for long


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
    # This is the test's own process: when the world has gone it stays, and is told by Disconnected.
    inline: bool = False
    boundaries: int = 0
    # Threads but the main one that are on their way to a boundary, and when they wake.
    wakes: dict[int, int] = field(default_factory=dict)
    leaves_sleepers: bool = False  # what goes on after this turn is not to wait for time to pass
    on_later: Callable[[], None] = lambda: None  # the main thread is to let time pass elsewhere
    _lock: Any = field(default_factory=threading.RLock)
    _inside: set[int] = field(default_factory=set)
    _main: int = field(default_factory=real_native_id)
    _yielding: int = 0
    _until: float = FOR_EVER  # the virtual time up to which others may sleep meanwhile
    _standing: set[int] = field(default_factory=set)  # threads that only wait for each other
    # Threads that wait a moment, in real time, before virtual time is to pass for them; the processor's seconds they have had.
    _pausing: dict[int, float] = field(default_factory=dict)
    _idle: float = 0.0  # the processor's seconds that went to waiting like that
    _crossing: int = 0  # the thread that is being answered
    _granted: int = 0  # the one that had leave last
    _asking: int = 0  # the main thread waits for the world: for leave, or for its next turn
    _holds: bool = True
    _later: bool = False  # until the next turn, or whatever the world asks for, sleepers sleep on
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
    def on_main(self) -> bool:
        """Whether the calling thread is the main one."""
        return real_native_id() == self._main

    @contextlib.contextmanager
    def yields(self, until: float = FOR_EVER) -> Iterator[None]:
        """Meanwhile the main thread waits: the others' turn, and that of those who sleep and wake by then."""
        if not self.on_main or self._only_starts:
            yield
            return
        before, self._until = self._until, until
        self._yielding += 1
        try:
            yield
        finally:
            self._yielding -= 1
            self._until = before

    @contextlib.contextmanager
    def waking(self, wakes: int) -> Iterator[int]:
        """Meanwhile the calling thread waits until then; what it waits for may come before."""
        me = real_native_id()
        if self.on_main:
            yield wakes
            return
        self.wakes[me] = wakes
        try:
            yield wakes
        finally:
            self.wakes.pop(me, None)

    @contextlib.contextmanager
    def pausing(self) -> Iterator[None]:
        """Meanwhile the calling thread waits for others to get on."""
        me = real_native_id()
        self._pausing[me] = time.thread_time()
        try:
            yield
        finally:
            self._pausing.pop(me, None)

    def computed(self) -> float:
        """The processor's seconds that this process has had, without those of threads that only wait for others to get on."""
        me, had = real_native_id(), time.thread_time()
        self._idle += had - self._pausing.get(me, had)
        self._pausing[me] = had
        return time.process_time() - self._idle

    def others_at_work(self) -> bool:
        """Whether a thread is at work that does not only wait for others to get on."""
        return threads_at_work(list(self._pausing))

    @property
    def others_on_their_way(self) -> bool:
        """Whether a thread but the main one is being answered, or will ask in a moment: the main one stands at no boundary itself."""
        return bool(self._crossing or self._standing or set(self._pausing) - {self._main})

    def somebody_is_due(self, until: float) -> bool:
        """Whether another thread stands before a boundary that it would be past by then."""
        return any(wakes <= until for wakes in list(self.wakes.values()))

    def starting(self, start: Callable[..., Any]) -> Callable[..., Any]:
        """A function that starts a thread and waits until it runs: no wait in which other threads get on."""

        @functools.wraps(start)
        def starting(*arguments: Any, **keywords: Any) -> Any:
            if not self.on_main:
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

    def main_ahead(self, moment: float, wakes: int) -> Iterator[None]:
        """Again and again, as long as the main thread goes on and the calling one is to wait; each time `moment` passes.

        Other threads get on while the main thread waits: so their order is no luck, however busy the machine is. Where it
        waits in a way that is not seen, they go on after a while, and need not wait any more.
        """
        if self.on_main:
            return
        silent, seen = 0.0, self.boundaries
        while self._main_goes_on(wakes):
            yield
            if self._asking or self._yielding or self.boundaries != seen:
                silent, seen = 0.0, self.boundaries
                continue
            with self.aside():
                silent += moment / BUSY if thread_at_work(self._main) else moment
            if silent >= MOST_SILENT:
                self._holds = False

    def _main_goes_on(self, wakes: int) -> bool:
        if self._later and wakes > self.now:
            return True
        return self._holds and not (self._yielding and wakes <= self._until)

    def others_ahead(self) -> Iterator[None]:
        """Again and again, as long as another thread is to go first: it carries out what it was given leave for, or is on its way.

        Of several that stand before boundaries, the one that wakes first goes, or whose work was begun first, once no other is at work.
        """
        me = real_native_id()
        if self._granted in (0, me) if self.on_main else threading.active_count() == 1:
            return
        calm, looks, last = 0, 0, None
        while True:
            with self.aside():
                waits = self._waits(me)
            calm, looks, last = calm + 1 if waits is not None and waits == last else 0, looks + 1, waits
            if calm == CALM or (looks >= MOST_LOOKS and not self._crossing):
                return
            yield

    def _waits(self, me: int) -> dict[int, bytes] | None:
        """How often those have waited who may be about to go first; None where another one is to go first in any case."""
        held = {me, *self._pausing, *self.wakes}
        if self.on_main:
            return waits_of_threads({self._granted} - held)
        if self.wakes.get(me) and self._pausing.keys() - {me, self._main}:
            return None  # they are about to sleep too, for less perhaps
        own = [(self.wakes.get(one.native_id or 0), place_of(one), one.native_id or 0) for one in threading.enumerate()]
        due = [(wakes, *rest) for wakes, *rest in own if wakes is not None and not self._main_goes_on(wakes)]
        if self._crossing or min(due, default=(AT_ONCE, (), me))[-1] != me:
            return None
        return waits_of_threads(threads() - held)

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
        main, me = self.on_main, real_native_id()
        mask = real_mask(signal.SIG_BLOCK, ())
        self._asking += main
        try:
            real_mask(signal.SIG_BLOCK, HELD)
            with self.waking(self._wakes(message)) as wakes:
                while True:
                    for _ in self._until_its_turn(me, wakes):
                        real_sleep(HOLD)
                    with self._lock:
                        answer = self._cross(message if main else self._from_now(message, wakes))
                    if not isinstance(answer, Later):
                        return answer
                    self._later = True
                    if main:
                        self.on_later()
                        return answer
        finally:
            self._asking -= main
            real_mask(signal.SIG_SETMASK, mask)

    def before(self, wakes: int) -> Iterator[None]:
        """Again and again, while the calling thread would sleep until then and others go first: what it waits for may come."""
        if self.on_main:
            return
        me = real_native_id()
        with self.waking(wakes):
            try:
                yield from self._until_its_turn(me, wakes)
            finally:
                self._standing.discard(me)

    def _until_its_turn(self, me: int, wakes: int) -> Iterator[None]:
        while True:
            yield from self.main_ahead(HOLD, wakes)
            self._standing.add(me)
            yield from self.others_ahead()
            # Who has just told the main thread what it waits for may be here before that has woken.
            if self.on_main or not self._main_goes_on(wakes):
                return
            self._standing.discard(me)

    def _wakes(self, message: Any) -> int:
        call = getattr(message, "call", None)
        return self.now + round(call.seconds * SECOND) if isinstance(call, Sleep) else AT_ONCE

    def _from_now(self, message: Any, wakes: int) -> Any:
        """A sleep that is as much shorter as time has passed since it began."""
        left = max(0, wakes - self.now) / SECOND
        return message._replace(call=message.call._replace(seconds=left)) if wakes else message

    def _cross(self, message: Any) -> Any:
        me, thread = real_get_ident(), real_native_id()
        self._inside.add(me)
        self._crossing = thread
        try:
            return self._exchange(message)
        finally:
            self._inside.discard(me)
            self._standing.discard(thread)
            self._granted, self._crossing = thread, 0

    def _exchange(self, message: Any) -> Any:
        try:
            protocol.send(self.socket, message)
            answer = protocol.receive(self.socket)
        except (EOFError, OSError):
            if self.inline:
                raise Disconnected from None
            os._exit(70)
        self._later = self._later and not isinstance(answer, Call)
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
        assert isinstance(answer, (Grant, Later)), answer
        return answer.value if isinstance(answer, Grant) else None

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
        with contextlib.suppress(OSError), self.aside():
            give(file, self.now)

    def name_of(self, path: Any, dir_fd: int | None = None) -> str | None:
        """The world's name of a path, or None for one outside the world's directories."""
        if isinstance(path, int):
            folders = (directory for directory, _ in self.directories)
            found = path_now(path_of_descriptor(path) or "", f"/proc/self/fd/{path}", folders)
            if not found:
                return None
        else:
            found = os.fsdecode(real_fspath(path))
            if not found.startswith("/"):
                base = path_of_descriptor(dir_fd) if dir_fd is not None and dir_fd >= 0 else os.getcwd()
                found = f"{base}/{found}"
        if "/." in found or "//" in found or found.endswith("/"):
            found = os.path.normpath(found)
        return self.name_within(found)

    def name_within(self, found: str) -> str | None:
        """The world's name of an absolute, normal path."""
        for directory, name in self.directories:
            if found.startswith(directory) and found[len(directory) : len(directory) + 1] in ("/", ""):
                return name + found[len(directory) :]
        return None
