"""One consumer in one forked process: begun, driven, killed, always reaped.

The parent is the world. Nothing here decides anything: it sends what it is told to send, and says what came back,
or that nothing did.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_quarry.bus import own_sockets
from pytest_quarry.consumers import child, inline, keeper, protocol
from pytest_quarry.consumers.arriving import Arriving, Request, have_open
from pytest_quarry.consumers.at_work import descendants, group_at_work, group_computed
from pytest_quarry.consumers.child import Birth
from pytest_quarry.consumers.hooks import names
from pytest_quarry.consumers.kernel.connections import Connections, hang_up
from pytest_quarry.consumers.kernel.deed import Deed
from pytest_quarry.consumers.kernel.made_up import MadeUp
from pytest_quarry.consumers.link import Link
from pytest_quarry.consumers.protocol import Boundary, Call, Ended, EndpointCall, Grant, OverHttp, Returned
from pytest_quarry.consumers.unhooked import Door, Unhooked
from pytest_quarry.consumers.zygote import Parent

FOR_EVER = 86_400.0 * 7  # real seconds somebody may stand at a debugger's prompt
STACK_WAIT = 1.0  # real seconds a hung process has to print its stack
END_WAIT = 1.0  # real seconds somebody who has closed the way to the world has to end
FLOOD_BYTES = 32 << 20
SEMAPHORES = "/dev/shm"  # where Linux keeps them, as files
HERE = os.path.dirname(__file__)
BELOW = os.path.join(HERE, "started_consumer.py")  # takes the turns
START = os.path.join(HERE, "child.py")  # calls `start`, in _start
IDLE_LOOKS = 4
# So many times the guard, and no fewer real seconds, it may wait in one turn: libraries in C try again in real time.
GUARDS, LEAST = 30, 60.0
LOOK_EVERY_ANSWER = 0.06  # real seconds between those at one that spoke to a server while another worker stands still
LOOK_EVERY = 0.25  # real seconds between looks at a process that says nothing


class Hung(Exception):
    """The process did not come back within the guard; `stack` is where its Python threads stood."""

    def __init__(self, words: str, stack: str) -> None:
        super().__init__(words)
        self.stack = stack

    @classmethod
    def unseen(cls, seconds: float, stack: str, *, at_work: bool) -> Hung:
        """In so many real seconds nothing came of it."""
        return cls(f"{protocol.UNSEEN} for {seconds:g} s{protocol.AT_WORK if at_work else ''}", stack)


_alive: set[ConsumerProcess] = set()


class ConsumerProcess:
    """A forked child that is the consumer under test."""

    def __init__(self, parent: Parent, birth: Birth, made_up: MadeUp, *, guard_seconds: float) -> None:
        self.pid = 0
        self._parent, self._made_up = parent, made_up
        self._guard = FOR_EVER if birth.inline else guard_seconds
        self._output, self._stack = Path(birth.output), Path(birth.stack)
        self.arriving = Arriving(expected=birth.endpoint is not None)
        try:
            self._socket = self._begin(replace(birth, place=self.arriving.place))
        except BaseException:
            self.arriving.close()
            raise
        self._asker = os.getppid() if birth.inline else self.pid
        self._poll = select.poll()  # select() cannot take descriptors above 1023
        self._poll.register(self._socket, select.POLLIN)
        self._poll.register(self.arriving, select.POLLIN)
        if self.pid:  # else the test's own process is the consumer, and not ours to kill
            keeper.remember_group(self.pid)
        _alive.add(self)
        self._held: Deed | Request | None = None  # what no hook announced, and waits for its answer
        self._torn = False
        self._asked = math.inf  # when it was told to go on
        self._slowest = 0.0  # real seconds that it took since then
        self._silent = 0.0  # real seconds of this turn in which it only waited
        self._announced: Boundary | None = None
        self._lingers = False  # its turn is over, and what it left to others goes on
        self._said: Any = None  # the message that is read, while others of its processes go first
        self._unhooked: Unhooked | None = None
        self._door: Door | None = None
        self._connections: Connections | None = None  # as either of them sees them
        name_of, ignored = Link(parent.home.directories).name_within, parent.home.consumer.ignored_servers
        if birth.closer and not birth.inline:
            self._unhooked = Unhooked(self._socket, name_of, made_up, ignored, self.pid)
            self._connections = self._unhooked.connections
            self._poll.register(self._unhooked, select.POLLIN)
        elif not birth.inline:
            self._door = Door(self._socket, self._poll, name_of, ignored)
            self._connections = self._door.connections

    def _begin(self, birth: Birth) -> socket.socket:
        if birth.inline:
            names.holders()
            return inline.swap(self._parent.home, birth)
        mine, theirs = own_sockets.pair()
        strangers = [mine.fileno(), *(process._socket.fileno() for process in _alive)]
        try:
            self.pid = self._parent.bear(birth, theirs, strangers)
        except BaseException:
            mine.close()
            raise
        finally:
            theirs.close()
        return mine

    def receive(self, *, contended: bool = False) -> Any:
        """The child's next message, or `Ended`; raises Hung when none comes. Where another worker stands still (`contended`) it is
        soon enough when nothing of the process has been at work for a while: it waits for a lock that nobody sees.
        """
        if self._torn:
            self._torn = False
            return protocol.Torn()
        # Looks are counted, not time: a machine that stood still for a while must not accuse anybody.
        # Who waits for a server's lock is known by the answer that does not come: a slow server has shown how slow it is.
        every = min(max(LOOK_EVERY_ANSWER, self._slowest), LOOK_EVERY) if contended and self.servers else LOOK_EVERY
        slice_seconds = min(every, self._guard)
        looks, idle = math.ceil(self._guard / slice_seconds), 0
        while True:
            came = self._poll.poll(slice_seconds * 1000 if self._said is None else 0)
            if came and self._door is not None and self._door.answers(came):
                continue
            if self._printed() > FLOOD_BYTES:
                raise Hung(f"it wrote more than {FLOOD_BYTES >> 20} MiB to its output", self._where_it_stands())
            if came or self._said is not None:
                self._slowest = max(self._slowest, time.monotonic() - self._asked)
                break
            looks -= 1
            idle = 0 if group_at_work(self.pid) else idle + 1
            self._silent += slice_seconds if idle else 0
            if contended and idle >= IDLE_LOOKS:
                self._asked = math.inf  # how long that will take says nothing
                raise Hung("it waits for something that the world cannot see", self._where_it_stands())
            if looks <= 0:
                raise Hung.unseen(self._guard, self._where_it_stands(), at_work=not idle)
            if self._silent > max(GUARDS * self._guard, LEAST):
                words = f"again and again in one turn, for {self._silent:.0f} s in all, {protocol.UNSEEN}"
                raise Hung(words, self._where_it_stands())
        self._held = self._request() if self.arriving.expected else None
        if self._held is None and self._unhooked is not None:
            self._held = self._unhooked.next(goes_first=self._has_done)
        if self._held is not None:
            return self._made_up.hidden(self._held.boundary.as_seen())
        try:
            message, self._said = self._said or protocol.receive(self._socket), None
        except (EOFError, OSError):
            self._await_its_end()
            return Ended(self._reap())
        self._announced = message if isinstance(message, Boundary) else None
        if isinstance(message, Boundary):
            return self._made_up.hidden(message)
        if isinstance(message, Returned) and len(self.arriving):
            return message._replace(busy=True)  # what it left to others is not done
        return message

    def _has_done(self) -> bool:
        """Whether its turn is over: what it left to other processes comes after that."""
        if self._said is None and self._speaks(self._poll.poll(0)):
            with contextlib.suppress(EOFError, OSError):  # it is gone, and will be found to be
                self._said = protocol.receive(self._socket)
        return not (self._lingers or self._said is None or isinstance(self._said, Boundary))

    def _request(self) -> Request | None:
        """What it asks for over HTTP, unless it speaks: what is left to other threads goes on when the main thread waits for them, or
        after its turn."""
        self.arriving.settle(self._gets_on, lambda: group_computed(self._asker))
        return None if self._speaks(self._poll.poll(0)) else self.arriving.next()

    def _speaks(self, came: list[tuple[int, int]]) -> bool:
        """Whether a message came over its link."""
        return self._said is not None or any(descriptor == self._socket.fileno() for descriptor, _ in came)

    def _gets_on(self) -> bool:
        """Whether it is at work, or was, when it is let through the door."""
        came = self._poll.poll(0)
        let_through = bool(came and self._door is not None and self._door.answers(came))
        is_about_to_speak = self.arriving.is_returning and not self._speaks(came)
        return let_through or is_about_to_speak or group_at_work(self._asker)

    def send(self, message: Any) -> None:
        """Send one message; a child that is gone is noticed at the next `receive`."""
        self._asked = time.monotonic()
        if isinstance(message, Call):
            self._silent, self._lingers = 0.0, message.verb == "linger"
        if self._held is not None:
            held, self._held = self._held, None
            held.answer(message)
            self._torn = isinstance(message, protocol.Tear)
            return
        if isinstance(message, Grant) and self._announced is not None:
            self.arriving.expected |= isinstance(self._announced.call, EndpointCall)
            if isinstance(self._announced.call, OverHttp):
                self.arriving.announce(self._announced.label)
        if self._unhooked is not None:
            if self._announced is None:
                self._unhooked.forget()
            elif not isinstance(message, protocol.Fail):
                self._unhooked.grant(self._announced)
        with contextlib.suppress(OSError):
            protocol.send(self._socket, message)

    def has_open(self, socket_name: str) -> bool:
        """Whether a socket is its own, or that of a process that it has started."""
        return bool(self._asker) and have_open(self._asker, socket_name)

    @property
    def servers(self) -> tuple[str, ...]:
        """Those it reached that are not the world's."""
        return () if self._connections is None else tuple(self._connections.places)

    def end_at_once(self) -> None:
        """SIGKILL, from whatever thread; `kill` is still to come."""
        if self.pid:
            _kill_each([self.pid, *descendants(self.pid)])

    def kill(self) -> None:
        """SIGKILL to the whole process group, and wait for it: afterwards nothing of it runs, and servers know that it is gone."""
        held = []
        if self.pid:
            children = list(descendants(self.pid))
            held = self._connections.hold([self.pid, *children]) if self._connections is not None else []
            with contextlib.suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)
            _kill_each(children)  # those in a session of their own
            self._reap()
        self._held = None
        self.arriving.close()
        if self._unhooked is not None:
            self._unhooked.close()
            self._unhooked = None
        if self._door is not None:
            self._door.close()
            self._door = None
        hang_up(held)
        self._socket.close()
        _alive.discard(self)

    def stop(self) -> None:
        """Let it save its coverage and end by itself, then make sure."""
        children = list(descendants(self.pid))  # when it has ended, nothing tells whose they were
        self.send(protocol.Stop())
        self._poll.poll(self._guard * 1000)
        self.kill()
        _kill_each(children)

    def _printed(self) -> int:
        """Bytes of output so far. Looked at before each message: whether it is too much must not depend on luck."""
        try:
            return os.stat(self._output).st_size
        except OSError:
            return 0

    def output(self) -> str:
        """What it has printed and logged so far."""
        with contextlib.suppress(OSError):
            return self._output.read_text("utf-8", "replace")
        return ""

    def stack(self) -> str:
        """Where its Python threads stand."""
        return self._where_it_stands()

    def last_stack(self) -> str:
        """Where they stood when it crashed; nothing if it did not."""
        return _own_frames(self._stack.read_text("utf-8", "replace")) if self._stack.exists() else ""

    def _where_it_stands(self) -> str:
        with contextlib.suppress(OSError):
            os.kill(self.pid, child.STACK_SIGNAL)
            deadline = time.monotonic() + STACK_WAIT
            seen = ""
            while time.monotonic() < deadline:
                time.sleep(0.01)
                now = self._stack.read_text("utf-8", "replace")
                if now and now == seen:
                    break
                seen = now
            return _own_frames(seen)
        return ""

    def _await_its_end(self) -> None:
        """Who closes everything that is open, and then ends, ends by itself: with a status of its own."""
        if not hasattr(os, "pidfd_open"):  # only Linux tells of a process that another one has forked
            return
        with contextlib.suppress(OSError):
            descriptor = os.pidfd_open(self.pid)
            end = select.poll()
            end.register(descriptor, select.POLLIN)
            end.poll(END_WAIT * 1000)
            os.close(descriptor)

    def _reap(self) -> int:
        pid, self.pid = self.pid, 0
        if not pid:
            return 0
        with contextlib.suppress(OSError):
            os.killpg(pid, signal.SIGKILL)  # what it left behind, if it ended by itself
        code = self._parent.reap(pid)
        keeper.forget_group(pid)
        _remove_semaphores(pid)
        return code


def _remove_semaphores(pid: int) -> None:
    """Those of multiprocessing outlive who is killed."""
    with contextlib.suppress(OSError):
        for name in os.listdir(SEMAPHORES):  # a pattern would be compiled, and kept, for each process
            if name.startswith(f"sem.mp-{pid}-"):
                os.unlink(os.path.join(SEMAPHORES, name))


def _kill_each(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def _own_frames(stack: str) -> str:
    """The threads' frames, most recent first, without those below the consumer: the kit's and pytest's."""
    lines: list[str] = []
    below = False
    for line in stack.splitlines():
        below = line.startswith("  ") and (below or (_is_base(line) and bool(lines)))
        if not below and f'"{HERE}{os.sep}' not in line:  # the kit's, in between
            lines.append(line)
    return "\n".join(lines)


def _is_base(line: str) -> bool:
    return BELOW in line or (START in line and line.endswith(" in _start"))
