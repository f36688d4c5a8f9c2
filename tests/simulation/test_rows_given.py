"""What the suite's `rows` may give, and what is said where it gives something else."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from sqlite3 import connect
from typing import Any

import pytest
from loaders import loader

from pytest_quarry.consumers.consumer import ConsumerError
from pytest_quarry.simulation import recorder
from pytest_quarry.simulation.history import History, Row
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import ANY, Crash, Deliver, Notify, PlannedRun, Schedule, Write
from pytest_quarry.simulation.world import World

STEPS = (Write("run-A"), Notify("run-A"), Deliver((1,)))


def found(rows: Callable[[World], Any], **details: Any) -> History:
    schedule = Schedule(runs=(PlannedRun(run_id="run-A", items=1),), steps=STEPS)
    return simulate(schedule, loader(rows=rows, **details))


def refused(rows: Callable[[World], Any], **details: Any) -> str:
    with pytest.raises(ConsumerError) as error:
        found(rows, **details)
    return str(error.value)


def test_rows_are_sorted_texts() -> None:
    given = [
        {"run_id": 7, "item": 2},
        {"run_id": "b", "item": "A"},
        {"run_id": "b"},
        {"run_id": "b", "item": None, "price": 3},
        {"run_id": "a", "item": 1},
    ]
    history = found(lambda world: iter(given))
    assert history.rows == (Row("7", "2"), Row("a", "1"), Row("b", None), Row("b", None), Row("b", "A"))


def test_rows_of_sqlite_are_rows() -> None:
    def rows(world: World) -> list[sqlite3.Row]:
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.row_factory = sqlite3.Row
            return connection.execute("SELECT 'run-A' AS run_id, 1 AS item").fetchall()

    assert found(rows).rows == (Row("run-A", "1"),)


def test_what_is_no_list() -> None:
    assert refused(lambda world: 7) == (
        "TestLoader.rows(world) returned int, which is not a list of rows. Return every row of the target as a mapping with "
        "run_id and, where it can, item."
    )


def test_what_is_no_mapping() -> None:
    assert refused(lambda world: [{"run_id": "a"}, ("b", 1)]) == (
        "TestLoader.rows(world) yielded ('b', 1) as row 2, which is not a mapping. Yield mappings with run_id and, where it "
        'can, item: {"run_id": …, "item": …}.'
    )


@pytest.mark.parametrize("row", [{"run": 1, "item": 2}, {"run": 1, "item": 2, "run_id": None}])
def test_what_has_no_run_id(row: dict[str, Any]) -> None:
    assert refused(lambda world: [row]) == (
        f"TestLoader.rows(world) yielded row 1 without run_id: it has {', '.join(row)}. Name the run each row belongs to: "
        '{"run_id": …, "item": …}.'
    )


def test_what_raises_to_the_end() -> None:
    def rows(world: World) -> list[dict[str, Any]]:
        raise KeyError("no table")

    line = rows.__code__.co_firstlineno + 1
    assert refused(rows) == (
        f"TestLoader.rows(world) raised KeyError: 'no table' (test_rows_given.py:{line}). It must read what the target holds whenever it is asked, also "
        "when nothing has been loaded: create tables in prepare(world) or start(world), and return [] where there is no "
        "target yet."
    )


def test_what_raises_after_a_kill() -> None:
    """The consumer may have left what nobody can read; where, is told."""

    def rows(world: World) -> list[dict[str, Any]]:
        raise ValueError("torn")

    schedule = Schedule(runs=(PlannedRun(run_id="run-A", items=1),), steps=(*STEPS[:-1], Deliver((1,), Crash(ANY, 1))))
    with pytest.raises(
        ConsumerError, match="Here the consumer had been killed before target UPSERT: where that leaves what nobody"
    ):
        simulate(schedule, loader(rows=rows))


def test_a_database_that_is_locked_is_not_waited_for() -> None:
    """While a consumer stands in a transaction its rows are those from before, at once."""

    def connect(world: World) -> sqlite3.Connection:
        return sqlite3.connect(world.disk / "a.sqlite", isolation_level=None)

    def prepare(world: World) -> None:
        with closing(connect(world)) as connection:
            connection.execute("CREATE TABLE t (run_id)")

    def rows(world: World) -> list[dict[str, Any]]:
        with closing(connect(world)) as connection:
            return [{"run_id": run_id} for (run_id,) in connection.execute("SELECT run_id FROM t")]

    def start(world: World) -> Callable[[Any], None]:
        def handle(notification: Any) -> None:
            with closing(connect(world)) as connection:
                connection.execute("BEGIN EXCLUSIVE")
                connection.execute("INSERT INTO t VALUES ('run-A')")
                world.boundary("inside")
                connection.execute("COMMIT")

        return handle

    before = time.monotonic()
    history = found(rows, prepare=prepare, start=start)
    assert time.monotonic() - before < 4.9, "SQLite waits for five seconds"
    assert [entry.text for entry in history.entries if entry.rows == (Row("run-A"),)] == ["sqlite COMMIT a.sqlite"]
    assert history.rows == (Row("run-A"),)
    assert sqlite3.connect is sqlite3.dbapi2.connect
    assert history.unexplained == ()


def test_what_rows_leaves_behind_is_removed_and_what_was_there_is_not() -> None:
    def rows(world: World) -> list[dict[str, Any]]:
        (world.disk / "cache" / "deep").mkdir(parents=True, exist_ok=True)
        (world.disk / "cache" / "deep" / "file").touch()
        (world.disk / "link").unlink(missing_ok=True)
        (world.disk / "link").symlink_to(world.disk / "kept")
        return [{"run_id": str(sorted(path.name for path in (world.disk / "kept").iterdir()))}]

    def start(world: World) -> Callable[[Any], None]:
        def handle(notification: Any) -> None:
            world.boundary(str(sorted(path.name for path in world.disk.iterdir())))

        return handle

    def prepare(world: World) -> None:
        (world.disk / "kept").mkdir()
        (world.disk / "kept" / "own").touch()

    history = found(rows, prepare=prepare, start=start)
    assert "boundary ['kept']" in [entry.text for entry in history.entries]
    assert history.rows == (Row("['own']"),)


class TestConnectionsLeftOpen:
    """As a suite has them whose `rows` are `sqlite3.connect(…).execute(…)`, in Python 3.11: they refer to themselves."""

    def start(self, world: World) -> Callable[[Any], None]:
        def handle(notification: Any) -> None:
            with closing(sqlite3.connect(world.disk / "t.db")) as database, database:
                database.execute("PRAGMA journal_mode = wal")
                database.execute("CREATE TABLE IF NOT EXISTS loaded (run_id, item)")
                database.execute("INSERT INTO loaded VALUES ('run-A', 'A')")

        return handle

    @pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="only Linux tells which files are open")
    @pytest.mark.parametrize("kept_by_a_frame", [False, True])
    def test_none_is_open_when_the_world_goes_on(self, kept_by_a_frame: bool) -> None:
        left: list[str] = []

        def rows(world: World) -> Any:
            left.extend(each for each in open_files() if "t.db" in each)
            connection = sqlite3.connect(world.disk / "t.db")
            ring: list[Any] = [connection]
            ring.append(ring)
            found = connection.execute("SELECT run_id, item FROM loaded")
            if not kept_by_a_frame:
                del connection
            return [{"run_id": run_id, "item": item} for run_id, item in found]

        history = found(rows, start=self.start, prepare=lambda world: (world.disk / "t.db").touch())
        assert history.rows
        assert not left

    def test_one_that_the_suite_keeps_stays_open(self) -> None:
        kept: dict[Any, sqlite3.Connection] = {}

        def rows(world: World) -> Any:
            if world.disk not in kept:
                kept[world.disk] = sqlite3.connect(world.disk / "t.db")
            found = kept[world.disk].execute("SELECT run_id, item FROM loaded")
            return [{"run_id": run_id, "item": item} for run_id, item in found]

        assert found(rows, start=self.start, prepare=lambda world: (world.disk / "t.db").touch()).rows
        for connection in kept.values():
            connection.close()


def test_rows_that_wait_for_the_consumer_are_told_not_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here sqlite3.connect is called by another name than the one under which the kit makes it impatient."""
    monkeypatch.setattr(recorder, "MOST_WAITED", 0.3)

    def start(world: World) -> Callable[[Any], None]:
        def handle(notification: Any) -> None:
            with closing(sqlite3.connect(world.disk / "t.db", isolation_level=None)) as database:
                database.execute("BEGIN EXCLUSIVE")
                for number in range(5):
                    (world.disk / str(number)).touch()
                database.execute("COMMIT")

        return handle

    def rows(world: World) -> Any:
        with closing(connect(world.disk / "t.db", timeout=0.1)) as database:
            return database.execute("SELECT run_id FROM loaded").fetchall()

    def prepare(world: World) -> None:
        with closing(sqlite3.connect(world.disk / "t.db")) as database:
            database.execute("CREATE TABLE loaded (run_id, item)")

    said = refused(rows, start=start, prepare=prepare)
    assert (
        "to raise OperationalError: database is locked. It waits for a lock that the consumer holds. Let it not wait"
        in said
    )


