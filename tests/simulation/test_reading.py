"""`rows` does no harm to the process that consumers are forked from: what begins threads there that no fork has is asked in forks."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_quarry.consumers.at_work import threads_of_libraries
from pytest_quarry.consumers.consumer import Consumer, ConsumerError
from pytest_quarry.simulation.history import History
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import Deliver, Notify, PlannedRun, Schedule, Write
from pytest_quarry.simulation.world import World

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells which threads there are")


@pytest.fixture(autouse=True)
def polars(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was imported, by the consumer's module for one."""
    monkeypatch.setitem(sys.modules, "polars", types.ModuleType("polars"))


PLAN = Schedule(
    runs=(PlannedRun(run_id="run-A", items=1),),
    steps=(Write("run-A"), Notify("run-A"), Deliver((1,)), Deliver((1,))),
)


def begin_a_thread(name: bytes = b"rust-worker") -> None:
    """As a library in Rust does: Python knows nothing of it."""
    libc = ctypes.CDLL(None)
    thread = ctypes.c_ulong()
    assert libc.pthread_create(ctypes.byref(thread), None, ctypes.cast(libc.pause, ctypes.c_void_p), None) == 0
    libc.pthread_setname_np(thread, name)


class Asked:
    """A suite's `rows`, that notes in which processes it was asked."""

    def __init__(self, folder: Path, also: Callable[[], object] = lambda: None) -> None:
        folder.mkdir(exist_ok=True)
        self.pids, self.also = folder / "pids", also

    def rows(self, world: World) -> list[dict[str, Any]]:
        with open(self.pids, "a") as file:
            file.write(f"{os.getpid()}\n")
        self.also()
        return world.target.rows()

    @property
    def processes(self) -> list[int]:
        return [int(line) for line in self.pids.read_text().split()]


def load(rows: Callable[[World], Any]) -> History:
    def start(world: World) -> Callable[[Any], None]:
        return lambda notification: world.target.upsert(
            {"run_id": notification["run_id"], "item": "1"}, key=("run_id",)
        )

    return simulate(PLAN, Consumer(name="TestLoader", kind="event-bus", start=start, rows=rows))


def test_what_begins_threads_of_a_library_is_asked_in_forks_alone(tmp_path: Path) -> None:
    asked = Asked(tmp_path, begin_a_thread)
    history = load(asked.rows)
    assert [row.run_id for row in history.rows] == ["run-A"]
    assert len(asked.processes) > 2
    assert os.getpid() not in asked.processes
    assert "rust-worker" not in threads_of_libraries()


def test_what_begins_none_is_asked_here_from_the_first_rows_on(tmp_path: Path) -> None:
    asked = Asked(tmp_path)
    load(asked.rows)
    first = asked.processes.index(os.getpid())
    assert first > 0  # nothing was seen of it before it had something to read
    assert set(asked.processes[first:]) == {os.getpid()}
    load(asked.rows)
    assert set(asked.processes[first:]) == {os.getpid()}


def test_another_suite_with_the_same_rows_is_another(tmp_path: Path) -> None:
    """A base class has the method; what it uses is up to each suite."""
    load(Asked(tmp_path / "none").rows)
    asked = Asked(tmp_path / "some", begin_a_thread)
    load(asked.rows)
    assert os.getpid() not in asked.processes


def test_where_no_such_library_is_there_it_is_asked_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "polars")
    asked = Asked(tmp_path)
    load(asked.rows)
    assert set(asked.processes) == {os.getpid()}


class OddError(Exception):
    """One that cannot be made from its words."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


@pytest.mark.parametrize(
    ("error", "words"),
    [(KeyError("orders"), "KeyError: 'orders'"), (OddError("this", "that"), "RuntimeError: OddError: this and that")],
)
def test_what_it_raises_is_told(error: Exception, words: str) -> None:
    def rows(world: World) -> Any:
        raise error

    with pytest.raises(ConsumerError) as found:
        load(rows)
    assert f"TestLoader.rows(world) raised {words}. It must read what the target holds" in str(found.value)


def test_who_ends_its_process_does_not_end_the_test_s() -> None:
    def rows(world: World) -> Any:
        os._exit(3)

    with pytest.raises(ConsumerError, match=r"rows\(world\) raised RuntimeError: its process ended with status 3"):
        load(rows)


def test_what_it_starts_ends_with_it(tmp_path: Path) -> None:
    pids = tmp_path / "sleepers"

    def rows(world: World) -> list[dict[str, Any]]:
        begin_a_thread()
        sleeper = subprocess.Popen(["sleep", "1000"])
        with open(pids, "a") as file:
            file.write(f"{sleeper.pid}\n")
        return world.target.rows()

    load(rows)
    started = pids.read_text().split()
    assert len(started) > 2
    for pid in started:
        path = Path(f"/proc/{pid}/stat")
        assert not path.exists() or path.read_text().rpartition(")")[2].split()[0] == "Z"


HUNG = f"""
import ctypes, os, sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_reading
from pytest_quarry import EventBusConformance

test_reading.begin_a_thread(b"polars-0")


class TestLoader(EventBusConformance):
    def start(self, world):
        def handle(notification):
            WHAT
        return handle

    def rows(self, world):
        return world.target.rows()
"""


@pytest.mark.parametrize("what", ["ctypes.CDLL(None).pause()", "raise BaseException('Forked process detected')"])
def test_of_a_fork_that_cannot_go_on_the_threads_are_named(pytester: pytest.Pytester, what: str) -> None:
    pytester.makepyfile(test_hung=HUNG.replace("WHAT", what))
    result = pytester.runpytest_subprocess("-k", "test_restart", "--quarry-guard", "1")
    result.stdout.fnmatch_lines(
        [
            "*It is a fork of the test's process, in which a library has*",
        ]
    )
    text = " ".join(result.stdout.str().split())
    assert "a library has threads of its own ('polars-0'): they are not in the fork" in text
    assert "not at import, in prepare(world) or in rows(world)." in text
