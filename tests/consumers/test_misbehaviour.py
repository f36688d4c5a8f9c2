"""Whatever a consumer does to itself and its process: nothing hangs, nothing stays, and the history says it."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import multiprocessing
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from first_turn import SCHEDULE, Seen, Work, consumer, leftovers, natively, see, tell

from pytest_quarry.consumers import hooks, process
from pytest_quarry.consumers.consumer import ConsumerError
from pytest_quarry.simulation.play import Limits, Play
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.world import World

SHORT = Limits(seconds=0.5, boundaries=200)


def children() -> set[int]:
    """The living children of this process, and theirs."""
    found = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True).stdout
    parents = {int(pid): int(parent) for pid, parent, stat in map(str.split, found.splitlines()) if stat[0] != "Z"}
    mine = {os.getpid()}
    while grown := {pid for pid, parent in parents.items() if parent in mine} - mine:
        mine |= grown
    return mine - {os.getpid()}


def commands() -> list[str]:
    """The command lines of all living processes."""
    done = subprocess.run(["ps", "-A", "-o", "stat=,args="], capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if line[0] != "Z"]


@pytest.fixture(autouse=True)
def _nothing_stays() -> Iterator[None]:
    see(lambda world: None)  # starts the keeper, which stays
    before, cwd = children(), os.getcwd()
    yield
    assert leftovers() == set()
    stay = children() - before
    commands = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in stay if Path(f"/proc/{pid}").exists()]
    assert not [command for command in commands if not command.startswith(b"ps\0")]
    assert os.getcwd() == cwd


def misbehave(work: Work, limits: Limits = SHORT, *, again: bool = True, closer: bool = False) -> Seen:
    began = time.monotonic()
    seen = see(work, fine=False, limits=limits, again=again, closer=closer)
    assert time.monotonic() - began < 20
    return seen


def ending(seen: Seen) -> str:
    return next(text for text in seen.happenings if not text.startswith(("started", "delivered", "killed")))


def spins_for_ever(world: World) -> None:
    while True:
        pass


def test_an_endless_loop_is_ended_by_the_guard() -> None:
    seen = misbehave(spins_for_ever)
    assert ending(seen) == "hung it did nothing the world could see for 0.5 s, and was at work"
    assert "in spins_for_ever" in seen.history.stack


def writes_for_ever(world: World) -> None:
    while True:
        (world.disk / "a").write_text("x")


def sleeps_for_ever(world: World) -> None:
    while True:
        time.sleep(60)


@pytest.mark.parametrize(("work", "last"), [(writes_for_ever, "open a"), (sleeps_for_ever, "sleep")])
def test_an_endless_loop_over_boundaries_is_ended_by_their_number(work: Work, last: str) -> None:
    seen = misbehave(work)
    assert ending(seen) == f"hung it crossed 200 boundaries in one turn, the last at {last}"
    assert f"in {work.__name__}" in seen.history.stack


def test_an_endless_loop_that_waits_in_c_is_ended_by_the_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    """In real time, each time for less than the guard: there is an operation, and another."""
    monkeypatch.setattr(process, "LEAST", 2.0)
    monkeypatch.setattr(process, "GUARDS", 1)

    def looks_now_and_then(world: World) -> None:
        libc = ctypes.CDLL(None)
        while True:
            (world.disk / "a").write_text("x")
            libc.usleep(300_000)

    seen = misbehave(looks_now_and_then, replace(SHORT, seconds=2), again=False)
    assert re.fullmatch(
        "hung again and again in one turn, for [23] s in all, it did nothing the world could see", ending(seen)
    )
    assert "in looks_now_and_then" in seen.history.stack


def waits_for_ever(world: World) -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def waits_for_a_thread(world: World) -> None:
    threading.Event().wait()


@pytest.mark.parametrize("work", [waits_for_ever, waits_for_a_thread])
def test_a_lock_that_is_never_free_is_ended_by_the_guard(work: Work) -> None:
    seen = misbehave(work)
    assert ending(seen).startswith("hung it did nothing")
    assert f"in {work.__name__}" in seen.history.stack
    assert "pytest_quarry" not in seen.history.stack


def ignores_signals(world: World) -> None:
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
    while True:
        pass


def stops_itself(world: World) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


@pytest.mark.parametrize("work", [ignores_signals, stops_itself])
def test_what_does_not_listen_is_killed_all_the_same(work: Work) -> None:
    assert ending(misbehave(work)).startswith("hung it did nothing")


def raises(world: World) -> None:
    raise ValueError("broken\nin two lines")


def recurses(world: World) -> None:
    recurses(world)


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def unspeakable(world: World) -> None:
    raise Unspeakable


def interrupts(world: World) -> None:
    raise KeyboardInterrupt


ENDINGS = {
    raises: "raised ValueError: broken",
    recurses: "raised RecursionError: maximum recursion depth exceeded",
    unspeakable: "raised Unspeakable: <exception str() failed>",
    lambda world: sys.exit(3): "ended its own process, with status 3",
    lambda world: sys.exit("words"): "ended its own process, with status 1",
    lambda world: sys.exit(): "ended its own process, with status 0",
    lambda world: os._exit(4): "ended its own process, with status 4",
    lambda world: os.abort(): "ended its own process, with status -6",
    lambda world: os.kill(os.getpid(), signal.SIGKILL): "ended its own process, with status -9",
    lambda world: os.killpg(0, signal.SIGTERM): "ended its own process, with status -15",
    lambda world: ctypes.string_at(0): "ended its own process, with status -11",
    interrupts: "ended its own process, with status 70",
}


@pytest.mark.parametrize(("work", "expected"), ENDINGS.items())
def test_each_ending_is_told(work: Work, expected: str) -> None:
    assert ending(misbehave(work)) == expected


def crashes(world: World) -> None:
    ctypes.string_at(0)


def test_where_it_crashed_is_told() -> None:
    seen = misbehave(crashes)
    assert "Segmentation fault" in seen.history.stack
    assert "in crashes" in seen.history.stack
    assert "_pytest" not in seen.history.stack


def test_after_its_end_it_is_started_again() -> None:
    seen = misbehave(lambda world: os._exit(1))
    later = [f"{entry.what} {entry.text}" for entry in seen.history.entries if entry.step > 3]
    assert "started the consumer again" in later
    assert later[-1] == "settled nothing more to do"


def test_an_error_in_start_is_tried_again_and_told() -> None:
    def start(world: World) -> None:
        raise LookupError("no such table")

    history = simulate(SCHEDULE, consumer(lambda world: None, start=start, rows=lambda world: []), Play(limits=SHORT))
    raised = [entry.text for entry in history.entries if entry.what == "raised"]
    assert len(raised) > 3
    assert set(raised) == {"start raised LookupError: no such table"}


def generator(told: list[object]) -> Generator[Exception | None, object, None]:
    """A worker that hands an error back, and goes on."""
    error: Exception | None = None
    while True:
        told.append((yield error))
        try:
            raise LookupError(f"not there yet, the {len(told)}th time")
        except LookupError as problem:
            error = problem


def by_a_generator(world: World) -> Callable[[object], None]:
    worker = generator([])
    next(worker)

    def handle(notification: object) -> None:
        error = worker.send(notification)
        assert error is not None
        raise error

    return handle


def by_a_task(world: World) -> Callable[[object], Awaitable[None]]:
    """Its task outlives each turn."""
    requests: list[asyncio.Queue[asyncio.Future[None]]] = []

    async def work(told: list[object]) -> None:
        while True:
            answer = await requests[0].get()
            told.append(answer)
            try:
                raise LookupError(f"not there yet, the {len(told)}th time")
            except LookupError as problem:
                answer.set_exception(problem)

    async def handle(notification: object) -> None:
        if not requests:
            requests.append(asyncio.Queue())
            tasks.append(asyncio.create_task(work([])))
        answer = asyncio.get_running_loop().create_future()
        await requests[0].put(answer)
        await answer

    tasks: list[asyncio.Task[None]] = []
    return handle


@pytest.mark.parametrize("start", [by_a_generator, by_a_task])
def test_who_hands_an_error_back_and_goes_on_is_left_alone(start: object) -> None:
    history = simulate(SCHEDULE, consumer(lambda world: None, start=start, rows=lambda world: []), Play(limits=SHORT))
    raised = [entry.text for entry in history.entries if entry.what == "raised"]
    assert len(raised) > 3
    assert raised == [f"LookupError: not there yet, the {number}th time" for number in range(1, len(raised) + 1)]


def test_leaving_start_by_sys_exit_is_told() -> None:
    seen = see(lambda world: None, start=lambda world: sys.exit(2), fine=False, limits=SHORT)
    assert ending(seen) == "ended its own process, with status 2"


@pytest.mark.parametrize(
    ("started", "words"),
    [
        (None, "returned None. Return the consumer itself"),
        (5, "returned a int, which the kit cannot drive."),
        (World, "returned the class World itself"),
        ([1], "It has: append, clear, copy"),
    ],
)
def test_what_start_must_return(started: object, words: str) -> None:
    with pytest.raises(ConsumerError) as raised:
        see(lambda world: None, start=lambda world: started)
    assert "TestConsumer.start(world)" in str(raised.value)
    assert words in str(raised.value)
    assert "an object with handle(notification)" in str(raised.value)


def test_what_a_forked_process_writes_is_seen_as_unexplained() -> None:
    def work(world: World) -> None:
        pid = os.fork()
        if pid == 0:
            (world.disk / "by a grandchild").write_text("x")
            os._exit(0)
        os.waitpid(pid, 0)

    assert misbehave(work).history.unexplained == ("disk/by a grandchild",)


def test_what_another_program_writes_is_seen_as_unexplained() -> None:
    def work(world: World) -> None:
        subprocess.run(["sh", "-c", "echo x > by-a-program"], cwd=world.disk, check=True)

    seen = misbehave(work)
    assert seen.boundaries == ["start sh"]
    assert seen.history.unexplained == ("disk/by-a-program",)


def test_a_folder_that_was_made_explains_nothing_in_it() -> None:
    """A loader that made its folder, and wrote into it with a library in C, passed: it had no crash points in there."""

    def work(world: World) -> None:
        os.mkdir(world.disk / "out")
        natively(world.disk / "out" / "a", b"x")

    assert misbehave(work).history.unexplained == ("disk/out/a",)


def test_a_socket_in_it_is_no_file() -> None:
    """tsx has one in its folder for temporary files."""

    def work(world: World) -> None:
        os.mkdir(world.disk / "out")
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(os.path.relpath(world.disk / "out" / "a"))
        os.mkfifo(world.disk / "out" / "b")

    assert misbehave(work).history.unexplained == ()


def test_nor_does_what_was_granted_in_another_turn() -> None:
    def start(world: World) -> object:
        with open(world.disk / "a", "w") as file:
            file.write("x")
        return lambda notification: natively(world.disk / "a", b"other")

    assert see(lambda world: None, start=start).history.unexplained == ("disk/a",)


def test_where_its_team_says_that_a_file_changes_is_believed() -> None:
    """As the text for what changed unseen tells them to do."""

    def work(world: World) -> None:
        for name in ("rows", "mark"):
            world.boundary(f"library {name}", world.disk / "orders", world.tmp / "scratch")
            for place in (world.disk / "orders", world.disk / "orders.wal", world.tmp / "scratch"):
                subprocess.run(["sh", "-c", f"echo {name} >> {place}"], check=True)
        subprocess.run(["touch", str(world.disk / "other")], check=True)

    seen = misbehave(work)
    assert seen.history.unexplained == ("disk/other",)
    crossed = [text for text in seen.boundaries if text.startswith("boundary")]
    assert crossed == ["boundary library rows", "boundary library mark"]


@pytest.mark.parametrize("place", ["/etc/orders", "storage"])
def test_only_files_of_its_own_are_named(place: str) -> None:
    def work(world: World) -> None:
        world.boundary("library", world.storage_root if place == "storage" else place)

    assert "is not below world.disk" in ending(misbehave(work))


@pytest.mark.parametrize("closer", [False, True], ids=["by hooks", "closer"])
@pytest.mark.parametrize("reads", [False, True], ids=["", "read first"])
def test_what_a_memory_map_writes_is_seen_as_unexplained(closer: bool, reads: bool) -> None:
    """Where it was read first the file system may not date it: a page that is there is written without its knowing."""

    def work(world: World) -> None:
        import mmap

        (world.disk / "mapped").write_bytes(b"....")
        with open(world.disk / "mapped", "r+b") as file, mmap.mmap(file.fileno(), 4) as view:
            world.boundary("written")
            assert not reads or view[0]
            view[:] = b"done"

    seen = misbehave(work, closer=closer)
    assert seen.files == {"mapped": "done"}
    assert seen.history.unexplained == ("disk/mapped",)


def test_grandchildren_die_with_it() -> None:
    def work(world: World) -> None:
        subprocess.Popen(["sleep", "1000"])
        if os.fork() == 0:
            spins_for_ever(world)

    misbehave(work)  # and `_nothing_stays`


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who descends from whom")
def test_grandchildren_in_sessions_of_their_own_die_with_it() -> None:
    mark = "1000.731"  # to be found by, once init is their parent

    def running() -> int:
        found = 0
        for each in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                found += each.read_bytes() == f"sleep\0{mark}\0".encode()
        return found

    def work(world: World) -> None:
        subprocess.Popen(["sleep", mark], start_new_session=True)
        pid = os.fork()
        if pid == 0:
            os.setsid()
            if os.fork() == 0:
                os.execvp("sleep", ["sleep", mark])
            os._exit(0)
        os.waitpid(pid, 0)
        while running() < 2:
            pass  # no sleep, and no `ps`: how often the world would be asked for it is luck

    misbehave(work)
    assert not [command for command in commands() if mark in command]


def test_a_signal_handler_that_raises_does_not_confuse_the_two_sides() -> None:
    def work(world: World) -> None:
        def alarm(*_: object) -> None:
            raise TimeoutError

        signal.signal(signal.SIGALRM, alarm)
        for number in range(5):
            signal.setitimer(signal.ITIMER_REAL, 0.005)
            with pytest.raises(TimeoutError):  # noqa: PT012
                while True:
                    world.boundary("before")
            assert len(world.target.rows()) == number
            world.target.insert({"run_id": "told", "item": "1"})

    seen = misbehave(work, Limits(seconds=5), again=False)  # which boundary the alarm comes at is luck
    assert ending(seen) == "returned return", seen.history.stack
    assert len(seen.told) == 5


def test_a_thread_left_running_dies_with_it() -> None:
    def work(world: World) -> None:
        def tick() -> None:
            while True:
                world.boundary("tick")

        threading.Thread(target=tick, daemon=True).start()

    seen = misbehave(work, Limits(seconds=2, boundaries=200))
    assert ending(seen) == "returned return"


def test_a_thread_left_waiting_does_not_hold_it_up() -> None:
    def work(world: World) -> None:
        threading.Thread(target=threading.Event().wait).start()

    assert ending(misbehave(work)) == "returned return"


def test_a_flood_of_output_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "FLOOD_BYTES", 1 << 20)

    def work(world: World) -> None:
        while True:
            os.write(1, b"x" * 65536)

    seen = misbehave(work, Limits(seconds=10))
    assert ending(seen) == "hung it wrote more than 1 MiB to its output"
    assert len(seen.history.output) <= 20_000


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="semaphores are no files here")
def test_semaphores_of_a_killed_consumer_are_gone() -> None:
    """Their names are drawn, and consumers of one seed draw the same ones."""
    before = set(Path("/dev/shm").glob("sem.mp-*"))

    def work(world: World) -> None:
        for _ in range(3):
            multiprocessing.get_context("spawn").Semaphore()
        os.kill(os.getpid(), signal.SIGKILL)

    misbehave(work)
    misbehave(work)
    assert set(Path("/dev/shm").glob("sem.mp-*")) <= before


def test_a_flood_is_noticed_at_the_next_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by luck: it says so each time, however fast the machine is."""
    monkeypatch.setattr(process, "FLOOD_BYTES", 1 << 20)

    def work(world: World) -> None:
        os.write(1, b"x" * (2 << 20))
        (world.disk / "a").touch()

    assert ending(misbehave(work)) == "hung it wrote more than 1 MiB to its output"


