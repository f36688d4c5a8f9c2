"""Inside a consumer time is the world's and luck is seeded; what that costs in real time is nothing."""

from __future__ import annotations

import asyncio
import concurrent.futures
import datetime
import functools
import multiprocessing
import os
import queue
import random
import sched
import secrets
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime as imported_datetime
from pathlib import Path
from random import random as random_by_name
from signal import pause as pause_by_name
from time import monotonic, sleep
from time import time as imported_time

import pytest
import trio
from first_turn import Work, see, tell

from pytest_quarry.consumers import link
from pytest_quarry.consumers.hooks import children
from pytest_quarry.simulation.schedule import Deliver, Notify, PlannedRun, Restart, Schedule, Write
from pytest_quarry.simulation.world import EPOCH, SECOND, World

FIRST_TURN = EPOCH / SECOND + 2  # a run was written and announced, one second each


def took(work: Callable[[], object]) -> float:
    """How long something took, in whole virtual seconds."""
    began = time.monotonic()
    work()
    return round(time.monotonic() - began)


@pytest.fixture(autouse=True)
def _little_real_time() -> object:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < 5


def test_the_world_itself_knows_what_time_it_is() -> None:
    def work(world: World) -> None:
        before = world.time
        time.sleep(100)
        tell(world, round(world.time - before), round(world.now / SECOND - time.time()))

    assert see(work).told == [0, 100]


def _by_default(slept: float, sleep: Callable[[float], None] = time.sleep) -> None:
    sleep(slept)


def _by_keyword(slept: float, *, sleep: Callable[[float], None] = time.sleep) -> None:
    sleep(slept)


def _closed_over(sleep: Callable[[float], None]) -> Callable[[float], None]:
    return lambda seconds: sleep(seconds)


class _Holds:
    sleep = time.sleep
    static = staticmethod(time.sleep)


@dataclass
class _Made:
    sleep: Callable[[float], None] = time.sleep
    began: float = field(default_factory=time.monotonic)


class _Slotted:
    __slots__ = ("sleep",)

    def __init__(self) -> None:
        self.sleep = time.sleep


MADE, SLOTTED, MAPPING, LIST = _Made(), _Slotted(), {"name": time.sleep}, [time.sleep]
BOUND = functools.partial(_by_keyword, sleep=time.sleep)
ARGUMENT = functools.partial(map, time.sleep)
# Looked up where they are used: what this mapping holds would be swapped too.
# ruff: noqa: PLW0108
HELD: dict[str, Callable[[float], object]] = {
    "a default": _by_default,
    "a keyword's default": _by_keyword,
    "a closure": _closed_over(time.sleep),
    "a class": lambda seconds: _Holds.sleep(seconds),
    "an object of a class": lambda seconds: _Holds().sleep(seconds),
    "a static method": lambda seconds: _Holds().static(seconds),
    "a data class": lambda seconds: _Made().sleep(seconds),
    "a partial": functools.partial(time.sleep),
    "a partial's keyword": lambda seconds: BOUND(seconds),
    "a partial's argument": lambda seconds: list(ARGUMENT([seconds])),
    "a scheduler": lambda seconds: (scheduler := sched.scheduler()).enter(seconds, 1, print) and scheduler.run(),
    "an object made before": lambda seconds: MADE.sleep(seconds),
    "an object with slots": lambda seconds: SLOTTED.sleep(seconds),
    "a mapping": lambda seconds: MAPPING["name"](seconds),
    "a list": lambda seconds: LIST[0](seconds),
}


@pytest.mark.parametrize("where", HELD)
def test_sleeps_take_no_time_wherever_they_are_held(where: str) -> None:
    def work(world: World) -> None:
        tell(world, took(lambda: HELD[where](100)))

    assert see(work).told == [100]


def test_a_factory_that_is_a_clock_shows_the_worlds() -> None:
    def work(world: World) -> None:
        tell(world, round(_Made().began - time.monotonic()))

    assert see(work).told == [0]


