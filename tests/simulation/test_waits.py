"""Waiting takes virtual time: for a locked database, as SQLite waits, and with a timeout."""

from __future__ import annotations

import fcntl
import queue
import select
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any

import pytest
from together import Work, consumer, meet, said, says, words

from pytest_quarry.simulation.history import History
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import (
    Crash,
    Overlap,
    Poll,
    Schedule,
    Switch,
)
from pytest_quarry.simulation.world import World

MOST_REAL_SECONDS = 8


@pytest.fixture(autouse=True)
def _nothing_waits_in_real_time() -> Iterator[None]:
    before = time.monotonic()
    yield
    assert time.monotonic() - before < MOST_REAL_SECONDS


def connect(world: World, **details: Any) -> Any:
    return sqlite3.connect(world.disk / "a.sqlite", **details)


def prepare(world: World) -> None:
    with closing(connect(world)) as connection:
        connection.execute("CREATE TABLE t (x)")


def values(world: World) -> list[dict[str, Any]]:
    with closing(connect(world)) as connection:
        return [{"run_id": str(x)} for (x,) in connection.execute("SELECT x FROM t")]


def at_once(first: Work, second: Work, *switches: Switch) -> tuple[History, list[str]]:
    """What happens when two workers do this to one database, and what it holds then."""
    schedule = Schedule(runs=(), steps=(Overlap(switches=switches),))
    history = simulate(schedule, consumer(first, second, prepare=prepare, rows=values))
    return history, sorted(row.run_id for row in history.rows)