def work_hard(seconds: float) -> Callable[[World], Any]:
    """Rows that need so many seconds of a processor before they find that the table is not there yet."""

    def rows(world: World) -> Any:
        until = time.thread_time() + seconds
        while time.thread_time() < until:
            pass
        if not (world.disk / "done").exists():
            raise LookupError("no such table")
        return [{"run_id": "run-A", "item": 0}]

    return rows


def start_touching(world: World) -> Callable[[Any], None]:
    return lambda notification: (world.disk / "done").touch()


def test_rows_that_work_hard_before_they_raise_wait_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where they import pandas, and a busy machine takes its time."""
    monkeypatch.setattr(recorder, "MOST_WAITED", 1.0)
    assert found(work_hard(1.3), start=start_touching).rows == (Row("run-A", "0"),)


@pytest.mark.skipif(not Path("/proc/thread-self/schedstat").exists(), reason="only Linux counts it")
def test_rows_that_get_no_processor_wait_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others have it for more than half of the time."""
    monkeypatch.setattr(recorder, "MOST_WAITED", 0.5)
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        assert found(work_hard(0.4), start=start_touching).rows == (Row("run-A", "0"),)
    finally:
        for other in others:
            other.kill()
            other.wait()


def open_files() -> list[str]:
    """What this process has open."""
    found = []
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    return found
