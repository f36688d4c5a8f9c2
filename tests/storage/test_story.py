"""Storage told as a story: what each sentence leaves, what cannot be told, and how errors say so."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pytest_quarry.contract import ContractError, Outcome, parse_notification
from pytest_quarry.storage import (
    FLAT_WINDOWS,
    WINDOWS,
    MemoryStore,
    RunStory,
    Stop,
    Storage,
    StoredRun,
    StoreError,
    VirtualClock,
    read_runs,
)

MORNING = datetime(2026, 2, 2, 8, tzinfo=UTC)


def memory(**options: Any) -> Storage:
    return Storage.in_memory(clock=VirtualClock(MORNING), **options)


def only(storage: Storage) -> StoredRun:
    (run,) = storage.read()
    return run


def told(storage: Storage, **fields: Any) -> RunStory:
    run = storage.run("run-1", **fields)
    run.item({"sku": 1})
    run.artifact("page.html", b"<html>", content_type="text/html")
    run.sidecar("shot.png", b"png", content_type="image/png")
    run.item({"sku": 2})
    return run


@pytest.mark.parametrize("layout", ["lode", "flat"])
@pytest.mark.parametrize("policy", ["strict", "buffered", "streaming"])
def test_a_completed_run_is_all_there(policy: str, layout: str) -> None:
    storage = memory(layout=layout)
    told(storage, policy=policy, source="my shop", job_id="job").complete({"items": 2})
    run = only(storage)
    assert (run.state, run.outcome, run.source, run.policy) == ("finished", "success", "my shop", policy)
    assert [item.data for item in run.items] == [{"sku": 1}, {"sku": 2}]
    assert [(one.name, one.data, one.content_type) for one in run.artifacts] == [("page.html", b"<html>", "text/html")]
    assert [(one.name, one.data, one.content_type) for one in run.sidecars] == [("shot.png", b"png", "image/png")]
    assert run.events[-1].payload == {"summary": {"items": 2}}
    assert run.damage == ()


def test_under_strict_each_event_is_stored_as_it_is_told() -> None:
    storage = memory()
    run = storage.run("run-1")
    for number in range(3):
        run.item({"n": number})
        assert (only(storage).state, len(only(storage).items)) == ("running", number + 1)
    assert only(storage).metrics is None
    run.complete()
    assert (only(storage).state, only(storage).metrics is not None) == ("finished", True)


def test_under_buffered_nothing_is_stored_before_the_end() -> None:
    storage = memory()
    run = told(storage, policy="buffered").leave_running()
    assert [key for key in storage.store.list("") if "/files/" not in key] == []
    run.drop("log", 2)
    run.complete()
    assert only(storage).metrics is not None
    assert (only(storage).metrics or {})["dropped_by_type"] == {"log": 2}
    assert [event.seq for event in only(storage).events] == [1, 2, 3, 6]


def test_streaming_flushes_by_count_and_by_interval() -> None:
    clock = VirtualClock(MORNING)
    storage = Storage.in_memory(clock=clock)
    run = storage.run("run-1", policy="streaming", flush_count=3, flush_interval=10)
    run.item({"n": 1})
    assert storage.read() == []
    clock.advance(9)
    assert storage.read() == []
    clock.advance(1)
    assert len(only(storage).items) == 1
    for number in (2, 3):
        run.item({"n": number})
    assert len(only(storage).items) == 1
    run.item({"n": 4})
    assert len(only(storage).items) == 4
    run.complete()
    snapshots = list(storage.store.list("datasets/quarry/segments/"))
    assert len(snapshots) == 4
    assert only(storage).damage == ()


def test_a_sidecar_told_after_a_tick_is_listed_with_the_next_event() -> None:
    clock = VirtualClock(MORNING)
    storage = Storage.in_memory(clock=clock)
    run = storage.run("run-1", policy="streaming", flush_count=None, flush_interval=5)
    run.item({"n": 1})
    clock.advance(5)
    run.sidecar("late.txt", b"x")
    assert "named by no manifest" in only(storage).damage[0]
    run.item({"n": 2})
    run.complete()
    assert [one.data for one in only(storage).sidecars] == [b"x"]


@pytest.mark.parametrize(
    ("end", "state", "outcome"),
    [
        (lambda run: run.fail("TypeError", "no price", stack="…"), "failed", "script_error"),
        (lambda run: run.crash(), "crashed", "executor_crash"),
        (lambda run: run.end("version_mismatch"), "failed", "version_mismatch"),
        (lambda run: run.end(Outcome.POLICY_FAILURE, lost=2), "failed", "policy_failure"),
        (lambda run: run.end("success"), "finished", "success"),
    ],
)
@pytest.mark.parametrize("layout", ["lode", "flat"])
def test_ends(end: Callable[[RunStory], Any], state: str, outcome: str, layout: str) -> None:
    storage = memory(layout=layout)
    run = storage.run("run-1")
    run.item({"sku": 1})
    end(run)
    assert (only(storage).state, only(storage).outcome) == (state, outcome)
    assert parse_notification(storage.notification(run)).outcome == outcome


def test_a_skipped_run_did_nothing() -> None:
    storage = memory()
    storage.run("run-1").skip("not modified")
    assert only(storage).events[0].payload == {"summary": {"skipped": True, "reason": "not modified"}}
    run = storage.run("run-2")
    run.item({})
    with pytest.raises(ContractError, match="before any work"):
        run.skip()


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("policy", ["strict", "buffered", "streaming"])
def test_every_window_for_any_run_and_on_from_there(window: str, policy: str) -> None:
    storage = memory()
    run = told(storage, policy=policy)
    run.sidecar("last.txt", b"x")
    run.crash(window=window)
    if policy == "buffered" and window in ("before", "w7", "w8"):
        assert storage.read() == []
    else:
        assert only(storage).outcome in (None, "success", "policy_failure")
    whole = window in ("w5", "w6", "w6b", "w6r", "w6br")
    if policy == "strict":
        assert only(storage).state == ("finished" if whole else "failed" if window == "w9" else "running")
    if window == "w9":
        assert storage.notification(run)["outcome"] == "policy_failure"
    else:
        with pytest.raises(ContractError, match="nobody is notified"):
            storage.notification(run)
    run.resume()
    if not (window == "w9" and policy == "strict"):
        assert only(storage).events[-1].type == "run_complete"
        assert {item.data["sku"] for item in only(storage).items} == {1, 2}
    with pytest.raises(ContractError, match=r"crash\(window=…\)"):
        run.resume()


@pytest.mark.parametrize("window", FLAT_WINDOWS)
def test_every_flat_window_and_on_from_there(window: str) -> None:
    storage = memory(layout="flat")
    run = told(storage)
    run.crash(window=window)
    assert (only(storage).state, len(only(storage).items)) == ("running", 2)
    assert bool(only(storage).damage) == (window in ("w1c", "w7"))
    run.resume()
    assert (only(storage).state, only(storage).damage) == ("finished", ())


@pytest.mark.parametrize("layout", ["lode", "flat"])
def test_a_crash_in_the_metrics_and_in_another_event(layout: str) -> None:
    storage = memory(layout=layout)
    storage.run("run-1").crash(window="before", during="metrics")
    run = storage.run("run-2")
    run.item({"n": 1})
    run.crash(window="w1c", during="item", payload={"item_type": "item", "data": {"n": 2}})
    one, two = storage.read()
    assert (one.state, one.metrics, two.state) == ("finished", None, "running")
    assert [item.data for item in two.items] == [{"n": 1}]
    run.resume()
    assert [item.data for item in storage.read()[1].items] == [{"n": 1}, {"n": 2}]


def test_flat_files_grow_and_the_end_is_a_file() -> None:
    storage = memory(layout="flat")
    run = storage.run("run-1", day="2026-01-05")
    folder = "source=shop/category=default/day=2026-01-05/run_id=run-1"
    for number in (1, 2):
        run.item({"n": number})
        assert storage.store.get(f"{folder}/event_type=item/data.jsonl").count(b"\n") == number
    assert not storage.store.exists(f"{folder}/event_type=run_complete/data.jsonl")
    run.complete()
    assert storage.store.exists(f"{folder}/event_type=run_complete/data.jsonl")
    assert storage.notification(run)["storage_path"] == f"file:///memory/{folder}"


def test_orphans_empty_artifacts_and_chunks() -> None:
    storage = memory()
    run = storage.run("run-1")
    run.artifact("orphan", b"lost", committed=False)
    run.artifact("cut", b"lo", committed=False, complete=False)
    run.artifact("empty", b"")
    run.artifact("chunked", b"abcdefg", chunk_bytes=3, checksums=True)
    run.complete()
    assert [(one.name, one.data) for one in only(storage).artifacts] == [("empty", b""), ("chunked", b"abcdefg")]
    lines = [line for key in storage.store.list("") for line in storage.store.get(key).splitlines()]
    assert sum(b'"artifact_chunk"' in line for line in lines) == 6


def test_lineage_of_retries_and_children() -> None:
    storage = memory()
    first = storage.run("run-1", source="shop-eu", job_id="job", policy="buffered", day="2026-01-05")
    first.enqueue("page-2", {"page": 2})
    child = first.fan_out()
    child.item({"n": 1})
    child.complete()
    first.fail()
    second = first.retry("run-2", day="2026-01-06")
    second.complete()
    runs = {run.run_id: run for run in storage.read()}
    assert (runs["run-2"].attempt, runs["run-2"].parent_run_id, runs["run-2"].source) == (2, "run-1", "shop-eu")
    assert (runs["run-2"].job_id, runs["run-2"].policy, runs["run-2"].day) == ("job", "buffered", "2026-01-06")
    assert (runs[child.run_id].attempt, runs[child.run_id].parent_run_id) == (1, None)
    assert storage.notification(second)["attempt"] == 2


def test_bulk_interleaved_bulk_and_whole_runs() -> None:
    storage = memory()
    made = storage.runs(20, items=2, source="bulk", job_id="job")
    assert [run.run_id for run in made][::19] == ["run-0001", "run-0020"]
    assert all(len(run.items) == 2 and run.state == "finished" and run.job_id == "job" for run in storage.read())
    (failed,) = storage.runs(1, outcome="script_error", name="bad")
    assert {run.run_id: run.state for run in storage.read()}[failed.run_id] == "failed"
    storage.write(made[0].__class__(run_id="made", source="shop", day="2026-02-02", events=(), metrics=True,
                                    outcome=Outcome.EXECUTOR_CRASH), stop=Stop("before", 0))  # fmt: skip
    assert len(storage.read()) == 21


def test_run_ids_are_taken_once() -> None:
    """However a run is written; in another dataset the id is free."""
    made = memory().runs(2)
    for again in (
        lambda storage: storage.run("run-0002"),
        lambda storage: storage.write(made[1]),
        lambda storage: storage.interleave(made),
    ):
        storage = memory()
        storage.write(made[1])
        before = storage.tree()
        with pytest.raises(
            ContractError, match="run 'run-0002' was told already; run ids are unique, a retry has another"
        ):
            again(storage)
        assert storage.tree() == before
    with pytest.raises(ContractError, match="run 'run-0001' was told already"):
        memory().interleave([made[0], made[0]])
    storage.write(replace(made[1], dataset="other"))


@pytest.mark.parametrize("policy", ["strict", "streaming", "buffered"])
def test_interleaved_runs_fork_and_have_ids_out_of_order(policy: str) -> None:
    forks = smaller = 0
    for seed in range(4):
        storage = memory()
        made = storage.runs(6, items=3, interleaved=True, seed=seed, policy=policy)
        assert len(storage.read()) == 6
        for run, ended in zip(storage.read(), made, strict=True):
            assert run.run_id == ended.run_id
            assert [event.event_id for event in run.events] == [event.event_id for event in ended.events]
            failed = ended.outcome == Outcome.POLICY_FAILURE
            lost = [words for words in run.damage if "is not committed" in words]
            assert any("event_type=metrics" not in words for words in lost) == failed
            assert any("event_type=metrics" in words for words in lost) == (run.metrics is None)
            if run.metrics is not None:
                assert run.outcome == ended.outcome
                assert run.metrics["events_received_total"] == ended.event_count
                assert run.metrics["lode_write_failure_total"] == failed
        keys = list(storage.store.list("datasets/quarry/segments/"))
        parents = [json.loads(storage.store.get(key)) for key in keys]
        named = [one.get("parent_snapshot_id") for one in parents]
        forks += len(named) - len(set(named))
        smaller += sum(int(one["snapshot_id"]) < int(one.get("parent_snapshot_id", 0)) for one in parents)
    assert forks
    assert smaller or policy == "buffered"
    again, other = memory(), memory()
    again.runs(4, interleaved=True, seed=7)
    other.runs(4, interleaved=True, seed=7)
    assert again.tree() == other.tree()


def test_runs_that_lose_to_others_are_policy_failures() -> None:
    made = memory().runs(6, items=3)
    lost = 0
    for seed in range(8):
        storage = memory()
        failed = storage.interleave(made, seed=seed)
        lost += len(failed)
        for run in storage.read():
            # Only the metrics tell of it, and those may have been lost to the others too.
            outcome = "success" if run.run_id not in failed else "policy_failure" if run.metrics else None
            assert run.outcome == outcome
    # Of six writers, three or four failed in real Quarry, whose runs were longer.
    assert 2 <= lost / 8 <= 4


def test_a_run_that_failed_on_a_conflict_is_announced_as_that() -> None:
    storage = memory()
    made = storage.runs(6, items=3, interleaved=True, seed=1)
    told = [parse_notification(storage.notification(run)) for run in made]
    assert {one.outcome for one in told} == {"success", "policy_failure"}
    counts = {run.run_id: len(run.events) + run.lost for run in made}
    assert {one.run_id: one.event_count for one in told} == counts


def test_writers_with_clocks_of_their_own() -> None:
    storage = memory()
    storage.run("run-1").complete()
    storage.run("run-2", clock_off=-3600).complete()
    ids = {run.run_id: run.events[0].ts[11:13] for run in storage.read()}
    assert ids == {"run-1": "08", "run-2": "07"}
    keys = [key for key in storage.store.list("") if "run_id=run-2" in key and key.endswith("/data/data")]
    assert all(int(key.split("/")[-3]) < MORNING.timestamp() * 1e9 for key in keys)


def test_file_times_follow_the_clock(tmp_path: Path) -> None:
    clock = VirtualClock(MORNING)
    storage = Storage.on_disk(tmp_path / "root", clock=clock)
    storage.run("run-1").complete()
    clock.advance(3600)
    storage.run("run-2").complete()
    times = {path.stat().st_mtime // 60 * 60 for path in storage.root.rglob("*") if path.is_file()}
    assert times == {MORNING.timestamp(), MORNING.timestamp() + 3600}
    assert clock.now().hour == 9


def test_where_it_is(tmp_path: Path) -> None:
    disk = Storage.on_disk(tmp_path / "root")
    assert (disk.root, disk.url) == (tmp_path / "root", f"file://{tmp_path}/root")
    assert disk.root.is_dir()
    for name in ("bucket", "prefix"):
        with pytest.raises(StoreError, match=f"{name} is for s3"):
            getattr(disk, name)
    with pytest.raises(StoreError, match="root is for fs and fakefs"):
        memory().root  # noqa: B018
    assert "layout lode" in repr(disk)


def test_a_notification_is_what_quarry_sends(tmp_path: Path) -> None:
    storage = Storage.on_disk(tmp_path, clock=VirtualClock(MORNING))
    run = told(storage, job_id="job")
    with pytest.raises(ContractError, match="nobody is notified"):
        storage.notification(run)
    run.complete()
    full, small = storage.notification(run), storage.notification(run, minimal=True)
    parsed = parse_notification(full)
    assert (parsed.event_count, parsed.job_id, parsed.day) == (4, "job", "2026-02-02")
    assert "category" not in small
    assert Path(full["storage_path"].removeprefix("file://")).is_dir()


def test_the_tree_is_readable() -> None:
    storage = memory()
    assert storage.tree() == "file:///memory  (empty)"
    storage.run("run-1", metrics=False).complete()
    lines = storage.tree().splitlines()
    assert lines[:2] == ["file:///memory", "  datasets/quarry/"]
    assert any(line.strip().startswith("latest  → 17") for line in lines)
    assert "… and 2 more files" in storage.tree(most=2)


FULL: dict[str, tuple[Callable[[Storage], Any], str]] = {
    "layout": (lambda storage: Storage(MemoryStore(), layout="hive"), "layout 'hive' is unknown; there are 'lode', 'flat'"),
    "policy": (lambda storage: storage.run("r", policy="lazy"), "'strict', 'buffered', 'streaming'"),
    "flush mode": (lambda storage: storage.run("r", flush_mode="x"), "'at_least_once', 'chunks_first', 'two_phase'"),
    "window": (lambda storage: storage.run("r").crash(window="w0"), "the windows are before, w7, w8, .*w6, w6b, w6r, w6br, w9"),
    "outcome": (lambda storage: storage.run("r").end("error"), "'success', 'script_error', 'executor_crash'"),
    "bulk outcome": (lambda storage: storage.runs(1, outcome="error"), "'success', 'script_error', 'executor_crash'"),
    "field": (lambda storage: storage.run("r", sorce="shop"), "sorce unknown; a run takes source, category"),
    "bulk field": (lambda storage: storage.runs(1, sorce="shop"), "sorce unknown; a run takes source, category"),
    "day": (lambda storage: storage.run("r", day="today"), "YYYY-MM-DD"),
    "interval": (lambda storage: storage.run("r", policy="streaming", flush_interval=0), "more than none"),
    "no flush": (lambda storage: storage.run("r", policy="streaming", flush_count=None), "needs one of them"),
    "level": (lambda storage: storage.run("r").log("x", level="loud"), "'debug', 'info', 'warn', 'error'"),
    "terminal": (lambda storage: storage.run("r").event("run_complete"), r"complete\(\), fail\(\) or artifact\(\)"),
    "metrics": (lambda storage: storage.run("r").event("metrics"), "kept for the metrics record"),
    "number": (lambda storage: storage.run("r").item({"n": float("nan")}), "no JSON form"),
    "late number": (lambda storage: storage.run("r", policy="buffered").item({"n": {1}}), "no JSON form"),
    "sidecar": (lambda storage: storage.run("r").sidecar("../x", b""), "refuses names with"),
    "absolute": (lambda storage: storage.run("r").sidecar("/etc/x", b""), "refuses names with"),
    "dataset": (lambda storage: storage.run("r", dataset="../x"), "would leave"),
    "climbing": (lambda storage: storage.run("../../../../../../x").sidecar("x", b""), "leaves the dataset's partitions"),
    "key": (lambda storage: storage.store.put("a/../../b", b""), "would leave the root"),
    "absolute key": (lambda storage: storage.store.put("/etc/x", b""), "would leave the root"),
    "drop": (lambda storage: storage.run("r").drop(), "the buffered policy drops"),
    "twice": (lambda storage: (storage.run("r"), storage.run("r")), "was told already"),
    "no sidecar": (lambda storage: storage.run("r").crash(window="w7"), "no sidecar file"),
    "flush twice": (lambda storage: storage.run("r").complete(flush_twice=True), "only the buffered policy"),
    "still running": (lambda storage: storage.run("r").value, r"end it with complete\(\)"),
    "attempt": (lambda storage: storage.run("r", attempt="1"), "attempt is '1'; it must be a whole number"),
    "flush count": (lambda storage: storage.run("r", policy="streaming", flush_count="2"), "flush_count is '2'; it must be a"),
    "seconds": (lambda storage: storage.run("r", policy="streaming", flush_interval="2"), "flush_interval is '2'; it must be"),
    "start": (lambda storage: storage.run("r", started_at="now"), "started_at is 'now'; it must be a datetime"),
    "naive start": (lambda storage: storage.run("r", started_at=MORNING.replace(tzinfo=None)), "no time zone; give it in UTC"),
    "bulk start": (lambda storage: storage.runs(1, started_at="now"), "started_at is 'now'; it must be a datetime"),
    "duration": (lambda storage: storage.run("r", duration_ms=1.5), "duration_ms is 1.5; it must be a whole number"),
    "metrics or not": (lambda storage: storage.run("r", metrics="no"), "metrics is 'no'; it must be True or False"),
    "clock": (lambda storage: storage.run("r", clock_off="-3600"), "clock_off is '-3600'; it must be a number of seconds"),
    "no clock": (lambda storage: storage.runs(1, clock_off=float("nan")), "clock_off is nan; it must be a number"),
    "item": (lambda storage: storage.run("r").item(["A1"]), r"an item's data is \['A1'\]; it must be an object"),
    "payload": (lambda storage: storage.run("r").event("x", 7), "payload is 7; it must be an object, or None"),
    "text for bytes": (lambda storage: storage.run("r").artifact("a", "text"), "data is a str; it must be bytes"),
    "text in a sidecar": (lambda storage: storage.run("r").sidecar("a", "text"), "data is a str; it must be bytes"),
    "name": (lambda storage: storage.run("r").artifact(7, b""), "name of an artifact is 7; it must be a non-empty"),
    "chunks": (lambda storage: storage.run("r").artifact("a", b"x", chunk_bytes=0), "chunk_bytes is 0; a chunk has"),
    "lost": (lambda storage: storage.run("r").end("policy_failure", lost="1"), "lost is '1'; it must be a whole number"),
    "count": (lambda storage: storage.runs("3"), "runs: count is '3'; it must be a whole number, 0 or more"),
    "negative": (lambda storage: storage.runs(1, items=-1), "runs: items is -1; it must be a whole number, 0 or more"),
    "run id": (lambda storage: storage.run(["a"]), r"run_id is \['a'\]; it must be a non-empty string"),
    "drops": (lambda storage: storage.run("r", policy="buffered").drop("log", 1.5), "count is 1.5; it must be a whole number"),
    "drops in words": (lambda storage: storage.run("r", policy="buffered").drop("log", "3"), "count is '3'; it must be a whole"),
    "during what": (lambda storage: storage.run("r").crash(during="item"), r"during='item' needs a window"),
    "payload of what": (lambda storage: storage.run("r").crash(payload={"n": 1}), r"payload=\{'n': 1\} needs a window"),
    "skipped twice": (lambda storage: (run := storage.run("r"), run.complete(), run.skip()), "'r' is over: it ended as success"),
    "bulk name": (lambda storage: storage.runs(1, name=""), "runs: name is ''; it must be a non-empty string"),
}  # fmt: skip


@pytest.mark.parametrize("what", FULL)
def test_what_cannot_be_told_is_said_with_the_choices(what: str) -> None:
    act, words = FULL[what]
    with pytest.raises((ContractError, StoreError), match=words):
        act(memory())


@pytest.mark.parametrize("wrong", ["/tmp/x", None])
def test_what_is_no_store_is_said(wrong: Any) -> None:
    with pytest.raises(TypeError, match=rf"Storage\({wrong!r}\): .*; Storage.on_disk\(folder\), "):
        Storage(wrong)


@pytest.mark.parametrize(("clock", "gives"), [(lambda: 1.5, "1.5"), (lambda: "now", "'now'")])
def test_a_clock_that_gives_no_nanoseconds_is_said(clock: Any, gives: str) -> None:
    with pytest.raises(TypeError, match=f"the clock gave {gives}; it must give nanoseconds since 1970, a whole number"):
        Storage.in_memory(clock=clock).run("r")


@pytest.mark.parametrize("seconds", ["1", None, float("nan"), float("inf")])
def test_what_is_no_time_is_said(seconds: Any) -> None:
    with pytest.raises(ValueError, match=rf"advance\({seconds!r}\): a number of seconds"):
        VirtualClock().advance(seconds)


def test_one_run_is_no_list_of_runs() -> None:
    (run,) = memory().runs(1)
    with pytest.raises(TypeError, match=r"interleave\(\) got .*; it takes several runs, in a list"):
        memory().interleave(run)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["write", "notification"])
@pytest.mark.parametrize("wrong", [7, "run-1", None])
def test_what_is_no_run_is_said(name: str, wrong: Any) -> None:
    with pytest.raises(TypeError, match=rf"{name}\(\) got {wrong!r}; it takes a Run"):
        getattr(memory(), name)(wrong)
    with pytest.raises(TypeError, match=rf"interleave\(\) got {wrong!r}; it takes a Run"):
        memory().interleave([wrong])


def test_what_is_no_storage_or_clock_or_number_is_said() -> None:
    with pytest.raises(TypeError, match=r"read_runs\(\) got 7; give a folder, a URL, or an object with list"):
        list(read_runs(7))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="clock is 7; it must be a function that gives nanoseconds"):
        Storage.in_memory(clock=7)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"tree\(most='all'\): a number of files"):
        memory().tree(most="all")  # type: ignore[arg-type]


@pytest.mark.parametrize("layout", ["flat"])
def test_windows_the_flat_layout_lacks(layout: str) -> None:
    with pytest.raises(ContractError, match="which has before, w7, w8, w1c"):
        memory(layout=layout).run("r").crash(window="w3")


@pytest.mark.parametrize(
    "act",
    [
        lambda run: run.item({}),
        lambda run: run.artifact("a", b""),
        lambda run: run.sidecar("a", b""),
        lambda run: run.complete(),
        lambda run: run.leave_running(),
        lambda run: run.crash(),
    ],
)
def test_a_finished_run_tells_nothing_more(act: Callable[[RunStory], Any]) -> None:
    run = memory().run("run-1")
    run.complete()
    with pytest.raises(ContractError, match="is over: it ended as success; begin another one"):
        act(run)


def test_what_was_refused_leaves_no_trace() -> None:
    storage = memory()
    run = storage.run("run-1")
    run.item({"n": 1})
    for bad in (lambda: run.item({"n": float("inf")}), lambda: run.sidecar("a/b", b""), lambda: run.event("")):
        with pytest.raises(ContractError):
            bad()
    run.item({"n": 2})
    run.complete()
    assert [event.seq for event in only(storage).events] == [1, 2, 3]
    assert only(storage).damage == ()
    assert list(read_runs(storage.store)) == storage.read()


def test_many_runs_take_no_id_that_is_taken() -> None:
    storage = memory()
    storage.run("run-0001").complete()
    assert [run.run_id for run in storage.runs(2)] == ["run-0002", "run-0003"]
    assert [run.damage for run in storage.read() if run.damage] == []