def test_its_output_is_kept() -> None:
    def work(world: World) -> None:
        import logging

        print("printed")
        sys.stderr.write("to stderr\n")
        os.write(1, b"\xff\xfe raw\n")
        logging.getLogger("team").warning("logged %s", 1)
        subprocess.run(["sh", "-c", "echo from a program"], check=True)
        print("a surrogate \udc80")

    seen = misbehave(work)
    assert seen.history.output.splitlines() == [
        "printed",
        "to stderr",
        "�� raw",
        "WARNING team: logged 1",
        "from a program",
        "a surrogate \\udc80",
    ]


def test_the_output_of_a_killed_process_is_kept() -> None:
    def work(world: World) -> None:
        print("not lost")
        os.abort()

    assert misbehave(work).history.output.startswith("not lost")


def test_it_may_close_its_standard_streams() -> None:
    def work(world: World) -> None:
        for descriptor in (0, 1, 2):
            os.close(descriptor)
        (world.disk / "a").write_text("x")
        (world.disk / "b").write_text("y")

    seen = misbehave(work)
    assert ending(seen) == "returned return"
    assert seen.files == {"a": "x", "b": "y"}


def test_closing_every_descriptor_ends_it() -> None:
    def work(world: World) -> None:
        os.closerange(0, 256)
        (world.disk / "a").write_text("x")

    assert ending(misbehave(work)).startswith("ended its own process")


