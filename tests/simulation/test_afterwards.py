"""Rows that outlive their world lie elsewhere; those that a suite only holds on to do not."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from pytest_quarry.consumers.consumer import Consumer
from pytest_quarry.simulation.history import Row
from pytest_quarry.simulation.play import Play
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import Deliver, Notify, PlannedRun, Schedule, Write
from pytest_quarry.simulation.world import World

PLAN = Schedule(
    runs=(PlannedRun(run_id="run-A", items=1),),
    steps=(Write("run-A"), Notify("run-A"), Deliver((1,))),
)
Rows = list[dict[str, Any]]


def outlived(load: Callable[[World, str], object], rows: Callable[[World], Rows], **hooks: Any) -> tuple[Row, ...]:
    def start(world: World) -> Callable[[Any], None]:
        def handle(notification: Any) -> None:
            if notification["event_type"] == "run_completed":
                load(world, notification["run_id"])

        return handle

    consumer = Consumer(name="TestConsumer", kind="event-bus", start=start, rows=rows, **hooks)
    history = simulate(PLAN, consumer, Play(afterwards=True))
    assert [row.run_id for row in history.rows] == ["run-A"]
    return history.outlived


def files_of(folder: Path) -> Rows:
    return [{"run_id": file.name} for file in folder.iterdir()]


def database(world: World) -> sqlite3.Connection:
    connection = sqlite3.connect(world.disk / "orders.sqlite")
    connection.execute("CREATE TABLE IF NOT EXISTS orders (run_id TEXT)")
    return connection


def insert(world: World, run_id: str) -> None:
    with contextlib.closing(database(world)) as connection, connection:
        connection.execute("INSERT INTO orders VALUES (?)", [run_id])


def select(connection: sqlite3.Connection) -> Rows:
    return [{"run_id": run_id} for (run_id,) in connection.execute("SELECT run_id FROM orders")]


class TestThoseElsewhere:
    def test_in_another_folder(self, tmp_path: Path) -> None:
        found = outlived(lambda world, run_id: (tmp_path / run_id).touch(), lambda world: files_of(tmp_path))
        assert found == (Row("run-A"),)

    def test_with_marks_that_are_in_sight(self, tmp_path: Path) -> None:
        def load(world: World, run_id: str) -> None:
            (world.disk / run_id).touch()
            (tmp_path / run_id).touch()

        assert outlived(load, lambda world: files_of(tmp_path)) == (Row("run-A"),)


class TestThoseOfTheWorld:
    def test_on_its_disk(self) -> None:
        assert not outlived(lambda world, run_id: (world.disk / run_id).touch(), lambda world: files_of(world.disk))

    def test_in_a_database(self) -> None:
        def rows(world: World) -> Rows:
            with contextlib.closing(database(world)) as connection:
                return select(connection)

        assert not outlived(insert, rows)

    @pytest.mark.parametrize("journal", ["delete", "wal"])
    def test_by_a_connection_that_is_kept(self, journal: str) -> None:
        kept: list[sqlite3.Connection] = []

        def prepare(world: World) -> None:
            kept[:] = [database(world)]
            kept[0].execute(f"PRAGMA journal_mode={journal}")

        assert not outlived(insert, lambda world: select(kept[0]), prepare=prepare)
        kept[0].close()

    def test_by_a_target_that_is_kept(self) -> None:
        kept: list[World] = []
        found = outlived(
            lambda world, run_id: world.target.insert({"run_id": run_id}),
            lambda world: kept[0].target.rows(),
            prepare=kept.append,
        )
        assert not found

    def test_in_a_bucket(self) -> None:
        def put(world: World, run_id: str) -> None:
            boto3.client("s3").put_object(Bucket=world.bucket, Key=f"out/{run_id}", Body=b"")

        def rows(world: World) -> Rows:
            found = boto3.client("s3").list_objects_v2(Bucket=world.bucket, Prefix="out/").get("Contents", [])
            return [{"run_id": each["Key"].removeprefix("out/")} for each in found]

        assert not outlived(put, rows)

    def test_whose_rows_cannot_be_read_there(self) -> None:
        prepared: list[World] = []

        def rows(world: World) -> Rows:
            assert world in prepared
            return files_of(world.disk)

        assert not outlived(lambda world, run_id: (world.disk / run_id).touch(), rows, prepare=prepared.append)
