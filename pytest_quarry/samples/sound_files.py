"""Sound handlers that load into files: a marker by rename, a staging directory, a ledger that recovers, marks of one size."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pytest_quarry.samples.handlers import Notification
from pytest_quarry.samples.reading import Item, Storage
from pytest_quarry.suites import EventBusConformance

if TYPE_CHECKING:
    from pytest_quarry.simulation.world import World


def replace_file(path: Path, text: str) -> None:
    """Write a file that is there whole or not at all; no two writers share a temporary file."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, suffix=".tmp", delete=False) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(file.name, path)


def file_name(name: str) -> str:
    """An id as a file name: no two ids share one."""
    return quote(name, safe="")


def as_lines(items: list[Item]) -> str:
    """Items as JSON lines."""
    return "".join(json.dumps(asdict(item)) + "\n" for item in items)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows in a file of JSON lines, as far as they are whole."""
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
    entries = []
    for line in lines:
        with contextlib.suppress(ValueError):
            entries.append(json.loads(line))
    return [{"run_id": row["run_id"], "item": row["event_id"]} for row in entries if "event_id" in row]


class FileLoader:
    """Loads successful runs into files below a folder; how is up to `load`."""

    def __init__(self, folder: Path, storage: Storage) -> None:
        self.folder, self.storage = folder, storage

    def handle(self, notification: Notification) -> None:
        """Load the run a notification announces."""
        if notification.get("event_type") != "run_completed" or notification.get("outcome") != "success":
            return
        folder = self.storage.announced(notification["storage_path"])
        self.load(notification["run_id"], self.storage.items(folder))

    def load(self, run_id: str, items: list[Item]) -> None:
        """Load one run."""
        raise NotImplementedError


class MarkerByRename(FileLoader):
    """A run's rows in one file, then an empty marker; both appear by rename."""

    def __init__(self, folder: Path, storage: Storage) -> None:
        super().__init__(folder, storage)
        for name in ("orders", "loaded"):
            (folder / name).mkdir(exist_ok=True)

    def load(self, run_id: str, items: list[Item]) -> None:
        marker = self.folder / "loaded" / file_name(run_id)
        if marker.exists():
            return
        replace_file(self.folder / "orders" / f"{file_name(run_id)}.jsonl", as_lines(items))
        replace_file(marker, "")


class MarkerByRenameSuite(EventBusConformance):
    """Rows, then a marker file, each by atomic rename."""

    def start(self, world: World) -> Any:
        return MarkerByRename(world.disk, Storage(world.storage_root))

    def rows(self, world: World) -> list[dict[str, Any]]:
        files = sorted((world.disk / "orders").glob("*.jsonl"))
        return [row for file in files for row in read_rows(file)]


class ReadOnlyFiles(FileLoader):
    """Builds a run's file beside its place, copies it with its metadata, and moves the copy into place read-only.

    Only one of it may run: the names of its drafts are those of the runs.
    """

    def load(self, run_id: str, items: list[Item]) -> None:
        orders, draft = self.folder / "orders", self.folder / f"{file_name(run_id)}.draft"
        orders.mkdir(exist_ok=True)
        draft.write_text(as_lines(items), encoding="utf-8")
        os.utime(draft, (1, 1))
        copied = draft.with_suffix(".copy")
        copied.unlink(missing_ok=True)
        shutil.copy2(draft, copied)
        copied.chmod(0o444)
        copied.replace(orders / f"{file_name(run_id)}.jsonl")
        draft.unlink()


class ReadOnlyFilesSuite(MarkerByRenameSuite):
    """One file per run, whose mode and times are set before it is in its place."""

    workers = 1

    def start(self, world: World) -> Any:
        return ReadOnlyFiles(world.disk, Storage(world.storage_root))


class ClaimsWithAFolder(MarkerByRename):
    """Claims a run by making a folder, which one of several can; whoever made one two minutes ago is dead, and it is taken over."""

    SECONDS = 120

    def load(self, run_id: str, items: list[Item]) -> None:
        claim = self.folder / f"{file_name(run_id)}.claim"
        try:
            claim.mkdir()
        except FileExistsError:
            if time.time() - claim.stat().st_mtime < self.SECONDS:
                raise
            os.utime(claim)
        super().load(run_id, items)
        claim.rmdir()


class ClaimsWithAFolderSuite(MarkerByRenameSuite):
    """A folder that claims a run, until it is too old."""

    def start(self, world: World) -> Any:
        return ClaimsWithAFolder(world.disk, Storage(world.storage_root))


