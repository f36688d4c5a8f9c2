"""A real database server: its statements, its transactions, its locks, through a driver in C."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import Any

import pytest
from first_turn import closer_or_skip, schedule, see

from pytest_quarry.checks.catalogue import BY_ID
from pytest_quarry.checks.conduct import Conductor
from pytest_quarry.consumers.command import Command
from pytest_quarry.consumers.consumer import Consumer, ConsumerError
from pytest_quarry.simulation import recorder
from pytest_quarry.simulation.play import Play
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import Crash, Notify, Overlap, PlannedRun, Poll, Schedule, Switch, Write
from pytest_quarry.simulation.world import World

psycopg = pytest.importorskip("psycopg")
pytestmark = closer_or_skip
TABLES = """
    DROP TABLE IF EXISTS orders, loaded;
    CREATE TABLE orders (run_id text);
    CREATE TABLE loaded (run_id text PRIMARY KEY);
"""


@pytest.fixture
def database(postgres: str) -> str:
    make_tables(postgres)
    return postgres


def make_tables(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(TABLES)


def rows(database: str) -> list[dict[str, str]]:
    with psycopg.connect(database) as connection:
        connection.execute("SET lock_timeout = 100")
        return [{"run_id": run_id} for (run_id,) in connection.execute("SELECT run_id FROM orders")]


def loads(database: str) -> None:
    with psycopg.connect(database) as connection:
        if not connection.execute("SELECT 1 FROM loaded").fetchone():
            connection.execute("INSERT INTO orders VALUES (%s)", ["run-A"])
            connection.execute("INSERT INTO loaded VALUES ('run-A')")


STATEMENTS = ["BEGIN", "SELECT", "INSERT orders", "INSERT loaded", "COMMIT"]


def test_each_statement_is_a_boundary(database: str) -> None:
    seen = see(lambda world: loads(database), closer=True, again=False)
    assert seen.boundaries == [f"server {words}" for words in STATEMENTS]
    assert rows(database) == [{"run_id": "run-A"}]


@pytest.mark.parametrize("words", STATEMENTS[2:])
def test_what_is_not_committed_is_taken_back(database: str, words: str) -> None:
    """Also the locks: the next to load it does not wait for the killed."""

    def prepare(world: World) -> None:
        make_tables(database)

    seen = see(lambda world: loads(database), closer=True, crash=Crash(f"server {words}", 1), prepare=prepare)
    assert f"killed before server {words}" in seen.happenings
    assert rows(database) == []


class Loader:
    """Rows and mark in one transaction, or the mark in the next; who is second waits for the mark of the first, or looks."""

    def __init__(self, database: str, *, apart: bool) -> None:
        self.database, self.apart = database, apart

    def handle(self, notification: dict[str, Any]) -> None:
        if notification["event_type"] != "run_completed":
            return
        run_id = notification["run_id"]
        with psycopg.connect(self.database) as connection:
            if self.apart:
                if connection.execute("SELECT 1 FROM loaded WHERE run_id = %s", [run_id]).fetchone():
                    return
                connection.execute("INSERT INTO orders VALUES (%s)", [run_id])
                connection.commit()
                connection.execute("INSERT INTO loaded VALUES (%s)", [run_id])
                return
            mark = "INSERT INTO loaded VALUES (%s) ON CONFLICT DO NOTHING RETURNING 1"
            if connection.execute(mark, [run_id]).fetchone():
                connection.execute("INSERT INTO orders VALUES (%s)", [run_id])


@pytest.mark.parametrize("check", ["EB05", "EB06", "EB08"])
@pytest.mark.parametrize("apart", [False, True])
def test_checks(database: str, check: str, apart: bool) -> None:
    consumer = Consumer(
        name="TestConsumer",
        kind="event-bus",
        prepare=lambda world: make_tables(database),
        start=lambda world: Loader(database, apart=apart),
        rows=lambda world: rows(database),
    )
    result = Conductor(consumer).conduct(BY_ID[check])
    assert result.status == ("failed" if apart and check != "EB06" else "passed"), result.verdict


class Crosswise:
    """Of two runs each first locks its own row, then the other's; a deadlock is an error, and the message comes again."""

    def __init__(self, database: str) -> None:
        self.database = database

    def handle(self, notification: dict[str, Any]) -> None:
        mine = notification["run_id"]
        other = "run-B" if mine == "run-A" else "run-A"
        with psycopg.connect(self.database) as connection:
            for run_id in (mine, other):
                connection.execute("UPDATE loaded SET run_id = run_id WHERE run_id = %s", [run_id])
            connection.execute("DELETE FROM orders WHERE run_id = %s", [mine])
            connection.execute("INSERT INTO orders VALUES (%s)", [mine])


