"""A real stored tree, replayed: read by the reader, written by the writer."""

import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "golden"))
from golden_trees import GOLDEN, REASON, SCENARIOS, scenario
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from made_runs import calm, check_same, run_of, writer
from misstated import misstate, odd

from pytest_quarry.contract import Run, Sidecar
from pytest_quarry.storage import FileStore, Storage, StoreError, read_runs
from pytest_quarry.strategies import runs

golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason=REASON)


def plain(run: Any, **changes: Any) -> dict[str, Any]:
    """What a replay keeps of a stored run."""
    kept = ("run_id", "source", "category", "day", "dataset", "state", "outcome", "attempt", "job_id", "parent_run_id",
            "policy", "events", "artifacts")  # fmt: skip
    found = {name: getattr(run, name) for name in kept}
    found["artifacts"] = [(one.artifact_id, one.name, one.data) for one in run.artifacts]
    found["sidecars"] = [(one.name, one.data, one.content_type) for one in run.sidecars]
    return {**found, **changes}


@golden
@pytest.mark.parametrize("name", SCENARIOS)
def test_what_quarry_stored_is_replayed(name: str) -> None:
    root = scenario(name) / "root"
    storage = Storage.in_memory()
    made = storage.from_recorded(root)
    stored = list(read_runs(root))
    assert len(made) == len(stored)
    assert sorted(map(repr, map(plain, storage.read()))) == sorted(map(repr, map(plain, stored)))


@golden
def test_new_ids_keep_the_lineage() -> None:
    root = scenario("09-retry-lineage") / "root"
    storage = Storage.in_memory()
    before = storage.from_recorded(root)
    after = storage.from_recorded(root, new_ids=True)
    assert len(storage.read()) == len(before) + len(after)
    renamed = {old.run_id: new.run_id for old, new in zip(before, after, strict=True)}
    assert not set(renamed) & set(renamed.values())
    for old, new in zip(before, after, strict=True):
        assert new.parent_run_id == (renamed[old.parent_run_id] if old.parent_run_id else None)
        assert [event.payload for event in old.events] == [event.payload for event in new.events]
    third = storage.from_recorded(root, new_ids=True)
    assert {run.run_id for run in third}.isdisjoint(renamed.values())


def test_new_ids_are_new_among_all_that_was_written(tmp_path: Path) -> None:
    pen = writer(FileStore(tmp_path))
    pen.write(run_of("run"))
    pen.write(run_of("run", dataset="other"))
    storage = Storage.in_memory()
    storage.write(run_of("run-1"))
    storage.interleave([run_of("run-2", dataset="other"), run_of("run-1", dataset="other")])
    storage.runs(1, name="run", dataset="other")
    made = storage.from_recorded(tmp_path, new_ids=True)
    assert {(run.dataset, run.run_id) for run in made} == {("quarry", "run-2"), ("other", "run-3")}
    assert all(run.damage == () and len(run.items) in (2, 3) for run in storage.read())


def test_the_same_ids_twice_are_refused(tmp_path: Path) -> None:
    writer(FileStore(tmp_path)).write(run_of("run-1"))
    storage = Storage.in_memory()
    storage.from_recorded(tmp_path)
    with pytest.raises(StoreError, match=r"run-1 here already; give new_ids=True"):
        storage.from_recorded(tmp_path)
    assert len(storage.read()[0].events) == 3


@pytest.mark.parametrize("layout", ["lode", "flat"])
def test_one_runs_folder_is_enough(layout: str, tmp_path: Path) -> None:
    pen = writer(FileStore(tmp_path), layout=layout)
    pen.write(run_of("run-1"))
    pen.write(run_of("run-2"))
    (folder,) = tmp_path.rglob("run_id=run-2")
    storage = Storage.in_memory(layout="lode")
    (made,) = storage.from_recorded(folder)
    assert made.run_id == "run-2"
    (day,) = tmp_path.rglob("day=*")
    assert len(Storage.in_memory().from_recorded(day)) == 2


def test_what_is_no_recorded_tree(tmp_path: Path) -> None:
    storage = Storage.in_memory()
    with pytest.raises(StoreError, match="no such folder; give the root"):
        storage.from_recorded(tmp_path / "nowhere")
    with pytest.raises(StoreError, match="found nothing"):
        storage.from_recorded(tmp_path)
    (tmp_path / "readme.txt").write_text("x")
    with pytest.raises(StoreError, match=r"expected datasets/.*found readme.txt"):
        storage.from_recorded(tmp_path)


def test_a_tree_too_damaged_says_why(tmp_path: Path) -> None:
    writer(FileStore(tmp_path)).write(run_of("run-1"))
    for data in tmp_path.rglob("event_type=item/**/data/data"):
        data.write_bytes(data.read_bytes().replace(b'"ts":"2026', b'"ts":"then'))
    with pytest.raises(StoreError, match=r"cannot be written again: .*ISO 8601"):
        Storage.in_memory().from_recorded(tmp_path)


def test_a_damaged_line_is_left_out(tmp_path: Path) -> None:
    writer(FileStore(tmp_path)).write(run_of("run-1", items=3))
    second = sorted(tmp_path.rglob("event_type=item/**/data/data"))[1]
    second.write_bytes(second.read_bytes()[:-20])
    storage = Storage.in_memory()
    storage.from_recorded(tmp_path)
    assert [item.data for item in storage.read()[0].items] == [{"n": 0}, {"n": 2}]


@given(run=runs(ids="hostile"))
@settings(calm, max_examples=40)
def test_any_run_is_replayed_as_it_was(run: Run, tmp_path_factory: pytest.TempPathFactory) -> None:
    assume("\0" not in run.dataset and (run.events or run.metrics))
    root = tmp_path_factory.mktemp("root")
    writer(FileStore(root)).write(run)
    (before,) = read_runs(root)
    storage = Storage.in_memory()
    storage.from_recorded(root)
    (after,) = storage.read()
    if run.metrics:
        check_same(after, run)
    assert plain(after, policy=None, outcome=None, state=None) == plain(before, policy=None, outcome=None, state=None)
    shutil.rmtree(root)


@given(data=st.data(), new=odd)
@settings(calm, max_examples=150)
def test_a_tree_with_odd_values_is_replayed_or_refused(
    data: st.DataObject, new: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("root")
    store = FileStore(root)
    writer(store).write(run_of(policy="buffered", dropped={"log": 1}, outcome="policy_failure",
                               sidecars=(Sidecar(name="f", data=b"1"),), events=run_of().events[:2]))  # fmt: skip
    misstate(store, data, new, mark=b"run_id=run-1")
    storage = Storage.on_disk(root / "replayed" / "root")
    with suppress(StoreError):
        storage.from_recorded(root)
    outside = [
        path for path in (root / "replayed").rglob("*") if path.is_file() and not path.is_relative_to(storage.root)
    ]
    assert outside == []
    shutil.rmtree(root)
