"""The child's clocks are the world's: wall clock, monotonic clock, sleeps, and waits with a timeout.

time-machine moves the wall clock at its C functions, however they were imported. The monotonic clocks and the
sleeps are ours: sleeping is a boundary, at which the world moves its own clock and lets the child go on at once.
"""

from __future__ import annotations

import contextlib
import queue
import select
import selectors
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pytest_quarry.consumers.arriving import is_waiting
from pytest_quarry.consumers.at_work import children_at_work
from pytest_quarry.consumers.hooks import children, servers
from pytest_quarry.consumers.hooks.aio import answers
from pytest_quarry.consumers.hooks.virtual_clock import VirtualClock
from pytest_quarry.consumers.link import AT_ONCE, FOR_EVER, HOLD, SECOND, SOON, Link
from pytest_quarry.consumers.protocol import A_DAY, Boundary, Sleep

GRACE = 0.01  # real seconds a wait gives the consumer's other threads before virtual time passes
QUIET = 3  # graces in a row in which they got nowhere: one may be a busy machine's
MOST_GRACES = 200  # while those threads get somewhere
MOST_ANSWERS = 1000  # graces for the world's endpoint, which answers in real time


def install(link: Link, clock: VirtualClock) -> dict[int, Any]:
    """Install the virtual clocks in this process; the replacements of functions that others may hold by name."""
    real_sleep = time.sleep

    def sleep(seconds: float, /) -> None:
        if link.inside:
            real_sleep(seconds)
            return
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        children.let_work(link)
        if link.on_main and others_are_due(link, AT_ONCE):
            let_work(link, AT_ONCE)
        call = Sleep(float(seconds), patient=True, unanswered=servers.unanswered())
        link.boundary(Boundary("sleep", call=call))

    originals: dict[str, Callable[..., Any]] = {
        "sleep": sleep,
        "monotonic": clock.monotonic,
        "monotonic_ns": clock.monotonic_ns,
        "perf_counter": clock.monotonic,
        "perf_counter_ns": clock.monotonic_ns,
    }
    children.install(link)
    replacements: dict[int, Any] = {}
    for name, replacement in originals.items():
        replacements[id(getattr(time, name))] = replacement
        setattr(time, name, replacement)
    _install_waits(link, sleep)
    for name, waiting in (("select", _virtual_plain_select), ("poll", _virtual_poll), ("epoll", _virtual_epoll)):
        original = getattr(select, name, None)
        if original is not None:
            replacements[id(original)] = waiting(original, link, sleep)
            setattr(select, name, replacements[id(original)])
    virtual_queue = _virtual_queue(queue.SimpleQueue, link, sleep)
    replacements[id(queue.SimpleQueue)] = virtual_queue
    setattr(queue, "SimpleQueue", virtual_queue)  # noqa: B010
    _install_trio(link, sleep)
    return replacements


def _install_trio(link: Link, sleep: Callable[[float], None]) -> None:
    """trio keeps `select.epoll` where nobody finds it; one that is imported later has ours."""
    manager = getattr(sys.modules.get("trio._core._io_epoll"), "EpollIOManager", None)
    if manager is None or _real_epoll is None:
        return
    real_events = manager.get_events

    def get_events(self: Any, timeout: float) -> Any:
        if timeout <= 0 or timeout >= A_DAY or link.inside or not isinstance(self._epoll, _real_epoll):
            return real_events(self, timeout)
        watched = list(self._registered)
        # More than the one by which its own threads wake it: something real may come.
        return _ready(lambda seconds: real_events(self, seconds), timeout, watched, len(watched) > 1, link, sleep)

    manager.get_events = link.yielding(get_events)


