"""The writer: snapshots per policy, ids, parents, each window of its death, conflicts, the flat layout."""

import json
from pathlib import Path
from typing import Any

import pytest
from made_runs import START, run_of, writer

from pytest_quarry.contract import Artifact, ContractError, FlushMode, Outcome, Policy, Run, Sidecar, number_events
from pytest_quarry.storage import (
    FLAT_WINDOWS,
    WINDOWS,
    FileStore,
    MemoryStore,
    QuarryWriter,
    SnapshotConflict,
    Stop,
    read_runs,
)


def manifests(store: MemoryStore | FileStore) -> list[dict[str, Any]]:
    """The canonical manifests, by id."""
    keys = [key for key in store.list("datasets/quarry/segments/") if key.endswith("/manifest.json")]
    found = [json.loads(store.get(key)) for key in keys]
    return sorted(found, key=lambda one: int(one["snapshot_id"]))


def rows(store: MemoryStore) -> list[int]:
    return [one["row_count"] for one in manifests(store)]


def test_snapshots_of_six_events_and_metrics() -> None:
    for policy, expected in ((Policy.STRICT, 7), (Policy.BUFFERED, 2), (Policy.STREAMING, 4)):
        store = MemoryStore()
        writer(store).write(run_of(items=5, policy=policy))
        assert len(manifests(store)) == expected


def with_artifact(**fields: Any) -> Run:
    commit = {"artifact_id": "a", "name": "n", "content_type": "t", "size_bytes": 5}
    events = number_events(
        "run-1",
        [("item", {"item_type": "p", "data": {}}), ("artifact", commit), ("log", {}), ("run_complete", {})],
        started_at=START,
    )
    return run_of(events=events, artifacts=(Artifact(artifact_id="a", chunks=(b"abc", b"de")),), **fields)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"policy": Policy.STRICT}, ["e", "c", "c", "e", "e", "e"]),
        ({"policy": Policy.BUFFERED}, ["eeee", "cc"]),
        ({"policy": Policy.BUFFERED, "flush_mode": FlushMode.CHUNKS_FIRST}, ["cc", "eeee"]),
        ({"policy": Policy.BUFFERED, "flush_mode": FlushMode.TWO_PHASE}, ["eeee", "cc"]),
        ({"policy": Policy.STREAMING, "flush_count": 3}, ["cc", "eee", "e"]),
        ({"policy": Policy.STREAMING, "flush_count": 1}, ["e", "cc", "e", "e", "e"]),
    ],
)
def test_the_order_of_events_and_chunks(fields: dict[str, Any], expected: list[str]) -> None:
    store = MemoryStore()
    writer(store).write(with_artifact(metrics=False, **fields))
    found = []
    for manifest in manifests(store):
        lines = [line for entry in manifest["files"] for line in store.get(entry["path"]).splitlines()]
        found.append("".join("c" if b"artifact_chunk" in line else "e" for line in lines))
    assert found == expected


def test_a_repeated_flush_shifts_the_offsets_of_its_chunks() -> None:
    store = MemoryStore()
    writer(store).write(with_artifact(policy=Policy.BUFFERED), flush_twice=True)
    lines = [
        json.loads(line) for key in store.list("") if key.endswith("/data") for line in store.get(key).splitlines()
    ]
    chunks = [(one["seq"], one["offset"]) for one in lines if one["record_kind"] == "artifact_chunk"]
    assert sorted(chunks) == [(1, 0), (1, 5), (2, 3), (2, 8)]
    (run,) = read_runs(store)
    assert run.artifacts[0].data == b"abcde"
    assert run.metrics is not None
    assert run.metrics["lode_write_failure_total"] == 1


@pytest.mark.parametrize(
    "fields", [{}, {"policy": Policy.STREAMING}, {"policy": Policy.BUFFERED, "flush_mode": FlushMode.TWO_PHASE}]
)
def test_only_policies_that_repeat_can_be_made_to(fields: dict[str, Any]) -> None:
    store = MemoryStore()
    with pytest.raises(ContractError, match="flush_twice"):
        writer(store).write(run_of(**fields), flush_twice=True)
    assert list(store.list("")) == []


def test_ids_are_the_clock_and_never_repeat() -> None:
    store = MemoryStore()
    times = iter([100, 100, 100, 50, 51, 50, 100])
    pen = QuarryWriter(store, clock=lambda: next(times))
    pen.write(run_of("a", items=1, metrics=False))
    pen.write(run_of("b", items=1, metrics=False))
    other = QuarryWriter(store, clock=lambda: next(times))
    other.write(run_of("c", items=1, metrics=False))
    ids = [(one["snapshot_id"], one.get("parent_snapshot_id")) for one in manifests(store)]
    assert ids == [("50", "102"), ("51", "50"), ("52", "51"), ("100", None), ("101", "100"), ("102", "101")]