def test_every_clock_shows_the_worlds_time() -> None:
    def work(world: World) -> None:
        clocks = [time.time(), imported_time(), time.time_ns() / 1e9, time.clock_gettime(time.CLOCK_REALTIME)]
        zone = datetime.timezone(datetime.timedelta(hours=5))
        moments = [
            datetime.datetime.now(datetime.UTC),
            imported_datetime.now(zone),
            imported_datetime.now().astimezone(),
        ]
        clocks += [moment.timestamp() for moment in moments]
        clocks += [
            time.mktime(time.localtime()),
            datetime.datetime.fromisoformat(f"{world_date()}T08:00:02Z").timestamp(),
        ]
        assert all(abs(clock - FIRST_TURN) < 1 for clock in clocks), clocks
        assert time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()) == "2026-02-02 08:00:02"

    def world_date() -> str:
        return str(datetime.datetime.now(datetime.UTC).date())

    see(work)


def test_sleeping_moves_every_clock_and_takes_no_real_time() -> None:
    def work(world: World) -> None:
        before = time.time(), time.monotonic(), time.perf_counter(), monotonic(), time.monotonic_ns() / 1e9
        time.sleep(3600)
        sleep(3600)
        after = time.time(), time.monotonic(), time.perf_counter(), monotonic(), time.monotonic_ns() / 1e9
        assert [round(b - a) for a, b in zip(before, after, strict=True)] == [7200] * 5
        with pytest.raises(ValueError, match="non-negative"):
            sleep(-1)

    assert see(work).boundaries == ["sleep", "sleep"]


def test_asyncio() -> None:
    async def everything() -> list[object]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.sleep(60)
        found: list[object] = [round(loop.time() - began)]
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), timeout=30)
        await asyncio.gather(asyncio.sleep(5), asyncio.sleep(10))
        found.append(round(loop.time() - began))
        found.append(await asyncio.to_thread(lambda: "from a thread"))
        found.append(await asyncio.wait_for(asyncio.to_thread(sum, range(10)), timeout=5))
        return found

    def work(world: World) -> None:
        tell(world, asyncio.run(everything()))

    assert see(work).told == [[60, 100, "from a thread", 45]]


def test_an_async_handler() -> None:
    def start(world: World) -> Callable[[object], object]:
        async def handle(notification: object) -> None:
            await asyncio.sleep(1000)
            (world.disk / "a").write_text("x")

        return handle

    seen = see(lambda world: None, start=start)
    assert seen.boundaries == ["sleep", "open a", "write a"]


def test_waits_with_a_timeout() -> None:
    def get_from_empty() -> None:
        with pytest.raises(queue.Empty):
            queue.Queue().get(timeout=70)

    def work(world: World) -> None:
        assert took(lambda: threading.Event().wait(50)) == 50
        assert took(get_from_empty) == 70
        assert took(lambda: threading.Semaphore(0).acquire(timeout=5)) == 5
        with pytest.raises(concurrent.futures.TimeoutError):
            concurrent.futures.Future().result(timeout=90)
        assert not threading.Event().wait(0)

    see(work)


def on_alarm(times: list[float]) -> None:
    """Note when the alarm goes off."""
    signal.signal(signal.SIGALRM, lambda *_: times.append(round(time.monotonic())))


def test_waits_for_an_alarm() -> None:
    def work(world: World) -> None:
        began, rings = round(time.monotonic()), list[float]()
        on_alarm(rings)
        signal.alarm(20)
        signal.pause()
        signal.setitimer(signal.ITIMER_REAL, 5, 60)
        for _ in range(3):
            pause_by_name()
        signal.setitimer(signal.ITIMER_REAL, 0)
        tell(world, [ring - began for ring in rings])

    seen = see(work)
    assert seen.told == [[20, 25, 85, 145]]
    assert seen.boundaries == ["sleep"] * 4 + ["target INSERT"]


