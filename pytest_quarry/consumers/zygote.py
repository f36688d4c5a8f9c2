"""Where the consumer's processes come from: each start is a fork, of the test's process or of a zygote.

The test's process is large and busy: every page that it touches after a fork is copied, and every consumer forked from it
has to install the hooks first. A zygote is forked from it once, installs the hooks, and does nothing between two forks.
What the test's process does later it does not see: so a zygote that is kept for many worlds is made anew where the process
has changed, and what it makes one think of a consumer counts only if a fork of the test's process shows it too.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, NoReturn

from pytest_quarry.bus import own_sockets
from pytest_quarry.consumers import child, keeper, large_pages, processors, protocol
from pytest_quarry.consumers.child import Birth, Home
from pytest_quarry.consumers.hooks import models, names

STUCK = 60.0  # real seconds after which a zygote that does not answer counts as stopped, by the consumer for one
MOST_ANEW = 5  # zygotes that were made in vain
MANY = 20  # forks after which it has paid to make them cheaper
GROWTH = 1.25  # of what is held here, until a full collection is due: Python's own measure
PLAIN = (str, bytes, int, float, bool, type(None))


class Here:
    """Each start is a fork of this process, as it is then."""

    def __init__(self, home: Home) -> None:
        self.home = home

    def bear(self, birth: Birth, connection: socket.socket, strangers: Iterable[int]) -> int:
        """Make a process that is the consumer at the other end of `connection`; its id.

        `strangers` are the descriptors of this process that lead to other consumers.
        """
        return _fork(self.home, lambda: child.run(child.install(self.home), birth, connection), strangers)

    def reap(self, pid: int) -> int:
        """The exit code of a process that was killed or has ended."""
        try:
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        except ChildProcessError:
            return 0


class Bear(NamedTuple):
    """Fork; the consumer's end of its link follows. The answer is the new process's id."""

    birth: Birth


class Reap(NamedTuple):
    """Wait for a process that was killed or has ended; the answer is its exit code."""

    pid: int


class Zygote:
    """Each start is a fork of one process that has the hooks; it is there from the first start until it is closed."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._pid = 0
        self._control: socket.socket

    def bear(self, birth: Birth, connection: socket.socket, strangers: Iterable[int]) -> int:
        """As that of `Here`."""
        for _ in range(2):  # a consumer can kill its parent
            if not self._pid:
                self._begin([*strangers, connection.fileno()])
            processors.follow(self._pid)
            with contextlib.suppress(EOFError, OSError):
                protocol.send(self._control, Bear(birth))
                socket.send_fds(self._control, [b"\0"], [connection.fileno()])
                pid: int = protocol.receive(self._control)
                _count()  # of its forks too
                return pid
            self.close()
        raise RuntimeError(
            "the process that consumers are forked from ended or stood still twice before a consumer could begin: it was killed or "
            "stopped, by the consumer or for want of memory, or what it printed to stderr says why"
        )

    def reap(self, pid: int) -> int:
        """As that of `Here`."""
        if self._pid:
            with contextlib.suppress(EOFError, OSError):
                protocol.send(self._control, Reap(pid))
                code: int = protocol.receive(self._control)
                return code
            self.close()
        return -signal.SIGKILL  # it died with its parent

    def close(self) -> None:
        """End it. Those that were forked from it must be dead."""
        pid, self._pid = self._pid, 0
        if pid:
            del _alive[pid]
            self._control.close()
            with contextlib.suppress(OSError):  # whatever else was forked here may keep its way to it open
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
            keeper.forget_group(pid)

    def _begin(self, strangers: Iterable[int]) -> None:
        self._control, theirs = own_sockets.pair()
        self._control.settimeout(STUCK)
        with theirs:
            others = (*strangers, *(zygote._control.fileno() for zygote in _alive.values()), self._control.fileno())
            self._pid = _fork(self.home, lambda: _serve(self.home, theirs), others)
        _alive[self._pid] = self
        keeper.remember_group(self._pid)


Parent = Here | Zygote

_alive: dict[int, Zygote] = {}  # by process id
_held = 0  # blocks of memory, after the last full collection
_moved = 0  # those that there were when this process last moved to large pages
_forks = 0  # of this process and its zygotes; a zygote goes on counting


