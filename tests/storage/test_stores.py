"""Stores: the same keys and bytes wherever they are, exclusive writes, swaps, and nothing outside the root."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from pytest_quarry.storage import FileStore, KeyTaken, MemoryStore, MotoStore, NoSuchKey, S3Store, Store, StoreError


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with mock_aws():
        yield boto3.client("s3", region_name="us-east-1")


buckets = count()


@pytest.fixture(params=["file", "memory", "s3", "s3-prefix", "moto", "moto-prefix"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "file":
        return FileStore(tmp_path / "root")
    if request.param == "memory":
        return MemoryStore()
    client = request.getfixturevalue("client")
    bucket, prefix = f"bucket-{next(buckets)}", "a/b" if request.param.endswith("prefix") else ""
    client.create_bucket(Bucket=bucket)
    return S3Store(bucket, prefix, client=client) if "s3" in request.param else MotoStore(bucket, prefix)


def test_what_is_put_can_be_got_listed_and_deleted(store: Store) -> None:
    keys = ["a/b", "a/b2/c", "a-b/c", "a/é", "z", "a/b2/c d"]
    for key in keys:
        store.put(key, key.encode())
    assert list(store.list("")) == sorted(keys)
    assert list(store.list("a/b")) == ["a/b", "a/b2/c", "a/b2/c d"]
    assert list(store.list("a/b2/")) == ["a/b2/c", "a/b2/c d"]
    assert list(store.list("nothing/")) == []
    assert store.get("a/é") == "a/é".encode()
    store.put("z", b"")
    assert store.get("z") == b""
    store.delete("z")
    store.delete("z")
    assert not store.exists("z")
    assert store.exists("a/b")
    with pytest.raises(NoSuchKey, match="z"):
        store.get("z")


def test_an_exclusive_write_happens_once(store: Store) -> None:
    store.put_new("a/b", b"1")
    with pytest.raises(KeyTaken, match="a/b"):
        store.put_new("a/b", b"2")
    assert store.get("a/b") == b"1"


def test_a_swap_needs_what_it_expects(store: Store) -> None:
    assert not store.swap("d/latest", b"0", b"1")
    assert not store.exists("d/latest")
    assert store.swap("d/latest", None, b"1")
    assert not store.swap("d/latest", None, b"2")
    assert not store.swap("d/latest", b"2", b"3")
    assert store.swap("d/latest", b"1", b"2")
    assert store.get("d/latest") == b"2"


@pytest.mark.parametrize("key", ["", "/a", "../a", "a/../b", "a/..", "..", ".", "./a", "a//b", "a/", "a\0b", "a/./b"])
def test_keys_that_leave_the_root_are_refused(store: Store, key: str) -> None:
    for act in (lambda: store.put(key, b""), lambda: store.put_new(key, b""), lambda: store.get(key)):
        with pytest.raises(StoreError, match="relative"):
            act()
    assert list(store.list("")) == []


@pytest.mark.parametrize("key", ["..a", "a/...", "a/..b/c", ".lode-cas-1", "a/.hidden"])
def test_dots_that_do_not_climb_are_kept(store: Store, key: str) -> None:
    store.put(key, b"x")
    assert list(store.list("")) == [key]


def test_urls_name_the_root_unescaped(tmp_path: Path) -> None:
    assert FileStore(tmp_path / "my root").url == f"file://{tmp_path}/my root"
    assert S3Store("b", "", client=object()).url == "s3://b"
    assert S3Store("b", "/p/q/", client=object()).url == "s3://b/p/q"


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o000])
def test_modes_are_quarrys_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        store = FileStore(tmp_path / "root")
        store.put("d/x", b"")
        store.put_new("d/e/y", b"")
        store.swap("d/latest", None, b"1")
    finally:
        os.umask(before)
    modes = {path.relative_to(tmp_path).as_posix(): stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert modes == {
        "root": 0o755,
        "root/d": 0o755,
        "root/d/e": 0o755,
        "root/d/x": 0o644,
        "root/d/e/y": 0o644,
        "root/d/latest": 0o600,
        "root/d/latest.lock": 0o644,
    }


def test_an_interrupted_swap_leaves_its_temporary_file(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    store.swap("d/latest", None, b"1")
    stray = store.interrupt_swap("d/latest", b"2")
    assert stray is not None
    assert stray.startswith("d/.lode-cas-")
    assert (store.get(stray), store.get("d/latest")) == (b"2", b"1")
    assert store.get("d/latest.lock") == b""


def test_a_tree_removed_meanwhile_is_made_again(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "root")
    store.put("a/b/c", b"1")
    (tmp_path / "root" / "a" / "b" / "c").unlink()
    (tmp_path / "root" / "a" / "b").rmdir()
    store.put("a/b/c", b"2")
    assert store.get("a/b/c") == b"2"


@given(key=st.text(alphabet=st.sampled_from("./a\0"), max_size=8))
@settings(deadline=None)
def test_no_key_of_dots_and_slashes_escapes(key: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    outer = tmp_path_factory.mktemp("outer")
    store = FileStore(outer / "x" / "root")
    with suppress(StoreError, OSError):
        store.put(key, b"x")
    assert all(path.is_relative_to(outer / "x" / "root") for path in outer.rglob("*") if path.is_file())
