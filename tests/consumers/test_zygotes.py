"""A zygote is forked once and bears every start: nobody can tell, and what the test's process does later is not missed."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import signal
import sys
import time
import types
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from first_turn import SCHEDULE, consumer, leftovers, see, tell

from pytest_quarry import EventBusConformance
from pytest_quarry.checks.catalogue import BY_ID
from pytest_quarry.checks.conduct import Conductor, Result
from pytest_quarry.checks.stage import Stage
from pytest_quarry.consumers import child, zygote
from pytest_quarry.consumers.zygote import Nursery
from pytest_quarry.samples import SAMPLES, Sample
from pytest_quarry.simulation.history import History
from pytest_quarry.simulation.play import Play
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import Restart, Schedule
from pytest_quarry.simulation.world import World

EVERY_SAMPLE = os.environ.get("QUARRY_EVERY_SEED") == "1"  # the gate of a release
# Else every second one: those beside it in the list are of its kind.
SOUND = [sample for sample in SAMPLES if sample.sound and not sample.name.startswith("outside-")][
    :: 1 if EVERY_SAMPLE else 2
]


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    with contextlib.closing(Nursery()) as found:
        yield found


@pytest.fixture(autouse=True)
def _nothing_stays() -> Iterator[None]:
    yield
    assert leftovers() == set()


def children() -> set[int]:
    """Those of this process, dead ones that nobody has waited for included."""
    tasks = Path(f"/proc/{os.getpid()}/task").iterdir()
    return {int(pid) for task in tasks for pid in (task / "children").read_text().split()}


def disturbed(stage: Stage) -> Schedule:
    """A run with a crash where half of it is done, and a restart."""
    first = stage.loaded(stage.run("A"))
    crashes = [*stage.crashes(first), first]
    schedule = crashes[len(crashes) // 2]
    return replace(schedule, steps=(*schedule.steps, Restart(), first.steps[-1]))


@pytest.mark.parametrize("sample", SOUND, ids=lambda sample: sample.name)
def test_every_sample_does_the_same(sample: Sample, nursery: Nursery) -> None:
    one = sample.suite()().consumer()
    stage = Stage(one, 0, lambda schedule: simulate(schedule, one))
    schedule = disturbed(stage)
    here, there = stage.history(schedule), simulate(schedule, one, Play(nursery=nursery))
    assert here.difference(there) is None
    assert here == there


def told(history: History) -> list[Any]:
    return [json.loads(row.item or "") for row in history.rows if row.run_id == "told"]


def rows(world: World) -> list[Mapping[str, Any]]:
    return world.target.rows()


def test_one_process_bears_all_of_many_worlds(nursery: Nursery) -> None:
    one = consumer(lambda world: tell(world, os.getppid()), rows=rows)
    parents = {told(simulate(SCHEDULE, one, Play(nursery=nursery)))[0] for _ in range(5)}
    assert len(parents) == 1
    assert os.getpid() not in parents


def test_it_ends_though_another_process_has_inherited_the_way_to_it() -> None:
    """As a server does that a hook forks."""
    nursery = Nursery()
    simulate(SCHEDULE, consumer(lambda world: None, rows=rows), Play(nursery=nursery))
    pid = os.fork()
    if pid == 0:
        time.sleep(20)
        os._exit(0)
    began = time.monotonic()
    nursery.close()
    took = time.monotonic() - began
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert took < 10


def test_what_goes_wrong_before_the_consumer_begins_is_told(
    nursery: Nursery, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(home: object) -> None:
        raise LookupError("no hooks here")

    monkeypatch.setattr(child, "install", broken)
    with pytest.raises(RuntimeError, match="ended or stood still twice before a consumer could begin"):
        simulate(SCHEDULE, consumer(lambda world: None, rows=rows), Play(nursery=nursery))
    assert "LookupError: no hooks here" in capfd.readouterr().err


def test_time_and_luck_begin_anew_with_each_start(nursery: Nursery) -> None:
    def work(world: World) -> None:
        tell(world, [str(uuid.uuid4()), random.random(), time.monotonic(), os.urandom(2).hex(), os.getpid(), world.now])

    one = consumer(work, rows=rows)
    here = simulate(SCHEDULE, one)
    assert [told(simulate(SCHEDULE, one, Play(nursery=nursery))) for _ in range(3)] == [told(here)] * 3
    other = Schedule(runs=SCHEDULE.runs, steps=SCHEDULE.steps, seed=7)
    assert told(simulate(other, one, Play(nursery=nursery))) == told(simulate(other, one)) != told(here)


def test_who_stops_its_parent_stops_no_test(nursery: Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would never answer again. Whoever it bore dies with it."""
    monkeypatch.setattr(zygote, "STUCK", 1.0)

    def work(world: World) -> None:
        if not (world.disk / "stopped").exists():
            (world.disk / "stopped").touch()
            os.kill(os.getppid(), signal.SIGSTOP)

    schedule = replace(SCHEDULE, steps=(*SCHEDULE.steps, Restart(), *SCHEDULE.steps[-1:]))
    began = time.monotonic()
    simulate(schedule, consumer(work, rows=rows), Play(nursery=nursery))
    assert time.monotonic() - began < 30
    again = simulate(SCHEDULE, consumer(lambda world: tell(world, os.getppid()), rows=rows), Play(nursery=nursery))
    assert told(again)[0] not in (1, os.getpid())


