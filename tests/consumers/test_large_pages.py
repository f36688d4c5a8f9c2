"""A zygote that has borne many moves its memory to large pages: what it holds stays, and where there are none, so does all else."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_quarry.checks.stage import Stage
from pytest_quarry.consumers import large_pages, zygote
from pytest_quarry.consumers.zygote import Nursery
from pytest_quarry.samples import SAMPLES
from pytest_quarry.simulation.play import Play
from pytest_quarry.simulation.run import simulate

MOVES = """
import os
from pathlib import Path

from pytest_quarry.consumers import large_pages

MEBIBYTE = 1 << 20


def large():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("AnonHugePages"))


held = [bytes([number]) * MEBIBYTE for number in range(32)]
others = {number: str(number) for number in range(100_000)}
before = large()
large_pages.move()
assert all(held[number] == bytes([number]) * MEBIBYTE for number in range(32))
assert others == {number: str(number) for number in range(100_000)}
pid = os.fork()
if pid == 0:
    held[0], others[0] = b"", ""
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert len(held[0]) == MEBIBYTE and others[0] == "0"
print(large() - before)
"""


def collapses() -> bool:
    """Whether this system moves anything when it is asked to."""
    if sys.platform != "linux":
        return False
    large = large_pages.LARGE
    memory = ctypes.create_string_buffer(2 * large)
    first = -(-ctypes.addressof(memory) // large) * large
    madvise = ctypes.CDLL(None).madvise
    return madvise(ctypes.c_void_p(first), ctypes.c_size_t(large), large_pages.MADV_COLLAPSE) == 0


def test_what_a_process_holds_is_moved_and_stays() -> None:
    if not collapses():
        pytest.skip("this system moves no memory to large pages: Linux does from 6.1 on, where they are not shut off")
    told = subprocess.run([sys.executable, "-c", MOVES], check=True, capture_output=True, text=True).stdout
    assert int(told) >= 16 * 1024  # KiB


def test_nothing_is_asked_of_a_system_that_does_not_tell_what_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(large_pages, "_madvise", lambda *arguments: asked.append(arguments))

    def no_such_file(path: str, **_: object) -> None:
        raise FileNotFoundError(path)

    monkeypatch.setattr("builtins.open", no_such_file)
    large_pages.move()
    monkeypatch.undo()
    assert not asked


def test_only_memory_that_is_no_file_s_is_moved_in_whole_pages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(large_pages, "_madvise", lambda at, length, _: asked.append((at.value, length.value)))
    maps = tmp_path / "maps"
    maps.write_text(
        "00400000-00c00000 r-xp 00000000 fe:00 12 /usr/bin/python3\n"
        "00c00000-01400000 rw-p 00800000 fe:00 12 /usr/bin/python3\n"
        "01500000-01f00000 rw-p 00000000 00:00 0 [heap]\n"
        "7f0000100000-7f0000380000 rw-p 00000000 00:00 0 \n"
        "7f0001000000-7f0001800000 rw-s 00000000 00:01 99 /dev/zero (deleted)\n"
        "7f0002000000-7f0002600000 rw-p 00000000 00:00 0\n"
        "7ffd00000000-7ffd00800000 rw-p 00000000 00:00 0 [stack]\n"
    )
    really = open
    monkeypatch.setattr("builtins.open", lambda _, **options: really(maps, **options))
    large_pages.move()
    monkeypatch.undo()
    assert asked == [(0x1600000, 0x800000), (0x7F0002000000, 0x600000)]


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    with contextlib.closing(Nursery()) as found:
        yield found


@pytest.fixture
def stage() -> Stage:
    consumer = next(sample for sample in SAMPLES if sample.name == "one-transaction").suite()().consumer()
    return Stage(consumer, 0, lambda schedule: simulate(schedule, consumer))


def test_those_that_are_born_after_it_do_the_same(
    stage: Stage, nursery: Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = stage.loaded(stage.run("A"))
    monkeypatch.setattr(zygote, "MANY", 3)
    monkeypatch.setattr(zygote, "_moved", 0)
    monkeypatch.setattr(zygote, "_forks", 0)
    first, *others = [simulate(schedule, stage.consumer, Play(nursery=nursery)) for _ in range(4)]
    assert [simulate(schedule, stage.consumer), *others] == [first] * 4


def test_the_test_s_process_moves_after_many_and_again_where_it_has_grown(
    stage: Stage, nursery: Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    moves: list[int] = []
    monkeypatch.setattr(large_pages, "move", lambda: moves.append(os.getpid()))
    monkeypatch.setattr(zygote, "MANY", 3)
    monkeypatch.setattr(zygote, "_moved", 0)
    monkeypatch.setattr(zygote, "_forks", 0)
    schedule = stage.loaded(stage.run("A"))

    def moved(times: int, play: Play | None = None) -> int:
        for _ in range(times):
            simulate(schedule, stage.consumer, play)
        return len(moves)

    assert moved(1) == 0
    assert moved(2, Play(nursery=nursery)) == 0  # those of a zygote count too
    assert moved(3) == 1
    held = [[number] for number in range(2 * sys.getallocatedblocks())]
    assert moved(2) == 2
    assert moves == [os.getpid()] * 2
    del held