def test_who_closes_everything_before_its_end_has_a_status_of_its_own() -> None:
    def work(world: World) -> None:
        os.closerange(0, 256)
        sum(range(5_000_000))  # real time, of which its clock knows nothing
        os._exit(3)

    assert ending(misbehave(work)) == "ended its own process, with status 3"


def test_who_closes_everything_and_stays_is_killed() -> None:
    def work(world: World) -> None:
        os.closerange(0, 256)
        while True:
            pass

    assert ending(misbehave(work)) == "ended its own process, with status -9"


def test_it_may_delete_its_disk() -> None:
    def work(world: World) -> None:
        (world.disk / "a").write_text("x")
        shutil.rmtree(world.disk)

    seen = misbehave(work)
    assert ending(seen) == "returned return"
    assert seen.files == {}


def test_it_may_go_elsewhere() -> None:
    def work(world: World) -> None:
        os.chdir(world.disk)
        os.mkdir("inner")
        os.chdir("inner")
        Path("a").write_text("x")
        os.unlink("a")
        os.rmdir(world.disk / "inner")

    seen = misbehave(work)
    assert seen.boundaries == ["mkdir inner", "open inner/a", "write inner/a", "unlink inner/a", "rmdir inner"]


def test_large_files() -> None:
    def work(world: World) -> None:
        (world.disk / "large").write_bytes(b"x" * (50 << 20))

    seen = see(work, limits=Limits(seconds=20), rows=lambda world: [])
    assert ending(seen) == "returned return"
    assert [entry.size for entry in seen.turn if entry.text == "write large"] == [50 << 20]