def test_who_kills_its_parent_kills_no_test(nursery: Nursery) -> None:
    def work(world: World) -> None:
        if not (world.disk / "once").exists():
            (world.disk / "once").touch()
            os.kill(os.getppid(), signal.SIGKILL)
            signal.pause()
        tell(world, "again")

    history = simulate(SCHEDULE, consumer(work, rows=rows), Play(nursery=nursery))
    assert "its own process, with status -9" in [entry.text for entry in history.entries]
    assert [entry.text for entry in history.entries if entry.what == "started"] == [
        "the consumer",
        "the consumer again",
    ]


VALUE = 0


def set_module(suite: Any, number: int) -> None:
    global VALUE
    VALUE = number


def set_environment(suite: Any, number: int) -> None:
    os.environ["QUARRY_TEST_VALUE"] = str(number)


def import_module(suite: Any, number: int) -> None:
    sys.modules[f"quarry_test_{number}"] = types.ModuleType(f"quarry_test_{number}")


def imported() -> int:
    return max((int(name.rsplit("_", 1)[1]) for name in sys.modules if name.startswith("quarry_test_")), default=-1)


NOTICED: dict[str, tuple[Callable[[Any, int], None], Callable[[Any], int]]] = {
    "an attribute of the suite": (lambda suite, n: setattr(suite, "value", n), lambda suite: suite.value),
    "an attribute of its class": (lambda suite, n: setattr(type(suite), "value", n), lambda suite: suite.value),
    "a container": (lambda suite, n: setattr(suite, "value", [n]), lambda suite: suite.value[0]),
    "a name of its module": (set_module, lambda suite: VALUE),
    "the environment": (set_environment, lambda suite: int(os.environ["QUARRY_TEST_VALUE"])),
    "a module": (import_module, lambda suite: imported()),
}


class Prepared(EventBusConformance):
    """What `prepare` did for a world, the consumer must find; or it loads nothing."""

    set: Callable[[Any, int], None]
    get: Callable[[Any], int]

    def __init__(self) -> None:
        self.numbers = itertools.count()

    def prepare(self, world: World) -> None:
        number = next(self.numbers)
        type(self).set(self, number)
        (world.disk / "number").write_text(str(number))

    def start(self, world: World) -> Callable[[dict[str, Any]], None]:
        def handle(notification: dict[str, Any]) -> None:
            found = type(self).get(self), int((world.disk / "number").read_text())
            tell(world, found)
            if found[0] == found[1]:
                for n in range(1, 4):
                    item = f"{notification['run_id']}/{n}"
                    world.target.upsert({"run_id": notification["run_id"], "item": item}, key=("run_id", "item"))

        return handle


