"""Two workers at once: who goes on is the schedule's to say, locks are real, and waiting takes no real time."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from fcntl import lockf as lock_by_name
from itertools import groupby
from typing import Any

import pytest
from loaders import loader
from together import Work, consumer, meet, said, says, words

from pytest_quarry.checks.oracles import judge
from pytest_quarry.simulation.overlap import MOST_SLEPT_BESIDE, STANDBY
from pytest_quarry.simulation.play import Limits
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import (
    ANY,
    Crash,
    Notify,
    Overlap,
    PlannedRun,
    Poll,
    Restart,
    Schedule,
    ScheduleError,
    Switch,
    Write,
)
from pytest_quarry.simulation.world import EPOCH, SECOND, World

MOST_REAL_SECONDS = 8


@pytest.fixture(autouse=True)
def _nothing_waits_in_real_time() -> Iterator[None]:
    before = time.monotonic()
    yield
    assert time.monotonic() - before < MOST_REAL_SECONDS


class TestSwitches:
    def test_without_any_one_follows_the_other(self) -> None:
        assert said(meet(says("a", "b"), says("x", "y"))) == ["1 a", "1 b", "2 x", "2 y"]

    def test_the_other_goes_on_before_the_boundary_that_a_switch_names(self) -> None:
        history = meet(says("a", "b", "c"), says("x", "y"), Switch("boundary b"))
        assert said(history) == ["1 a", "2 x", "2 y", "1 b", "1 c"]
        assert not history.unreached

    def test_who_stands_for_a_while_does_so_as_long_as_the_sleeps_of_the_other_end_by_then(self) -> None:
        def looks(world: World) -> None:
            for text in "vwxyz":
                world.boundary(text)
                time.sleep(10)

        assert said(meet(says("a", "b"), looks, Switch("boundary b")))[:4] == ["1 a", "2 v", "1 b", "2 w"]
        history = meet(says("a", "b"), looks, Switch("boundary b"), stands=25)
        assert said(history) == ["1 a", "2 v", "2 w", "2 x", "1 b", "2 y", "2 z"]

    def test_nobody_stands_for_who_looks_again_and_again_without_end(self) -> None:
        def looks(world: World) -> None:
            for _ in range(2 * MOST_SLEPT_BESIDE):
                time.sleep(0.01)
            world.boundary("x")

        history = meet(says("a", "b"), looks, Switch("boundary b"), stands=25)
        assert said(history) == ["1 a", "1 b", "2 x"]

    def test_and_back(self) -> None:
        history = meet(says("a", "b", "c"), says("x", "y"), Switch("boundary b"), Switch("boundary y"))
        assert said(history) == ["1 a", "2 x", "1 b", "1 c", "2 y"]

    def test_the_occurrence_counts_in_the_turn_of_one_worker(self) -> None:
        history = meet(says("a", "a", "a"), says("a"), Switch("boundary a", 3))
        assert said(history) == ["1 a", "1 a", "2 a", "1 a"]

    def test_a_switch_may_count_boundaries_whatever_they_are(self) -> None:
        history = meet(says("a", "b", "c", "d"), says("x", "y"), Switch(ANY, 3), Switch(ANY, 2))
        first = [entry.worker for entry in history.entries if entry.what in ("crossed", "switched")]
        assert first[:5] == [1, 1, 1, 2, 2]  # it starts by a mkdir, says a, stands before b
        assert not history.unreached

    def test_a_switch_may_come_while_the_first_starts(self) -> None:
        history = meet(says("a"), says("b"), Switch("mkdir started-1"))
        assert [entry.worker for entry in history.entries if entry.what in ("started", "polled")][:3] == [1, 2, 2]
        assert "FileExistsError" in words(history, "raised")[0]

    def test_what_is_never_met_is_said(self) -> None:
        history = meet(says("a"), says("x"), Switch("boundary never", 2))
        assert history.unreached == ("step 1: a switch at boundary never (occurrence 2)",)

    def test_after_two_hundred_boundaries_in_a_row_the_other_goes_on_unasked(self) -> None:
        history = meet(says(*"a" * 500))
        workers = [entry.worker for entry in history.entries if entry.what == "crossed"]
        shares = [(worker, len(list(share))) for worker, share in groupby(workers)]
        # Who comes back crosses what it stood before, and two hundred more.
        assert shares[:4] == [(1, 200), (2, 200), (1, 201), (2, 201)]

    def test_they_share_no_memory(self) -> None:
        kept: list[str] = []

        def work(world: World) -> None:
            kept.append("x")
            world.boundary(f"holds {len(kept)}")
            world.boundary("end")

        assert said(meet(work, None, Switch("boundary end"))) == ["1 holds 1", "2 holds 1", "2 end", "1 end"]
        assert kept == []

    def test_outside_an_overlap_nobody_has_a_number(self) -> None:
        history = meet(says("a"), says("x"))
        assert {entry.worker for entry in history.entries if entry.what == "polled"} == {0, 1, 2}
        assert history.entries[-1].worker == 0

    def test_each_may_be_killed_while_the_other_goes_on(self) -> None:
        where = Switch("boundary b")
        history = meet(says("a", "b"), says("x", "y"), where, crash=Crash("boundary b"))
        assert said(history) == ["1 a", "2 x", "2 y"]
        assert words(history, "killed") == ["before boundary b"]
        history = meet(says("a", "b"), says("x", "y"), where, crash=Crash("boundary y"), crash_second=True)
        assert said(history) == ["1 a", "2 x", "1 b"]
        assert words(history, "killed") == ["before boundary y"]
        assert history.unreached == ()

    @pytest.mark.parametrize("second", [False, True])
    def test_a_crash_that_one_of_them_never_reaches_is_told(self, second: bool) -> None:
        crash = Crash("boundary y", 2) if second else Crash("boundary y")
        history = meet(says("a"), says("x", "y"), crash=crash, crash_second=second)
        assert history.unreached == (f"step 1: boundary y (occurrence {crash.occurrence})",)

    def test_a_sleep_lets_the_other_go_on_and_ends_at_its_time(self) -> None:
        def first(world: World) -> None:
            time.sleep(10)
            world.boundary(f"{time.time() % 1000:.0f}")

        def second(world: World) -> None:
            for _ in range(3):
                time.sleep(2)
                world.boundary("awake")

        texts = said(meet(first, second))
        assert texts[:3] == ["2 awake"] * 3
        assert texts[3].startswith("1 ")
        assert len(texts) == 4

    @pytest.mark.parametrize(("met", "expected"), [(4, "2 1,2 2,2 3,1 awake,2 4"), (3, "2 1,2 2,2 3,2 4,1 awake")])
    def test_at_a_switch_who_sleeps_goes_on_where_its_time_has_come(self, met: int, expected: str) -> None:
        def first(world: World) -> None:
            time.sleep(0.004)  # as long as four boundaries: the start of the second, and three that it says
            world.boundary("awake")

        assert said(meet(first, says(*"1234"), Switch(f"boundary {met}"))) == expected.split(",")

    @pytest.mark.parametrize(("killed", "expected"), [(False, "1 begins,2 alive,1 ends"), (True, "1 begins,2 dead")])
    def test_a_process_is_alive_until_it_is_killed(self, killed: bool, expected: str) -> None:
        def first(world: World) -> None:
            (world.disk / "first.pid").write_text(str(os.getpid()))
            world.boundary("begins")
            world.boundary("ends")

        def second(world: World) -> None:
            try:
                os.kill(int((world.disk / "first.pid").read_text()), 0)
            except ProcessLookupError:
                world.boundary("dead")
            else:
                world.boundary("alive")

        switches = () if killed else (Switch("boundary ends"),)
        history = meet(first, second, *switches, crash=Crash("boundary ends") if killed else None)
        assert said(history)[:3] == expected.split(",")

    def test_who_comes_after_one_that_was_killed_before_its_sleep_is_awake(self) -> None:
        def handle(world: World, run_id: str) -> None:
            with open(world.disk / "a.lock", "w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if run_id == "B":
                    time.sleep(1_000)
            world.boundary("through")

        kept = loader(start=lambda world: lambda notification: handle(world, notification["run_id"]))
        told = [step for run_id in "AB" for step in (Write(run_id), Notify(run_id))]
        overlap = Overlap((1,), (2, 1), (Switch("open a.lock"),), Crash("sleep"), crash_second=True)
        history = simulate(Schedule(runs=tuple(PlannedRun(run_id=name) for name in "AB"), steps=(*told, overlap)), kept)
        assert words(history, "killed") == ["before sleep"]
        assert [text for text in said(history) if not text.startswith("0")] == ["2 through", "1 through"]

    def test_a_switch_where_a_process_begins_after_one_that_was_killed_in_a_wait(self) -> None:
        def start(world: World) -> Callable[[Any], None]:
            world.boundary("starts")

            def handle(notification: Any) -> None:
                with open(world.disk / "a.lock", "w") as file:
                    fcntl.flock(file, fcntl.LOCK_EX)
                    world.boundary("has it")
                time.sleep(1)

            return handle

        told = [step for run_id in "AB" for step in (Write(run_id), Notify(run_id))]
        switches = (Switch("boundary has it"), Switch("boundary starts", 2))
        overlap = Overlap((1,), (2, 1), switches, Crash("wait for the lock of a.lock"), crash_second=True)
        runs = tuple(PlannedRun(run_id=name) for name in "AB")
        history = simulate(Schedule(runs=runs, steps=(*told, overlap)), loader(start=start))
        assert words(history, "killed") == ["before wait for the lock of a.lock"]
        assert words(history, "switched")[-1] == "stands before boundary starts"
        assert history.unreached == ()

    def test_of_two_that_sleep_until_the_same_moment_the_one_that_slept_first_goes_on(self) -> None:
        def work(world: World) -> None:
            time.sleep(EPOCH / SECOND + 10 - time.time())
            world.boundary("awake")

        assert said(meet(work)) == ["1 awake", "2 awake"]

    def test_the_same_schedule_gives_the_same_history(self) -> None:
        def work(world: World) -> None:
            with open(world.disk / "log", "a") as log:
                fcntl.flock(log, fcntl.LOCK_EX)
                log.write(f"{os.urandom(4).hex()} {time.time()}\n")

        schedule = Schedule(runs=(), steps=(Overlap(switches=(Switch("write log"),)),))
        first, again = (simulate(schedule, consumer(work)) for _ in range(2))
        assert first.difference(again) is None
        assert first == again


class TestFileLocks:
    @pytest.mark.parametrize(
        "lock",
        [
            lambda file: fcntl.flock(file, fcntl.LOCK_EX),
            lambda file: fcntl.flock(file.fileno(), fcntl.LOCK_EX),
            lambda file: fcntl.lockf(file, fcntl.LOCK_EX),
            lambda file: lock_by_name(file.fileno(), fcntl.LOCK_EX, 1, 0, 0),
            lambda file: os.lockf(file.fileno(), os.F_LOCK, 1),
        ],
        ids=["flock-object", "flock-fd", "lockf-object", "lockf-by-name", "os-lockf"],
    )
    def test_who_would_block_lets_the_holder_go_on(self, lock: Callable[[Any], None]) -> None:
        def work(world: World) -> None:
            with open(world.disk / "a.lock", "w") as file:
                lock(file)
                world.boundary("in")
                world.boundary("out")

        history = meet(work, None, Switch("boundary out"))
        assert said(history) == ["1 in", "1 out", "2 in", "2 out"]
        waits = [entry.worker for entry in history.entries if entry.text == "wait for the lock of a.lock"]
        assert set(waits) == {2}
        assert not words(history, "raised")

    def test_a_lock_of_a_library_in_c_too(self) -> None:
        """Nobody sees who waits for it: who does nothing is taken for one that does, where the other stands still."""

        def work(world: World) -> None:
            with open(world.disk / "a.lock", "w") as file:
                assert ctypes.CDLL(None).lockf(file.fileno(), os.F_LOCK, 0) == 0
                world.boundary("in")
                world.boundary("out")

        history = meet(work, None, Switch("boundary out"))
        assert said(history) == ["1 in", "1 out", "2 in", "2 out"]
        assert "waits for what the other worker holds" in words(history, "switched")
        assert not [entry.text for entry in history.entries if entry.what in ("raised", "hung", "gave-up")]

    def test_one_that_is_never_released_is_told_as_a_hang(self) -> None:
        def work(world: World) -> None:
            file = os.open(world.disk / "a.lock", os.O_CREAT | os.O_RDWR)
            child = os.fork()
            if child == 0:  # it keeps the lock, and is no worker
                ctypes.CDLL(None).lockf(file, os.F_LOCK, 0)
                os.open(world.disk / "locked", os.O_CREAT | os.O_RDWR)
                time.sleep(1_000)
            while not (world.disk / "locked").exists():
                time.sleep(0.01)
            ctypes.CDLL(None).lockf(file, os.F_LOCK, 0)

        history = meet(work, says("x"), limits=Limits(seconds=1.5))
        assert "it did nothing the world could see for 1.5 s" in words(history, "hung")[0]

    def test_who_does_not_want_to_wait_does_not(self) -> None:
        def work(world: World) -> None:
            with open(world.disk / "a.lock", "w") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    world.boundary("no")
                else:
                    world.boundary("yes")

        assert said(meet(work, None, Switch("boundary yes"))) == ["2 no", "1 yes"]

    def test_who_is_killed_holds_nothing(self) -> None:
        def work(world: World) -> None:
            file = os.open(world.disk / "a.lock", os.O_CREAT | os.O_RDWR)
            fcntl.flock(file, fcntl.LOCK_EX)
            world.boundary("in")

        history = meet(work, None, Switch("boundary in"), crash=Crash("boundary in"))
        assert said(history) == ["2 in"]
        assert words(history, "killed") == ["before boundary in"]
        assert history.entries[-1].what == "settled"

    @pytest.mark.parametrize("seconds", [0.1, None], ids=["sleeps", "spins"])
    def test_a_lock_file_is_waited_for(self, seconds: float | None) -> None:
        def work(world: World) -> None:
            path = world.disk / "a.lock"
            while True:
                try:
                    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
                    break
                except FileExistsError:
                    if seconds:
                        time.sleep(seconds)
            world.boundary("in")
            world.boundary("out")
            path.unlink()

        history = meet(work, None, Switch("boundary out"))
        assert said(history) == ["1 in", "1 out", "2 in", "2 out"]

    def test_who_waits_for_one_that_sleeps_tries_again_when_it_has_slept(self) -> None:
        def work(world: World) -> None:
            with open(world.disk / "waiting.lock", "w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                time.sleep(3_600)
                world.boundary("out")

        history = meet(work, limits=Limits(boundaries=100))
        assert said(history) == ["1 out", "2 out"]
        assert words(history, "switched") == ["waits for the lock of waiting.lock"]

    def test_each_try_for_a_lock_is_an_occurrence(self) -> None:
        def work(world: World) -> None:
            with open(world.disk / "a.lock", "w") as file:
                for _ in range(2):
                    fcntl.flock(file, fcntl.LOCK_EX)
                    world.boundary("in")
                    fcntl.flock(file, fcntl.LOCK_UN)
                    time.sleep(10)

        # The second worker's: it waits, has it, and the same again without a wait. To give it back is none.
        history = meet(work, None, Switch("boundary in"), Switch("lock a.lock", 3))
        tries = [e.what for e in history.entries if e.worker == 2 and e.text.endswith("lock a.lock")]
        assert tries == ["crossed"] * 2 + ["switched", "crossed"]
        assert not history.unreached

    @pytest.mark.parametrize("standby", ["flock", "sleep"])
    def test_who_stands_by_until_the_other_is_gone_is_not_accused(self, standby: str) -> None:
        kept = []

        def work(world: World) -> None:
            kept.append(open(world.disk / "a.lock", "w"))  # noqa: SIM115 - for as long as the process lives
            if standby == "flock":
                fcntl.flock(kept[0], fcntl.LOCK_EX)
            while standby == "sleep":
                try:
                    fcntl.flock(kept[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    time.sleep(5)
            world.boundary("leads")

        history = meet(work)
        assert said(history) == ["1 leads"]
        assert words(history, "killed") == ["the second worker is not needed any more"]
        assert words(history, "crossed").count("sleep") == (500 if standby == "sleep" else 0)
        assert judge(history, "VDL", told_only=False) is None
        second_leads = meet(work, None, Switch("open a.lock"))
        assert said(second_leads) == ["2 leads", "1 leads"]
        assert judge(second_leads, "VDL", told_only=False) is None

    def test_who_does_something_whenever_it_wakes_does_not_stand_by(self) -> None:
        def work(world: World) -> None:
            for _ in range(STANDBY + 1):
                time.sleep(5)
                world.target.upsert({"run_id": "run-A"})
            world.boundary("through")

        history = meet(says("x"), work)
        assert said(history) == ["1 x", "2 through"]
        assert not words(history, "killed")


class TestDeadlocks:
    def test_two_locks_in_two_orders(self) -> None:
        def takes(*names: str) -> Work:
            def work(world: World) -> None:
                files = [open(world.disk / name, "w") for name in names]  # noqa: SIM115
                for file in files:
                    fcntl.flock(file, fcntl.LOCK_EX)
                    world.boundary("has one")

            return work

        history = meet(takes("a", "b"), takes("b", "a"), Switch("boundary has one"), Switch("boundary has one"))
        verdict = judge(history, "V", told_only=False)
        assert verdict is not None
        assert "a deadlock" in verdict.sentence
        assert judge(meet(takes("a", "b"), takes("a", "b"), Switch("boundary has one")), "V", told_only=False) is None

    def test_the_system_ends_a_deadlock_of_lockf(self) -> None:
        def upgrades(world: World) -> None:
            with open(world.disk / "a.lock", "a+") as file:
                fcntl.lockf(file, fcntl.LOCK_SH)
                world.boundary("reads")
                try:
                    fcntl.lockf(file, fcntl.LOCK_EX)
                except OSError as error:
                    world.boundary(str(error))
                    return
                world.boundary("writes")

        history = meet(upgrades, None, Switch("boundary reads"))
        refused = f"[Errno {errno.EDEADLK}] {os.strerror(errno.EDEADLK)}"
        assert sorted(text[2:] for text in said(history)) == sorted(["reads", "reads", "writes", refused])
        assert judge(history, "V", told_only=False) is None

    def test_each_always_steps_back(self) -> None:
        def takes(mine: str, other: str) -> Work:
            def work(world: World) -> None:
                while True:
                    os.mkdir(world.disk / mine)
                    time.sleep(1)
                    both = (world.disk / other).exists()
                    time.sleep(1)
                    if not both:
                        return
                    os.rmdir(world.disk / mine)
                    time.sleep(1)

            return work

        history = meet(takes("a", "b"), takes("b", "a"), limits=Limits(boundaries=400))
        hung, *_ = words(history, "hung")
        assert hung.startswith("it crossed 400 boundaries in one turn, the last at ")
        assert hung.endswith("; the other worker goes on and on too: a livelock")
        verdict = judge(history, "V", told_only=False)
        assert verdict is not None
        assert "a livelock" in verdict.sentence

    @pytest.mark.parametrize(("others", "livelock"), [(50, False), (51, True)])
    def test_the_other_goes_on_and_on_too_if_it_has_crossed_more_than_half_as_many(
        self, others: int, livelock: bool
    ) -> None:
        def second(world: World) -> None:
            for _ in range(others):  # and its start
                world.boundary("works")

        there, back = Switch("boundary spins"), Switch("boundary works", others)
        history = meet(says(*["spins"] * 200), second, there, back, limits=Limits(boundaries=100))
        (hung,) = words(history, "hung")
        assert hung.startswith("it crossed 100 boundaries in one turn, the last at boundary spins")
        assert ("livelock" in hung) is livelock

    def test_a_lock_file_that_a_crash_left_behind(self) -> None:
        def work(world: World) -> None:
            while (world.disk / "a.lock").exists():
                time.sleep(1)
            (world.disk / "a.lock").touch()
            world.boundary("in")
            (world.disk / "a.lock").unlink()

        where, limits = Switch("boundary in"), Limits(boundaries=1_000)
        history = meet(work, None, where, crash=Crash("boundary in"), limits=limits)
        assert "boundaries in one turn" in words(history, "hung")[0]
        assert "livelock" not in words(history, "hung")[0]

    def test_a_process_that_waits_for_itself(self) -> None:
        def work(world: World) -> None:
            files = [open(world.disk / "a.lock", "w") for _ in range(2)]  # noqa: SIM115
            for file in files:
                fcntl.flock(file, fcntl.LOCK_EX)

        schedule = Schedule(runs=(), steps=(Poll(),))
        beside_another = meet(work, says("x"), limits=Limits(boundaries=100))
        for history in (simulate(schedule, consumer(work)), beside_another):
            assert words(history, "hung") == ["wait for the lock of a.lock: nobody will release it"]


class TestSchedules:
    def test_there_and_back_through_json(self) -> None:
        overlap = Overlap((1,), (1, 2), (Switch("a"), Switch("b", 3)), Crash("c", 2), crash_second=True, pause=31)
        runs = tuple(PlannedRun(run_id=name) for name in "AB")
        schedule = Schedule(runs=runs, steps=(Write("A"), Notify("A"), Notify("B"), overlap, Overlap()))
        text = json.dumps(schedule.to_json())
        assert Schedule.from_json(json.loads(text)) == schedule
        assert schedule.to_json()["steps"][-1] == {"do": "overlap"}

    @pytest.mark.parametrize(
        ("step", "words"),
        [
            ({"first": [2], "second": [1]}, "delivers"),
            ({"first": [1], "second": []}, "delivers"),
            ({"switches": [{"label": 3}]}, "label"),
            ({"switches": [{"at": "x"}]}, "unknown at"),
            ({"crash_second": 1}, "crash_second"),
        ],
    )
    def test_what_cannot_be_is_refused(self, step: dict[str, Any], words: str) -> None:
        steps = [{"do": "notify", "run": "A"}, {"do": "overlap", **step}]
        with pytest.raises(ScheduleError, match=words):
            Schedule.from_json({"version": 1, "runs": [{"run_id": "A"}], "steps": steps})


class TestTheRestOfTheWorld:
    def test_each_has_a_transaction_of_its_own(self) -> None:
        def loads(run_id: str) -> Work:
            def work(world: World) -> None:
                world.target.begin()
                world.target.insert({"run_id": run_id})
                world.boundary("inside")
                world.target.commit()

            return work

        one = consumer(loads("run-A"), loads("run-B"), rows=lambda world: world.target.rows())
        history = simulate(Schedule(runs=(), steps=(Overlap(switches=(Switch("boundary inside"),)),)), one)
        assert not words(history, "raised")
        seen = [[row.run_id for row in entry.rows] for entry in history.entries if entry.rows is not None]
        assert seen == [["run-B"], ["run-A", "run-B"]]

    def test_what_each_printed_is_kept(self) -> None:
        def prints(text: str) -> Work:
            return lambda world: print(text)

        steps = (Overlap(), Restart(), Overlap())
        history = simulate(Schedule(runs=(), steps=steps), consumer(prints("first"), prints("second")))
        assert sorted(history.output.split()) == ["first", "second"]

    def test_what_was_never_met_before_is_still_said(self) -> None:
        steps = (Poll(Crash("boundary never")), Overlap(switches=(Switch("boundary nor this"),)))
        history = simulate(Schedule(runs=(), steps=steps), consumer(says("a")))
        assert history.unreached == (
            "step 1: boundary never (occurrence 1)",
            "step 2: a switch at boundary nor this (occurrence 1)",
        )
