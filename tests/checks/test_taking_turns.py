"""Processes of one session that speak to servers take turns; others need not wait for anybody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import pytest

from pytest_quarry.checks.turns import Turns

FORK = get_context("fork")


def unsure(turns: Turns) -> None:
    """Nothing is known of the consumer yet."""


@contextmanager
def at_it(folder: Path, knows: Callable[[Turns], None]) -> Iterator[None]:
    """Another process is in the middle of an execution. What it forked lives on."""
    began, ends = FORK.Event(), FORK.Event()

    def play() -> None:
        turns = Turns(folder)
        knows(turns)
        with turns.taken():
            began.set()
            ends.wait(20)

    process = FORK.Process(target=play)
    process.start()
    try:
        assert began.wait(20)
        yield
    finally:
        ends.set()
        process.join()


def waits(folder: Path, knows: Callable[[Turns], None], *, seconds: float = 20) -> bool:
    """Whether another process would have to wait so long."""
    done = FORK.Event()

    def play() -> None:
        turns = Turns(folder)
        knows(turns)
        with turns.taken():
            done.set()

    process = FORK.Process(target=play)
    process.start()
    came = done.wait(seconds)
    process.kill()
    process.join()
    return not came


@pytest.mark.parametrize(
    ("one", "other", "wait"),
    [
        (Turns.speaks, Turns.speaks, True),
        (Turns.speaks, unsure, True),
        (unsure, Turns.speaks, True),
        (unsure, unsure, False),
        (Turns.speaks, Turns.is_silent, False),
        (Turns.is_silent, Turns.speaks, False),
    ],
)
def test_who_waits_for_whom(
    one: Callable[[Turns], None], other: Callable[[Turns], None], wait: bool, tmp_path: Path
) -> None:
    with at_it(tmp_path, one):
        assert waits(tmp_path, other, seconds=0.5 if wait else 20) == wait
    assert not waits(tmp_path, other)


def test_who_spoke_once_is_not_silent(tmp_path: Path) -> None:
    def both(turns: Turns) -> None:
        turns.speaks()
        turns.is_silent()

    with at_it(tmp_path, Turns.speaks):
        assert waits(tmp_path, both, seconds=0.5)


def test_what_is_forked_meanwhile_holds_nothing(tmp_path: Path) -> None:
    turns = Turns(tmp_path)
    turns.speaks()
    ends = FORK.Event()
    with turns.taken():
        kept = FORK.Process(target=ends.wait, args=(20,))
        kept.start()
    assert not waits(tmp_path, Turns.speaks)
    ends.set()
    kept.join()


def test_alone_nobody_waits() -> None:
    turns = Turns(None)
    turns.speaks()
    with turns.taken(), turns.taken():
        pass


def test_a_folder_that_went_with_another_process(tmp_path: Path) -> None:
    turns = Turns(tmp_path / "gone")
    with turns.taken():
        turns.speaks()
    assert not waits(tmp_path / "gone", Turns.speaks, seconds=5)
