"""Fake Quarry storage: stores, a writer that can fail in every window, an independent reader."""

from pytest_quarry.storage.reader import Readable, read_runs
from pytest_quarry.storage.s3 import S3Store
from pytest_quarry.storage.stored import StoredArtifact, StoredEvent, StoredRun, StoredSidecar
from pytest_quarry.storage.stores import FileStore, KeyTaken, MemoryStore, NoSuchKey, Store, StoreError
from pytest_quarry.storage.writer import FLAT_WINDOWS, WINDOWS, QuarryWriter, SnapshotConflict, Stop

__all__ = [
    "FLAT_WINDOWS",
    "WINDOWS",
    "FileStore",
    "KeyTaken",
    "MemoryStore",
    "NoSuchKey",
    "QuarryWriter",
    "Readable",
    "S3Store",
    "SnapshotConflict",
    "Stop",
    "Store",
    "StoreError",
    "StoredArtifact",
    "StoredEvent",
    "StoredRun",
    "StoredSidecar",
    "read_runs",
]