def test_many_files() -> None:
    def work(world: World) -> None:
        for number in range(150):
            (world.disk / f"{number}").touch()

    assert len(see(work).files) == 150


@pytest.mark.parametrize(
    "name", ["with space", "ünïcødé", "new\nline", "%7B {} {0}", "-dash", ".hidden", "a" * 250, "back\\slash"]
)
def test_names_of_every_sort(name: str) -> None:
    def work(world: World) -> None:
        (world.disk / name).write_text("x")
        os.replace(world.disk / name, world.disk / f"{name[:200]}2")

    seen = see(work)
    assert seen.boundaries[0] == f"open {name}"
    assert seen.files == {f"{name[:200]}2": "x"}


def test_a_name_that_is_no_text() -> None:
    def work(world: World) -> None:
        with open(os.fsencode(world.disk) + b"/\xff", "w") as file:
            file.write("x")

    seen = see(work, rows=lambda world: [])
    assert seen.history.unexplained == ()
    assert ending(seen) == "returned return"


def test_a_process_without_privileges_may_lock_itself_out() -> None:
    """Where tests do not run as root, what a consumer chmods away is unreadable for the world too."""
    if os.getuid() != 0:
        pytest.skip("needs root, to become somebody else")
    code = """
import os, sys
sys.path.insert(0, sys.argv[1])
from first_turn import see, leftovers
see(lambda world: None)  # imports what only root can read
if pid := os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
os.setgid(65534); os.setuid(65534)
def work(world):
    (world.disk / "secret").write_text("x")
    os.chmod(world.disk / "secret", 0)
    world.boundary("closed file")
    os.chmod(world.disk, 0)
    world.boundary("closed folder")
seen = see(work, fine=False, rows=lambda world: [])
print(seen.happenings[-1])
print(leftovers())
"""
    folder = os.path.dirname(__file__)
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "acknowledged run-A (#1)\nset()\n", done.stderr


def test_its_cpu_time_is_limited() -> None:
    """Where a parent's death sends no signal, a busy loop ends all the same."""
    (limit,) = see(lambda world: tell(world, resource.getrlimit(resource.RLIMIT_CPU)[0])).told
    assert 10 < limit <= 100


def test_nobody_waits_for_ever_for_a_program_that_an_event_loop_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks.children, "LEFT", 0.01)

    async def main() -> None:
        child = await asyncio.create_subprocess_exec("sh", "-c", "while :; do :; done")
        assert child.returncode is None

    def work(world: World) -> None:
        asyncio.run(main())

    see(work)