def holds(world: World) -> None:
    """Inserts 0 in a transaction, and stands still in it."""
    connection = connect(world, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO t VALUES (0)")
    world.boundary("inside")
    connection.execute("COMMIT")
    world.boundary("done")


def waits_for(name: str, seconds: float) -> Work:
    """Begins a transaction in that database, with so much patience."""

    def work(world: World) -> None:
        with closing(sqlite3.connect(world.disk / name, timeout=seconds, isolation_level=None)) as connection:
            before = time.monotonic()
            try:
                connection.execute("BEGIN IMMEDIATE")
                world.boundary("has both")
            except sqlite3.OperationalError as error:
                world.boundary(f"{error} after {time.monotonic() - before:.0f}")

    return work


class Logging(sqlite3.Connection):
    executed = 0

    def execute(self, *arguments: Any) -> Any:
        Logging.executed += 1
        return super().execute(*arguments)


def begins_immediately(world: World) -> None:
    connection = connect(world, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO t VALUES (1)")
    connection.execute("COMMIT")


def inserts(world: World) -> None:
    connection = connect(world)
    connection.execute("INSERT INTO t VALUES (1)")
    connection.commit()


def inserts_with(world: World) -> None:
    with connect(world) as connection:
        connection.execute("INSERT INTO t VALUES (1)")


def uses_a_cursor(world: World) -> None:
    connection = connect(world)
    connection.row_factory = sqlite3.Row
    cursor = connection.cursor()
    cursor.execute("INSERT INTO t VALUES (?)", (1,))
    connection.commit()
    assert [row["x"] for row in cursor.execute("SELECT x FROM t WHERE x > 0")] == [1]


def uses_a_generator(world: World) -> None:
    with connect(world) as connection:
        connection.executemany("INSERT INTO t VALUES (?)", ((number,) for number in (1, 2)))


def runs_a_script(world: World) -> None:
    connection = connect(world)
    connection.executescript(
        "BEGIN; -- all; of it\nINSERT INTO t VALUES (1); INSERT INTO t VALUES ('2;'); COMMIT;\n -- end"
    )
    assert connection.isolation_level == ""
    assert not connection.in_transaction


def has_a_factory(world: World) -> None:
    with connect(world, factory=Logging) as connection:
        connection.execute("INSERT INTO t VALUES (1)")
    assert isinstance(connection, Logging)
    world.boundary(f"executed {Logging.executed}")


def uses_sqlalchemy(world: World) -> None:
    sqlalchemy = pytest.importorskip("sqlalchemy")
    with sqlalchemy.create_engine(f"sqlite:///{world.disk / 'a.sqlite'}").begin() as connection:
        connection.execute(sqlalchemy.text("INSERT INTO t VALUES (1)"))


class TestBusy:
    @pytest.mark.parametrize(
        ("work", "loaded"),
        [
            (begins_immediately, ["0", "1"]),
            (inserts, ["0", "1"]),
            (inserts_with, ["0", "1"]),
            (uses_a_cursor, ["0", "1"]),
            (uses_a_generator, ["0", "1", "2"]),
            (runs_a_script, ["0", "1", "2;"]),
            (has_a_factory, ["0", "1"]),
            (uses_sqlalchemy, ["0", "1"]),
        ],
    )
    def test_who_meets_a_lock_waits_for_its_holder(self, work: Work, loaded: list[str]) -> None:
        history, found = at_once(holds, work, Switch("boundary inside"))
        assert not words(history, "raised"), history.stack
        assert found == loaded
        assert {e.worker for e in history.entries if e.text == "wait for the lock of a.sqlite"} == {2}
        if work is has_a_factory:
            assert "2 executed 1" in said(history)

    def test_a_commit_waits_for_a_reader(self) -> None:
        def reads(world: World) -> None:
            connection = connect(world, isolation_level=None)
            connection.execute("BEGIN")
            connection.execute("SELECT * FROM t").fetchall()
            world.boundary("inside")
            connection.execute("COMMIT")

        history, found = at_once(reads, inserts, Switch("boundary inside"))
        assert not words(history, "raised")
        assert found == ["1"]
        crossed = [entry.text for entry in history.entries if entry.worker == 2 and entry.what == "crossed"]
        assert crossed[crossed.index("wait for the lock of a.sqlite") - 1] == "sqlite COMMIT a.sqlite"

    @pytest.mark.parametrize("how", ["executemany", "executescript"])
    def test_what_waits_in_the_middle_does_nothing_twice(self, how: str) -> None:
        def many(world: World) -> None:
            connection = connect(world, isolation_level=None)
            if how == "executemany":
                connection.executemany("INSERT INTO t VALUES (?)", iter([(1,), (2,), (3,)]))
            else:
                connection.executescript("INSERT INTO t VALUES (1); INSERT INTO t VALUES (2); INSERT INTO t VALUES (3)")

        def slowly(world: World) -> None:
            connection = connect(world, isolation_level=None)
            connection.execute("BEGIN IMMEDIATE")
            time.sleep(1)
            connection.execute("COMMIT")

        history, found = at_once(many, slowly, Switch("sqlite INSERT t a.sqlite", 2))
        assert not words(history, "raised"), history.stack
        assert found == ["1", "2", "3"]
        assert "wait for the lock of a.sqlite" in words(history, "crossed")

    @pytest.mark.parametrize(
        ("details", "pragma", "seconds"),
        [
            ({}, "", 5),
            ({"timeout": 30}, "", 30),
            ({"timeout": 0}, "", 0),
            ({}, "PRAGMA busy_timeout = 2000", 2),
            ({}, "PRAGMA busy_timeout(7000)", 7),
            ({"factory": Logging, "timeout": 3}, "", 3),
        ],
    )
    def test_patience_ends_in_virtual_time(self, details: dict[str, Any], pragma: str, seconds: float) -> None:
        def slow(world: World) -> None:
            connection = connect(world, isolation_level=None)
            connection.execute("BEGIN IMMEDIATE")
            time.sleep(1000)
            connection.execute("COMMIT")

        def impatient(world: World) -> None:
            connection = connect(world, **details)
            if pragma:
                connection.execute(pragma)
            before = time.monotonic()
            try:
                connection.execute("INSERT INTO t VALUES (1)")
            except sqlite3.OperationalError as error:
                world.boundary(f"{error} after {time.monotonic() - before:.0f}")

        history, found = at_once(slow, impatient)
        assert said(history) == [f"2 database is locked after {seconds}"]
        assert found == []

    def test_patience_ends_where_the_holder_is_through_and_keeps_the_lock(self) -> None:
        kept = []

        def keeps(world: World) -> None:
            kept.append(connect(world, isolation_level=None))
            kept[0].execute("BEGIN IMMEDIATE")

        history, found = at_once(keeps, waits_for("a.sqlite", 60))
        assert said(history) == ["2 database is locked after 60"]
        assert words(history, "crossed").count("wait for the lock of a.sqlite") == 1
        assert found == []

    @pytest.mark.parametrize(("first", "second", "expected"), [(3, 7, "1 2"), (7, 3, "2 1")])
    def test_of_two_that_wait_for_each_other_the_less_patient_gives_up_first(
        self, first: int, second: int, expected: str
    ) -> None:
        """And rolls back, so that the other goes on."""

        def takes(mine: str, other: str, seconds: int) -> Work:
            def work(world: World) -> None:
                with closing(sqlite3.connect(world.disk / mine, isolation_level=None)) as connection:
                    connection.execute("CREATE TABLE IF NOT EXISTS u (x)")
                    connection.execute("BEGIN IMMEDIATE")
                    world.boundary("has one")
                    waits_for(other, seconds)(world)
                world.boundary("through")

            return work

        has_one = Switch("boundary has one")
        history, _ = at_once(
            takes("b.sqlite", "c.sqlite", first), takes("c.sqlite", "b.sqlite", second), has_one, has_one
        )
        loser, winner = expected.split()
        assert f"{loser} database is locked after 3" in said(history)
        assert [text for text in said(history) if "has both" in text] == [f"{winner} has both"]
        assert {f"{number} through" for number in (1, 2)} <= set(said(history))
        assert not words(history, "gave-up")

    def test_who_reads_and_then_writes_is_refused_at_once(self) -> None:
        """SQLite does not wait for a second lock while it holds one: two that did would wait for ever."""

        def reads_then_writes(world: World) -> None:
            with closing(connect(world, isolation_level=None)) as connection:
                connection.execute("BEGIN")
                connection.execute("SELECT * FROM t").fetchall()
                try:
                    connection.execute("INSERT INTO t VALUES (1)")
                except sqlite3.OperationalError as error:
                    world.boundary(str(error))

        history, _ = at_once(holds, reads_then_writes, Switch("boundary inside"))
        assert said(history)[0] == "2 database is locked"
        assert "wait for the lock of a.sqlite" not in words(history, "crossed")

    def test_who_is_killed_in_a_transaction_holds_nothing(self) -> None:
        overlap = Overlap(switches=(Switch("boundary inside"),), crash=Crash("boundary inside"))
        schedule = Schedule(runs=(), steps=(overlap,))
        history = simulate(schedule, consumer(holds, inserts, prepare=prepare, rows=values))
        assert [row.run_id for row in history.rows] == ["1"]
        assert not words(history, "raised")

    def test_threads_of_one_process_wait_for_each_other(self) -> None:
        def work(world: World) -> None:
            inside = threading.Event()

            def hold() -> None:
                connection = connect(world, isolation_level=None)
                connection.execute("BEGIN IMMEDIATE")
                inside.set()
                for _ in range(5):
                    world.boundary("holds")
                connection.execute("COMMIT")

            thread = threading.Thread(target=hold)
            thread.start()
            inside.wait()
            before = time.time()
            inserts(world)
            assert time.time() - before < 1
            thread.join()

        schedule = Schedule(runs=(), steps=(Poll(),))
        history = simulate(schedule, consumer(work, says(), prepare=prepare, rows=values))
        assert not words(history, "raised"), history.stack
        assert [row.run_id for row in history.rows] == ["1"]


class TestWaits:
    @pytest.mark.parametrize(
        "wait",
        [
            lambda: queue.Queue[int]().get(timeout=100),
            lambda: threading.Event().wait(100),
            lambda: threading.Semaphore(0).acquire(timeout=100),
            lambda: select.select([], [], [], 100),
            lambda: select.select(socket.socketpair(), [], [], 100),
            lambda: select.poll().poll(100_000),
        ],
        ids=["queue", "event", "semaphore", "select", "select-socket", "poll"],
    )
    def test_a_wait_with_a_timeout_takes_virtual_time(self, wait: Callable[[], Any]) -> None:
        def work(world: World) -> None:
            before = time.time()
            with suppress(queue.Empty):
                wait()
            world.boundary(f"{time.time() - before:.0f}")

        assert said(meet(work, says("x")))[:2] == ["2 x", "1 100"]

    def test_what_is_ready_is_not_waited_for(self) -> None:
        def work(world: World) -> None:
            one, other = socket.socketpair()
            other.send(b"x")
            assert select.select([one], [], [], 100)[0] == [one]
            poll = select.poll()
            poll.register(one, select.POLLIN)
            assert poll.poll(100_000) == [(one.fileno(), select.POLLIN)]
            world.boundary(f"{time.time() % 1000:.0f}")

        history = meet(work, says())
        assert "sleep" not in words(history, "crossed")
        assert not words(history, "raised"), history.stack


def test_patience_that_ended_while_the_other_tried_again_takes_no_more_time() -> None:
    def first(world: World) -> None:
        with closing(connect(world, isolation_level=None)) as connection, open(world.disk / "lock", "w") as file:
            connection.execute("BEGIN IMMEDIATE")
            world.boundary("inside")
            fcntl.flock(file, fcntl.LOCK_EX)

    def second(world: World) -> None:
        with open(world.disk / "lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            world.boundary("has the lock")
            waits_for("a.sqlite", 0.001)(world)

    history, _ = at_once(first, second, Switch("boundary inside"), Switch("boundary has the lock"))
    crossed = [entry for entry in history.entries if entry.what == "crossed" and entry.step == 1]
    gives_up = max(at for at, entry in enumerate(crossed) if entry.text == "wait for the lock of a.sqlite")
    assert (crossed[gives_up - 1].worker, crossed[gives_up - 1].text) == (1, "lock lock")
    assert round((crossed[gives_up].time - crossed[gives_up - 1].time) * 1_000_000) == 1_000
    assert said(history)[-1] == "2 database is locked after 0"