@pytest.mark.parametrize("name", NOTICED)
def test_what_prepare_did_is_there(name: str, nursery: Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARRY_TEST_VALUE", "")
    change, look = NOTICED[name]
    suite = type(
        "Prepared", (Prepared,), {"set": staticmethod(change), "get": staticmethod(look), "__module__": __name__}
    )()
    one = suite.consumer()
    found = [told(simulate(SCHEDULE, one, Play(nursery=nursery)))[0] for _ in range(3)]
    assert found == [[number, number] for number in range(3)]
    for number in range(3):
        sys.modules.pop(f"quarry_test_{number}", None)


def test_who_changes_with_every_world_is_forked_from_the_tests_process(nursery: Nursery) -> None:
    class Changing(Prepared):
        set, get = (staticmethod(function) for function in NOTICED["an attribute of the suite"])

        def start(self, world: World) -> Callable[[dict[str, Any]], None]:
            tell(world, [self.get(self), int((world.disk / "number").read_text()), os.getppid()])
            return super().start(world)

    one = Changing().consumer()
    found = [told(simulate(SCHEDULE, one, Play(nursery=nursery)))[0] for _ in range(10)]
    assert [numbers[:2] for numbers in found] == [[number, number] for number in range(10)]
    parents = [numbers[2] for numbers in found]
    assert parents[-1] == os.getpid() != parents[0]
    assert len(set(parents)) < 8


STATE = {"deep": {"value": 0}}


class Deep(EventBusConformance):
    """Prepared where nobody looks: in the middle of what its module holds."""

    numbers = itertools.count()

    def prepare(self, world: World) -> None:
        STATE["deep"]["value"] = next(self.numbers)
        (world.disk / "number").write_text(str(STATE["deep"]["value"]))

    def start(self, world: World) -> Callable[[dict[str, Any]], None]:
        def handle(notification: dict[str, Any]) -> None:
            if STATE["deep"]["value"] == int((world.disk / "number").read_text()):
                world.target.upsert({"run_id": notification["run_id"], "item": "1"})

        return handle

    def expected(self, run: Any) -> list[str]:
        return ["1"]


class DeepAndBroken(Deep):
    """The same, and it inserts."""

    def start(self, world: World) -> Callable[[dict[str, Any]], None]:
        def handle(notification: dict[str, Any]) -> None:
            if STATE["deep"]["value"] == int((world.disk / "number").read_text()):
                world.target.insert({"run_id": notification["run_id"], "item": "1"})

        return handle


def conducted(suite: type[EventBusConformance], *checks: str) -> Iterator[Result]:
    conductor = Conductor(suite().consumer())
    return (conductor.conduct(BY_ID[check]) for check in checks)


def test_what_a_zygote_missed_accuses_nobody() -> None:
    results = list(conducted(Deep, "EB01", "EB03", "EB04", "EB05"))
    assert [(result.status, result.verdict) for result in results] == [("passed", None)] * 4


def test_and_it_hides_nothing() -> None:
    (result,) = conducted(DeepAndBroken, "EB01")
    assert result.status == "failed"


def test_nothing_is_left_when_a_check_is_over() -> None:
    simulate(SCHEDULE, consumer(lambda world: None, rows=rows))  # starts the keeper, which stays
    before = children()
    (result,) = conducted(Deep, "EB01")
    assert result.status == "passed"
    assert children() == before


@pytest.mark.parametrize("fails", [False, True])
def test_the_collector_comes_where_a_turn_ends(fails: bool) -> None:
    """And not in the middle: what a consumer does not close is closed then, which may change files."""

    def work(world: World) -> None:
        class Leaked:
            def __init__(self) -> None:
                self.itself = self

            def __del__(self) -> None:
                if not collected:
                    collected.append(1)
                    (world.disk / "collected").touch()

        collected: list[int] = []
        for _ in range(3_000):
            Leaked()
        (world.disk / "done").touch()
        if fails:
            raise OSError("as it may")

    seen = see(work, fine=False)
    assert seen.boundaries == ["open done", "open collected"]
    assert ("raised OSError: as it may" in seen.happenings) == fails