def _fork(home: Home, become: Callable[[], NoReturn], close: Iterable[int]) -> int:
    """A fork of the test's process, in its own group, in which `become` is called; its id."""
    names.holders()  # found once in the test's process
    models.share()
    models.learn()
    close = [*close, *filter(None, [keeper.descriptor()])]
    _freeze()
    _make_cheaper()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork with threads, from Python 3.12 on
        pid = os.fork()
    if pid == 0:
        try:
            os.setpgid(0, 0)
            for descriptor in close:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
            child.leave_test(home)
            become()
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(70)
    gc.unfreeze()
    with contextlib.suppress(OSError):
        os.setpgid(pid, pid)
    return pid


def _freeze() -> None:
    """Let go of what nothing refers to, and keep the collector from all the rest: it would touch, and so copy, each shared page.

    Freezing sets back what Python counts to know when a full collection is due: it would never come, and every fork be larger.
    """
    global _held
    gc.collect(1)  # what was dropped lately, open connections included
    gc.freeze()
    if sys.getallocatedblocks() > _held * GROWTH:  # what is frozen could only be counted one by one
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        _held = sys.getallocatedblocks()


def _count() -> None:
    global _forks
    _forks += 1


def _make_cheaper() -> None:
    """Before a fork: where there were many, make those that come cheaper, once, and again where this process has grown since."""
    global _moved
    _count()
    if _forks >= MANY and sys.getallocatedblocks() > _moved * GROWTH:
        large_pages.move()
        _moved = sys.getallocatedblocks()


def _serve(home: Home, control: socket.socket) -> NoReturn:
    """Be the zygote until the test's process closes it, or is gone."""
    hooks = child.install(home)
    gc.freeze()
    with contextlib.suppress(EOFError, OSError):
        while True:
            asked = protocol.receive(control)
            if isinstance(asked, Bear):
                protocol.send(control, _bear(hooks, asked.birth, control))
            else:
                protocol.send(control, os.waitstatus_to_exitcode(os.waitpid(asked.pid, 0)[1]))
    os._exit(0)


def _bear(hooks: child.Hooks, birth: Birth, control: socket.socket) -> int:
    _, (descriptor,), _, _ = socket.recv_fds(control, 1, 1)
    models.learn()
    _make_cheaper()
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        control.close()
        child.run(hooks, birth, own_sockets.of(descriptor))
    with contextlib.suppress(OSError):
        os.setpgid(pid, pid)
    os.close(descriptor)
    return pid


class Nursery:
    """One zygote for all worlds of a consumer; another where this process has changed so that the consumer might notice.

    Where that is so again and again, a zygote for each world would cost more than it saves: there is none any more.
    """

    def __init__(self) -> None:
        self._zygote: Zygote | None = None
        self._seen: tuple[Any, ...] = ()
        self._made = 0

    def of(self, home: Home) -> Parent:
        """What the starts in a world are forked from, when whatever comes before the first of them is done."""
        if self._made > MOST_ANEW:
            return Here(home)
        seen = _surroundings(home)
        if self._zygote is None or not _same(seen, self._seen):
            self.close()
            self._zygote, self._seen = Zygote(home), seen
            self._made += 1
        return self._zygote

    def close(self) -> None:
        """End it."""
        if self._zygote is not None:
            self._zygote.close()
            self._zygote = None


def _surroundings(home: Home) -> tuple[Any, ...]:
    """What hooks of a suite may change: loaded modules, the environment, attributes of the suite, its class and its module."""
    suite = getattr(home.consumer.start, "__self__", None)
    module = sys.modules.get(type(suite).__module__)
    changing = [
        getattr(suite, "__dict__", {}),
        vars(type(suite)),
        {} if module is None else vars(module),
        getattr(home.consumer.start, "__globals__", {}),
    ]
    plain = len(sys.modules), os.getcwd(), home.directories, home.cpu_seconds, dict(os.environ)
    return home.consumer, repr(plain), *map(dict, changing)


def _same(these: tuple[Any, ...], those: tuple[Any, ...]) -> bool:
    """Whether nothing was bound anew: values are the same objects, or equal where they can be no more than equal."""
    if len(these) != len(those) or these[:2] != those[:2]:
        return False
    pairs = [(this, that) for this, that in zip(these[2:], those[2:], strict=True)]
    return all(
        this.keys() == that.keys()
        and all(value is that[name] or (type(value) in PLAIN and value == that[name]) for name, value in this.items())
        for this, that in pairs
    )
