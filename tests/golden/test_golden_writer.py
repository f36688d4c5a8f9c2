"""Fed the runs real Quarry wrote, the writer leaves the trees real Quarry left."""

import json
from pathlib import Path

import pytest
from golden_trees import GOLDEN, REASON, SCENARIOS, WINDOWS, clock, crashed_run, normal, rebuild, report, scenario

from pytest_quarry.contract import run_completed
from pytest_quarry.storage import FileStore, QuarryWriter, SnapshotConflict, Stop

pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason=REASON)


def writer(root: Path) -> QuarryWriter:
    ticks = clock()
    return QuarryWriter(FileStore(root), clock=lambda: next(ticks))


def same(mine: Path, theirs: Path) -> None:
    one, two = normal(mine), normal(theirs)
    assert sorted(one) == sorted(two)
    for path in one:
        assert one[path] == two[path], path


@pytest.mark.parametrize("name", SCENARIOS)
def test_writes_the_tree_quarry_wrote(name: str, tmp_path: Path) -> None:
    folder = scenario(name)
    runs = rebuild(folder / "root", report(folder))
    assert runs
    pen = writer(tmp_path / "root")
    for run in runs:
        pen.write(run)
    same(tmp_path / "root", folder / "root")


@pytest.mark.parametrize("name", SCENARIOS)
def test_manifests_are_the_same_bytes_but_for_ids_and_time(name: str, tmp_path: Path) -> None:
    folder = scenario(name)
    pen = writer(tmp_path / "root")
    for run in rebuild(folder / "root", report(folder)):
        pen.write(run)
    mine = sorted((tmp_path / "root").rglob("segments/*/manifest.json"), key=lambda path: path.parent.name)
    theirs = sorted((folder / "root").rglob("segments/*/manifest.json"), key=lambda path: path.parent.name)
    assert len(mine) == len(theirs) > 0
    for one, two in zip(mine, theirs, strict=True):
        if "partitions" in one.parts:
            continue
        text = two.read_text()
        before, after = json.loads(one.read_text()), json.loads(text)
        for name_of in ("snapshot_id", "created_at", "parent_snapshot_id"):
            if name_of in after:
                text = text.replace(after[name_of], before[name_of])
        assert one.read_text() == text


@pytest.mark.parametrize("window", WINDOWS)
def test_stops_where_quarry_died(window: str, tmp_path: Path) -> None:
    folder = scenario(window)
    crashed = crashed_run(window)
    pen = writer(tmp_path / "root")
    pen.write(rebuild(folder / "root", [], run_id="run-base")[0])
    pen.write(crashed, stop=Stop(window))
    if window == "w9":
        pen.resume(crashed)
    same(tmp_path / "root", folder / "root")


class Contested(FileStore):
    """Other writers are faster, as often as is told."""

    times = 0

    def swap(self, key: str, expected: bytes | None, new: bytes) -> bool:
        if self.times:
            self.times -= 1
            return False
        return super().swap(key, expected, new)


def test_a_conflict_leaves_what_a_failed_write_leaves(tmp_path: Path) -> None:
    # No tree shows a conflict; to Quarry it is a failed write like that of w9, whose data stays behind too.
    folder = scenario("w9")
    store, ticks = Contested(tmp_path / "root"), clock()
    pen = QuarryWriter(store, clock=lambda: next(ticks))
    pen.write(rebuild(folder / "root", [], run_id="run-base")[0])
    store.times = 4
    with pytest.raises(SnapshotConflict, match="gives up") as conflict:
        pen.write(crashed_run("w9"))
    same(tmp_path / "root", folder / "root")
    (said,) = report(folder)
    ended = conflict.value.ended
    assert ended is not None
    assert (ended.outcome, ended.event_count) == (said["outcome"], said["event_count"])


def test_in_reverse_order_only_the_place_of_the_copy_differs(tmp_path: Path) -> None:
    folder = scenario("w6")
    pen = writer(tmp_path / "root")
    pen.write(rebuild(folder / "root", [], run_id="run-base")[0])
    pen.write(crashed_run("w6"), stop=Stop("w6r"))
    mine, theirs = normal(tmp_path / "root"), normal(folder / "root")
    (one,), (two,) = mine.keys() - theirs.keys(), theirs.keys() - mine.keys()
    assert one.replace("event_type=run_complete", "event_type=item") == two
    assert mine.pop(one) == theirs.pop(two)
    assert mine == theirs


@pytest.mark.parametrize("window", [window for window in WINDOWS if window != "w9"])
def test_the_next_run_goes_on_as_quarry_does(window: str, tmp_path: Path) -> None:
    folder = scenario(window)
    pen = writer(tmp_path / "root")
    pen.write(rebuild(folder / "root", [], run_id="run-base")[0])
    pen.write(crashed_run(window), stop=Stop(window))
    after = folder / "root-after-next-run"
    following = rebuild(after, [], run_id="run-next")[0]
    ticks = clock()
    for _ in range(1000):
        next(ticks)
    QuarryWriter(FileStore(tmp_path / "root"), clock=lambda: next(ticks)).write(following)
    same(tmp_path / "root", after)


@pytest.mark.parametrize("name", SCENARIOS)
def test_says_what_quarry_would_have_sent(name: str) -> None:
    folder = scenario(name)
    said = {entry["run_id"]: entry["webhook_event_that_quarry_would_post"] for entry in report(folder)}
    runs = rebuild(folder / "root", report(folder))
    assert {run.run_id for run in runs} == set(said)
    for run in runs:
        sent = said[run.run_id]
        mine = run_completed(run, root_url=f"file:///srv/quarry/out/{name}/root", timestamp=sent["timestamp"])
        assert mine == sent
        assert list(mine) == list(sent)