def test_waits_for_a_signal_with_a_timeout() -> None:
    def work(world: World) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM, signal.SIGUSR1])
        assert took(lambda: signal.sigtimedwait([signal.SIGUSR1], 30)) == 30
        os.kill(os.getpid(), signal.SIGUSR1)
        assert took(lambda: signal.sigtimedwait([signal.SIGUSR1], 30) or 1 / 0) == 0
        signal.alarm(20)
        assert took(lambda: signal.sigtimedwait([signal.SIGALRM], 30) or 1 / 0) == 20
        signal.alarm(20)
        assert took(lambda: signal.sigtimedwait([signal.SIGUSR1], 30) and 1 / 0) == 30

    see(work)


def test_an_alarm_is_a_real_one_too() -> None:
    """Where nothing that is waited for takes virtual time."""

    def work(world: World) -> None:
        rings = list[float]()
        on_alarm(rings)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        while not rings:
            pass
        child = subprocess.Popen(["sleep", "0.05"])
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        signal.pause()
        child.wait()
        assert len(rings) == 2

    see(work)


def test_deadline_loops_end() -> None:
    def work(world: World) -> None:
        deadline, turns = monotonic() + 100, 0
        while monotonic() < deadline:
            sleep(7)
            turns += 1
        tell(world, turns)

    assert see(work).told == [15]


CLOCKS: dict[str, Callable[[], float]] = {
    "perf_counter": time.perf_counter,
    "monotonic": time.monotonic,
    "time": time.time,
    "datetime": lambda: datetime.datetime.now().timestamp(),
}


@pytest.mark.parametrize("name", CLOCKS)
def test_a_loop_that_only_looks_at_a_clock_ends(name: str) -> None:
    """The same in each execution, by the number of its looks; and no clock goes back when the world is asked again."""

    def work(world: World) -> None:
        clock, looks, seen = CLOCKS[name], 0, 0.0
        end = clock() + 10
        while seen < end:
            seen, looks = clock(), looks + 1
        (world.disk / "a").touch()
        assert clock() >= end
        began = time.monotonic()
        time.sleep(5)
        assert round(time.monotonic() - began) == 5
        tell(world, looks, round(seen, 6))

    see(work)


def test_who_looks_often_and_does_something_in_between_waits_for_nothing() -> None:
    def work(world: World) -> None:
        began = time.monotonic(), time.time()
        for _ in range(5):
            for _ in range(3000):
                time.monotonic()
            (world.disk / "a").touch()
        assert (round(time.monotonic() - began[0], 1), round(time.time() - began[1], 1)) == (0, 0)

    see(work)


def test_who_looks_until_a_thread_has_done_its_work_is_not_timed_out() -> None:
    def work(world: World) -> None:
        thread = threading.Thread(target=lambda: sum(range(3_000_000)))
        thread.start()
        end = time.monotonic() + 1
        while thread.is_alive():
            assert time.monotonic() < end

    see(work)


def test_a_deadline_of_now_passes() -> None:
    """As in `multiprocessing.connection.wait`, and in every rate that is computed from two readings."""

    def work(world: World) -> None:
        reader, writer = multiprocessing.Pipe(duplex=False)
        assert not reader.poll()
        writer.send("x")
        assert reader.poll()
        for clock in (time.monotonic, time.monotonic_ns, time.perf_counter, time.perf_counter_ns):
            assert clock() < clock()

    see(work)


def test_a_thread_that_works_is_not_timed_out() -> None:
    def busy() -> str:
        end = time.process_time() + 0.1
        while time.process_time() < end:
            sum(range(1000))
        return "done"

    def work(world: World) -> None:
        with concurrent.futures.ThreadPoolExecutor() as pool:
            assert pool.submit(busy).result(timeout=30) == "done"
        thread = threading.Thread(target=busy)
        thread.start()
        thread.join(timeout=30)
        assert not thread.is_alive()

    see(work, again=False)


