"""Which runs take the place of which, write by write, where the suite says so."""

from __future__ import annotations

from typing import Any

import pytest
from loaders import loader

from pytest_quarry.consumers.consumer import ConsumerError
from pytest_quarry.simulation.history import History
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import Break, PlannedRun, Schedule, Write

OLD = PlannedRun(run_id="run-1", day="2026-02-01")
NEW = PlannedRun(run_id="run-2", day="2026-02-02")


def is_newer(run: Any, other: Any) -> bool:
    return bool(run.source == other.source and run.day > other.day)


def written(*steps: Any, runs: tuple[PlannedRun, ...] = (OLD, NEW), replaces: Any = is_newer) -> History:
    return simulate(Schedule(runs=runs, steps=steps), loader(replaces=replaces))


def standings(history: History) -> dict[str, tuple[str, tuple[str, ...]]]:
    return {run_id: (view.standing, view.replaced_by) for run_id, view in history.views.items()}


def told(history: History) -> list[list[tuple[str, str]]]:
    """What each write told of runs: those whose view it changed, and how they stand."""
    wrote = [entry for entry in history.entries if entry.what == "wrote"]
    return [[(view.run_id, view.standing) for view in entry.runs] for entry in wrote]


@pytest.mark.parametrize("first", ["run-1", "run-2"])
def test_the_newer_run_is_due_whichever_was_written_first(first: str) -> None:
    last = "run-2" if first == "run-1" else "run-1"
    history = written(Write(first), Write(last))
    assert standings(history) == {"run-1": ("optional", ("run-2",)), "run-2": ("due", ())}


def test_a_run_is_due_until_another_takes_its_place() -> None:
    history = written(Write("run-1"), Write("run-2"))
    assert told(history) == [[("run-1", "due")], [("run-1", "optional"), ("run-2", "due")]]


def test_a_run_that_is_not_finished_takes_no_place() -> None:
    history = written(Write("run-1"), Write("run-2", window="w1"), Write("run-2"))
    assert told(history) == [
        [("run-1", "due")],
        [("run-2", "forbidden")],
        [("run-1", "optional"), ("run-2", "due")],
    ]


def test_a_failed_run_neither_takes_a_place_nor_gives_it_away() -> None:
    failed = PlannedRun(run_id="run-2", day="2026-02-02", outcome="script_error")
    assert standings(written(Write("run-1"), Write("run-2"), runs=(OLD, failed))) == {
        "run-1": ("due", ()),
        "run-2": ("forbidden", ()),
    }
    failed = PlannedRun(run_id="run-1", day="2026-02-01", outcome="script_error")
    assert standings(written(Write("run-1"), Write("run-2"), runs=(failed, NEW)))["run-1"] == ("forbidden", ())


def test_one_that_cannot_be_read_takes_the_place_and_need_not_be_loaded() -> None:
    """Who looks for the newest run looks for no other; who loads each loads the older one: both are right."""
    broken = Break("read storage/*run_id=run-2", "EIO", lasting=True)
    history = written(broken, Write("run-1"), Write("run-2"))
    assert {run_id: view.standing for run_id, view in history.views.items()} == {
        "run-1": "optional",
        "run-2": "optional",
    }


def test_all_that_take_its_place_are_known() -> None:
    newest = PlannedRun(run_id="run-3", day="2026-02-03")
    history = written(Write("run-3"), Write("run-1"), Write("run-2"), runs=(OLD, NEW, newest))
    assert standings(history) == {
        "run-1": ("optional", ("run-2", "run-3")),
        "run-2": ("optional", ("run-3",)),
        "run-3": ("due", ()),
    }


def test_without_a_word_of_it_all_are_due() -> None:
    history = written(Write("run-1"), Write("run-2"), replaces=None)
    assert standings(history) == {"run-1": ("due", ()), "run-2": ("due", ())}


def test_a_hook_that_raises() -> None:
    words = (
        r"^TestLoader.replaces\(run, other\) raised AttributeError: .*finished_at'. It gets two runs with run_id, source, category, "
        r"day, events and items. Return whether the target holds the first in the place of the second.$"
    )
    with pytest.raises(ConsumerError, match=words):
        written(Write("run-1"), Write("run-2"), replaces=lambda run, other: run.finished_at > other.finished_at)
