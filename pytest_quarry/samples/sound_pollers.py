"""Sound pollers: one transaction, an atomic checkpoint, files, a target that knows its runs, a look-back that catches up."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_quarry.samples.handlers import KEYED_TABLES, UPSERT, values
from pytest_quarry.samples.pollers import Checkpoint, OrderPoller, SqlitePollerSuite, each
from pytest_quarry.samples.reading import FinishedRun, FlatStorage, Storage
from pytest_quarry.samples.sound_files import as_lines, file_name, read_rows, replace_file
from pytest_quarry.suites import PollerConformance

if TYPE_CHECKING:
    from pytest_quarry.simulation.world import World

HOUR = 3_600
SECOND = 1_000_000_000


class OneTransactionPollerSuite(SqlitePollerSuite):
    """Rows and mark in one transaction."""


class FlatPollerSuite(SqlitePollerSuite):
    """The same over the layout of Quarry's published examples."""

    layout = "flat"
    reader = FlatStorage


class AtomicCheckpoint(OrderPoller):
    """Upserts a run's rows, then replaces the checkpoint file."""

    def loaded(self) -> set[str]:
        return self.checkpoint.read()

    def load(self, run: FinishedRun) -> None:
        with self.database:
            self.database.executemany(UPSERT, values(self.storage.items(run.folder)))
        self.checkpoint.write(self.checkpoint.read() | {run.run_id})


class AtomicCheckpointSuite(SqlitePollerSuite):
    """An atomic checkpoint after an idempotent load."""

    poller = AtomicCheckpoint
    tables = KEYED_TABLES


class CheckpointPerPoll(AtomicCheckpoint):
    """Writes the checkpoint once, at the end of a poll; the rows have keys."""

    def poll(self) -> None:
        loaded = self.checkpoint.read()
        new: set[str] = set()

        def load(run: FinishedRun) -> None:
            with self.database:
                self.database.executemany(UPSERT, values(self.storage.items(run.folder)))
            new.add(run.run_id)

        try:
            each([run for run in self.runs() if run.run_id not in loaded], load)
        finally:
            if new:
                self.checkpoint.write(loaded | new)


class CheckpointPerPollSuite(SqlitePollerSuite):
    """One checkpoint for all runs of a poll."""

    poller = CheckpointPerPoll
    tables = KEYED_TABLES


class LockedCheckpoint(Checkpoint):
    """Replaces the checkpoint by a temporary file of its own name, and syncs the folder."""

    def write(self, loaded: set[str]) -> None:
        folder = self.path.parent
        with tempfile.NamedTemporaryFile("w", dir=folder, suffix=".tmp", delete=False) as file:
            json.dump({"version": 1, "loaded": sorted(loaded)}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(file.name, self.path)
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Locked(AtomicCheckpoint):
    """Holds a lock file during a poll, so that two of it do not meet, and keeps a log."""

    def __init__(self, folder: Path, storage: Storage) -> None:
        super().__init__(folder, storage)
        self.checkpoint = LockedCheckpoint(folder / "checkpoint.json")
        self.log = logging.getLogger("locked-poller")
        self.log.setLevel(logging.INFO)
        self.log.addHandler(logging.FileHandler(folder / "poller.log"))

    def poll(self) -> None:
        with open(self.checkpoint.path.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            super().poll()

    def load(self, run: FinishedRun) -> None:
        super().load(run)
        self.log.info("loaded %s", run.run_id)


class LockedSuite(SqlitePollerSuite):
    """A lock file, a log file, a temporary checkpoint of a random name."""

    poller = Locked
    tables = KEYED_TABLES


class FilePoller:
    """Writes one file per run, by rename; the file's name is the mark."""

    def __init__(self, folder: Path, storage: Storage) -> None:
        self.folder, self.storage = folder / "orders", storage
        self.folder.mkdir(exist_ok=True)

    def poll(self) -> None:
        """Look once."""
        each(self.storage.finished_runs(), self.load)

    def load(self, run: FinishedRun) -> None:
        """Write the file of a run that has none."""
        file = self.folder / f"{file_name(run.run_id)}.jsonl"
        if not file.exists():
            replace_file(file, as_lines(self.storage.items(run.folder)))


class FilePollerSuite(PollerConformance):
    """One file per run, by atomic rename."""

    def start(self, world: World) -> Any:
        return FilePoller(world.disk, Storage(world.storage_root))

    def rows(self, world: World) -> list[dict[str, Any]]:
        files = sorted((world.disk / "orders").glob("*.jsonl"))
        return [row for file in files for row in read_rows(file)]


class TargetPoller:
    """Asks the warehouse which runs it holds, and loads the others, each in one transaction."""

    def __init__(self, target: Any, storage: Storage) -> None:
        self.target, self.storage = target, storage

    def poll(self) -> None:
        """Look once."""
        held = {row["run_id"] for row in self.target.rows()}
        each([run for run in self.storage.finished_runs() if run.run_id not in held], self.load)

    def load(self, run: FinishedRun) -> None:
        """Load one run; nothing is begun before all of it is read, and nothing of it is left where that fails."""
        items = self.storage.items(run.folder)
        self.target.begin()
        try:
            for item in items:
                self.target.insert({"run_id": run.run_id, "item": item.event_id, "sku": item.sku})
            self.target.commit()
        except Exception:
            self.target.rollback()
            raise


class TargetPollerSuite(PollerConformance):
    """The target itself is the checkpoint; one poller fills it."""

    workers = 1

    def start(self, world: World) -> Any:
        return TargetPoller(world.target, Storage(world.storage_root))


class FewAtATime(OrderPoller):
    """Loads five runs at each poll, at most."""

    MOST = 5

    def poll(self) -> None:
        loaded = self.loaded()
        each([run for run in self.runs() if run.run_id not in loaded][: self.MOST], self.load)


class FewAtATimeSuite(SqlitePollerSuite):
    """A limit to what one poll loads; the rest waits for the next ones."""

    poller = FewAtATime


class LooksBackAndCatchesUp(OrderPoller):
    """Looks at the last hour at every poll, and at everything once an hour and after a start."""

    last_full = 0.0

    def runs(self) -> list[FinishedRun]:
        now = time.time()
        found = self.storage.finished_runs()
        if now - self.last_full < HOUR:
            return [run for run in found if run.finished >= (now - HOUR) * SECOND]
        self.last_full = now
        return found


class LooksBackAndCatchesUpSuite(SqlitePollerSuite):
    """A look-back window, and an hourly scan of everything."""

    poller = LooksBackAndCatchesUp
