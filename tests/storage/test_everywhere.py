"""The same run gives the same keys and bytes in every store, and hostile names leave the root of none."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_runs import calm, check_same, names, run_of
from moto import mock_aws
from pyfakefs.fake_filesystem_unittest import Patcher

from pytest_quarry.contract import ContractError, Run, Sidecar
from pytest_quarry.storage import (
    FLAT_WINDOWS,
    WINDOWS,
    FileStore,
    MemoryStore,
    MotoStore,
    QuarryWriter,
    S3Store,
    Storage,
    Store,
    StoreError,
    VirtualClock,
    read_runs,
)
from pytest_quarry.strategies import runs

BUCKET = "bucket"


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with mock_aws():
        made = boto3.client("s3", region_name="us-east-1")
        made.create_bucket(Bucket=BUCKET)
        yield made


def fill(store: Store, run: Run, **options: Any) -> dict[str, bytes]:
    ticks = count(1_795_420_857_000_000_000, 1000)
    QuarryWriter(store, clock=lambda: next(ticks), **options).write(run)
    return {key: store.get(key) for key in store.list("") if not key.endswith("/latest.lock")}


prefixes = count()


@pytest.mark.parametrize("layout", ["lode", "flat"])
@given(run=runs(ids="hostile"))
@settings(calm, max_examples=12)
def test_stores_agree_key_by_key(layout: str, run: Run, client: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    prefix = f"p{next(prefixes)}/lake"
    s3 = S3Store(BUCKET, f"{prefix}/one", client=client)
    stores: list[Store] = [
        MemoryStore(),
        s3,
        MotoStore(BUCKET, f"{prefix}/two"),
        FileStore(tmp_path_factory.mktemp("r")),
    ]
    memory, *others = (fill(store, run, layout=layout) for store in stores)
    for store, other in zip(stores[1:], others, strict=True):
        assert list(other) == list(memory) == sorted(memory), store
        if store.backend == "fs":
            assert other == memory
        else:
            # The metrics name the backend, and manifests the size of that.
            assert {key: data.replace(b'"s3"', b'"fs"') for key, data in other.items()} == memory
    for found in (s3, f"{s3.url}/"):
        (stored,) = read_runs(found, layout=layout, **({"client": client} if isinstance(found, str) else {}))
        check_same(stored, run, flat=layout == "flat")


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize(
    ("layout", "window"), [*(("lode", window) for window in WINDOWS), *(("flat", window) for window in FLAT_WINDOWS)]
)
def test_every_window_is_the_same_in_every_store(layout: str, window: str, tmp_path: Path) -> None:
    def contents(storage: Storage) -> dict[str, bytes]:
        return {
            key: storage.store.get(key).replace(b'"storage_backend":"s3"', b'"storage_backend":"fs"')
            for key in storage.store.list("")
            if "/latest.lock" not in key and "/.lode-cas-" not in key
        }

    def stands_still() -> int:
        return 1_770_019_200_000_000_000

    places: list[Storage] = [
        Storage.on_disk(tmp_path / "root", clock=stands_still, layout=layout),
        Storage.in_moto(BUCKET, f"p{next(prefixes)}", clock=stands_still, layout=layout),
        Storage.in_memory(clock=stands_still, layout=layout),
    ]
    seen, trees = [], []
    for storage in places:
        run = storage.run("run 1", source="my/shop", policy="streaming")
        run.item({"sku": 1})
        run.artifact("page.html", b"<html>")
        run.sidecar("shot.png", b"png") if layout == "flat" or window in ("w7", "w8") else None
        run.item({"sku": 2})
        run.sidecar("last.png", b"png") if window in ("w7", "w8") else None
        run.crash(window=window)
        died, tree = contents(storage), storage.tree()
        run.resume()
        seen.append((died, contents(storage)))
        trees.append([line for line in tree.splitlines()[1:] if "latest.lock" not in line and ".lode-cas-" not in line])
        assert (".lode-cas-" in tree) == (window == "w2" and storage is places[0])
    on_disk, in_s3, in_memory = seen
    assert on_disk == in_s3 == in_memory
    assert trees[0] == trees[1] == trees[2]
    assert on_disk[0] != on_disk[1]


@given(source=names, category=names, run_id=names, name=names, dataset=names, layout=st.sampled_from(["lode", "flat"]))
@settings(calm, max_examples=30)
def test_hostile_names_leave_no_root(
    source: str, category: str, run_id: str, name: str, dataset: str, layout: str, client: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    outer = tmp_path_factory.mktemp("outer")
    prefix = f"p{next(prefixes)}"
    storages = [
        Storage.on_disk(outer / "a" / "root", layout=layout),
        Storage.in_moto(BUCKET, f"{prefix}/a/root", layout=layout),
        Storage(S3Store(BUCKET, f"{prefix}/a/other", client=client), layout=layout),
        Storage.in_memory(layout=layout),
    ]
    for storage in storages:
        with suppress(ContractError, StoreError, ValueError):
            run = storage.run(run_id, source=source, category=category, dataset=dataset)
            run.item({"name": name})
            with suppress(ContractError, StoreError):
                run.sidecar(name, b"x")
            run.artifact(name, b"x", artifact_id=name)
            run.complete()
            assert [item.data for item in storage.read()[0].items] == [{"name": name}]
        assert not any(part in ("", ".", "..") for key in storage.store.list("") for part in key.split("/"))
    assert all(path.is_relative_to(outer / "a" / "root") for path in outer.rglob("*") if path.is_file())
    everything = MotoStore(BUCKET, prefix)
    assert all(key.startswith(("a/root/", "a/other/")) for key in everything.list(""))


def test_objects_are_those_of_put_object(client: Any) -> None:
    client.put_object(Bucket=BUCKET, Key="same/put", Body=b"body")
    MotoStore(BUCKET, "same").put("seeded", b"body")
    put, seeded = (
        client.get_object(Bucket=BUCKET, Key=f"same/{name}", ChecksumMode="ENABLED") for name in ("put", "seeded")
    )
    for answer in (put, seeded):
        assert answer.pop("Body").read() == b"body"
        answer.pop("LastModified")
        answer["ResponseMetadata"] = answer["ResponseMetadata"]["HTTPStatusCode"]
    assert put == seeded
    heads = [client.head_object(Bucket=BUCKET, Key=f"same/{name}") for name in ("put", "seeded")]
    assert heads[0]["ETag"] == heads[1]["ETag"]
    listed = client.list_objects_v2(Bucket=BUCKET, Prefix="same/")["Contents"]
    for entry in listed:
        del entry["Key"], entry["LastModified"]
    assert listed[0] == listed[1]
    # And a conditional put by a client meets what was seeded.
    client.put_object(Bucket=BUCKET, Key="same/seeded", Body=b"2", IfMatch=heads[1]["ETag"])
    with pytest.raises(client.exceptions.ClientError, match="PreconditionFailed"):
        client.put_object(Bucket=BUCKET, Key="same/seeded", Body=b"3", IfNoneMatch="*")
    assert MotoStore(BUCKET, "same").get("seeded") == b"2"


def test_last_modified_follows_the_clock(client: Any) -> None:
    clock = VirtualClock()
    storage = Storage.in_moto(BUCKET, "times", clock=clock)
    storage.run("run-1", clock_off=-600).complete()
    clock.advance(-86_400)
    storage.run("run-2").complete()
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="times/")
    for entry in (entry for page in pages for entry in page["Contents"] if "run_id=" in entry["Key"]):
        written = clock.now() + timedelta(seconds=86_400 - 600 if "run_id=run-1" in entry["Key"] else 0)
        assert abs(written - entry["LastModified"]) < timedelta(seconds=2)


def test_versioned_buckets_keep_versions_and_deleted_keys_are_gone(client: Any) -> None:
    client.create_bucket(Bucket="versioned")
    client.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    store = MotoStore("versioned")
    store.put("a", b"1")
    store.put("a", b"2")
    assert len(client.list_object_versions(Bucket="versioned")["Versions"]) == 2
    store.delete("a")
    assert (list(store.list("")), store.exists("a")) == ([], False)
    assert store.swap("a", None, b"3")
    assert client.get_object(Bucket="versioned", Key="a")["Body"].read() == b"3"


def test_a_bucket_that_is_not_there_is_said_with_those_that_are(client: Any) -> None:
    with pytest.raises(StoreError, match=r"which has .*bucket.*; create it inside mock_aws"):
        Storage.in_moto("nowhere")


def test_more_than_a_thousand_keys(client: Any) -> None:
    storage = Storage.in_moto(BUCKET, "many")
    storage.runs(70, items=3)
    assert sum(1 for _ in S3Store(BUCKET, "many", client=client).list("")) > 1_000
    found = list(read_runs(storage.url, client=client))
    assert len(found) == 70
    assert all(run.state == "finished" and run.damage == () for run in found)


def test_a_key_too_long_for_s3_or_for_the_disk(client: Any, tmp_path: Path) -> None:
    for store in (S3Store(BUCKET, client=client), MotoStore(BUCKET)):
        with pytest.raises(StoreError, match="1,024 bytes"):
            store.put("a" * 1025, b"")
    disk = FileStore(tmp_path)
    with pytest.raises(StoreError, match="too long for this file system"):
        disk.put("a" * 300, b"")
    disk.put("a", b"")
    with pytest.raises(StoreError, match="a part of it is a file already"):
        disk.put("a/b", b"")


def test_the_disk_may_be_pyfakefs() -> None:
    with Patcher():
        storage = Storage.on_disk("/fake/root")
        run = storage.run("run-1", source="my shop")
        run.item({"n": 1})
        run.sidecar("a.txt", b"x")
        run.complete()
        storage.run("run-2").crash(window="w2")
        stored = list(read_runs("/fake/root"))
        assert stored == storage.read()
        assert Path("/fake/root/datasets/quarry/latest").stat().st_mode & 0o777 == 0o600
    assert not Path("/fake").exists()
    assert [(one.run_id, one.state) for one in stored] == [("run-1", "finished"), ("run-2", "uncommitted")]


@pytest.mark.parametrize(
    ("root", "words"),
    [("s3://", "names no bucket"), ("gs://bucket", "there are folders"), ("https://x/y", "there are folders")],
)
def test_urls_that_cannot_be_read(root: str, words: str, client: Any) -> None:
    with pytest.raises(ValueError, match=words):
        read_runs(root, client=client if root.startswith("s3") else None)


def test_file_urls_are_read_escaped_or_not(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "my root")
    fill(store, run_of(sidecars=(Sidecar(name="a", data=b""),)))
    assert len(list(read_runs(store.url))) == 1
    assert len(list(read_runs((tmp_path / "my root").as_uri()))) == 1
    with pytest.raises(ValueError, match="only those are read with a client"):
        read_runs(tmp_path, client=object())


def test_keys_in_any_order_are_read_too() -> None:
    class Shuffled(MemoryStore):
        def list(self, prefix: str) -> Iterator[str]:
            return iter(sorted(super().list(prefix), key=lambda key: key[::-1]))

    for layout in ("lode", "flat"):
        store = Shuffled()
        for number in range(3):
            fill(store, run_of(f"run-{number}"), layout=layout)
        found = list(read_runs(store, layout=layout))
        assert [(run.run_id, run.state, run.damage) for run in found] == [
            (f"run-{number}", "finished", ()) for number in range(3)
        ]
