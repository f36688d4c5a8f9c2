"""The reader on damaged, foreign and odd storage: it describes what is wrong and reads the rest."""

import errno
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_runs import START, calm, check_same, run_of, writer
from misstated import misstate, odd

from pytest_quarry.contract import (
    CONTRACT_VERSION,
    Artifact,
    Outcome,
    Policy,
    Run,
    Sidecar,
    encode_line,
    number_events,
)
from pytest_quarry.storage import FileStore, MemoryStore, Stop, Storage, StoredArtifact, StoredRun, read_runs

FOLDER = "source=shop/category=default/day=2026-02-01/run_id=run-1"
PARTS = f"datasets/quarry/partitions/{FOLDER}"


def stored(*runs: Run, **options: Any) -> MemoryStore:
    store = MemoryStore()
    pen = writer(store, **options)
    for run in runs:
        pen.write(run)
    return store


def only(store: MemoryStore, **options: Any) -> StoredRun:
    (run,) = read_runs(store, **options)
    return run


def data_keys(store: MemoryStore, kind: str = "item") -> list[str]:
    return [key for key in store.list(f"{PARTS}/event_type={kind}/") if key.endswith("/data/data")]


def test_a_torn_line_costs_that_event_only() -> None:
    store = stored(run_of(items=3, policy=Policy.BUFFERED))
    (key,) = data_keys(store)
    store.put(key, store.get(key)[:-20])
    run = only(store)
    assert [one.seq for one in run.items] == [1, 2]
    assert run.state == "finished"
    assert any("does not parse" in words and key in words for words in run.damage)
    assert any("its manifest says" in words for words in run.damage)


def test_a_missing_data_file_is_described() -> None:
    store = stored(run_of(items=2))
    store.delete(data_keys(store)[0])
    run = only(store)
    assert [one.seq for one in run.items] == [2]
    assert "cannot be read" in run.damage[0]


def test_duplicates_that_differ_are_described() -> None:
    store = stored(run_of(items=1, policy=Policy.BUFFERED))
    (key,) = data_keys(store)
    record = json.loads(store.get(key))
    store.put(key, encode_line(record) + encode_line({**record, "payload": {"data": 2}}))
    run = only(store)
    assert len(run.items) == 1
    assert any("stored twice, and not the same" in words for words in run.damage)
    store.put(key, encode_line(record) + encode_line({**record, "event_id": "another"}))
    assert any("both have seq 1" in words for words in only(store).damage)


def test_a_record_of_another_run_is_left_out() -> None:
    store = stored(run_of(items=2, policy=Policy.BUFFERED))
    (key,) = data_keys(store)
    lines = store.get(key).splitlines(keepends=True)
    store.put(key, lines[0] + encode_line({**json.loads(lines[1]), "run_id": "stranger"}))
    run = only(store)
    assert [one.seq for one in run.items] == [1]
    assert any("stranger" in words for words in run.damage)


def test_unknown_fields_types_and_kinds_are_accepted() -> None:
    store = stored(run_of(items=1, policy=Policy.BUFFERED))
    (key,) = data_keys(store)
    record = json.loads(store.get(key))
    new = {**record, "type": "brand_new", "event_id": "new", "seq": 9, "colour": "red"}
    kind = {**record, "record_kind": "brand_new_kind"}
    store.put(key, b"\n" + encode_line(record) + encode_line(new) + encode_line(kind))
    run = only(store)
    assert [one.type for one in run.events] == ["item", "run_complete", "brand_new"]
    assert [one.data for one in run.events] == [{"n": 0}, None, {"n": 0}]
    assert all("manifest says" in words for words in run.damage)


def test_records_that_lack_fields_are_described() -> None:
    store = stored(run_of(items=1, policy=Policy.BUFFERED))
    (key,) = data_keys(store)
    record = json.loads(store.get(key))
    for broken in ({**record, "seq": None}, {**record, "payload": 7}, {k: v for k, v in record.items() if k != "ts"}):
        store.put(key, encode_line(broken))
        run = only(store)
        assert run.items == ()
        assert any("lacks or misstates" in words for words in run.damage)


def test_the_true_names_are_the_records() -> None:
    run = run_of("a%20b", source="%2F", category="", policy=Policy.BUFFERED)
    found = only(stored(run))
    assert (found.run_id, found.source, found.category) == ("a%20b", "%2F", "")


