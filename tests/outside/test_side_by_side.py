"""Processes of a program that are at work side by side: the world hears of them in the same order each time."""

from __future__ import annotations

import time

import pytest
from programs import bash, first_turn, once_in_bash, play

from pytest_quarry.consumers import side_by_side
from pytest_quarry.simulation.history import History
from pytest_quarry.simulation.schedule import Crash, Poll

JOBS = """
for job in 1 2 3 4; do
    ( for step in 1 2 3; do echo $step > $job.$step; mv $job.$step $job.$step.done; done ) &
done
wait
"""


def twice(code: str, *steps: Poll) -> History:
    history, other = (play(bash(once_in_bash(code)), *steps) for _ in range(2))
    difference = history.difference(other)
    assert difference is None, (difference, first_turn(history), first_turn(other))
    assert not history.unexplained
    return history


def test_jobs_side_by_side() -> None:
    turn = first_turn(twice(JOBS))
    assert len(turn) == 1 + 4 * 3 * 3
    assert set(turn[1:5]) == {f"open {job}.1" for job in (1, 2, 3, 4)}, (
        "none goes on while another has not come that far"
    )


def test_a_kill_among_them_leaves_what_came_before_it() -> None:
    turn = first_turn(twice(JOBS))
    history = twice(JOBS, Poll(crash=Crash("*", 20)))
    assert first_turn(history) == turn[:19]
    assert next(entry.text for entry in history.entries if entry.what == "killed") == f"before {turn[19]}"


def test_what_a_rename_changed_is_its_own() -> None:
    """mv asks that nothing be there, which no other rename does."""
    history = twice(JOBS)
    changed = [entry.changed for entry in history.entries if entry.text.startswith("rename ")]
    assert changed == [True] * 12


def test_a_pool_of_processes() -> None:
    twice("seq 6 | xargs -P 3 -I{} sh -c 'echo {} > {}.part; mv {}.part {}'")


def test_what_a_job_wanted_that_was_killed_is_not_done() -> None:
    turn = first_turn(twice("( echo x > a; sleep 1 ) & kill -9 $!; wait; : > b"))
    assert turn == ["open once", "open b"]


def test_a_heartbeat_beats_while_the_program_sleeps() -> None:
    turn = first_turn(twice("( while :; do sleep 5; echo beat >> beats; done ) & sleep 12; kill $!"))
    beat = ["sleep", "open beats", "write beats"]
    assert turn == ["open once", *beat, *beat, "sleep"]


def test_one_that_never_rests_holds_up_nobody_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "MOST_LOOKS", 50)
    began = time.monotonic()
    history = play(bash(once_in_bash("( while :; do :; done ) & echo a > a; mv a b; kill $!")))
    assert first_turn(history) == ["open once", "open a", "write a", "rename a → b"]
    assert time.monotonic() - began < 5
