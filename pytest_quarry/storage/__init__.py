"""Fake Quarry storage: stores, a writer that can fail in every window, an independent reader."""

from pytest_quarry.storage.clock import VirtualClock
from pytest_quarry.storage.moto import MotoStore
from pytest_quarry.storage.pointer import SnapshotConflict
from pytest_quarry.storage.reader import Readable, read_runs
from pytest_quarry.storage.run_fields import RunFields
from pytest_quarry.storage.s3 import S3Store
from pytest_quarry.storage.stored import StoredArtifact, StoredEvent, StoredRun, StoredSidecar
from pytest_quarry.storage.stores import FileStore, KeyTaken, MemoryStore, NoSuchKey, Store, StoreError
from pytest_quarry.storage.story import Storage
from pytest_quarry.storage.telling import RunStory
from pytest_quarry.storage.windows import FLAT_WINDOWS, WINDOWS, Stop
from pytest_quarry.storage.writer import QuarryWriter

__all__ = [
    "FLAT_WINDOWS",
    "WINDOWS",
    "FileStore",
    "KeyTaken",
    "MemoryStore",
    "MotoStore",
    "NoSuchKey",
    "QuarryWriter",
    "Readable",
    "RunFields",
    "RunStory",
    "S3Store",
    "SnapshotConflict",
    "Stop",
    "Storage",
    "Store",
    "StoreError",
    "StoredArtifact",
    "StoredEvent",
    "StoredRun",
    "StoredSidecar",
    "VirtualClock",
    "read_runs",
]
