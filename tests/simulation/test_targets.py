"""The target that a world keeps: what is durable when, and for which of two workers."""

from __future__ import annotations

import re
from typing import Any

import pytest
from together import consumer

from pytest_quarry.consumers.protocol import TargetCall
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import Poll, Schedule
from pytest_quarry.simulation.target import Target
from pytest_quarry.simulation.world import World

A, B = {"run_id": "run-1", "item": "a", "price": 1}, {"run_id": "run-1", "item": "b", "price": 2}


def insert(row: dict[str, Any]) -> TargetCall:
    return TargetCall("insert", (row,))


def test_an_insert_adds_whatever_is_there() -> None:
    target = Target()
    for row in (A, B, A):
        target.insert(row)
    assert target.rows() == [A, B, A]
    assert target.version == 3


def test_an_upsert_replaces_the_row_with_the_same_key() -> None:
    target = Target()
    for row in (A, B, {**A, "price": 7}):
        target.upsert(row)
    assert target.rows() == [B, {**A, "price": 7}]
    target.upsert({"run_id": "run-2", "item": "a"})
    assert len(target.rows()) == 3
    target.upsert({"price": 7, "run_id": "run-8"}, key="price")
    target.upsert({"price": 7, "run_id": "run-9"}, key=["price"])
    assert target.rows() == [B, {"run_id": "run-2", "item": "a"}, {"price": 7, "run_id": "run-9"}]


def test_a_transaction_is_durable_at_its_commit() -> None:
    target = Target()
    target.begin()
    target.insert(A)
    target.upsert({**A, "price": 7})
    assert (target.rows(), target.version) == ([], 0)
    target.commit()
    assert (target.rows(), target.version) == ([{**A, "price": 7}], 2)
    target.begin()
    target.insert(B)
    target.rollback()
    target.insert(B)
    assert target.rows() == [{**A, "price": 7}, B]


def test_a_commit_without_a_transaction_does_nothing() -> None:
    target = Target()
    target.commit()
    target.rollback()
    assert (target.rows(), target.version) == ([], 0)


def test_two_workers_have_transactions_of_their_own() -> None:
    target = Target()
    for worker, row in ((1, A), (2, B)):
        target.apply(TargetCall("begin", ()), worker)
        target.apply(insert(row), worker)
    target.forget_open(2)
    target.apply(TargetCall("commit", ()), 2)
    assert target.apply(TargetCall("rows", ()), 2) == []
    target.apply(TargetCall("commit", ()), 1)
    assert target.apply(TargetCall("rows", ()), 2) == [A]
    target.apply(insert(B), 2)
    assert target.rows() == [A, B]


def test_what_a_killed_process_had_not_committed_is_gone() -> None:
    target = Target()
    target.begin()
    target.insert(A)
    target.forget_open()
    target.forget_open()
    target.begin()
    target.commit()
    assert target.rows() == []


def test_rows_are_copies() -> None:
    target, row = Target(), dict(A)
    target.insert(row)
    row["price"] = 99
    target.rows()[0]["price"] = 98
    target.apply(TargetCall("rows", ()))[0]["price"] = 97
    assert target.rows() == [A]


def test_a_transaction_inside_another() -> None:
    target = Target()
    target.begin()
    words = "world.target: begin() inside a transaction; commit() or rollback() first"
    with pytest.raises(RuntimeError, match=f"^{re.escape(words)}$"):
        target.begin()


@pytest.mark.parametrize("operation", ["insert", "upsert"])
def test_what_is_no_row(operation: str) -> None:
    wrong: Any = [A]
    words = f"world.target.{operation} takes one row as a mapping, not list"
    with pytest.raises(TypeError, match=f"^{re.escape(words)}$"):
        getattr(Target(), operation)(wrong)


def test_in_a_world_each_operation_is_a_boundary_and_does_the_same() -> None:
    def work(target: Target) -> None:
        target.begin()
        target.insert(A)
        target.rollback()
        target.begin()
        target.upsert(A)
        target.insert(B)
        target.commit()
        assert target.rows() == [A, B]

    def in_world(world: World) -> None:
        if not world.target.rows():
            work(world.target)

    alone = Target()
    work(alone)
    details = consumer(in_world, rows=lambda world: world.target.rows())
    history = simulate(Schedule(runs=(), steps=(Poll(),)), details)
    crossed = [entry.text for entry in history.entries if entry.what == "crossed" and "target" in entry.text]
    names = ["read", "BEGIN", "INSERT", "ROLLBACK", "BEGIN", "UPSERT", "INSERT", "COMMIT", "read"]
    assert crossed[: len(names)] == [f"target {name}" for name in names]
    assert [(row.run_id, row.item) for row in history.rows] == [(row["run_id"], row["item"]) for row in alone.rows()]


class TestRows:
    """`world.target`: a database of few words."""

    def test_rows_are_inserted_upserted_and_read(self) -> None:
        target = Target()
        target.insert({"run_id": "a", "item": 1, "price": 1})
        target.insert({"run_id": "a", "item": 1, "price": 2})
        assert len(target.rows()) == 2
        target.upsert({"run_id": "a", "item": 1, "price": 3})
        assert target.rows() == [{"run_id": "a", "item": 1, "price": 3}]
        target.upsert({"run_id": "a", "item": 2}, key=["run_id"])
        assert target.rows() == [{"run_id": "a", "item": 2}]

    def test_a_transaction_is_there_whole_or_not_at_all(self) -> None:
        target = Target()
        target.begin()
        target.insert({"run_id": "a"})
        assert target.rows() == []
        with pytest.raises(RuntimeError, match="inside a transaction"):
            target.begin()
        target.commit()
        assert target.rows() == [{"run_id": "a"}]
        target.begin()
        target.insert({"run_id": "b"})
        target.rollback()
        assert target.rows() == [{"run_id": "a"}]

    def test_rows_are_copies(self) -> None:
        target, row = Target(), {"run_id": "a"}
        target.insert(row)
        row["run_id"] = "b"
        target.rows()[0]["run_id"] = "c"
        assert target.rows() == [{"run_id": "a"}]

    def test_a_row_is_a_mapping(self) -> None:
        with pytest.raises(TypeError, match=r"world.target.insert takes one row as a mapping, not list"):
            Target().insert([1])  # type: ignore[arg-type]
