"""The test's process and its consumers keep to one processor while an execution lasts; nobody else, and nobody is told."""

from __future__ import annotations

import multiprocessing
import multiprocessing.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from first_turn import see, tell

from pytest_quarry.simulation.world import World

held = getattr(os, "sched_getaffinity", lambda pid: set())  # as by `from os import sched_getaffinity`
ALL = held(0)
NPROC = [sys.executable, "-S", "-c", "import os; print(len(os.sched_getaffinity(0)))"]

pytestmark = pytest.mark.skipif(len(ALL) < 2, reason="there is one processor, or this system lets nobody choose")


def kept_to() -> int:
    """How many processors the system says that this process may use."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("Cpus_allowed:"))
    return int(line.split()[1].replace(",", ""), 16).bit_count()


def test_it_keeps_to_one_and_is_told_of_all() -> None:
    def work(world: World) -> None:
        told = [sorted(os.sched_getaffinity(pid)) for pid in (0, os.getpid())]
        tell(world, [kept_to(), *told, sorted(held(0)), count()])

    count = getattr(os, "process_cpu_count", os.cpu_count)  # from Python 3.13 on
    assert see(work).told == [[1, *[sorted(ALL)] * 3, count()]]
    assert kept_to() == len(ALL), "the test's process has all of them again"


def test_it_chooses_for_itself() -> None:
    def work(world: World) -> None:
        found = []
        for pid, mine in ((0, sorted(ALL)[:2]), (os.getpid(), sorted(ALL)[1:2])):
            os.sched_setaffinity(pid, mine)
            found.append([kept_to(), sorted(os.sched_getaffinity(0)) == mine])
        tell(world, found)

    assert see(work).told == [[[2, True], [1, True]]]


@pytest.mark.parametrize("start", ["run", "system", "spawn", "fork"])
def test_what_it_starts_has_all(start: str) -> None:
    def work(world: World) -> None:
        out = world.tmp / "processors"
        if start == "run":
            out.write_bytes(subprocess.run(NPROC, capture_output=True, check=True).stdout)
        elif start == "system":
            os.system(f"{' '.join(NPROC[:3])} '{NPROC[3]}' > {out}")
        elif start == "spawn":  # as multiprocessing's methods `spawn` and `forkserver` do
            words = ["sh", "-c", f"{' '.join(NPROC[:3])} '{NPROC[3]}' > {out}"]
            os.waitpid(multiprocessing.util.spawnv_passfds(b"/bin/sh", words, []), 0)
        else:
            process = multiprocessing.get_context("fork").Process(target=lambda: out.write_text(str(kept_to())))
            process.start()
            process.join()
        tell(world, int(out.read_text()))

    assert see(work).told == [len(ALL)]


def test_a_test_that_must_not_sleep_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(seconds: float) -> None:
        raise AssertionError(f"asleep for {seconds} s")

    monkeypatch.setattr("time.sleep", never)
    assert see(lambda world: tell(world, kept_to()), again=False).told == [1]


def test_who_chose_before_keeps_it() -> None:
    mine = {min(ALL)}
    os.sched_setaffinity(0, mine)
    try:
        assert see(lambda world: tell(world, sorted(os.sched_getaffinity(0)))).told == [sorted(mine)]
        assert os.sched_getaffinity(0) == mine
    finally:
        os.sched_setaffinity(0, ALL)