def test_a_clock_that_stands_still_gives_new_ids(tmp_path: Path) -> None:
    first = QuarryWriter(FileStore(tmp_path), clock=lambda: 7)
    first.write(run_of("a", items=0, metrics=False))
    # Another store object knows nothing of the first one's ids, and sees the disk only.
    QuarryWriter(FileStore(tmp_path), clock=lambda: 7).write(run_of("b", items=0, metrics=False))
    assert [one["snapshot_id"] for one in manifests(FileStore(tmp_path))] == ["7", "8"]


def test_a_paused_calls_id_is_taken() -> None:
    store = MemoryStore()
    pen = QuarryWriter(store, clock=lambda: 7)
    paused = run_of("a", items=0, metrics=False)
    pen.write(paused, stop=Stop("w1"))
    QuarryWriter(store, clock=lambda: 7).write(run_of("b", items=0, metrics=False))
    pen.resume(paused)
    found = {one["snapshot_id"]: one["files"][0]["path"] for one in manifests(store)}
    assert "run_id=a/" in found["7"]
    assert "run_id=b/" in found["8"]


@pytest.mark.parametrize(
    ("clock", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_795_420_857_624_515_230, "2026-11-23T08:00:57.62451523Z"),
        (1_795_420_857_000_000_001, "2026-11-23T08:00:57.000000001Z"),
        (1_795_420_857_500_000_000, "2026-11-23T08:00:57.5Z"),
    ],
)
def test_created_at_has_no_trailing_zeros(clock: int, text: str) -> None:
    store = MemoryStore()
    QuarryWriter(store, clock=lambda: clock).write(run_of(items=0, metrics=False))
    assert manifests(store)[0]["created_at"] == text


def test_every_window_is_described_and_reachable() -> None:
    run = run_of(policy=Policy.BUFFERED, sidecars=(Sidecar(name="f", data=b"1"),))
    trees = {}
    for window, words in WINDOWS.items():
        assert words
        store = MemoryStore()
        writer(store).write(run, stop=Stop(window))
        trees[window] = {key: store.get(key) for key in store.list("")}
    # Memory has no temporary files, so w2 is w1 there; every other window differs from all others.
    assert trees.pop("w2") == trees["w1"]
    assert all(one != two for name, one in trees.items() for other, two in trees.items() if name < other)


@pytest.mark.parametrize("window", ["w1", "w2", "w3", "w4", "w4b"])
def test_what_is_not_committed_is_not_read(window: str) -> None:
    store = MemoryStore()
    pen = writer(store)
    run = run_of(items=2)
    pen.write(run, stop=Stop(window))
    (stored,) = read_runs(store)
    assert (stored.state, [one.seq for one in stored.events]) == ("running", [1, 2])
    pen.resume(run)
    (stored,) = read_runs(store)
    assert (stored.state, stored.damage) == ("finished", ())


def test_stop_counts_calls_from_either_end() -> None:
    run = run_of(items=3)
    for flush, seen in ((0, []), (1, [1]), (-1, [1, 2, 3]), (-4, []), (4, [1, 2, 3, 4])):
        store = MemoryStore()
        writer(store).write(run, stop=Stop("before", flush))
        assert [one.seq for found in read_runs(store) for one in found.events] == seen


@pytest.mark.parametrize("flush", [5, -5])
def test_a_stop_beyond_the_calls_is_refused(flush: int) -> None:
    with pytest.raises(ContractError, match="no write call"):
        writer(MemoryStore()).write(run_of(items=3), stop=Stop("w1", flush))


def test_stops_that_never_come_are_refused() -> None:
    with pytest.raises(ContractError, match="windows are before"):
        Stop("w99")
    with pytest.raises(ContractError, match="no sidecar file"):
        writer(MemoryStore()).write(run_of(), stop=Stop("w7"))
    with pytest.raises(ContractError, match="not in the flat layout"):
        writer(MemoryStore(), layout="flat").write(run_of(), stop=Stop("w3"))
    with pytest.raises(ContractError, match="w9"):
        writer(MemoryStore()).write(run_of(), stop=Stop("w9", 3))


def test_pausing_and_resuming_need_each_other() -> None:
    pen = writer(MemoryStore())
    run = run_of()
    with pytest.raises(ContractError, match="not paused"):
        pen.resume(run)
    pen.write(run, stop=Stop("w1"))
    with pytest.raises(ContractError, match="half written"):
        pen.write(run)
    pen.resume(run)
    with pytest.raises(ContractError, match="not paused"):
        pen.resume(run)


