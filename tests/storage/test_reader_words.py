"""What the reader says of damage, word for word: reports quote it. Found by mutation testing."""

import json
from typing import Any

import pytest
from made_runs import run_of, writer
from test_reader import FOLDER, PARTS, data_keys, only, stored

from pytest_quarry.contract import Policy, Sidecar, encode_line
from pytest_quarry.storage import MemoryStore, StoredSidecar, read_runs


def snapshots(store: MemoryStore) -> list[str]:
    return [key.split("/")[-2] for key in store.list("datasets/quarry/segments/")]


def item_snapshot(store: MemoryStore) -> str:
    return data_keys(store)[0].split("/")[-3]


def canonical(snapshot: str) -> str:
    return f"datasets/quarry/segments/{snapshot}/manifest.json"


class Closed(MemoryStore):
    """A store that refuses to show some keys."""

    refused: BaseException
    closed: tuple[str, ...] = ()

    def get(self, key: str) -> bytes:
        if key in self.closed:
            raise self.refused
        return super().get(key)


class TestUncommitted:
    """Data of a snapshot whose canonical manifest does not count."""

    @staticmethod
    def words(store: MemoryStore, reason: str) -> tuple[str, ...]:
        keys = [key for key in store.list(PARTS) if key.endswith("/data/data") and item_snapshot(store) in key]
        return tuple(f"snapshot {item_snapshot(store)} is not committed ({reason}): {key}" for key in keys)

    def test_no_manifest(self) -> None:
        store = stored(run_of(items=1))
        store.delete(canonical(item_snapshot(store)))
        assert only(store).damage == self.words(store, "no canonical manifest")

    @pytest.mark.parametrize("absent", [FileNotFoundError("gone"), KeyError("gone")])
    def test_one_that_is_gone_when_it_is_read(self, absent: BaseException) -> None:
        store = Closed()
        writer(store).write(run_of(items=1))
        store.refused, store.closed = absent, (canonical(item_snapshot(store)),)
        assert only(store).damage == self.words(store, "no canonical manifest")

    def test_one_that_cannot_be_read(self) -> None:
        store = Closed()
        writer(store).write(run_of(items=1))
        store.refused, store.closed = PermissionError("no"), (canonical(item_snapshot(store)),)
        assert only(store).damage == self.words(store, "its canonical manifest cannot be read: PermissionError")

    def test_one_that_does_not_name_the_file(self) -> None:
        store = stored(run_of(items=1))
        key = canonical(item_snapshot(store))
        store.put(key, json.dumps({**json.loads(store.get(key)), "files": []}).encode())
        assert only(store).damage == self.words(store, "its canonical manifest does not name it")

    def test_one_that_names_what_is_in_no_partition(self) -> None:
        store = stored(run_of(items=1))
        key = canonical(item_snapshot(store))
        store.put(key, json.dumps({"files": [{"path": "else/where", "size_bytes": 1}]}).encode())
        reason = "its canonical manifest names 'else/where', which is in no partition"
        assert only(store).damage == self.words(store, reason)


class TestRecords:
    """Records that cannot be used, and what is read all the same."""

    def test_lines_that_are_no_records(self) -> None:
        store = stored(run_of(items=1, policy=Policy.BUFFERED))
        (key,) = data_keys(store)
        line = store.get(key)
        store.put(key, b"[]\n" + line + b"7\n" + encode_line({**json.loads(line), "payload": 7}) + line)
        run = only(store)
        assert [event.seq for event in run.items] == [1]
        assert run.damage[1:] == (
            f"line 1 does not parse (not an object): {key}",
            f"line 3 does not parse (not an object): {key}",
            f"a record of kind event lacks or misstates payload: {key}",
        )

    @pytest.mark.parametrize(("kind", "field"), [("item", "job_id"), ("item", "parent_run_id"), ("metrics", "job_id")])
    def test_a_text_that_is_none(self, kind: str, field: str) -> None:
        store = stored(run_of(items=1, policy=Policy.BUFFERED))
        (key,) = data_keys(store, kind)
        store.put(key, encode_line({**json.loads(store.get(key)), field: 7}))
        run = only(store)
        name = "metrics" if kind == "metrics" else "event"
        assert f"a record of kind {name} lacks or misstates {field}: {key}" in run.damage
        assert (run.metrics is None, len(run.items)) == ((True, 1) if kind == "metrics" else (False, 0))


