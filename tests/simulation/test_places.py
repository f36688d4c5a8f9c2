"""Where worlds live: a directory of each process's own, that is gone when the process is, however it ends."""

from __future__ import annotations

import atexit
import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_quarry.simulation import places


def said_by_a_process(work: Callable[[Callable[[object], None]], None]) -> list[str]:
    """What a forked process says, until it ends."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        atexit._clear()  # what others want done when pytest ends
        os.close(reading)
        try:
            with open(writing, "w") as pipe:
                work(lambda words: print(words, file=pipe, flush=True))
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with open(reading) as pipe:
        return pipe.read().split()


def ends() -> None:
    atexit._run_exitfuncs()


def test_each_process_has_its_own() -> None:
    mine = places.base()
    assert mine.is_dir()
    assert mine.name.startswith("quarry-")
    assert mine == places.base()

    def work(say: Callable[[object], None]) -> None:
        say(places.base())
        say(places.base())
        ends()

    first, second = said_by_a_process(work)
    assert first == second != str(mine)
    assert places.base() == mine


def test_it_is_removed_when_its_process_ends_and_not_when_another_does() -> None:
    mine = places.base()

    def work(say: Callable[[object], None]) -> None:
        path = places.base()
        forked = os.fork()
        if forked == 0:
            ends()
            os._exit(0)
        os.waitpid(forked, 0)
        say(path.exists())
        ends()
        say(path.exists())  # here, as after a kill it would be removed too

    assert said_by_a_process(work) == ["True", "False"]
    assert mine.is_dir()


def test_it_is_removed_when_its_process_is_killed() -> None:
    mine = places.base()

    def work(say: Callable[[object], None]) -> None:
        say(places.base())
        os.kill(os.getpid(), signal.SIGKILL)

    (path,) = said_by_a_process(work)
    until = time.monotonic() + 5
    while Path(path).exists() and time.monotonic() < until:
        time.sleep(0.01)
    there = Path(path).exists()
    if there:
        os.rmdir(path)
    assert not there
    assert mine.is_dir()


@pytest.mark.parametrize("missing", [os.W_OK, os.X_OK, "room", None])
def test_it_is_in_memory_where_that_may_be_written_and_has_room(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, missing: Any
) -> None:
    """A container has 64 MB there unless it is told otherwise."""
    mine = places.base()
    memory, elsewhere = tmp_path / "memory", tmp_path / "elsewhere"
    memory.mkdir()
    elsewhere.mkdir()
    assert mine not in (memory, elsewhere)
    monkeypatch.setattr(places, "MEMORY", memory)
    monkeypatch.setattr(places, "_base", None)
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
    monkeypatch.setattr(
        os, "access", lambda path, mode: path == memory and not (isinstance(missing, int) and mode & missing)
    )
    monkeypatch.setattr(places, "free", lambda path: (64 if missing == "room" else 1024) * places.MB)

    def work(say: Callable[[object], None]) -> None:
        say(places.base().parent)
        ends()

    assert said_by_a_process(work) == [str(elsewhere if missing else memory)]
