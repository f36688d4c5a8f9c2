"""What the world answers at a boundary: leave, an AWS answer or an error, in how much virtual time, and what is told of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from loaders import loader

from pytest_quarry.bus import names
from pytest_quarry.bus.calls import AwsCall
from pytest_quarry.bus.delivery import Mailbox
from pytest_quarry.consumers.protocol import Boundary, EndpointCall, Fail, Grant, RunCall, Sleep, TargetCall
from pytest_quarry.simulation.grants import Grants
from pytest_quarry.simulation.recorder import Recorder
from pytest_quarry.simulation.schedule import Break
from pytest_quarry.simulation.trouble import Trouble
from pytest_quarry.simulation.turn import Turn
from pytest_quarry.simulation.world import EPOCH, World

MS, SECOND = 1_000, 1_000_000
ROW = {"run_id": "run-A", "item": "a"}


@dataclass
class Desk:
    """A world that answers, and what stands behind it."""

    world: World
    recorder: Recorder
    trouble: Trouble
    grants: Grants
    reads: list[int]
    turn: Turn = field(default_factory=Turn)

    def answer(self, label: str, call: Any = None, **details: Any) -> Grant | Fail:
        return self.grants.answer(Boundary(label, call=call, **details), self.turn)

    @property
    def told(self) -> list[str]:
        return [f"{entry.what} {entry.text}" for entry in self.recorder.entries]

    @property
    def passed(self) -> int:
        """Virtual microseconds since the beginning."""
        return self.world.now - EPOCH


def desk_of(world: World, worker: int = 1) -> Desk:
    reads: list[int] = []

    def rows(world: World) -> list[dict[str, Any]]:
        reads.append(1)
        return []

    recorder, trouble = Recorder(world, loader(rows=rows), Mailbox(3)), Trouble(world.faults)
    return Desk(world, recorder, trouble, Grants(world, recorder, trouble, worker), reads)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


@pytest.fixture
def desk(world: World) -> Desk:
    return desk_of(world)


def put(key: str) -> AwsCall:
    return AwsCall("s3.PutObject", "PUT", f"https://{names.BUCKET}.s3.amazonaws.com/{key}", (), b"x")


def test_it_may_go_on(desk: Desk) -> None:
    desk.recorder.record("started")
    answer = desk.answer("write a", paths=("disk/a",), size=5, buffered=True)
    assert answer == Grant(EPOCH + MS, None)
    assert desk.passed == MS
    entry = desk.recorder.entries[-1]
    assert (entry.what, entry.text, entry.size, entry.buffered) == ("crossed", "write a", 5, True)
    (desk.world.disk / "a").touch()
    desk.recorder.look()
    assert desk.recorder.unexplained == set()


def test_a_sleep_takes_its_time(desk: Desk) -> None:
    assert desk.answer("sleep", Sleep(2.5)) == Grant(EPOCH + MS + 2_500 * MS, None)


def test_the_target_knows_whose_operation_it_is(world: World) -> None:
    first, second = desk_of(world, worker=1), desk_of(world, worker=2)
    second.answer("target BEGIN", TargetCall("begin", ()))
    assert first.answer("target INSERT", TargetCall("insert", (ROW,))).now == EPOCH + 2 * MS
    assert second.answer("target read", TargetCall("rows", ())) == Grant(EPOCH + 3 * MS, [ROW])
    second.answer("target INSERT", TargetCall("insert", (ROW,)))
    assert world.target.rows() == [ROW]
    second.answer("target COMMIT", TargetCall("commit", ()))
    assert world.target.rows() == [ROW, ROW]


def test_an_operation_that_the_world_cannot_carry_out_is_an_error_to_the_consumer(desk: Desk) -> None:
    def execute(run_id: str) -> None:
        raise RuntimeError(f"{run_id} has been executed already")

    desk.grants.execute = execute
    answer = desk.answer("execute run-A", RunCall("run-A"))
    assert answer == Fail(EPOCH + MS, "RuntimeError", "run-A has been executed already")
    assert desk.told == ["crossed execute run-A"]


def test_a_run_is_executed_where_somebody_executes_runs(desk: Desk) -> None:
    assert desk.answer("execute run-A", RunCall("run-A")) == Grant(EPOCH + MS, None)
    desk.grants.execute = lambda run_id: {"executed": run_id}
    assert desk.answer("execute run-A", RunCall("run-A")) == Grant(EPOCH + 2 * MS, {"executed": "run-A"})
    assert desk.answer("write a") == Grant(EPOCH + 3 * MS, None)


def test_the_endpoint_is_told(desk: Desk) -> None:
    answer = desk.answer("world.endpoint", EndpointCall())
    assert answer == Grant(EPOCH + MS, desk.world.endpoint)


def test_an_aws_call_is_answered_and_has_its_effect(desk: Desk) -> None:
    answer = desk.answer("s3.PutObject quarry/a", put("a"))
    assert isinstance(answer, Grant)
    assert (answer.now, answer.value.status) == (EPOCH + MS, 200)
    assert desk.world.bucket_keys() == {"a"}
    assert desk.told == ["crossed s3.PutObject quarry/a"]


def test_an_operation_on_a_file_fails(desk: Desk) -> None:
    desk.recorder.expect(("disk/a",))
    desk.trouble.begin(Break("write a", "ENOSPC"))
    answer = desk.answer("write a", paths=("disk/a",))
    assert answer == Fail(EPOCH + MS, "OSError", "28 No space left on device")
    assert desk.passed == MS
    assert desk.told == ["failed write a: No space left on device"]
    (desk.world.disk / "a").touch()
    desk.recorder.look()
    assert desk.recorder.unexplained == {"disk/a"}, "what failed changes nothing"


@pytest.mark.parametrize(("error", "words"), [("503", "AWS answers 503"), ("404", "AWS answers 404")])
def test_aws_refuses(desk: Desk, error: str, words: str) -> None:
    desk.recorder.expect(("disk/a",))
    desk.trouble.begin(Break("s3.PutObject", error))
    answer = desk.answer("s3.PutObject quarry/a", put("a"))
    assert isinstance(answer, Grant)
    assert (answer.now, answer.value.status) == (EPOCH + MS, int(error))
    assert desk.told == [f"failed s3.PutObject quarry/a: {words}"]
    assert desk.world.bucket_keys() == set()
    (desk.world.disk / "a").touch()
    desk.recorder.look()
    assert desk.recorder.unexplained == {"disk/a"}


@pytest.mark.parametrize("how", ["reset", "timeout"])
def test_nothing_comes_back_and_nothing_was_done(desk: Desk, how: str) -> None:
    desk.trouble.begin(Break("s3.PutObject", how))
    answer = desk.answer("s3.PutObject quarry/a", put("a"))
    assert answer == Fail(EPOCH + MS, f"aws-{how}", "s3.PutObject quarry/a")
    assert desk.told == [f"failed s3.PutObject quarry/a: {how}"]
    assert desk.world.bucket_keys() == set()


@pytest.mark.parametrize(("error", "how"), [("lost", "timeout"), ("dropped", "reset")])
def test_it_was_done_and_nothing_comes_back(desk: Desk, error: str, how: str) -> None:
    desk.world.bucket_keys()
    desk.trouble.begin(Break("s3.PutObject", error))
    answer = desk.answer("s3.PutObject quarry/a", put("a"))
    assert answer == Fail(EPOCH + MS, f"aws-{how}", "s3.PutObject quarry/a")
    assert desk.told == [
        "crossed s3.PutObject quarry/a",
        f"failed s3.PutObject quarry/a: done, and its answer lost ({how})",
    ]
    assert desk.world.bucket_keys() == {"a"}
    assert [entry.changed for entry in desk.recorder.entries] == [True, False], "the effect belongs to the call"
    assert desk.reads == []


def test_a_changed_answer_is_changed(desk: Desk) -> None:
    listing = put("")._replace(operation="s3.ListObjectsV2", method="GET", body=b"")
    whole = desk.answer("s3.ListObjectsV2 quarry", listing)
    desk.trouble.begin(Break("s3.ListObjectsV2", "cut"))
    cut = desk.answer("s3.ListObjectsV2 quarry", listing)
    assert isinstance(whole, Grant)
    assert isinstance(cut, Grant)
    assert cut.value.body == whole.value.body[: len(whole.value.body) // 2] != b""


@pytest.mark.parametrize("label", ["s3.PutObject quarry/a", "write a"])
def test_what_is_slow_takes_so_long_that_others_receive_what_is_visible_again(desk: Desk, label: str) -> None:
    world = desk.world
    world.put("00000000-0000-4000-8000-000000000001", "x", {}, sent=world.now)
    (message,) = world.mocked.receive(1, now=world.now)
    receipt = message.receipt_handle
    desk.answer(label, put("a") if label.startswith("s3") else None)
    assert desk.passed == MS
    desk.trouble.begin(Break(label, "slow"))
    answer = desk.answer(label, put("a") if label.startswith("s3") else None)
    assert answer.now == world.now == EPOCH + 45 * SECOND + 2 * MS
    assert not world.mocked.delete(receipt, now=world.now), "it is stale"
    assert desk.told == [f"crossed {label}"] * 2
