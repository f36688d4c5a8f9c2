"""What changes files without Python, in the consumer's process or in programs that it starts: seen where it is looked for."""

from __future__ import annotations

import ctypes
import errno
import functools
import multiprocessing
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from first_turn import Seen, Work, closer_or_skip, natively, see, tell

from pytest_quarry.checks.catalogue import BY_ID
from pytest_quarry.checks.conduct import Conductor
from pytest_quarry.consumers.consumer import Consumer
from pytest_quarry.simulation.play import Play
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import Break, Crash, Deliver, Notify, PlannedRun, Schedule, Write
from pytest_quarry.simulation.world import World

pytestmark = closer_or_skip


def closer(work: Work, **details: Any) -> Seen:
    return see(work, closer=True, **details)


def library(world: World) -> None:
    natively(world.disk / "a", b"data")
    os.rename(world.disk / "a", world.disk / "b")
    natively(world.disk / "b", b"more")


def test_a_library_in_c() -> None:
    seen = closer(library)
    assert seen.boundaries == ["open a", "write a", "rename a → b", "open b", "write b"]
    assert seen.files == {"b": "more"}
    assert seen.history.unexplained == ()


def test_a_program_that_it_starts() -> None:
    def work(world: World) -> None:
        subprocess.run(["sh", "-c", "echo x > a; mv a b; mkdir c; rm b"], cwd=world.disk, check=True)

    seen = closer(work)
    assert seen.boundaries == ["start sh", "open a", "write a", "rename a → b", "mkdir c", "unlink b"]
    assert seen.history.unexplained == ()


def test_names_that_a_library_draws_are_no_others_the_next_time() -> None:
    def work(world: World) -> None:
        for name in (
            ".tmpAW3iz3",
            "111011000110001010101000bbe51c41679396bf087f25f957.lance",
            "x.tmpAW3iz3",
            ".tmpAW3iz",
        ):
            natively(world.disk / name, b"")

    names = [label.removeprefix("open ") for label in closer(work).boundaries if label.startswith("open")]
    assert names == ["RANDOM", "RANDOM.lance", "x.tmpAW3iz3", ".tmpAW3iz"]


def test_nor_is_one_that_a_program_draws_and_python_renames() -> None:
    def work(world: World) -> None:
        made = subprocess.run(["mktemp", ".new.XXXXXX"], cwd=world.disk, check=True, capture_output=True, text=True)
        os.rename(world.disk / made.stdout.strip(), world.disk / "rows")

    seen = closer(work, rows=lambda world: [])
    assert seen.boundaries == ["start mktemp", "open RANDOM", "rename RANDOM → rows"]