def computes(seconds: float) -> str:
    """What a child process is given to do."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        sum(range(1000))
    return "done"


def test_child_processes_that_work_are_not_timed_out() -> None:
    context = multiprocessing.get_context("fork")

    def work(world: World) -> None:
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
            assert pool.submit(computes, 0.1).result(timeout=30) == "done"
        with context.Pool(1) as pool:
            assert pool.apply_async(computes, (0.1,)).get(timeout=30) == "done"
        process = context.Process(target=computes, args=(0.1,))
        process.start()
        process.join(timeout=30)
        assert process.exitcode == 0
        tell(world, round(time.monotonic()))

    (virtual,) = see(work, again=False).told
    assert virtual < 1_000_000 + 30


def test_a_thread_that_stands_still_is_timed_out() -> None:
    def work(world: World) -> None:
        stop = threading.Event()
        thread = threading.Thread(target=stop.wait)
        thread.start()
        assert took(lambda: thread.join(timeout=40)) == 40
        assert thread.is_alive()
        stop.set()
        thread.join()

    see(work, again=False)


def test_a_pool_of_threads_in_a_handler() -> None:
    def work(world: World) -> None:
        def load(number: int) -> int:
            (world.disk / f"{number}").write_text("x")
            sleep(1)
            return number

        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            tell(world, sum(pool.map(load, range(6))))

    seen = see(work, rows=lambda world: world.target.rows(), again=False)
    assert seen.told == [15]
    assert sorted(seen.boundaries) == sorted(
        [f"{verb} {number}" for verb in ("open", "write") for number in range(6)] + ["sleep"] * 6 + ["target INSERT"]
    )


@pytest.fixture
def slow_rows(monkeypatch: pytest.MonkeyPatch) -> Callable[[World], list[object]]:
    """A target that takes the world longer to read than threads are held back when nothing goes on."""
    monkeypatch.setattr(link, "MOST_SILENT", 0.05)

    def rows(world: World) -> list[object]:
        time.sleep(0.2)
        return list(world.target.rows())

    return rows


def test_threads_that_tick_do_not_run_ahead_of_a_slow_world(slow_rows: Callable[[World], list[object]]) -> None:
    """However long the world takes, between two turns and at a boundary: the main thread is not waiting for them."""

    def start(world: World) -> Callable[[object], None]:
        def ticks(tick: Callable[[], object]) -> None:
            while True:
                tick()

        for tick in (lambda: sleep(1), lambda: threading.Event().wait(1)):
            threading.Thread(target=ticks, args=(tick,), daemon=True).start()

        def handle(notification: object) -> None:
            if not world.target.rows():
                tell(world, 1)

        return handle

    seen = see(lambda world: None, start=start, rows=lambda world: [*slow_rows(world), {"run_id": "run-A"}])
    assert "sleep" not in seen.boundaries


def test_a_heartbeat_that_is_stopped_in_time_does_not_beat(slow_rows: Callable[[World], list[object]]) -> None:
    def work(world: World) -> None:
        stop, beats = threading.Event(), []

        def beat() -> None:
            while not stop.wait(10):
                beats.append("beat")

        thread = threading.Thread(target=beat)
        thread.start()
        tell(world, "one row", "another")
        stop.set()
        thread.join()
        tell(world, beats)

    seen = see(work, rows=slow_rows)
    assert seen.boundaries == ["target INSERT"] * 3


def test_other_programs_take_real_time() -> None:
    def work(world: World) -> None:
        done = subprocess.run(["sh", "-c", "sleep 0.1; echo out; exit 3"], capture_output=True, timeout=20, check=False)
        assert (done.stdout, done.returncode) == (b"out\n", 3)
        with pytest.raises(subprocess.TimeoutExpired):
            subprocess.run(["sleep", "20"], timeout=0.1, check=False)
        assert os.system("exit 2") == 512

    assert see(work).boundaries == ["start sh", "start sleep", "shell exit 2"]


def luck(world: World) -> list[str]:
    """Everything that is random, drawn once."""
    generator = random.Random()
    with tempfile.TemporaryDirectory() as folder, tempfile.NamedTemporaryFile(dir=world.disk) as file:
        names = [os.path.basename(folder), os.path.basename(file.name)]
    return [
        str(uuid.uuid4()),
        str(uuid.uuid1()),
        str(random.random()),
        str(generator.random()),
        str(random.SystemRandom().random()),
        str(random.sample(range(10**9), 2)),
        secrets.token_hex(4),
        os.urandom(4).hex(),
        str(os.getpid()),
        *names,
    ]


def incarnations(seed: int = 0) -> list[list[str]]:
    """What the consumer draws in its first two incarnations."""
    from first_turn import consumer

    from pytest_quarry.simulation.run import simulate

    def start(world: World) -> Callable[[object], None]:
        return lambda notification: tell(world, luck(world))

    steps = (Write("run-A"), Notify("run-A"), Deliver((1,)), Restart(), Deliver((1,)))
    schedule = Schedule(runs=(PlannedRun(run_id="run-A"),), steps=steps, seed=seed)
    drawer = consumer(lambda world: None, start=start)
    told: list[list[str]] = []

    def rows(world: World) -> list[dict[str, str]]:
        told[:] = [row["item"] for row in world.target.rows()]
        return world.target.rows()

    simulate(schedule, consumer(lambda world: None, start=drawer.start, rows=rows))
    import json

    return [json.loads(one) for one in told]  # type: ignore[arg-type]


def test_luck_is_the_same_in_each_execution() -> None:
    assert incarnations() == incarnations()


def drawn() -> list[str]:
    """What makes a name that nobody else has."""
    names = [str(uuid.uuid4()), secrets.token_hex(4), os.path.basename(tempfile.mktemp())]
    by_python = [random.random(), random.randrange(10**9), random.choice(range(10**9)), random.Random().random()]
    return [*names, *map(str, by_python), random_by_name().hex()]


@pytest.mark.parametrize("pool", [True, False], ids=["pool", "threads"])
def test_which_thread_draws_first_changes_nothing(pool: bool, tmp_path: Path) -> None:
    def work(world: World) -> None:
        late = len(list(tmp_path.iterdir()))
        (tmp_path / str(late)).mkdir()
        told: dict[int, list[str]] = {}

        def draw(number: int) -> None:
            if number == late:
                link.real_sleep(0.1)
            told[number] = drawn()

        if pool:
            with concurrent.futures.ThreadPoolExecutor(2) as threads:
                list(threads.map(draw, range(2)))
        else:
            both = [threading.Thread(target=draw, args=(number,)) for number in range(2)]
            for thread in both:
                thread.start()
            for thread in both:
                thread.join()
        tell(world, told[0], told[1], drawn())

    told = see(work).told
    assert len({name for names in told for name in names}) == 3 * len(told[0])
    assert len(list(tmp_path.iterdir())) == 2


def test_a_thread_that_seeds_draws_what_it_has_seeded() -> None:
    def work(world: World) -> None:
        def draw() -> list[float]:
            random.seed(7)
            state = random.getstate()
            first = random.random()
            random.setstate(state)
            return [first, random.random()]

        with concurrent.futures.ThreadPoolExecutor(1) as threads:
            tell(world, *threads.submit(draw).result(), *draw(), random.Random(7).random())

    assert len(set(see(work).told)) == 1


def test_luck_differs_between_incarnations_and_seeds() -> None:
    first, second = incarnations()
    other, _ = incarnations(seed=1)
    assert not set(first) & set(second)
    assert set(first) & set(other) == {first[8]}, "all but the process id, which counts incarnations"


def test_a_virtual_process_id_reaches_the_real_process() -> None:
    def work(world: World) -> None:
        os.kill(os.getpid(), 0)
        (world.disk / f"{os.getpid()}.lock").touch()

    seen = see(work)
    assert seen.boundaries == ["open 5000001.lock"]


WORKS: list[Work] = [
    lambda world: (world.disk / secrets.token_hex(4)).write_text(str(uuid.uuid4())),
    lambda world: tell(world, time.time(), str(datetime.datetime.now()), os.getpid()),
    lambda world: tell(world, list({"a", "b", "c", "d", "e"}), hash("a string") != 0),
    lambda world: tell(world, sorted(os.environ)),
]


@pytest.mark.parametrize("work", WORKS)
def test_two_executions_are_equal(work: Work) -> None:
    first, second = see(work).history, see(work).history
    assert first.difference(second) is None
    assert first == second


def test_what_differs_between_executions_is_named() -> None:
    count = [1]

    def work(world: World) -> None:
        (world.disk / "a").write_text("x" * count[0])

    first = see(work).history
    count[0] = 5
    difference = first.difference(see(work).history)
    assert difference is not None
    assert difference.how == "“crossed write a” is of 1 bytes in one, of 5 in the other"


class SlowLock:
    """A lock that a busy machine gives late."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.release = self.lock.release

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if blocking and threading.current_thread() is not threading.main_thread():
            link.real_sleep(0.02)
        return self.lock.acquire(blocking, timeout)

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


