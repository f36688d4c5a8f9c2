"""What one run looks like is read from what was written of it: the same as between all others."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loaders import loader

from pytest_quarry import strategies
from pytest_quarry.contract import ContractError, Run
from pytest_quarry.simulation import planned
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import Litter, PlannedRun, Schedule, Write
from pytest_quarry.simulation.world import World
from pytest_quarry.storage import WINDOWS, Stop, StoreError
from pytest_quarry.storage.stored import StoredRun

BREAKS = st.none() | st.builds(Stop, st.sampled_from(sorted(WINDOWS)), st.integers(-1, 1))


def written(world: World, run: Run, stop: Stop | None) -> bool:
    try:
        world.writer(0, run.run_id).write(run, stop=stop)
    except (ContractError, StoreError):  # no such write call, two runs in one place, a name too long for a file
        return False
    return True


@given(
    made=st.lists(
        st.tuples(strategies.runs(ids="hostile", max_items=2, max_others=2), BREAKS),
        min_size=1,
        max_size=4,
        unique_by=lambda one: one[0].run_id,
    ),
    layout=st.sampled_from(["lode", "flat"]),
    storage=st.sampled_from(["fs", "s3"]),
)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_alone_it_is_what_it_is_among_all(
    made: list[tuple[Run, Stop | None]], layout: Literal["lode", "flat"], storage: Literal["fs", "s3"]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), layout=layout, storage=storage)
        whole = {run.run_id for run, stop in made if written(world, run, stop)}
        alone = {name: list(world.stored_of(name)) for name in whole}
        among: dict[str, list[StoredRun]] = {name: [] for name in whole}
        for stored in world.stored:
            among.get(stored.run_id, []).append(stored)
        world.close()
    assert alone == among


@pytest.mark.parametrize("storage", ["fs", "s3"])
@pytest.mark.parametrize("window", sorted(set(WINDOWS) - {"w7", "w8"}))  # those are of sidecar files, which it has not
def test_in_every_window_too(tmp_path: Path, window: str, storage: Literal["fs", "s3"]) -> None:
    world = World(tmp_path, storage=storage)
    for name in ("run-A", "run-B"):
        run = planned.build(PlannedRun(run_id=name), loader())
        assert written(world, run, Stop(window))
    assert [*world.stored_of("run-A"), *world.stored_of("run-B")] == list(world.stored)
    world.close()


def test_somebody_elses_files_are_read_where_they_are_and_nowhere_else() -> None:
    run = PlannedRun(run_id="run-A")
    folder = "datasets/quarry/partitions/source=shop/category=products/day=2026-02-02/run_id=run-Z"
    litter = Litter(f"{folder}/event_type=item/segments/1/data/data", "{}\n")
    consumer = loader()
    with_it = simulate(Schedule(runs=(run,), steps=(litter, Write("run-A"))), consumer)
    without = simulate(Schedule(runs=(run,), steps=(Write("run-A"),)), consumer)
    assert [list(history.views) for history in (with_it, without)] == [["run-A", "run-Z"], ["run-A"]]