@pytest.mark.parametrize("content", [None, b"", b'{"files": [', b"[]"])
def test_a_missing_or_torn_copy_makes_the_partitions_incomplete(content: bytes | None) -> None:
    store = stored(run_of(items=1))
    assert only(store).complete_partitions
    key = data_keys(store)[0].removesuffix("data/data") + "manifest.json"
    if content is None:
        store.delete(key)
    else:
        store.put(key, content)
    run = only(store)
    assert (run.complete_partitions, run.state, len(run.items)) == (False, "finished", 1)
    assert key in run.damage[0]


def artifact_run() -> Run:
    commit = {"artifact_id": "a", "name": "n", "content_type": "t", "size_bytes": 0}
    events = number_events("run-1", [("artifact", commit), ("run_complete", {})], started_at=START)
    return run_of(events=events, artifacts=(Artifact(artifact_id="a", chunks=(b"abc", b"de")),))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"seq": 7}, r"it has the chunks \[2, 7\]"),
        ({"data": "!"}, "cannot be put together"),
        ({"data": "YWI="}, "has 2 bytes, it says 3"),
        ({"is_last": True}, "says is_last True"),
        ({"seq": 2}, r"it has the chunks \[2\]"),
    ],
)
def test_a_damaged_artifact_is_not_returned(fields: dict[str, Any], words: str) -> None:
    store = stored(artifact_run())
    key = data_keys(store, "artifact")[0]
    store.put(key, encode_line({**json.loads(store.get(key)), **fields}))
    run = only(store)
    assert run.artifacts == ()
    assert any(re.search(words, one) for one in run.damage)


def test_an_artifact_that_is_damaged_costs_no_other() -> None:
    about = {"content_type": "t", "size_bytes": 0}
    commits = [("artifact", {"artifact_id": name, "name": f"{name}.png", **about}) for name in "abc"]
    events = number_events("run-1", [("item", {}), *commits, ("run_complete", {})], started_at=START)
    artifacts = tuple(Artifact(artifact_id=name, chunks=(b"ab", b"c")) for name in "abc")
    store = stored(run_of(events=events, artifacts=artifacts))
    for key in data_keys(store, "artifact"):
        record = json.loads(store.get(key))
        if record["artifact_id"] == "a" and record["record_kind"] == "artifact_chunk":
            store.put(key, b"")
        elif record["artifact_id"] == "c" and record["record_kind"] == "artifact_event":
            store.put(
                key, encode_line({name: value for name, value in record.items() if name[-4:] not in ("name", "type")})
            )
    run = only(store)
    assert run.artifacts == (
        StoredArtifact(artifact_id="b", name="b.png", content_type="t", size_bytes=0, data=b"abc"),
        StoredArtifact(artifact_id="c", name="", content_type="", size_bytes=0, data=b"abc"),
    )
    assert "artifact 'a' is committed and cannot be put together: it has the chunks []" in run.damage
    assert sum("cannot be put together" in words for words in run.damage) == 1


def test_a_chunk_with_a_sign_that_base64_has_not_is_damaged() -> None:
    store = stored(artifact_run())
    key = data_keys(store, "artifact")[0]
    record = json.loads(store.get(key))
    store.put(key, encode_line({**record, "data": record["data"] + "!"}))
    assert only(store).artifacts == ()


def test_chunks_stored_with_different_bytes_are_described() -> None:
    store = stored(artifact_run())
    key = data_keys(store, "artifact")[0]
    record = json.loads(store.get(key))
    store.put(key, encode_line(record) + encode_line({**record, "data": "eHl6"}))
    assert any("different bytes" in words for words in only(store).damage)


@pytest.mark.parametrize("suffix", ["", ".meta.json"])
def test_a_lost_sidecar_file_is_described(suffix: str) -> None:
    store = stored(run_of(sidecars=(Sidecar(name="f", data=b"1"),)))
    store.delete(f"{PARTS}/files/f{suffix}")
    run = only(store)
    assert len(run.sidecars) == (1 if suffix else 0)
    assert "sidecar file" in run.damage[0]