def _install_waits(link: Link, sleep: Callable[[float], None]) -> None:
    real_wait = threading.Condition.wait

    def wait(self: Any, timeout: float | None = None) -> bool:
        if timeout is None or timeout <= 0 or link.inside:
            return real_wait(self, timeout)
        if not _others_alive():
            sleep(timeout)
            return real_wait(self, 0)
        if not self._is_owned():
            raise RuntimeError("cannot wait on un-acquired lock")
        # As the real one, but that it is one wait, however often it looks: who is told between two looks is told.
        waiter, told = threading.Lock(), False
        waiter.acquire()
        self._waiters.append(waiter)
        state = self._release_save()
        until = _later(link, timeout)
        try:
            told = any(waiter.acquire(timeout=moment) for moment in _while_waiting(link, until))
            if not told:
                sleep(_left(link, until))
                told = waiter.acquire(blocking=False)
            return told
        finally:
            self._acquire_restore(state)
            if not told:
                with contextlib.suppress(ValueError):
                    self._waiters.remove(waiter)

    threading.Condition.wait = link.yielding(wait)  # type: ignore[method-assign]
    threading.Thread.start = link.starting(threading.Thread.start)  # type: ignore[method-assign]
    real_join = threading.Thread.join

    def join(self: threading.Thread, timeout: float | None = None) -> None:
        if timeout is None or timeout <= 0 or link.inside:
            return real_join(self, timeout)
        until = _later(link, timeout)
        for moment in _while_waiting(link, until):
            real_join(self, moment)
            if not self.is_alive():
                return None
        sleep(_left(link, until))
        return real_join(self, 0)

    threading.Thread.join = link.yielding(join)  # type: ignore[method-assign]
    for name in ("EpollSelector", "KqueueSelector", "PollSelector", "SelectSelector", "DevpollSelector"):
        selector = getattr(selectors, name, None)
        if selector is not None and "select" in vars(selector):
            selector.select = link.yielding(_virtual_select(selector.select, link, sleep))


def _virtual_select(real_select: Any, link: Link, sleep: Callable[[float], None]) -> Any:
    def select(self: Any, timeout: float | None = None) -> Any:
        if timeout is None or timeout <= 0 or link.inside:
            return real_select(self, timeout)
        # More than the wake-up pipe of an event loop, which does not poll: something real may come.
        alone = 0 if isinstance(self, selectors.PollSelector) else 1
        descriptors = [key.fd for key in (self.get_map() or {}).values()]
        real = len(descriptors) > alone
        return _ready(lambda seconds: real_select(self, seconds), timeout, descriptors, real, link, sleep)

    return select


def _virtual_queue(real: Any, link: Link, sleep: Callable[[float], None]) -> Any:
    class SimpleQueue(real):  # type: ignore[misc]
        """The one of `queue` that is written in C, waiting in virtual time."""

        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            if not block or timeout is None or timeout <= 0 or link.inside:
                return super().get(block, timeout)
            until = _later(link, timeout)
            if _others_alive():
                for moment in _while_waiting(link, until):
                    with contextlib.suppress(queue.Empty):
                        return super().get(timeout=moment)
            sleep(_left(link, until))
            return super().get(block=False)

    SimpleQueue.get = link.yielding(SimpleQueue.get)  # type: ignore[method-assign]
    return SimpleQueue


def _virtual_plain_select(real_select: Any, link: Link, sleep: Callable[[float], None]) -> Any:
    def select(read: Any, write: Any, odd: Any, timeout: float | None = None, /) -> Any:
        if timeout is None or timeout <= 0 or link.inside:
            return real_select(read, write, odd, timeout)
        files = list(read), list(write), list(odd)
        watched = {file if isinstance(file, int) else file.fileno() for kind in files for file in kind}

        def look(seconds: float) -> Any:
            found = real_select(*files, seconds)
            return found if any(found) else ()

        return _ready(look, timeout, watched, bool(watched), link, sleep) or ([], [], [])

    return link.yielding(select)


def _virtual_poll(real_poll: Any, link: Link, sleep: Callable[[float], None]) -> Any:
    class Poll:
        """What `select.poll()` gives, waiting in virtual time."""

        def __init__(self) -> None:
            self._real = real_poll()
            self._watched: set[int] = set()

        def register(self, file: Any, *events: int) -> None:
            self._real.register(file, *events)
            self._watched.add(file if isinstance(file, int) else file.fileno())

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

        def poll(self, timeout: float | None = None, /) -> Any:
            if timeout is None or timeout <= 0 or link.inside:
                return self._real.poll(timeout)
            look = self._real.poll
            return _ready(lambda seconds: look(seconds * 1000), timeout / 1000, self._watched, True, link, sleep)

    Poll.poll = link.yielding(Poll.poll)  # type: ignore[method-assign]
    return Poll