def test_a_failed_manifest_flushes_after_the_metrics() -> None:
    store = MemoryStore()
    pen = writer(store)
    run = run_of(policy=Policy.BUFFERED, outcome=Outcome.POLICY_FAILURE)
    pen.write(run, stop=Stop("w9"))
    (stored,) = read_runs(store)
    assert (stored.state, stored.outcome, len(stored.events)) == ("failed", "policy_failure", 0)
    pen.resume(run)
    (stored,) = read_runs(store)
    assert (stored.state, stored.outcome, len(stored.events)) == ("finished", "policy_failure", 3)


def test_a_strict_run_whose_manifest_failed_loses_that_event() -> None:
    store = MemoryStore()
    pen = writer(store)
    run = run_of(items=3)
    pen.write(run, stop=Stop("w9", 1))
    pen.resume(run)
    (stored,) = read_runs(store)
    assert [one.seq for one in stored.events] == [1]
    assert stored.metrics is not None
    assert (stored.metrics["events_received_total"], stored.metrics["events_persisted_total"]) == (2, 1)


def test_at_least_once_repeats_what_was_stored_when_its_chunks_fail() -> None:
    store = MemoryStore()
    pen = writer(store)
    run = with_artifact(policy=Policy.BUFFERED)
    pen.write(run, stop=Stop("w9"))
    pen.resume(run)
    assert rows(store) == [4, 1, 4, 2]
    (stored,) = read_runs(store)
    assert [one.data for one in stored.artifacts] == [b"abcde"]


def test_a_dead_writers_pointer_is_passed_over() -> None:
    store = MemoryStore()
    writer(store).write(run_of("a", items=0, metrics=False))
    pen = writer(store)
    pen.write(run_of("dead", items=0), stop=Stop("w3"))
    pen.write(run_of("b", items=0, metrics=False))
    first, last = manifests(store)
    assert last["parent_snapshot_id"] == first["snapshot_id"]
    assert store.get("datasets/quarry/latest").decode() == last["snapshot_id"]