def test_threads_that_were_begun_in_the_fork(pytester: pytest.Pytester) -> None:
    """As lancedb has one, by os.register_at_fork: it is there before the kernel shows anything."""
    pytester.makepyfile(
        """
        import ctypes, os, queue, threading
        from pytest_quarry import EventBusConformance

        libc = ctypes.CDLL(None)

        class Background:
            def begin(self):
                self.jobs = queue.Queue()
                threading.Thread(target=self.work, daemon=True).start()

            def work(self):
                while True:
                    job, done = self.jobs.get()
                    job()
                    done.set()

            def do(self, job):
                done = threading.Event()
                self.jobs.put((job, done))
                done.wait()

        background = Background()
        os.register_at_fork(after_in_child=background.begin)

        def append(path, data):
            descriptor = libc.open(os.fsencode(path), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            libc.write(descriptor, data, len(data))
            libc.close(descriptor)

        class TestAppends(EventBusConformance):
            def start(self, world):
                def handle(notification):
                    if notification["event_type"] == "run_completed" and notification["outcome"] == "success":
                        row = notification["run_id"].encode() + b"\\n"
                        background.do(lambda: append(world.disk / "rows", row))
                return handle

            def rows(self, world):
                file = world.disk / "rows"
                return [{"run_id": line} for line in file.read_text().split()] if file.exists() else []
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:randomly", "-p", "no:cacheprovider", "-k", "crash_duplicates")
    result.stdout.fnmatch_lines(["*open rows*", "*write rows*+1 row of run-A*", "*write rows*+1 row of run-A*"])


LIBC = ctypes.CDLL(None)
A_MINUTE, IN_MICROSECONDS = struct.pack("qq", 60, 0), struct.pack("qq", 59, 1_000_000)
SLEEPS: dict[str, Callable[[], object]] = {
    "sleep": lambda: LIBC.sleep(60),
    "usleep": lambda: LIBC.usleep(60_000_000),
    "poll": lambda: LIBC.poll(None, 0, 60_000),
    "ppoll": lambda: LIBC.ppoll(None, 0, A_MINUTE, None),
    "select": lambda: LIBC.select(0, None, None, None, ctypes.create_string_buffer(IN_MICROSECONDS)),
    "pselect": lambda: LIBC.pselect(0, None, None, None, A_MINUTE, None),
}


@pytest.mark.parametrize("how", SLEEPS)
def test_a_library_in_c_that_sleeps(how: str) -> None:
    """As Berkeley DB does between two looks at a lock, and SQLite's busy handler in a library that is not Python's."""

    def work(world: World) -> None:
        natively(world.disk / "a", b"data")
        SLEEPS[how]()
        natively(world.disk / "b", b"data")

    before, after = [entry.time for entry in closer(work).turn if entry.text in ("write a", "open b")]
    assert 60 <= after - before < 61


def test_files_for_which_the_team_answers() -> None:
    """From the boundary on, in them and in what begins with their names; they are looked at no closer than before."""

    def work(world: World) -> None:
        natively(world.disk / "o.db", b"1")
        world.boundary("loads", world.disk / "o.db")
        natively(world.disk / "o.db", b"12")
        natively(world.disk / "o.db.wal", b"3")
        natively(world.disk / "other", b"4")

    seen = closer(work)
    assert seen.boundaries == ["open o.db", "write o.db", "boundary loads", "open other", "write other"]
    assert seen.history.unexplained == ()


def test_a_process_that_it_forks() -> None:
    def work(world: World) -> None:
        pid = os.fork()
        if pid == 0:
            (world.disk / "a").write_text("x")
            os._exit(0)
        os.waitpid(pid, 0)

    assert closer(work).boundaries == ["open a", "write a"]


@pytest.mark.parametrize(
    ("crash", "left"),
    [
        (Crash("open a", 1), {}),
        (Crash("write a", 1), {"a": ""}),
        (Crash("write a", 1, keep=2), {"a": "da"}),
        (Crash("rename a → b", 1), {"a": "data"}),
        (Crash("open b", 1), {"b": "data"}),
    ],
)
def test_it_is_killed_there(crash: Crash, left: dict[str, str]) -> None:
    def once(world: World) -> None:
        if not list(world.disk.iterdir()):
            library(world)

    seen = closer(once, crash=crash)
    assert [words.partition(" ")[0] for words in seen.happenings][-1] == "killed"
    assert next(seen.files_before(entry) for entry in seen.history.entries if entry.what == "acknowledged") == left


def test_an_operation_fails_there() -> None:
    def start(world: World) -> object:
        def handle(notification: Any) -> None:
            done = subprocess.run(
                ["cp", "/etc/hostname", world.disk / "a"], capture_output=True, text=True, check=False
            )
            tell(world, done.stderr)

        return handle

    steps = (Write("run-A"), Notify("run-A"), Break("write a", os.strerror(errno.ENOSPC) and "ENOSPC"), Deliver((1,)))
    plan = Schedule(runs=(PlannedRun(run_id="run-A", items=1),), steps=steps)
    consumer = Consumer(name="TestConsumer", kind="event-bus", start=start, rows=lambda world: world.target.rows())
    history = simulate(plan, consumer, Play(closer=True))
    assert "No space left on device" in str(history.rows[0].item)


class Loader:
    """Marks a run, in a file of its own, with a library in C: before the rows or after them."""

    def __init__(self, world: World, *, first: bool) -> None:
        self.world, self.first = world, first

    def handle(self, notification: dict[str, Any]) -> None:
        mark = self.world.disk / notification["run_id"]
        if notification["event_type"] != "run_completed" or mark.exists():
            return
        if self.first:
            natively(mark, b"")
        self.world.target.upsert({"run_id": notification["run_id"]}, key="run_id")
        natively(mark, b"")


@pytest.mark.parametrize(("first", "status"), [(True, "failed"), (False, "passed")])
def test_checks_look_closer_where_something_changed_unseen(first: bool, status: str) -> None:
    consumer = Consumer(
        name="TestConsumer",
        kind="event-bus",
        start=lambda world: Loader(world, first=first),
        rows=lambda world: world.target.rows(),
    )
    result = Conductor(consumer).conduct(BY_ID["EB04"])
    assert result.status == status
    if result.schedule is not None:
        assert result.history is not None
        assert "killed before write run-A" in [f"{entry.what} {entry.text}" for entry in result.history.entries]
        again = Conductor(consumer).replay(BY_ID["EB04"], result.schedule)
        assert again.status == "failed"


def test_who_is_looked_at_closer_begins_with_no_exception_under_way() -> None:
    """It is forked again, and not where the first look was given up: sys.exc_info() and tracebacks of its own tell of nothing else."""

    def start(world: World) -> object:
        loader = Loader(world, first=False)

        def handle(notification: Any) -> None:
            assert sys.exc_info() == (None, None, None)
            loader.handle(notification)

        return handle

    consumer = Consumer(name="TestConsumer", kind="event-bus", start=start, rows=lambda world: world.target.rows())
    assert Conductor(consumer).conduct(BY_ID["EB03"]).status == "passed"


def test_metadata_that_a_program_or_a_library_sets() -> None:
    def work(world: World) -> None:
        (world.disk / "a").write_text("1")
        libc = ctypes.CDLL(None)
        libc.chmod(os.fsencode(world.disk / "a"), 0o600)
        libc.setxattr(os.fsencode(world.disk / "a"), b"user.loaded", b"1", 1, 0)
        os.chmod(world.disk / "a", 0o644)
        subprocess.run(["touch", "-d", "@1", "a"], cwd=world.disk, check=True)

    seen = closer(work)
    assert [each for each in seen.boundaries if not each.startswith(("start", "open"))] == [
        "write a",
        "chmod a",
        "setxattr a",
        "chmod a",
        "utime a",
    ]
    assert seen.history.unexplained == ()


def test_times_of_links_are_those_of_links() -> None:
    def work(world: World) -> None:
        for name in "abc":
            (world.disk / name).write_text("1")
        (world.disk / "link").symlink_to("a")
        subprocess.run(["touch", "-h", "-d", "@1", "link"], cwd=world.disk, check=True)

    seen = closer(work)
    assert seen.boundaries[6:] == ["symlink link", "start touch", "utime link"]
    assert seen.history.unexplained == ()


def test_metadata_that_changes_unseen_makes_the_check_look_closer() -> None:
    def work(world: World) -> None:
        for name in "ab":
            (world.disk / name).write_text("1")
        ctypes.CDLL(None).chmod(os.fsencode(world.disk / "a"), 0o600)

    assert see(work).history.unexplained == ("disk/a",)


def put(world: World, name: str) -> None:
    """A program that writes a file beside, and renames it into place."""
    subprocess.run(
        ["sh", "-c", f"echo x > {name}.part; mv {name}.part {name}; echo {name} >> log"], cwd=world.disk, check=True
    )


def in_children(world: World) -> None:
    words = "echo x > {0}.part; mv {0}.part {0}"
    children = [subprocess.Popen(["sh", "-c", words.format(name)], cwd=world.disk) for name in "abcd"]
    assert [child.wait() for child in children] == [0, 0, 0, 0]


def in_a_pool_of_processes(world: World) -> None:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        list(pool.map(functools.partial(write_beside, world.disk), "abcdef"))


def write_beside(folder: Path, name: str) -> None:
    part = folder / f"{name}.part"
    part.write_text("x")
    part.rename(folder / name)


def in_a_pool_of_threads(world: World) -> None:
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(functools.partial(put, world), "abcd"))


@pytest.mark.parametrize("work", [in_children, in_a_pool_of_processes, in_a_pool_of_threads])
def test_processes_side_by_side(work: Work) -> None:
    """In the same order each time, `closer` sees to that; and what one did is not taken for another's."""
    seen = closer(work)
    assert seen.history.unexplained == ()
    assert {name for name in seen.files if name != "log"} >= set("abcd")