def test_who_is_told_between_two_looks_has_not_waited_in_vain() -> None:
    def work(world: World) -> None:
        for number in range(6):
            condition, told = threading.Condition(SlowLock()), []  # type: ignore[arg-type]

            def wait(condition: threading.Condition = condition, told: list[bool] = told) -> None:
                with condition:
                    told.append(condition.wait(10))

            thread = threading.Thread(target=wait)
            thread.start()
            link.real_sleep(0.045 + number * 0.005)
            with condition:
                condition.notify()
            thread.join()
            tell(world, told)

    seen = see(work)
    assert [label for label in seen.boundaries if label == "sleep"] == []
    assert seen.told == [[True]] * 6


def test_two_wait_in_vain_and_only_those_who_hold_the_lock_may() -> None:
    def work(world: World) -> None:
        condition, notes = threading.Condition(), []

        def wait() -> None:
            with condition:
                notes.append(condition.wait(10))

        threads = [threading.Thread(target=wait) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with pytest.raises(RuntimeError, match="un-acquired lock"):
            condition.wait(1)
        tell(world, notes)

    assert see(work).told == [[False, False]]


def in_epoll(reader: socket.socket) -> Callable[[float], object]:
    epoll = select.epoll()
    epoll.register(reader, select.EPOLLIN)
    return epoll.poll


def in_poll(reader: socket.socket) -> Callable[[float], object]:
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    return lambda seconds: poll.poll(seconds * 1000)


def in_select(reader: socket.socket) -> Callable[[float], object]:
    return lambda seconds: select.select([reader], [], [], seconds)[0]


WAITS = [in_poll, in_select, *([in_epoll] if hasattr(select, "epoll") else [])]


@pytest.mark.parametrize("wait", WAITS)
def test_who_waits_for_what_does_not_come_waits_in_virtual_time(
    wait: Callable[[socket.socket], Callable[[float], object]],
) -> None:
    def work(world: World) -> None:
        reader, writer = socket.socketpair()
        ready, deadline = wait(reader), monotonic() + 100
        assert took(lambda: ready(30)) == 30
        while (left := deadline - monotonic()) > 0:
            assert not ready(left)
        writer.send(b"x")
        assert took(lambda: ready(30) or 1 / 0) == 0

    see(work)


@pytest.mark.parametrize("wait", WAITS)
def test_who_waits_for_a_thread_of_its_own_lets_it_get_on(
    monkeypatch: pytest.MonkeyPatch, wait: Callable[[socket.socket], Callable[[float], object]]
) -> None:
    """At once, and not only when the main thread has been silent for long."""
    monkeypatch.setattr(link, "MOST_SILENT", 60.0)

    def work(world: World) -> None:
        reader, writer = socket.socketpair()
        ready = wait(reader)

        def load() -> None:
            (world.disk / "a").touch()
            writer.send(b"x")

        threading.Thread(target=load).start()
        assert ready(30)
        (world.disk / "b").touch()

    assert see(work).boundaries == ["open a", "open b"]


def test_greenlets_of_the_main_thread_are_no_other_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """gevent gives each an identity of its own, as soon as it has been told to patch threads."""
    monkeypatch.setattr(link, "MOST_SILENT", 60.0)

    def work(world: World) -> None:
        link.real_get_ident = lambda: 1
        (world.disk / "a").touch()

    assert see(work, again=False).boundaries == ["open a"]


def test_trio() -> None:
    async def work(world: World) -> None:
        async def sleeps() -> None:
            await trio.sleep(20)
            (world.disk / "slept").touch()

        with trio.fail_after(100):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(sleeps)
                nursery.start_soon(trio.to_thread.run_sync, (world.disk / "in a thread").touch)
        with trio.move_on_after(300):
            await trio.sleep_forever()

    seen = see(lambda world: tell(world, took(lambda: trio.run(work, world))))
    assert [label for label in seen.boundaries if label != "sleep"][:2] == ["open in a thread", "open slept"]
    assert seen.told == [320]


SLOW_TO_START = "import decimal, email.message, json, sqlite3"


def look(there: Callable[[], object], seconds: float) -> None:
    while not there():
        sleep(seconds)


@pytest.mark.parametrize("seconds", [0.01, 1, 30])
def test_who_looks_for_the_end_of_its_program(seconds: float) -> None:
    """A program takes real time, and a sleep none: it would sleep hundreds of times meanwhile, each time another number of them."""

    def work(world: World) -> None:
        child = subprocess.Popen([sys.executable, "-c", SLOW_TO_START])
        assert took(lambda: look(lambda: child.poll() is not None, seconds)) == 0

    see(work)


@pytest.mark.parametrize("seconds", [0.01, 1, 30])
def test_who_looks_for_what_its_program_makes(seconds: float) -> None:
    def work(world: World) -> None:
        made = Path(tempfile.mkdtemp(), "made")
        with subprocess.Popen([sys.executable, "-c", f"{SLOW_TO_START}\nopen({str(made)!r}, 'x').close()"]):
            assert took(lambda: look(made.exists, seconds)) == round(seconds)

    see(work)


def test_a_program_that_rests_holds_up_nobody() -> None:
    def work(world: World) -> None:
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
            ends = monotonic() + 50
            assert took(lambda: look(lambda: child.poll() is not None or monotonic() >= ends, 10)) == 50

    see(work)


@pytest.mark.parametrize("words", ["while :; do :; done", "sleep 30"])
def test_who_kills_a_program_does_not_wait_for_it(words: str) -> None:
    def work(world: World) -> None:
        child = subprocess.Popen(["sh", "-c", words])
        child.terminate()
        assert child.wait() == -signal.SIGTERM
        with pytest.raises(subprocess.TimeoutExpired):
            subprocess.run(["sh", "-c", words], timeout=0.1, check=False)

    see(work)


def test_who_looks_for_a_program_that_naps() -> None:
    def work(world: World) -> None:
        child = subprocess.Popen(["sh", "-c", "sleep 0.3; :; sleep 0.3; :"])
        assert took(lambda: look(lambda: child.poll() is not None, 1)) == 0
        with subprocess.Popen(["sh", "-c", f"sleep 0.3; : > {world.disk}/made"]):
            assert took(lambda: look((world.disk / "made").exists, 7)) == 7

    see(work)


def test_a_program_that_naps_all_the_time_holds_up_nobody_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "MOST_NAPS", 300)

    def work(world: World) -> None:
        with subprocess.Popen(["sh", "-c", "while :; do sleep 0.5; done"]) as child:
            assert took(lambda: [sleep(10) for _ in range(10)]) == 100
            child.kill()

    see(work, again=False)
