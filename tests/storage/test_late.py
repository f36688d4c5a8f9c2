"""Storage that readers see later than it is written: a listing that lags, and one that shows a run in pieces."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from pytest_quarry.storage import FileStore, Storage, StoreError, VirtualClock

MORNING = datetime(2026, 2, 2, 8, tzinfo=UTC)
BUCKET = "bucket"


@pytest.fixture
def bucket() -> Iterator[None]:
    with mock_aws():
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket=BUCKET)
        yield


@pytest.fixture(params=["fs", "s3", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Makes storage of a sort, empty each time."""
    made = 0

    def make(**options: Any) -> Storage:
        nonlocal made
        made += 1
        options = {"clock": VirtualClock(MORNING), **options}
        if request.param == "fs":
            return Storage.on_disk(tmp_path / f"{made}", **options)
        if request.param == "s3":
            return Storage.in_moto(BUCKET, f"{made}", **options)
        return Storage.in_memory(**options)

    if request.param == "s3":
        request.getfixturevalue("bucket")
    return make


def contents(storage: Storage) -> dict[str, bytes]:
    return {key: storage.store.get(key) for key in storage.store.list("")}


def tell(storage: Storage, *, late: bool) -> None:
    first = storage.run("run-1")
    first.item({"sku": 1})
    first.complete()
    second = storage.run("run-2")
    second.item({"sku": 2})
    if late:
        storage.lag()
    second.artifact("page.html", b"<html>")
    second.sidecar("shot.png", b"png")
    second.item({"sku": 3})
    second.complete()
    storage.runs(2, policy="buffered", interleaved=True)


@pytest.mark.parametrize("layout", ["lode", "flat"])
def test_what_is_written_late_is_in_the_end_the_same(place: Any, layout: str) -> None:
    stands_still = {"clock": lambda: 1_770_019_200_000_000_000, "layout": layout}
    plain, late = place(**stands_still), place(**stands_still)
    tell(plain, late=False)
    tell(late, late=True)
    assert len(contents(late)) < len(contents(plain))
    late.catch_up()
    assert contents(late) == contents(plain)


def test_a_run_appears_in_pieces(place: Any) -> None:
    storage = place()
    storage.lag()
    run = storage.run("run-1")
    run.item({"sku": 1})
    run.complete()
    assert storage.read() == []
    assert list(storage.store.list("")) == []
    states, appeared = [], []
    while shown := storage.show(1):
        appeared += shown
        assert sorted(appeared) == sorted({*storage.store.list("")} - {"datasets/quarry/latest.lock"})
        states.append([(run.state, len(run.items)) for run in storage.read()])
    assert states[0] == [("uncommitted", 0)]
    assert ("running", 1) in [found for (found,) in states]
    assert states[-1] == [("finished", 1)]


def test_any_order_is_the_same_for_the_same_seed(place: Any) -> None:
    def appeared(seed: int | None) -> list[str]:
        storage = place()
        storage.lag(seed=seed)
        storage.run("run-1").complete()
        storage.run("run-2").complete()
        return [key for number in (3, 0, 2, 1) for key in storage.show(number)] + list(storage.show())

    in_order, one, other = appeared(None), appeared(1), appeared(2)
    assert sorted(in_order) == sorted(one) == sorted(other)
    assert one == appeared(1)
    assert len({tuple(in_order), tuple(one), tuple(other)}) == 3


def test_lagging_goes_on_until_it_has_caught_up(place: Any) -> None:
    storage = place()
    storage.lag()
    storage.run("run-1").complete()
    assert storage.show()
    storage.run("run-2").complete()
    assert [run.run_id for run in storage.read()] == ["run-1"]
    assert storage.catch_up()
    assert storage.catch_up() == storage.show() == ()
    storage.run("run-3").complete()
    assert [run.run_id for run in storage.read()] == ["run-1", "run-2", "run-3"]


@pytest.mark.usefixtures("bucket")
def test_files_are_as_old_as_their_writing(tmp_path: Path) -> None:
    clock = VirtualClock(MORNING)
    disk, s3 = Storage.on_disk(tmp_path / "root", clock=clock), Storage.in_moto(BUCKET, clock=clock)
    for storage in (disk, s3):
        storage.lag()
        storage.run("run-1").complete()
    clock.advance(7_200)
    for storage in (disk, s3):
        storage.catch_up()
    times = [path.stat().st_mtime for path in disk.root.rglob("*") if path.is_file()]
    listed = boto3.client("s3", region_name="us-east-1").list_objects_v2(Bucket=BUCKET)["Contents"]
    times += [entry["LastModified"].timestamp() for entry in listed]
    assert len(times) > 8
    assert all(abs(time - MORNING.timestamp()) < 2 for time in times)


def test_a_pointer_that_was_late_is_still_a_swapped_file(tmp_path: Path) -> None:
    storage = Storage.on_disk(tmp_path / "root")
    storage.run("run-1").complete()
    storage.lag()
    storage.run("run-2").complete()
    before = os.stat(storage.root / "datasets/quarry/latest").st_ino
    storage.catch_up()
    found = os.stat(storage.root / "datasets/quarry/latest")
    assert (found.st_mode & 0o777, found.st_ino != before) == (0o600, True)
    assert (storage.root / "datasets/quarry/latest").read_text() == max(
        key.split("/")[3] for key in storage.store.list("datasets/quarry/segments/")
    )


def test_a_writer_dies_and_goes_on_unseen(place: Any) -> None:
    storage = place()
    storage.lag()
    for window in ("w1c", "w2", "w4", "w6b"):
        run = storage.run(f"run-{window}")
        run.item({"sku": window})
        run.crash(window=window)
        run.resume()
    storage.catch_up()
    assert {(run.state, len(run.items), run.damage) for run in storage.read()} == {("finished", 1, ())}


def test_what_cannot_be_asked_is_said() -> None:
    storage = Storage.in_memory()
    with pytest.raises(TypeError, match=r"lag\(seed='x'\): a whole number, or None"):
        storage.lag(seed="x")  # type: ignore[arg-type]
    for wrong in (-1, 1.5, True, "all"):
        with pytest.raises(ValueError, match=r"show\(.*\): a number of files, 0 or more"):
            storage.show(wrong)  # type: ignore[arg-type]


def test_a_key_that_cannot_be_stored_is_said_when_it_appears(tmp_path: Path) -> None:
    storage = Storage(FileStore(tmp_path / "root"))
    storage.lag()
    storage.run("x" * 300).complete()
    with pytest.raises(StoreError, match="a name in it is too long for this file system"):
        storage.show()
