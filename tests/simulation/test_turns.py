"""One process through its turns: where it is killed, what it leaves at work, what is kept of what it said."""

from __future__ import annotations

import fcntl
import threading
import time
from collections.abc import Callable
from typing import Any

from loaders import loader, poller
from together import said, words

from pytest_quarry.consumers.protocol import Boundary
from pytest_quarry.simulation.history import History
from pytest_quarry.simulation.play import Limits, Play
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import Crash, Deliver, Notify, PlannedRun, Poll, Restart, Schedule, Write
from pytest_quarry.simulation.turn import Going, finish
from pytest_quarry.simulation.world import World

TOLD = (Write("run-A"), Notify("run-A"), Write("run-B"), Notify("run-B"))
RUNS = tuple(PlannedRun(run_id=run_id, items=1) for run_id in ("run-A", "run-B"))


def handling(handle: Callable[[World, Any], None], *steps: Any) -> History:
    return simulate(
        Schedule(runs=RUNS, steps=(*TOLD, *steps)),
        loader(start=lambda world: lambda notification: handle(world, notification)),
    )


def polling(work: Callable[[World], None], *steps: Any, play: Play | None = None, **details: Any) -> History:
    """Of a poller that does this in each of its turns."""

    class Poller:
        def __init__(self, world: World) -> None:
            self.world = world

        def poll(self) -> None:
            work(self.world)

    return simulate(Schedule(runs=(), steps=steps), poller(start=Poller, **{"rows": lambda world: [], **details}), play)


def later(world: World) -> None:
    time.sleep(1)
    world.boundary("later")


def test_a_turn_goes_on_to_its_end_and_says_how_it_ended() -> None:
    crossed = []

    def going() -> Going[int]:
        for label in "ab":
            yield Boundary(label)
            crossed.append(label)
        return 7

    assert (finish(going()), crossed) == (7, ["a", "b"])


def test_a_kill_at_the_second_return_of_a_batch() -> None:
    def handle(world: World, notification: Any) -> None:
        world.boundary(notification["run_id"])

    history = handling(handle, Deliver((1, 2), Crash("return", 2)))
    assert history.unreached == ()
    first = [entry for entry in history.entries if entry.step == 5]
    assert [
        f"{entry.what} {entry.text}" for entry in first if entry.what in ("acknowledged", "killed", "returned")
    ] == [
        "returned return",
        "acknowledged run-A (#1)",
        "returned return",
        "killed after it returned, before anybody was told",
    ]


def test_a_turn_after_one_that_left_something_at_work() -> None:
    def handle(world: World, notification: Any) -> None:
        if notification["run_id"] == "run-A":
            threading.Thread(target=later, args=(world,)).start()

    history = handling(handle, Deliver((1,)), Deliver((2,)), Deliver((1,)))
    assert said(history) == ["0 later", "0 later"]
    assert words(history, "returned") == ["return"] * 3
    assert words(history, "acknowledged") == ["run-A (#1)", "run-B (#2)"]


def test_power_is_lost_after_the_return() -> None:
    def work(world: World) -> None:
        (world.disk / "note").write_text("x")
        (world.disk / "folder").mkdir(exist_ok=True)
        (world.disk / "folder" / "deep").write_text("x")

    ends = {"cut": "not fsynced, so cut: folder/deep, note", "back": "not fsynced, so taken back: folder/deep, note"}
    for how, end in ends.items():
        history = polling(work, Poll(Crash("return", power=how)), play=Play(power=True))  # type: ignore[arg-type]
        assert words(history, "killed") == [f"power lost after it returned; {end}"]
    nothing = polling(lambda world: None, Poll(Crash("return", power="cut")), play=Play(power=True))
    assert words(nothing, "killed") == ["power lost after it returned; not fsynced, so cut: nothing"]


def test_where_it_waits_for_what_nobody_will_release() -> None:
    def waits_for_itself(world: World) -> None:
        files = [open(world.disk / "a.lock", "w") for _ in range(2)]  # noqa: SIM115
        for file in files:
            fcntl.flock(file, fcntl.LOCK_EX)

    history = polling(waits_for_itself, Poll())
    assert words(history, "hung") == ["wait for the lock of a.lock: nobody will release it"]
    assert "in waits_for_itself" in history.stack
    assert history.entries[-1].what == "hung"


