"""What fake storage costs: writing against bare files, S3 against `put_object`, and the memory of the reader."""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import sys
import tempfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import boto3
import moto
from measure import Cost, Ratio, report

from pytest_quarry import read_runs
from pytest_quarry.storage import MotoStore, Storage

RUNS = 10_000
BUCKET = "benchmark"
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@contextlib.contextmanager
def mocked_bucket() -> Iterator[None]:
    """An empty bucket of moto, for as long as this lasts."""
    with moto.mock_aws():
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket=BUCKET)
        yield


def bare(files: list[tuple[str, bytes]], root: Path) -> None:
    """The same files with open().write(), their folders made once each."""
    made: set[str] = set()
    for key, data in files:
        folder, _, name = f"{root}/{key}".rpartition("/")
        if folder not in made:
            os.makedirs(folder, exist_ok=True)
            made.add(folder)
        with open(f"{folder}/{name}", "wb") as file:
            file.write(data)


def writing(base: Path) -> Ratio:
    """Strict runs of three items, in pairs with bare files, each in a fresh folder."""
    pairs: list[tuple[Cost, Cost]] = []
    for number in range(3):
        mine, theirs = base / f"mine-{number}", base / f"theirs-{number}"
        storage = Storage.on_disk(mine)
        told = Cost.of(lambda storage=storage: storage.runs(RUNS, items=3))
        files = [(key, storage.store.get(key)) for key in storage.store.list("")]
        pairs.append((told, Cost.of(lambda files=files, theirs=theirs: bare(files, theirs))))
        if number:
            shutil.rmtree(mine)
        shutil.rmtree(theirs)
    one, other = (statistics.median(pair[side].cpu for pair in pairs) for side in (0, 1))
    ratio = statistics.median(mine.cpu / theirs.cpu for mine, theirs in pairs)
    wall = statistics.median(mine.wall / theirs.wall for mine, theirs in pairs)
    detail = f"{one:.1f} s / {other:.1f} s; by the clock {wall:.2f}"
    return Ratio(f"{RUNS:,} strict runs / open().write() of their files", ratio, 3, detail)


def seeding() -> Ratio:
    """One object into moto, against `put_object` through boto3."""
    with mocked_bucket():
        client, store = boto3.client("s3", region_name="us-east-1"), MotoStore(BUCKET, "seeded")
        ratios: list[float] = []
        for batch in range(9):
            slow = Cost.of(
                lambda batch=batch: [
                    client.put_object(Bucket=BUCKET, Key=f"put/{batch}-{number}", Body=b"x" * 500)
                    for number in range(100)
                ]
            )
            fast = Cost.of(lambda batch=batch: [store.put(f"{batch}-{number}", b"x" * 500) for number in range(1000)])
            ratios.append(slow.cpu / 100 / (fast.cpu / 1000))
        return Ratio("put_object through boto3 / an object seeded", statistics.median(ratios), 20, "500 bytes", True)


def many_keys() -> Ratio:
    """Runs until the bucket holds 100,000 keys, in seconds."""
    with mocked_bucket():
        storage = Storage.in_moto(BUCKET, "lake")
        keys = 15  # of a strict run of three items: five snapshots of three files each
        took = Cost.of(lambda: storage.runs(100_000 // keys + 1, items=3))
        held = sum(1 for _ in storage.store.list(""))
        detail = f"{held:,} keys; by the clock {took.wall:.1f}"
        return Ratio("seconds to seed 100,000 keys of S3", took.cpu * 100_000 / held, 60, detail)


def reading(root: Path) -> Ratio:
    """Peak memory of reading all runs, in megabytes: one run, and the names in one folder."""

    def peak(folder: Path, expected: int) -> float:
        tracemalloc.start()
        try:
            assert sum(1 for _ in read_runs(folder)) == expected
            return tracemalloc.get_traced_memory()[1] / 1e6
        finally:
            tracemalloc.stop()

    few = root.parent / "few"
    Storage.on_disk(few).runs(100, items=3)
    peak(few, 100)
    held = sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) / 1e6
    detail = f"they hold {held:.0f} MB; reading 100: {peak(few, 100):.2f} MB"
    return Ratio(f"peak memory of reading {RUNS:,} runs, in MB", peak(root, RUNS), 2, detail)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        base = Path(name)
        sys.exit(report([writing(base), seeding(), many_keys(), reading(base / "mine-0")]))