def test_a_deadlock_that_the_server_ends(database: str) -> None:
    def prepare(world: World) -> None:
        make_tables(database)
        with psycopg.connect(database) as connection:
            connection.execute("INSERT INTO loaded VALUES ('run-A'), ('run-B')")

    consumer = Consumer(
        name="TestLoader",
        kind="event-bus",
        prepare=prepare,
        start=lambda world: Crosswise(database),
        rows=lambda world: rows(database),
    )
    runs = (PlannedRun(run_id="run-A", items=1), PlannedRun(run_id="run-B", items=1))
    told = [step for run in runs for step in (Write(run.run_id), Notify(run.run_id))]
    for occurrence in (1, 2):
        overlap = Overlap((1,), (2,), switches=(Switch("server UPDATE loaded", occurrence),))
        history = simulate(Schedule(runs=runs, steps=(*told, overlap)), consumer, Play(closer=True))
        assert "gave-up" not in [entry.what for entry in history.entries]
        assert [row.run_id for row in history.rows] == ["run-A", "run-B"]
    raised = [entry.text for entry in history.entries if entry.what == "raised"]
    assert raised
    assert all(text.startswith("DeadlockDetected") for text in raised)


def test_rows_that_wait_for_the_consumer(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither goes on by itself: TRUNCATE takes a lock that readers wait for."""
    monkeypatch.setattr(recorder, "STUCK", 0.5)

    def start(world: World) -> object:
        def handle(notification: dict[str, Any]) -> None:
            with psycopg.connect(database) as connection:
                connection.execute("TRUNCATE orders")
                connection.execute("INSERT INTO orders VALUES (%s)", [notification["run_id"]])

        return handle

    def patient(world: World) -> list[dict[str, str]]:
        with psycopg.connect(database) as connection:
            return [{"run_id": run_id} for (run_id,) in connection.execute("SELECT run_id FROM orders")]

    consumer = Consumer(name="TestLoader", kind="event-bus", start=start, rows=patient)
    with pytest.raises(ConsumerError, match=r"TestLoader\.rows\(world\) did not come back in 0\.5 s.*SET lock_timeout"):
        Conductor(consumer).conduct(BY_ID["EB01"])
    monkeypatch.setattr(recorder, "STUCK", 60.0)
    consumer = replace(consumer, rows=lambda world: rows(database), prepare=lambda world: make_tables(database))
    history = simulate(schedule(None), consumer, Play(closer=True))
    assert [row.run_id for row in history.rows] == ["run-A"]


@pytest.mark.skipif(shutil.which("psql") is None, reason="psql is not installed")
def test_rows_that_wait_for_what_a_program_has_started(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "STUCK", 0.5)
    statements = "BEGIN;\nTRUNCATE orders;\nINSERT INTO orders VALUES ('run-A');\nCOMMIT;\n"
    code = f'echo "{statements}" | psql -q {database}; exit'

    def patient(world: World) -> list[dict[str, str]]:
        with psycopg.connect(database) as connection:
            return [{"run_id": run_id} for (run_id,) in connection.execute("SELECT run_id FROM orders")]

    command = Command(argv=["bash", "-c", code], kind="poller")
    consumer = Consumer(name="TestLoader", kind="poller", start=lambda world: None, rows=patient, command=command)
    plan = Schedule(runs=(PlannedRun(run_id="run-A", items=1),), steps=(Write("run-A"), Poll()))
    with pytest.raises(ConsumerError, match="did not come back"):
        simulate(plan, consumer, Play())


SUITE = """
import os
import psycopg
from pytest_quarry import EventBusConformance

DATABASE = os.environ["TEST_DATABASE"]


class TestLoader(EventBusConformance):
    def prepare(self, world):
        with psycopg.connect(DATABASE) as connection:
            connection.execute("DROP TABLE IF EXISTS orders; CREATE TABLE orders (run_id text PRIMARY KEY)")

    def start(self, world):
        def handle(notification):
            with psycopg.connect(DATABASE) as connection:
                mark = "INSERT INTO orders VALUES (%s) ON CONFLICT DO NOTHING"
                connection.execute(mark, [notification["run_id"]])
        return handle

    def rows(self, world):
        with psycopg.connect(DATABASE) as connection:
            return [{"run_id": run_id} for (run_id,) in connection.execute("SELECT run_id FROM orders")]
"""


def test_processes_of_one_session_share_a_database(
    postgres: str, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_DATABASE", postgres)
    pytester.makepyfile(SUITE)
    result = pytester.runpytest_subprocess("-n", "2", "-k", "redelivery or restart or crash or any_order or stay_apart")
    result.assert_outcomes(passed=6)