def test_as_many_boundaries_as_the_limit_are_no_hang() -> None:
    def work(world: World) -> None:
        for number in range(1_000):
            world.boundary(f"{number}")

    assert words(polling(work, Poll(), play=Play(limits=Limits(boundaries=1_000))), "hung") == []
    hung = words(polling(work, Poll(), play=Play(limits=Limits(boundaries=999))), "hung")
    assert hung == ["it crossed 999 boundaries in one turn, the last at boundary 999"]


class TestSleepsThatLeadNowhere:
    """A poller that polls in a loop of its own never comes back: that is told long before so many boundaries are crossed."""

    ENDLESS = (
        "it slept 500 times in one turn, and nothing changed meanwhile: where it polls in a loop of its own, take the loop "
        "away, for each turn is a call of its own, or a start of the program, and must end"
    )

    def test_they_are_taken_for_a_loop_of_its_own(self) -> None:
        def work(world: World) -> None:
            while True:
                (world.disk / "mark").write_text("seen")
                time.sleep(10)

        assert words(polling(work, Poll()), "hung") == [self.ENDLESS]

    def test_who_comes_back_after_as_many_is_not_accused(self) -> None:
        def work(world: World) -> None:
            for _ in range(500):
                time.sleep(1)

        assert words(polling(work, Poll()), "hung") == []

    def test_short_naps_may_be_more(self) -> None:
        """Something may be at work meanwhile."""

        def work(world: World) -> None:
            for _ in range(1_500):
                time.sleep(0.5)

        assert words(polling(work, Poll()), "hung") == []

    def test_where_something_new_lasts_they_are_counted_anew(self) -> None:
        def work(world: World) -> None:
            for number in range(0 if (world.disk / "0").exists() else 3):
                (world.disk / f"{number}").touch()
                for _ in range(300):
                    time.sleep(1)

        assert words(polling(work, Poll()), "hung") == []

    def test_after_a_crash_it_may_wait_for_a_lease_to_end(self) -> None:
        def work(world: World) -> None:
            lease = world.disk / "lease"
            while lease.exists() and world.time - float(lease.read_text()) < 1_800:
                time.sleep(1)
            lease.write_text(f"{world.time}")
            world.boundary("works")
            lease.unlink()

        history = polling(work, Poll(crash=Crash("boundary works")), Poll())
        assert words(history, "hung") == []
        assert len(words(history, "killed")) == 1


def test_what_it_printed_is_kept_over_restarts_and_the_end_of_it() -> None:
    def work(world: World) -> None:
        print(f"{world.time:.0f} {'x' * 9_000}")

    short = polling(lambda world: print(f"{world.time:.0f}"), Poll(), Restart(), Poll())
    assert short.output.split()[:2] == ["0", "1"]
    history = polling(work, Poll(), Restart(), Poll(), Restart(), Poll())
    assert len(history.output) == 20_000
    assert history.output.endswith("x\n")


def test_its_entries_are_of_one_worker() -> None:
    history = polling(lambda world: world.boundary("here"), Poll(), Restart(), Poll())
    assert {entry.worker for entry in history.entries} == {0}
    assert not history.by_a_program
    assert [entry.incarnation for entry in history.entries if entry.what == "started"] == [1, 2]


def test_rows_are_read_between_turns_only_where_the_play_observes_less() -> None:
    def work(world: World) -> None:
        world.target.insert({"run_id": "run-A"})
        world.target.insert({"run_id": "run-B"})

    def seen(play: Play) -> list[int]:
        history = polling(work, Poll(), play=play, rows=lambda world: world.target.rows())
        return [len(entry.rows) for entry in history.entries if entry.rows is not None][:2]

    assert seen(Play()) == [1, 2]
    assert seen(Play(observe=False)) == [2, 4]


def test_what_a_poll_leaves_to_a_thread_goes_on() -> None:
    history = polling(lambda world: threading.Thread(target=later, args=(world,)).start(), Poll())
    assert [f"{entry.what} {entry.text}" for entry in history.entries if entry.step == 1] == [
        "started the consumer",
        "polled polls",
        "returned return",
        "crossed sleep",
        "crossed boundary later",
    ]


def test_what_a_turn_that_raised_left_at_work_does_not_go_on_at_once() -> None:
    def work(world: World) -> None:
        threading.Thread(target=later, args=(world,)).start()
        if 1.5 < world.time < 60:
            raise ValueError("not yet")

    history = polling(work, Poll(Crash("boundary later")), Poll())
    second = [f"{entry.what} {entry.text}" for entry in history.entries if entry.step == 2]
    assert second == ["started the consumer again", "polled polls", "raised ValueError: not yet"]
