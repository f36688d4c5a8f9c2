"""Quarry's storage on S3: a reader that is sound, with a poller and a handler over it, and readers that are not."""

from __future__ import annotations

import functools
import json
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import unquote

import boto3
from botocore.exceptions import ClientError

from pytest_quarry.samples.handlers import INSERT, SqliteHandlerSuite, values
from pytest_quarry.samples.pollers import OrderPoller, SqlitePollerSuite
from pytest_quarry.samples.reading import FinishedRun, Storage

if TYPE_CHECKING:
    from pytest_quarry.simulation.world import World

MANIFEST = re.compile(r"datasets/[^/]+/segments/[^/]+/manifest\.json")


@functools.cache
def s3() -> Any:
    """The client of all of them."""
    return boto3.client("s3")


class BucketStorage(Storage):
    """Reads a bucket below a prefix; `items` looks at the listing that showed the run as finished."""

    def __init__(self, bucket: str, prefix: str) -> None:
        super().__init__(Path())
        self.bucket, self.prefix = bucket, prefix
        self.whole: dict[str, list[str]] = {}  # what whole manifests list: they do not change any more
        self.files: list[str] = []

    def listing(self) -> Iterator[dict[str, Any]]:
        """The objects in the bucket, page after page."""
        pages = s3().get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=f"{self.prefix}/datasets/")
        for page in pages:
            yield from page.get("Contents", [])

    def committed(self) -> list[str]:
        self.files = []
        for entry in self.listing():
            path = entry["Key"].removeprefix(f"{self.prefix}/")
            if MANIFEST.fullmatch(path):
                self.files += self.listed_in(path)
        return self.files

    def listed_in(self, manifest: str) -> list[str]:
        """The files a manifest commits; none while it is still being written."""
        if manifest not in self.whole:
            try:
                content = json.loads(self.read(manifest))
            except ValueError:
                return []
            self.whole[manifest] = [str(entry["path"]) for entry in content["files"]]
        return self.whole[manifest]

    def data_files(self, folder: str, event_type: str) -> list[str]:
        return [path for path in self.files if path.startswith(f"{folder}/event_type={event_type}/")]

    def records(self, paths: Iterable[str]) -> Iterator[dict[str, Any]]:
        for path in paths:
            for line in self.read(path).splitlines():
                yield json.loads(line)

    def read(self, path: str) -> bytes:
        """The content of an object."""
        content: bytes = s3().get_object(Bucket=self.bucket, Key=f"{self.prefix}/{path}")["Body"].read()
        return content


class BucketPollerSuite(SqlitePollerSuite):
    """Reads S3 with a paginator; rows and mark in one SQLite transaction."""

    storage = "s3"
    bucket_reader: ClassVar[type[BucketStorage]] = BucketStorage

    def prepare(self, world: World) -> None:
        super().prepare(world)
        s3()

    def start(self, world: World) -> Any:
        return self.poller(world.disk, self.bucket_reader(world.bucket, world.prefix))


class BucketHandlerSuite(SqliteHandlerSuite):
    """Told of runs on S3; rows and mark in one SQLite transaction."""

    storage = "s3"
    bucket_reader: ClassVar[type[BucketStorage]] = BucketStorage

    def prepare(self, world: World) -> None:
        super().prepare(world)
        s3()

    def start(self, world: World) -> Any:
        return self.loader(world.disk / "orders.sqlite", self.bucket_reader(world.bucket, world.prefix))


class RereadsManifests(BucketStorage):
    """Gets every manifest at every poll, also those it has known for weeks."""

    def listed_in(self, manifest: str) -> list[str]:
        self.whole.clear()
        return super().listed_in(manifest)


class RereadsManifestsSuite(BucketPollerSuite):
    """As many requests as there are manifests, each time."""

    bucket_reader = RereadsManifests