def test_a_copy_that_is_missing_names_snapshot_and_copy() -> None:
    store = stored(run_of(items=1))
    copy = data_keys(store)[0].removesuffix("data/data") + "manifest.json"
    store.delete(copy)
    assert only(store).damage == (f"snapshot {item_snapshot(store)} is committed, its copy is missing or torn: {copy}",)


def test_a_committed_path_that_is_no_data_file_is_named_whole() -> None:
    store = stored(run_of(items=1))
    key, odd = canonical(item_snapshot(store)), f"{PARTS}/event_type=item/odd"
    manifest = json.loads(store.get(key))
    manifest["files"] = [*manifest["files"], {"path": odd, "size_bytes": 1}]
    store.put(key, json.dumps(manifest).encode())
    assert f"snapshot {odd} is committed, its copy is missing or torn: {odd}manifest.json" in only(store).damage


@pytest.mark.parametrize("order", [1, -1])
def test_runs_are_found_in_whatever_order_a_store_lists(order: int) -> None:
    class Listed(MemoryStore):
        def list(self, prefix: str) -> Any:
            return iter(sorted(super().list(prefix))[::order])

    for layout in ("lode", "flat"):
        store = Listed()
        for run_id in ("run-1", "run-2"):
            writer(store, layout=layout).write(run_of(run_id, items=2))
        assert [(run.run_id, len(run.items)) for run in read_runs(store, layout=layout)] == [("run-1", 2), ("run-2", 2)]


class TestSidecars:
    """Sidecar files that no committed manifest names, in both layouts."""

    def test_one_that_nobody_names(self) -> None:
        store = stored(run_of(items=1))
        store.put(f"{PARTS}/files/a.html", b"a")
        store.put(f"{PARTS}/files/b.html", b"b")
        store.put(f"{PARTS}/files/b.html.meta.json", b"{}")
        store.put(f"{PARTS}/files/below/c.html", b"c")
        store.put(f"{PARTS}/files/d.html", b"d")
        assert only(store).damage == (
            f"sidecar file is named by no manifest and has no .meta.json: {PARTS}/files/a.html",
            f"sidecar file is named by no manifest: {PARTS}/files/b.html",
            f"sidecar file is named by no manifest and has no .meta.json: {PARTS}/files/d.html",
        )

    def test_they_are_looked_for_under_the_plain_values(self) -> None:
        store = stored(run_of("run 1", items=1))
        plain = PARTS.replace("run-1", "run 1")
        store.put(f"{plain}/files/a.html", b"a")
        found = f"sidecar file is named by no manifest and has no .meta.json: {plain}/files/a.html"
        assert only(store).damage == (found,)

    def test_committed_ones_that_cannot_be_read_cost_no_other(self) -> None:
        names = ("a", "b", "c", "d")
        store = stored(run_of(items=1, sidecars=tuple(Sidecar(name=name, data=b"1") for name in names)))
        for key in store.list("datasets/quarry/segments/"):
            text = store.get(key).replace(f"{PARTS}/files/a".encode(), b"../a")
            store.put(key, text)
        store.delete(f"{PARTS}/files/b")
        store.put(f"{PARTS}/files/c", b"12")
        run = only(store)
        assert [(sidecar.name, sidecar.data) for sidecar in run.sidecars] == [("c", b"12"), ("d", b"1")]
        assert set(run.damage) == {
            "sidecar file would be outside of the storage root: ../a",
            f"sidecar file is named by no manifest: {PARTS}/files/a",
            f"sidecar file cannot be read (NoSuchKey): {PARTS}/files/b",
            f"sidecar file has 2 bytes, its manifest says 1: {PARTS}/files/c",
        }

    def test_flat(self) -> None:
        store = stored(run_of(items=1), layout="flat")
        store.put(f"{FOLDER}/files/page.html", b"<p>")
        store.put(f"{FOLDER}/files/page.html.meta.json", b'{"content_type": "text/html"}')
        store.put(f"{FOLDER}/files/files/lost.html", b"?")
        store.put(f"{FOLDER}/other/no.html", b"?")
        run = only(store, layout="flat")
        assert run.sidecars == (
            StoredSidecar(name="files/lost.html", path=f"{FOLDER}/files/files/lost.html", content_type=None, data=b"?"),
            StoredSidecar(name="page.html", path=f"{FOLDER}/files/page.html", content_type="text/html", data=b"<p>"),
        )
        assert run.damage == (f"sidecar file has no .meta.json: {FOLDER}/files/files/lost.html",)
        assert run.dataset == ""
