"""What histories say of the runs that were written: what a correct reader sees of each, told when it is new."""

from __future__ import annotations

from typing import Any

import pytest
from loaders import poller

from pytest_quarry.consumers.consumer import Consumer
from pytest_quarry.simulation.history import Entry
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import Litter, PlannedRun, Poll, Schedule, Step, Write
from pytest_quarry.simulation.world import World

A, B = PlannedRun(run_id="run-A", items=1), PlannedRun(run_id="run-B", items=1)
PARTITION = "datasets/quarry/partitions/source=shop/category=products/day=2026-02-02/run_id=run-C/event_type=item"


def written(*steps: Step, runs: tuple[PlannedRun, ...] = (A, B), consumer: Consumer | None = None) -> list[Entry]:
    history = simulate(Schedule(runs=runs, steps=steps), consumer or poller())
    return [entry for entry in history.entries if entry.what == "wrote"]


def seen(entries: list[Entry]) -> list[list[str]]:
    return [[f"{view.run_id} {view.state} {len(view.items)}" for view in entry.runs] for entry in entries]


def test_a_run_of_which_nothing_is_there_yet_is_invisible() -> None:
    (entry,) = written(Write("run-A", window="before", flush=0))
    assert (entry.text, entry.runs) == ("run-A invisible, 1 item, writer in window before of its write call 1", ())


def test_runs_that_were_there_before_are_told_with_the_first() -> None:
    def prepare(world: World) -> None:
        world.storage.run("run-before").complete()

    entries = written(Write("run-A"), Write("run-B"), consumer=poller(prepare=prepare))
    assert [sorted(runs) for runs in seen(entries)] == [
        ["run-A finished 1", "run-before finished 0"],
        ["run-B finished 1"],
    ]


def test_what_others_put_between_the_runs_is_told_with_the_next_and_nothing_twice() -> None:
    entries = written(Write("run-A"), Litter(f"{PARTITION}/segments/7/data/data", "{}"), Write("run-B"))
    assert [sorted(runs) for runs in seen(entries)] == [
        ["run-A finished 1"],
        ["run-B finished 1", "run-C uncommitted 0"],
    ]


@pytest.mark.parametrize("between", [(), (Litter("notes.txt"),)])
def test_each_schedule_has_runs_of_its_own(between: tuple[Step, ...]) -> None:
    """Whatever other schedules of the same consumer wrote under the same names."""
    consumer = poller()
    for items in (1, 2):
        runs = (PlannedRun(run_id="run-A", items=items), B)
        entries = written(Write("run-A"), *between, Write("run-B"), runs=runs, consumer=consumer)
        assert seen(entries) == [[f"run-A finished {items}"], ["run-B finished 1"]]


def test_a_run_that_is_written_in_two_steps_beside_another() -> None:
    entries = written(Write("run-A"), Write("run-B", window="w1", flush=0), Write("run-B"))
    assert seen(entries) == [["run-A finished 1"], ["run-B uncommitted 0"], ["run-B finished 1"]]


@pytest.mark.parametrize(("twice", "lines"), [(False, 1), (True, 2)])
def test_a_run_whose_flush_was_retried_is_stored_twice(twice: bool, lines: int) -> None:
    class Counts:
        def __init__(self, world: World) -> None:
            self.world = world

        def poll(self) -> None:
            for path in self.world.storage_root.rglob("event_type=item/data.jsonl"):
                self.world.boundary(f"{len(path.read_text().splitlines())} lines")

    def crossed(**details: Any) -> list[str]:
        run = PlannedRun(run_id="run-A", items=1, policy="buffered", **details)
        history = simulate(Schedule(runs=(run,), steps=(Write("run-A"), Poll())), poller(start=Counts, layout="flat"))
        return [entry.text for entry in history.entries if entry.what == "crossed"]

    assert crossed(stored_twice=twice)[:1] == [f"boundary {lines} lines"]


def test_a_write_tells_in_what_its_run_differs_from_the_others() -> None:
    old = PlannedRun(run_id="run-B", items=2, day="2026-01-10", source="shop-eu", policy="buffered", stored_twice=True)
    first, second = written(Write("run-A"), Write("run-B", clock=-2), runs=(A, old))
    assert first.text == "run-A finished, 1 item; of 2026-02-02; source shop; policy strict"
    traits = "of 2026-01-10; source shop-eu; policy buffered; by a clock 2 s behind; stored twice"
    assert second.text == f"run-B finished, 2 items; {traits}"


def test_a_write_tells_of_which_job_a_run_is_that_is_not_the_only_one_of_it() -> None:
    job = {"items": 1, "job_id": "job-1", "plain_event_ids": True}
    runs = (
        PlannedRun(run_id="run-A", **job),
        PlannedRun(run_id="run-B", attempt=2, parent_run_id="run-A", **job),
        PlannedRun(run_id="run-C", items=1, job_id="job-2"),
    )
    entries = written(*(Write(run.run_id) for run in runs), runs=runs)
    same = "with the others' event ids"
    assert [entry.text.partition("; ")[2] for entry in entries] == [
        f"of job job-1; {same}",
        f"of job job-1, attempt 2; a retry of run-A; {same}",
        "",
    ]


def test_a_write_does_not_tell_what_is_so_of_all_runs() -> None:
    old = [PlannedRun(run_id=f"run-{name}", items=1, day="2026-01-10", policy="buffered") for name in "AB"]
    entries = written(Write("run-A"), Write("run-B", clock=0), runs=tuple(old))
    assert [entry.text for entry in entries] == ["run-A finished, 1 item", "run-B finished, 1 item"]


def test_the_policy_of_the_only_run_is_told_where_it_is_not_the_usual_one() -> None:
    (entry,) = written(Write("run-A"), runs=(PlannedRun(run_id="run-A", items=1, policy="streaming"),))
    assert entry.text == "run-A finished, 1 item; policy streaming"


def test_a_writer_that_goes_on_has_the_clock_it_began_with() -> None:
    begun, done = written(Write("run-A", "before", clock=3_600), Write("run-A"), runs=(A,))
    assert [entry.text.partition("; ")[2] for entry in (begun, done)] == ["by a clock 3600 s ahead"] * 2
