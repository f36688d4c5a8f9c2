"""Requests of a consumer that come over HTTP: each is a boundary, and waits in the thread of its connection."""

from __future__ import annotations

import contextlib
import mmap
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from pytest_quarry.bus.calls import AwsAnswer, AwsCall
from pytest_quarry.bus.faults import Apply, Unanswered
from pytest_quarry.bus.gates import Gate, Peer
from pytest_quarry.consumers.at_work import descendants
from pytest_quarry.consumers.protocol import Boundary, Fail, Grant

SETTLING = 0.0002  # real seconds between looks at a consumer that may be about to ask for more …
QUIET = 2  # … at so many of which, one after another, none of its threads gets on: they may take turns
MOST_COMPUTED = 0.03  # seconds of a processor: who computes is not waited for, but who waits for a processor
MOST_SETTLING = 5_000
PLACES = 4096  # for processes at one time; the first is nobody's
MOST_COUNTED = 255
# A byte for each process, which both sides see: it was forked from this one, or from one that was.
_counts = mmap.mmap(-1, PLACES)  # how many of its requests wait
_returning = mmap.mmap(-1, PLACES)  # whether its main thread is about to say that its turn is over
_free = list(range(PLACES - 1, 0, -1))


def is_waiting(place: int) -> bool:
    """In the consumer's process: whether a request of it waits for the world, which answers in its own time."""
    return _counts[place] > 0


def set_returning(place: int, yes: bool) -> None:
    """In the consumer's process: whether its main thread is about to say that its turn is over, before others go on."""
    _returning[place] = yes


class Request:
    """A request that waits for the world."""

    def __init__(self, boundary: Boundary) -> None:
        self.boundary = boundary
        self._answered = threading.Event()
        self._message: Any = None

    @property
    def is_answered(self) -> bool:
        """Whether the world has answered; what comes of that may be on its way still."""
        return self._answered.is_set()

    def answer(self, message: Any) -> None:
        """Send what the world says; None where nobody will ever answer."""
        self._message = message
        self._answered.set()

    def wait(self) -> AwsAnswer:
        """What comes back. Raises Unanswered, or what the world could not do."""
        self._answered.wait()
        message = self._message
        if isinstance(message, Grant) and isinstance(message.value, AwsAnswer):
            return message.value
        if isinstance(message, Fail) and message.error not in ("aws-reset", "aws-timeout"):
            raise RuntimeError(message.message)
        raise Unanswered("reset", applied=False)


class Waiting:
    """The requests of one consumer that wait for the world; `hear` is told of each, in the thread of its connection."""

    def __init__(self, hear: Callable[[Request], None]) -> None:
        self._hear = hear
        self._waiting: set[Request] = set()
        self._closed = False
        self._lock = threading.Lock()

    def gate(self, label: str, call: AwsCall, apply: Apply) -> AwsAnswer:
        """The gate at which a request waits."""
        request = Request(Boundary(label, call=call))
        with self._lock:
            if self._closed:
                raise Unanswered("reset", applied=False)
            self._hear(request)  # first, or it would be counted before anybody could answer it
            self._waiting.add(request)
        try:
            return request.wait()
        finally:
            self._waiting.discard(request)

    def __len__(self) -> int:
        return sum(not request.is_answered for request in list(self._waiting))

    def drop(self) -> None:
        """Who waits is gone, and is answered no more."""
        with self._lock:
            for request in list(self._waiting):
                request.answer(None)

    def close(self) -> None:
        """Nobody is answered any more."""
        with self._lock:
            self._closed = True
        self.drop()


class Arriving:
    """What a consumer's process, and what it has started, asks of the world over HTTP; what a hook has announced before has
    waited already. `place` is where that process sees whether it waits; nothing is `expected` before it knows the address."""

    def __init__(self, *, expected: bool) -> None:
        self.place = _free.pop()
        self.expected = expected
        self.is_answering: Callable[[], bool] = lambda: False  # whether others than those who wait are served
        self._requests = Waiting(self._hear)
        self._queued: list[Request] = []
        self._announced: Counter[str] = Counter()
        self._asking = 0
        self._lock = threading.Lock()
        self._ready, self._wake = os.pipe()
        os.set_blocking(self._ready, False)

    def __len__(self) -> int:
        return len(self._requests)

    @property
    def is_returning(self) -> bool:
        """Whether its main thread is about to say that the turn is over."""
        return _returning[self.place] > 0

    def fileno(self) -> int:
        """Readable when a request waits."""
        return self._ready

    def announce(self, label: str) -> None:
        """A hook has told of the request that comes now."""
        with self._lock:
            self._announced[label] += 1

    def before(self, gate: Gate) -> Gate:
        """The gate for this consumer, which leads to another one where it was announced."""

        def waiting(label: str, call: AwsCall, apply: Apply) -> AwsAnswer:
            with self._lock:
                announced = self._announced[label] > 0
                self._announced[label] -= announced
            return gate(label, call, apply) if announced else self._requests.gate(label, call, apply)

        return waiting

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """While a request is read, waits, and is answered: its process is told."""
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    def _count(self, more: int) -> None:
        with self._lock:
            self._asking += more
            if self.place:
                _counts[self.place] = min(self._asking, MOST_COUNTED)

    def _hear(self, request: Request) -> None:
        with self._lock:
            self._queued.append(request)
            os.write(self._wake, b"r")

    def next(self) -> Request | None:
        """The request that is to be answered next, if there is one. Of those that several threads send at once it is the same one
        each time, whichever came first."""
        with self._lock:
            with contextlib.suppress(BlockingIOError):
                os.read(self._ready, PLACES)
            if not self._queued:
                return None
            found = min(self._queued, key=lambda request: request.boundary.label)
            self._queued.remove(found)
            if self._queued:
                os.write(self._wake, b"r")
        return found

    def settle(self, is_at_work: Callable[[], bool], computed: Callable[[], float]) -> None:
        """Wait until nothing of the consumer gets on: then all has come that it asks for at once. `computed`: the processor's seconds
        that it has had."""
        enough, quiet = computed() + MOST_COMPUTED, 0
        for _ in range(MOST_SETTLING):
            quiet = 0 if is_at_work() or self.is_answering() else quiet + 1
            if quiet == QUIET or computed() > enough:
                return
            time.sleep(SETTLING)

    def close(self) -> None:
        """The process is dead, and nobody is answered any more."""
        if not self.place:
            return
        self._requests.close()
        with self._lock:
            _counts[self.place] = _returning[self.place] = 0
            _free.append(self.place)
            self.place = 0
        os.close(self._ready)
        os.close(self._wake)


def socket_of(peer: Peer, port: int) -> str:
    """The socket that a connection to one of our ports comes from, as the kernel names it (Linux: proc(5)); else nothing."""
    ends = [f":{number:04X}" for number in (peer[1], port)]
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError), open(f"/proc/net/{table}", encoding="ascii") as lines:
            for line in lines:
                local, remote, *rest = line.split()[1:10]
                if local.endswith(ends[0]) and remote.endswith(ends[1]):
                    return f"socket:[{rest[-1]}]"
    return ""


def have_open(pid: int, socket: str) -> bool:
    """Whether a process, or one that it has started, has a socket open."""
    for process in (pid, *descendants(pid)):
        with contextlib.suppress(OSError):
            for descriptor in os.listdir(f"/proc/{process}/fd"):
                with contextlib.suppress(OSError):
                    if os.readlink(f"/proc/{process}/fd/{descriptor}") == socket:
                        return True
    return False
