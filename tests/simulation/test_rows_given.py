"""What the suite's `rows` may give, and what is said where it gives something else."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from loaders import loader

from pytest_quarry.consumers.consumer import ConsumerError
from pytest_quarry.simulation.history import History, Row
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import Deliver, Notify, PlannedRun, Schedule, Write
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

    assert refused(rows) == (
        "TestLoader.rows(world) raised KeyError: 'no table'. It must read what the target holds whenever it is asked, also "
        "when nothing has been loaded: create tables in prepare(world) or start(world), and return [] where there is no "
        "target yet."
    )


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