class Contested(MemoryStore):
    """Another writer is faster a few times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def swap(self, key: str, expected: bytes | None, new: bytes) -> bool:
        if self.times:
            self.times -= 1
            name = str(self.times + 1)
            self.put(key, name.encode())
            self.put(f"datasets/quarry/segments/{name}/manifest.json", b"{}")
            return False
        return super().swap(key, expected, new)


def test_a_conflict_is_retried_with_the_new_parent() -> None:
    store = Contested(3)
    writer(store).write(run_of(items=0, metrics=False))
    newest = json.loads(
        store.get(f"datasets/quarry/segments/{store.get('datasets/quarry/latest').decode()}/manifest.json")
    )
    assert newest["parent_snapshot_id"] == "1"


def test_a_conflict_is_not_retried_for_ever() -> None:
    store = Contested(4)
    with pytest.raises(SnapshotConflict, match="datasets/quarry/latest"):
        writer(store).write(run_of(items=0, metrics=False))
    (run,) = read_runs(store)
    assert run.state == "uncommitted"
    # Every attempt is about the same snapshot, whose data is there once.
    assert len([key for key in store.list("") if key.endswith("/data/data")]) == 1


@pytest.mark.parametrize(
    ("policy", "stored", "lost"), [(Policy.STRICT, 0, 1), (Policy.STREAMING, 2, 0), (Policy.BUFFERED, 3, 0)]
)
def test_a_run_that_loses_every_swap_ends_as_a_policy_failure(policy: Policy, stored: int, lost: int) -> None:
    store = Contested(4)
    with pytest.raises(SnapshotConflict) as conflict:
        writer(store).write(run_of(policy=policy))
    ended = conflict.value.ended
    assert ended is not None
    assert (ended.outcome, len(ended.events), ended.lost) == (Outcome.POLICY_FAILURE, stored, lost)
    (run,) = read_runs(store)
    assert (run.outcome, len(run.events)) == ("policy_failure", stored)
    # As Quarry's: the metrics were written before the last flush, so they know nothing of it.
    assert run.metrics is not None
    assert {name: run.metrics[name] for name in run.metrics if run.metrics[name] and name.endswith("_total")} == {
        "events_received_total": stored + lost,
        "executor_launch_success_total": 1,
        "lode_write_failure_total": 1,
        "runs_failed_total": 1,
        "runs_started_total": 1,
    }


def test_metrics_and_the_last_flush_are_not_written_at_any_price() -> None:
    store = Contested(12)
    with pytest.raises(SnapshotConflict) as conflict:
        writer(store).write(run_of(policy=Policy.BUFFERED))
    assert conflict.value.ended is not None
    assert (conflict.value.ended.events, conflict.value.ended.event_count) == ((), 3)
    (run,) = read_runs(store)
    assert (run.state, run.metrics) == ("uncommitted", None)


def test_a_run_whose_metrics_meet_a_conflict_is_a_success() -> None:
    store = Contested(0)
    pen = writer(store)
    run = run_of()
    pen.write(run, stop=Stop("before", 3))
    store.times = 4
    pen.resume(run)
    (stored,) = read_runs(store)
    assert (stored.state, stored.outcome, stored.metrics) == ("finished", "success", None)


def taken_apart(store: MemoryStore) -> dict[str, list[str]]:
    """Which partitions have the data of the last snapshot, and which a copy of its manifest that parses, or is torn."""
    found: dict[str, list[str]] = {"data": [], "copy": [], "torn": []}
    for key in store.list("datasets/quarry/partitions/"):
        kind = key.split("event_type=")[1].split("/")[0]
        if key.endswith("/manifest.json"):
            try:
                json.loads(store.get(key))
                found["copy"].append(kind)
            except ValueError:
                found["torn"].append(kind)
        else:
            found["data"].append(kind)
    return found


@pytest.mark.parametrize(
    ("window", "copies", "torn"),
    [
        ("w5", [], []),
        ("w6", ["item"], []),
        ("w6b", ["item"], ["log"]),
        ("w6r", ["run_complete"], []),
        ("w6br", ["run_complete"], ["log"]),
    ],
)
def test_the_order_of_the_copies_is_the_windows(window: str, copies: list[str], torn: list[str]) -> None:
    events = number_events("run-1", [("item", {}), ("log", {}), ("run_complete", {})], started_at=START)
    run = run_of(policy=Policy.BUFFERED, events=events)
    store, whole = MemoryStore(), MemoryStore()
    pen = writer(store)
    pen.write(run, stop=Stop(window))
    kinds = ["item", "log", "run_complete"]
    assert taken_apart(store) == {"data": kinds, "copy": copies, "torn": torn}
    (stored,) = read_runs(store)
    assert (stored.state, len(stored.events), stored.complete_partitions) == ("finished", 3, False)
    pen.resume(run)
    writer(whole).write(run)
    assert [store.get(key) for key in store.list("")] == [whole.get(key) for key in whole.list("")]


@pytest.mark.parametrize(("window", "reverse"), [("w6", "w6r"), ("w6b", "w6br")])
def test_one_copy_has_no_order(window: str, reverse: str) -> None:
    trees = []
    for name in (window, reverse):
        store = MemoryStore()
        writer(store).write(run_of(), stop=Stop(name))
        trees.append({key: store.get(key) for key in store.list("")})
    assert trees[0] == trees[1]


def test_two_runs_interleave() -> None:
    store = MemoryStore()
    pen = writer(store)
    one, two = run_of("one"), run_of("two")
    pen.write(one, stop=Stop("w1", 1))
    pen.write(two, stop=Stop("w3", 0))
    pen.resume(one)
    pen.resume(two)
    assert [(run.run_id, run.state, run.damage) for run in read_runs(store)] == [
        ("one", "finished", ()),
        ("two", "finished", ()),
    ]


def test_flat_appears_file_by_file() -> None:
    run = run_of()
    folder = "source=shop/category=default/day=2026-02-01/run_id=run-1"
    for flush, files in ((0, []), (1, ["item"]), (2, ["item", "run_complete"])):
        store = MemoryStore()
        writer(store, layout="flat").write(run, stop=Stop("before", flush))
        assert list(store.list("")) == [f"{folder}/event_type={kind}/data.jsonl" for kind in files]


def test_a_torn_flat_file_is_described_and_completed() -> None:
    store = MemoryStore()
    pen = writer(store, layout="flat")
    run = run_of(items=3)
    pen.write(run, stop=Stop("w1c", 0))
    (stored,) = read_runs(store, layout="flat")
    assert (stored.state, len(stored.items)) == ("running", 1)
    assert "does not parse" in stored.damage[0]
    pen.resume(run)
    (stored,) = read_runs(store, layout="flat")
    assert (stored.state, len(stored.items), stored.damage) == ("finished", 3, ())
    assert set(FLAT_WINDOWS) <= set(WINDOWS)


def test_lock_files_are_on_disk_only(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    writer(store).write(run_of())
    assert store.get("datasets/quarry/latest.lock") == b""