class StagedFolder(FileLoader):
    """Builds a run's folder under `staging`, one file per item, and moves it into place when it is whole.

    Only one of it may run: at its start it clears what its predecessor left in `staging`.
    """

    def __init__(self, folder: Path, storage: Storage) -> None:
        super().__init__(folder, storage)
        (folder / "orders").mkdir(exist_ok=True)
        shutil.rmtree(folder / "staging", ignore_errors=True)
        (folder / "staging").mkdir()

    def load(self, run_id: str, items: list[Item]) -> None:
        place, staged = (
            self.folder / "orders" / file_name(run_id),
            self.folder / "staging" / file_name(run_id),
        )
        if place.exists():
            return
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir()
        for item in items:
            (staged / f"{file_name(item.event_id)}.json").write_text(as_lines([item]), encoding="utf-8")
        staged.rename(place)


class StagedFolderSuite(EventBusConformance):
    """A staging directory, renamed when it is whole."""

    workers = 1

    def start(self, world: World) -> Any:
        return StagedFolder(world.disk, Storage(world.storage_root))

    def rows(self, world: World) -> list[dict[str, Any]]:
        files = sorted((world.disk / "orders").glob("*/*.json"))
        return [row for file in files for row in read_rows(file)]


class Ledger(FileLoader):
    """Appends rows and then an end line for the run; before that it cuts off what has no end line."""

    def __init__(self, folder: Path, storage: Storage) -> None:
        super().__init__(folder, storage)
        self.path = folder / "ledger.jsonl"
        self.loaded: set[str] = set()

    def recover(self) -> None:
        """Cut off what a crash or a failure left of a run, and learn which runs are there."""
        whole = position = 0
        content = self.path.read_bytes() if self.path.exists() else b""
        for line in content.splitlines(keepends=True):
            position += len(line)
            entry = json.loads(line) if line.endswith(b"\n") else {}
            if "loaded" in entry:
                self.loaded.add(entry["loaded"])
                whole = position
        if whole < len(content):
            os.truncate(self.path, whole)

    def load(self, run_id: str, items: list[Item]) -> None:
        self.recover()
        self.append(run_id, items)

    def append(self, run_id: str, items: list[Item]) -> None:
        """Append a run that is not there."""
        if run_id in self.loaded:
            return
        with open(self.path, "a", encoding="utf-8") as ledger:
            for item in items:
                ledger.write(as_lines([item]))
            ledger.write(json.dumps({"loaded": run_id}) + "\n")
            ledger.flush()
            os.fsync(ledger.fileno())
        self.loaded.add(run_id)


class LedgerSuite(EventBusConformance):
    """An append-only file with one writer, which recovers from a cut at its end."""

    workers = 1

    def start(self, world: World) -> Any:
        return Ledger(world.disk, Storage(world.storage_root))

    def rows(self, world: World) -> list[dict[str, Any]]:
        return read_rows(world.disk / "ledger.jsonl")


class MarksOfOneSize(FileLoader):
    """A run's rows in one file, by rename; its mark is a record of 32 bytes in a file that begins with a header of 64."""

    HEADER = b"MARKS001".ljust(64, b"\0")
    SIZE = 32

    def __init__(self, folder: Path, storage: Storage) -> None:
        super().__init__(folder, storage)
        self.marks = folder / "marks.bin"
        if not self.marks.exists() or not self.marks.stat().st_size:
            with open(self.marks, "ab") as file:
                file.write(self.HEADER)

    def load(self, run_id: str, items: list[Item]) -> None:
        content = self.marks.read_bytes()
        if not content.startswith(self.HEADER):
            raise ValueError(f"{self.marks} is no file of marks")
        mark = hashlib.sha256(run_id.encode()).digest()
        if mark in {content[at : at + self.SIZE] for at in range(len(self.HEADER), len(content), self.SIZE)}:
            return
        replace_file(self.folder / f"{file_name(run_id)}.jsonl", as_lines(items))
        with open(self.marks, "ab") as file:
            file.write(mark)


class MarksOfOneSizeSuite(EventBusConformance):
    """Rows by rename, then a mark as long as every other."""

    workers = 1

    def start(self, world: World) -> Any:
        return MarksOfOneSize(world.disk, Storage(world.storage_root))

    def rows(self, world: World) -> list[dict[str, Any]]:
        return [row for file in sorted(world.disk.glob("*.jsonl")) for row in read_rows(file)]