class FirstPage(BucketStorage):
    """Asks for so many keys that they were enough so far, and takes the first page for all."""

    most = 50

    def listing(self) -> Iterator[dict[str, Any]]:
        answer = s3().list_objects_v2(Bucket=self.bucket, Prefix=f"{self.prefix}/datasets/", MaxKeys=self.most)
        yield from answer.get("Contents", [])


class FirstPageSuite(BucketPollerSuite):
    """Reads the first page of a listing."""

    bucket_reader = FirstPage


class FirstPageHandlerSuite(BucketHandlerSuite):
    """Told of a run, reads the first page of a listing."""

    bucket_reader = FirstPage


class FirstFolders(BucketStorage):
    """Walks down the flat layout folder by folder, and takes the first page of a day's runs for all of them."""

    def folders(self, prefix: str) -> Iterator[str]:
        """The folders that begin so."""
        listing = s3().get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix, Delimiter="/")
        for page in listing:
            yield from (each["Prefix"] for each in page.get("CommonPrefixes", []))

    def finished_runs(self) -> list[FinishedRun]:
        found = []
        for source in self.folders(f"{self.prefix}/source="):
            for category in self.folders(f"{source}category="):
                for day in self.folders(f"{category}day="):
                    found += [run for run in self.runs_of(day) if self.ended(run)]
        return found

    def runs_of(self, day: str) -> list[FinishedRun]:
        """The runs of a day, finished or not."""
        answer = s3().list_objects_v2(Bucket=self.bucket, Prefix=f"{day}run_id=", Delimiter="/")
        found = []
        for each in answer.get("CommonPrefixes", []):
            folder = each["Prefix"].removeprefix(f"{self.prefix}/").rstrip("/")
            run_id, name = (part.partition("=")[2] for part in (folder.rpartition("/")[2], day.split("/")[-2]))
            found.append(FinishedRun(unquote(run_id), unquote(name), folder, 0))
        return found

    def ended(self, run: FinishedRun) -> bool:
        """Whether a run's last file is there."""
        return f"{self.prefix}/{run.folder}/event_type=run_complete/" in self.types_of(run.folder)

    def types_of(self, folder: str) -> list[str]:
        """The folders of a run's events."""
        return list(self.folders(f"{self.prefix}/{folder}/event_type="))

    def item_files(self, folder: str) -> list[str]:
        items = f"{self.prefix}/{folder}/event_type=item/"
        return [f"{folder}/event_type=item/data.jsonl"] if items in self.types_of(folder) else []


class FirstFoldersSuite(BucketPollerSuite):
    """Reads the first page of folders."""

    layout = "flat"
    bucket_reader = FirstFolders


class PagesUntilAnError(BucketStorage):
    """Makes do with the pages it got, of objects that changed since the last poll."""

    since = 0.0

    def listing(self) -> Iterator[dict[str, Any]]:
        try:
            yield from (entry for entry in super().listing() if entry["LastModified"].timestamp() >= self.since)
        except ClientError:
            return


class KeepsATime(OrderPoller):
    """Notes when it looked, and looks at what is newer the next time."""

    storage: PagesUntilAnError

    def poll(self) -> None:
        (since,) = self.database.execute("SELECT coalesce(max(at), 0) FROM polls").fetchone()
        self.storage.since = since - 2  # a listing tells whole seconds
        now = time.time()
        super().poll()
        with self.database:
            self.database.execute("INSERT INTO polls VALUES (?)", (now,))

    def load(self, run: FinishedRun) -> None:
        with self.database:
            self.database.executemany(INSERT, values(self.storage.items(run.folder)))
            self.database.execute("INSERT INTO loaded_runs VALUES (?)", (run.run_id,))


class PagesUntilAnErrorSuite(BucketPollerSuite):
    """Moves its checkpoint although a page is missing."""

    poller = KeepsATime
    bucket_reader = PagesUntilAnError
    tables = BucketPollerSuite.tables + "CREATE TABLE polls (at REAL NOT NULL);"