@pytest.mark.parametrize("layout", ["lode", "flat"])
def test_foreign_files_are_passed_over(layout: str, tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    writer(store, layout=layout).write(run_of())
    for key in (".quarry-checkpoint", "source=x/readme", f"{PARTS}/event_type=item/_SUCCESS", "datasets/notes.txt"):
        store.put(key, b"{")
    (run,) = read_runs(tmp_path, layout=layout)
    check_same(run, run_of(), flat=layout == "flat")


def test_no_storage_holds_no_runs(tmp_path: Path) -> None:
    assert list(read_runs(tmp_path)) == []
    assert list(read_runs(str(tmp_path), layout="flat")) == []
    (tmp_path / "datasets").write_text("a foreign file")
    assert list(read_runs(tmp_path)) == []
    with pytest.raises(ValueError, match="there are 'lode' and 'flat'"):
        list(read_runs(tmp_path, layout="hive"))


@pytest.mark.parametrize("layout", ["lode", "flat"])
def test_a_root_that_is_no_folder_is_no_empty_storage(layout: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileNotFoundError, match="nowhere"):
        list(read_runs(tmp_path / "nowhere", layout=layout))
    with pytest.raises(NotADirectoryError, match="file"):
        list(read_runs(f"file://{tmp_path}/file", layout=layout))


@pytest.mark.parametrize("refused", ["datasets/quarry", "datasets/quarry/partitions/source=shop"])
def test_a_folder_that_cannot_be_read_is_no_empty_one(
    refused: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer(FileStore(tmp_path)).write(run_of())
    scandir = os.scandir

    def denied(path: str) -> Any:
        if path.rstrip("/").endswith(refused):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(PermissionError, match=refused):
        list(read_runs(tmp_path))


def test_a_link_that_leads_nowhere_hides_nothing(tmp_path: Path) -> None:
    writer(FileStore(tmp_path)).write(run_of())
    for folder in {path.parent for path in tmp_path.rglob("*")}:
        (folder / "a-loop").symlink_to("a-loop")
    (run,) = read_runs(tmp_path)
    check_same(run, run_of(), flat=False)


def test_the_flat_layout_may_lack_the_category() -> None:
    store = stored(run_of(), layout="flat")
    for key in list(store.list("")):
        store.put(key.replace("/category=default", ""), store.get(key))
        store.delete(key)
    run = only(store, layout="flat")
    assert (run.state, run.category, len(run.items)) == ("finished", "default", 2)


def test_a_flat_run_is_running_until_its_last_file() -> None:
    store = MemoryStore()
    writer(store, layout="flat").write(run_of(), stop=Stop("before"))
    assert only(store, layout="flat").state == "running"


@pytest.mark.parametrize(
    ("fields", "state", "outcome"),
    [
        ({"events": (), "outcome": Outcome.EXECUTOR_CRASH}, "crashed", "executor_crash"),
        ({"events": (), "outcome": Outcome.VERSION_MISMATCH}, "failed", "version_mismatch"),
        ({"events": (), "outcome": Outcome.POLICY_FAILURE, "lost": 1}, "failed", "policy_failure"),
        ({"outcome": Outcome.POLICY_FAILURE}, "finished", "policy_failure"),
        ({"metrics": False}, "finished", "success"),
    ],
)
def test_state_and_outcome(fields: dict[str, Any], state: str, outcome: str) -> None:
    run = only(stored(run_of(**fields)))
    assert (run.state, run.outcome) == (state, outcome)


@pytest.mark.parametrize(
    ("counts", "outcome"),
    [
        ({"runs_failed_total": 1, "events_received_total": 4}, "policy_failure"),
        ({"runs_failed_total": 1, "events_received_total": 4, "events_dropped_total": 1}, "script_error"),
        ({"runs_failed_total": 1, "events_received_total": 3}, "script_error"),
        ({"runs_failed_total": 0, "events_received_total": 4}, "script_error"),
        ({"runs_failed_total": 1, "events_received_total": 2, "events_persisted_total": None}, "policy_failure"),
        ({"runs_failed_total": 1, "events_received_total": 1, "events_persisted_total": None}, "script_error"),
        ({"runs_failed_total": 1, "events_received_total": None, "events_persisted_total": 0}, "script_error"),
    ],
)
def test_a_run_error_whose_events_did_not_all_arrive_is_a_failure_of_its_policy(
    counts: dict[str, int | None], outcome: str
) -> None:
    events = number_events("run-1", [("item", {}), ("item", {}), ("run_error", {})], started_at=START)
    store = stored(run_of(events=events, outcome=Outcome.SCRIPT_ERROR))
    (key,) = data_keys(store, "metrics")
    record = {**json.loads(store.get(key)), "events_persisted_total": 3, "events_dropped_total": None, **counts}
    store.put(key, encode_line({name: value for name, value in record.items() if value is not None}))
    run = only(store)
    assert (run.state, run.outcome) == ("failed", outcome)


def test_what_a_run_says_of_itself() -> None:
    fields: dict[str, Any] = {"job_id": "job-7", "attempt": 2, "parent_run_id": "run-0", "policy": Policy.BUFFERED}
    events = number_events(
        "run-1", [("item", {})], started_at=START, **{k: v for k, v in fields.items() if k != "policy"}
    )
    run = only(stored(run_of(events=events, outcome=Outcome.EXECUTOR_CRASH, **fields)))
    assert (run.job_id, run.attempt, run.parent_run_id, run.policy) == ("job-7", 2, "run-0", "buffered")
    (event,) = run.events
    assert (event.job_id, event.attempt, event.parent_run_id) == ("job-7", 2, "run-0")
    assert event.contract_version == CONTRACT_VERSION


def test_what_a_run_without_events_says_of_itself() -> None:
    run = only(stored(run_of(events=(), outcome=Outcome.EXECUTOR_CRASH, job_id="job-7")))
    assert (run.job_id, run.attempt, run.parent_run_id, run.policy) == ("job-7", None, None, None)


def test_a_run_without_metrics_says_of_itself_what_its_events_say() -> None:
    events = number_events("run-1", [("item", {})], started_at=START, job_id="job-7")
    run = only(stored(run_of(events=events, outcome=Outcome.EXECUTOR_CRASH, job_id="job-7", metrics=False)))
    assert (run.job_id, run.metrics, run.state) == ("job-7", None, "running")


@pytest.mark.parametrize("wrong", [17, None, [], {"list": 1}])
def test_what_is_no_storage_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError) as refused:
        read_runs(wrong)
    words = "give a folder, a URL, or an object with list(prefix) and get(key)"
    assert str(refused.value) == f"read_runs() got {wrong!r}; {words}"


@pytest.mark.parametrize("name", ["list", "get"])
def test_what_has_one_half_of_a_storage_is_refused(name: str) -> None:
    half = type("Half", (), {name: lambda self, key: iter(()), "__repr__": lambda self: "x" * 999})()
    with pytest.raises(TypeError, match=r"^read_runs\(\) got x{184}; give a folder"):
        read_runs(half)


def test_a_name_that_a_record_lacks_is_empty() -> None:
    store = stored(run_of(items=1, policy=Policy.BUFFERED, metrics=False))
    for key in [key for key in store.list(PARTS) if key.endswith("/data/data")]:
        store.put(key, encode_line({**json.loads(store.get(key)), "category": 7}))
    assert (only(store).category, only(store).source) == ("", "shop")


class TestLost:
    """Storage that lost data, or manifests: no run of it is forgotten."""

    @pytest.mark.parametrize("items", [1, 2])
    def test_a_run_of_which_all_data_is_lost(self, items: int) -> None:
        store = stored(run_of(items=items, metrics=False))
        lost = [key for key in store.list(PARTS) if key.endswith("/data/data")]
        assert len(lost) == items + 1
        for key in lost:
            store.delete(key)
        writer(store).write(run_of("run-2", dataset="zoo"))
        gone, whole = read_runs(store)
        assert (gone.run_id, gone.state, gone.events) == ("run-1", "running", ())
        assert [words for words in gone.damage if "cannot be read" in words] == [
            f"data file cannot be read (NoSuchKey): {key}" for key in lost
        ]
        check_same(whole, run_of("run-2", dataset="zoo"))

    def test_a_run_of_which_nothing_is_left_but_its_manifests(self) -> None:
        store = stored(run_of("run-2"), run_of(items=1, metrics=False), run_of("run-0"))
        for key in list(store.list(f"{PARTS}/")):
            store.delete(key)
        runs = list(read_runs(store))
        assert [(run.run_id, run.state, len(run.events)) for run in runs] == [
            ("run-0", "finished", 3),
            ("run-1", "running", 0),
            ("run-2", "finished", 3),
        ]
        assert sum("its copy is missing or torn" in words for words in runs[1].damage) == 2
        assert sum("data file cannot be read" in words for words in runs[1].damage) == 2

    def test_names_of_a_run_without_records_are_its_paths(self) -> None:
        store = stored(run_of(), layout="flat")
        for key in list(store.list("")):
            store.put(key.replace("/category=default", "").replace("run-1", "%FF%20"), b"")
            store.delete(key)
        run = only(store, layout="flat")
        assert (run.run_id, run.source, run.category, run.day) == ("\ufffd ", "shop", "", "2026-02-01")

    def test_a_dataset_without_any_manifest(self) -> None:
        store = stored(run_of())
        for key in list(store.list("datasets/quarry/segments/")):
            store.delete(key)
        run = only(store)
        assert (run.run_id, run.state, run.events) == ("run-1", "uncommitted", ())


def test_a_running_run_has_no_outcome() -> None:
    store = MemoryStore()
    writer(store).write(run_of(), stop=Stop("before"))
    run = only(store)
    assert (run.state, run.outcome, run.metrics, run.attempt) == ("running", None, None, 1)


@given(data=st.data(), how=st.sampled_from(["cut", "empty", "remove", "garbage"]))
@settings(calm, max_examples=150)
def test_damage_to_one_run_never_reaches_another(data: st.DataObject, how: str) -> None:
    sidecars = (Sidecar(name="f", data=b"1"),)
    sound = run_of("sound", sidecars=sidecars)
    store = stored(run_of("hurt", policy=Policy.BUFFERED, sidecars=sidecars), sound)
    manifest = next(key for key in store.list("datasets/quarry/segments/") if b"run_id=hurt" in store.get(key))
    keys = [manifest, *(key for key in store.list("") if "run_id=hurt" in key)]
    key = data.draw(st.sampled_from(keys))
    content = store.get(key)
    if how == "remove":
        store.delete(key)
    else:
        cut = data.draw(st.integers(0, len(content) - 1))
        store.put(key, {"cut": content[:cut], "empty": b"", "garbage": b"\xff" + content}[how])
    found = {run.run_id: run for run in read_runs(store)}
    check_same(found["sound"], sound)
    hurt = found["hurt"]
    whole = (hurt.state, len(hurt.events), hurt.metrics is not None, hurt.complete_partitions, len(hurt.sidecars))
    assert hurt.damage or whole == ("finished", 3, True, True, 1)


@pytest.mark.parametrize("layout", ["lode", "flat"])
@given(data=st.data(), new=odd)
@settings(calm, max_examples=300)
def test_values_nobody_expects_never_stop_the_reader(layout: str, data: st.DataObject, new: Any) -> None:
    sound = run_of("sound", sidecars=(Sidecar(name="f", data=b"1"),))
    commit = {"artifact_id": "a", "name": "n", "content_type": "t", "size_bytes": 0}
    events = number_events("hurt", [("item", {}), ("artifact", commit), ("run_error", {})], started_at=START)
    artifacts, files = (Artifact(artifact_id="a", chunks=(b"abc", b"de")),), (Sidecar(name="f", data=b"1"),)
    hurt = run_of("hurt", events=events, artifacts=artifacts, sidecars=files, outcome=Outcome.SCRIPT_ERROR)
    store = stored(hurt, sound, layout=layout)
    misstate(store, data, new, mark=b"run_id=hurt")
    check_same({run.run_id: run for run in read_runs(store, layout=layout)}["sound"], sound, flat=layout == "flat")


@pytest.mark.parametrize("up", ["../secret", "a/../../secret", "{root}/../secret"])
def test_a_manifest_does_not_lead_out_of_the_root(up: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"1")
    store = FileStore(tmp_path / "root")
    writer(store).write(run_of(sidecars=(Sidecar(name="f", data=b"1"),)))
    path = up.replace("{root}", str(tmp_path / "root"))
    for key in store.list("datasets/quarry/segments/"):
        store.put(key, store.get(key).replace(f'"{PARTS}/files/f"'.encode(), json.dumps(path).encode()))
    (run,) = read_runs(tmp_path / "root")
    assert (run.state, run.sidecars) == ("finished", ())
    assert any("outside of the storage root" in words and path in words for words in run.damage)


@pytest.mark.parametrize("value", ["1e999", "true", '"1"', "1.5", "null", "[]"])
def test_a_number_that_is_none_is_described(value: str) -> None:
    store = stored(run_of(items=2, policy=Policy.BUFFERED))
    (key,) = data_keys(store)
    store.put(key, store.get(key).replace(b'"seq":1,', f'"seq":{value},'.encode()))
    run = only(store)
    assert [one.seq for one in run.items] == [2]
    assert any("lacks or misstates seq" in words and key in words for words in run.damage)


def test_a_run_id_with_a_nul_is_read_from_a_store_as_from_its_folder(tmp_path: Path) -> None:
    storage = Storage.on_disk(tmp_path)
    run = storage.run("run\0x")
    run.item({"sku": 1})
    run.complete()
    assert [run.run_id for run in read_runs(FileStore(tmp_path))] == ["run\0x"]
    assert [run.run_id for run in read_runs(tmp_path)] == ["run\0x"]
