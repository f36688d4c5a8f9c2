"""A real stored tree, replayed: read by the reader, written by the writer."""

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "golden"))
from golden_trees import GOLDEN, REASON, SCENARIOS, scenario
from hypothesis import assume, given, settings
from made_runs import calm, check_same, run_of, runs, writer

from pytest_quarry.contract import Run
from pytest_quarry.storage import FileStore, Storage, StoreError, read_runs

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


@given(run=runs())
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