def _virtual_epoll(real_epoll: Any, link: Link, sleep: Callable[[float], None]) -> Any:
    class Epoll:
        """What `select.epoll()` gives, waiting in virtual time."""

        fromfd = staticmethod(real_epoll.fromfd)

        def __init__(self, *arguments: Any, **keywords: Any) -> None:
            self._real = real_epoll(*arguments, **keywords)
            self._watched: set[int] = set()

        def register(self, fd: Any, *events: Any, **named: Any) -> None:
            self._real.register(fd, *events, **named)
            self._watched.add(fd if isinstance(fd, int) else fd.fileno())

        def unregister(self, fd: Any) -> None:
            self._real.unregister(fd)
            self._watched.discard(fd if isinstance(fd, int) else fd.fileno())

        def __enter__(self) -> Any:
            self._real.__enter__()
            return self

        def __exit__(self, *error: Any) -> None:
            self._real.__exit__(*error)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

        def poll(self, timeout: float | None = None, maxevents: int = -1) -> Any:
            if timeout is None or timeout <= 0 or timeout >= A_DAY or link.inside:
                return self._real.poll(timeout, maxevents)
            look = self._real.poll
            return _ready(lambda seconds: look(seconds, maxevents), timeout, self._watched, True, link, sleep)

    Epoll.poll = link.yielding(Epoll.poll)  # type: ignore[method-assign]
    return Epoll


def _ready(
    look: Callable[[float], Any],
    timeout: float,
    watched: Iterable[int],
    real: bool,
    link: Link,
    sleep: Callable[[float], None],
) -> Any:
    """What is ready, now or while other threads work; else after a virtual sleep. `real`: something real may come."""
    ready, until = servers.answer(look, watched), _later(link, timeout)
    if not ready and (real or _others_alive()):
        for moment in _while_waiting(link, until):
            ready = look(moment)
            if ready:
                break
    for _ in range(MOST_ANSWERS):
        if ready or not answers:
            break
        ready = look(GRACE)
    if ready:
        return ready
    with servers.given_up(watched):
        sleep(_left(link, until))
    return look(0)


def _later(link: Link, seconds: float) -> int:
    """The virtual time that it is then."""
    return link.now + round(seconds * SECOND)


def _left(link: Link, until: int) -> float:
    """Virtual seconds from now on."""
    return max(0, until - link.now) / SECOND


def _while_waiting(link: Link, until: int) -> Iterator[float]:
    """Again and again, each time so many real seconds pass, as long as what the calling thread waits for may come before then:
    others get on, or sleep for less."""
    with link.yields(until):
        for _ in while_others_work(link, lingers=link.on_main):
            yield GRACE
    for _ in link.before(until):
        yield HOLD


def while_others_work(link: Link, *, lingers: bool = False) -> Iterator[None]:
    """Again and again, each time GRACE passes, as long as other threads get on: their work must not time out.

    They come to boundaries, compute, or, the main thread, go on; so do child processes, which take what time they need.
    `lingers`: also while they wait for one another in this way, or for the world.
    """
    with link.pausing():
        yield from link.main_ahead(GRACE, SOON)
        yield from _while_got_on(link, lingers)


def _while_got_on(link: Link, lingers: bool) -> Iterator[None]:
    quiet = graces = of_children = 0
    while graces < MOST_GRACES:
        boundaries, computed = link.boundaries, link.computed()
        yield
        with link.aside():
            if children_at_work() and not (lingers and children.waited_for(of_children * GRACE)):
                quiet, of_children = 0, of_children + 1
                continue
            computes = link.computed() - computed >= GRACE / 5 or link.others_at_work()
            got_on = (
                link.boundaries != boundaries
                or computes
                or is_waiting(answers.place)
                or (lingers and link.others_on_their_way)
            )
        graces += 1
        quiet = 0 if got_on else quiet + 1
        if quiet == QUIET:
            return


def others_work(link: Link) -> bool:
    """Whether other threads come to boundaries or compute within a moment."""
    boundaries, computed = link.boundaries, time.process_time()
    pause()
    on_its_way = bool(link.wakes) or link.others_on_their_way
    return on_its_way or link.boundaries > boundaries or time.process_time() - computed > GRACE / 5


def others_are_due(link: Link, until: float) -> bool:
    """Whether other threads come to boundaries, and not only to sleep for longer, before none of them is at work."""
    calm = 0
    for _ in range(MOST_GRACES):
        if threading.active_count() == 1 or calm == QUIET:
            return False
        if link.somebody_is_due(until):
            return True
        with link.aside():
            calm = 0 if link.others_at_work() else calm + 1
            _real_sleep(GRACE / 10)
    return False


def let_work(link: Link, until: float = FOR_EVER) -> None:
    """Let other threads get on as long as they get anywhere, those who sleep if they wake by `until`, in virtual microseconds."""
    with link.yields(until):
        for _ in while_others_work(link, lingers=True):
            pause()


def pause() -> None:
    """A moment of real time, in which other threads get somewhere."""
    _real_sleep(GRACE)


_real_sleep = time.sleep
_real_epoll: Any = getattr(select, "epoll", None)


def _others_alive() -> bool:
    return threading.active_count() > 1
