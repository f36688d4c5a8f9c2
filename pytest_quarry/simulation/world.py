"""One isolated universe: storage, disk, target, clock, mocked AWS. Fresh for every schedule."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pytest_quarry.bus import names
from pytest_quarry.consumers import keeper
from pytest_quarry.consumers.link import Link
from pytest_quarry.consumers.protocol import AwsAnswer, AwsCall, Boundary
from pytest_quarry.simulation.disk import DiskWatch
from pytest_quarry.simulation.target import Target
from pytest_quarry.storage import FileStore, QuarryWriter, Storage, StoredRun, read_runs

if TYPE_CHECKING:
    from pytest_quarry.bus.aws import MockedAws
    from pytest_quarry.storage.moto import MotoStore

SECOND = 1_000_000
# Virtual time starts here in every world: a Monday morning, UTC.
EPOCH = int(datetime.datetime(2026, 2, 2, 8, tzinfo=datetime.UTC).timestamp()) * SECOND
DIRECTORIES = ("disk", "storage", "tmp")


class World:
    """What a consumer under test lives in.

    `disk` survives crashes and is empty at first. `storage_root` is Quarry's storage root, written by the world;
    with storage on S3 it is `bucket` and `prefix`. `queue_url` and `topic_arn` name what else the mocked AWS holds. `target` is a target the world
    keeps. In hooks that run in the consumer's process every operation that could outlive it is a boundary;
    `boundary` names one more.
    """

    def __init__(
        self,
        base: Path,
        *,
        layout: Literal["lode", "flat"] = "lode",
        storage: Literal["fs", "s3"] = "fs",
        seed: int = 0,
    ) -> None:
        self.root = base / "world"
        self.disk = self.root / "disk"
        self.storage_root = self.root / "storage"
        self.tmp = self.root / "tmp"
        self.outputs = base / "outputs"
        self.layout = layout
        self.seed = seed
        self.now = EPOCH
        self.target = Target()
        self.topic_arn, self.queue_url = names.TOPIC_ARN, names.QUEUE_URL
        self.bucket, self.prefix = names.BUCKET, names.PREFIX
        self._aws: MockedAws | None = None
        self._link: Link | None = None
        self._make_directories()
        self.watch = DiskWatch({"disk": self.disk, "tmp": self.tmp})
        self.storage_watch = DiskWatch({"storage": self.storage_root})
        self._writing_clock = 0
        self._store: FileStore | MotoStore = FileStore(self.storage_root, clock=self._writing_time)
        if storage == "s3":
            from pytest_quarry.storage.moto import MotoStore

            self._open_aws()
            self._store = MotoStore(self.bucket, self.prefix, clock=self._writing_time)
        self._writers: dict[int, QuarryWriter] = {}

    def boundary(self, name: str) -> None:
        """In the consumer: a point at which a crash may come, named by the team that knows what is there."""
        if self._link is not None:
            self._link.boundary(Boundary(f"boundary {name}"))

    @functools.cached_property
    def storage(self) -> Storage:
        """This world's storage as the fixture `quarry_storage` gives it: for runs that `prepare` wants to be there."""
        return Storage(self._store, clock=lambda: self.now * 1000, layout=self.layout)

    @property
    def stored(self) -> Iterator[StoredRun]:
        """The runs an independent reader finds in storage now."""
        return read_runs(self._store, layout=self.layout)

    def bucket_keys(self) -> frozenset[str]:
        """The keys of all objects in its bucket now."""
        return frozenset(self._open_aws().keys(self.bucket))

    def litter(self, key: str, content: bytes) -> None:
        """Put somebody else's file into storage."""
        self._store.put(key, content)

    @property
    def time(self) -> float:
        """Virtual seconds since this world began."""
        return (self.now - EPOCH) / SECOND

    @property
    def storage_url(self) -> str:
        """The storage root as notifications name it."""
        return self._store.url

    def advance(self, seconds: float) -> None:
        """Let virtual time pass."""
        self.now += round(seconds * SECOND)

    def writer(self, clock: int) -> QuarryWriter:
        """The writer whose clock is off by so many seconds."""
        self._writing_clock = clock
        if clock not in self._writers:
            self._writers[clock] = QuarryWriter(self._store, clock=self._writing_time, layout=self.layout)
        return self._writers[clock]

    def _writing_time(self) -> int:
        """Nanoseconds since the epoch, on the clock of the writer that is at work: also its files' mtime."""
        return (self.now + self._writing_clock * SECOND) * 1000

    def aws(self, call: AwsCall) -> AwsAnswer:
        """Apply an AWS call to this world's mocked AWS."""
        answer, took = self._open_aws().apply(call, self.now)
        self.now += took
        return answer

    def _open_aws(self) -> MockedAws:
        if self._aws is None:
            from pytest_quarry.bus.aws import MockedAws

            self._aws = MockedAws(seed=self.seed, now=self.now)
        return self._aws

    @property
    def versions(self) -> tuple[int, int]:
        """Count what changed in the target and in AWS."""
        return self.target.version, self._aws.version if self._aws is not None else 0

    def _enter_child(self, link: Link) -> None:
        """In a consumer's process: this world is reached through the link from now on."""
        self._link = link
        self.target._link = link.boundary

    def _make_directories(self) -> None:
        for directory in (self.root, self.outputs):
            keeper.remove_tree(directory)
            directory.mkdir(parents=True)
        for name in DIRECTORIES:
            (self.root / name).mkdir()

    def close(self) -> None:
        """Remove everything this world wrote."""
        keeper.remove_tree(self.root)
        keeper.remove_tree(self.outputs)
