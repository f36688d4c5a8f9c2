"""Pollers that do not fail well: a damaged checkpoint, a run that cannot be loaded, a loss of power."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_quarry.samples.handlers import KEYED_TABLES, UPSERT, values
from pytest_quarry.samples.pollers import Checkpoint, OrderPoller, SqlitePollerSuite, each
from pytest_quarry.samples.reading import FinishedRun, Storage
from pytest_quarry.samples.sound_files import as_lines, file_name, read_rows
from pytest_quarry.samples.sound_pollers import AtomicCheckpoint
from pytest_quarry.suites import PollerConformance

if TYPE_CHECKING:
    from pytest_quarry.simulation.world import World

log = logging.getLogger(__name__)


class QuietAtDamage(AtomicCheckpoint):
    """Leaves a checkpoint that it cannot parse to the next poll."""

    def poll(self) -> None:
        with contextlib.suppress(ValueError):
            super().poll()


class QuietAtDamageSuite(SqlitePollerSuite):
    """Swallows the error of a damaged checkpoint, for ever."""

    poller = QuietAtDamage
    tables = KEYED_TABLES


class EmptyMeansNothingNew(AtomicCheckpoint):
    """Asks the checkpoint for the runs that are not in it, as jq does: of an empty file it gets no answer."""

    def runs(self) -> list[FinishedRun]:
        path = self.checkpoint.path
        return [] if path.exists() and not path.read_bytes() else super().runs()

    def loaded(self) -> set[str]:
        path = self.checkpoint.path
        return set() if path.exists() and not path.read_bytes() else super().loaded()


class EmptyMeansNothingNewSuite(SqlitePollerSuite):
    """Finds nothing new in an empty checkpoint, and says nothing."""

    poller = EmptyMeansNothingNew
    tables = KEYED_TABLES


class StopsAtTheFirst(OrderPoller):
    """Loads one run after the other."""

    def poll(self) -> None:
        loaded = self.loaded()
        for run in self.runs():
            if run.run_id not in loaded:
                self.load(run)


class StopsAtTheFirstSuite(SqlitePollerSuite):
    """One run that cannot be loaded holds up all behind it."""

    poller = StopsAtTheFirst


class GivesUpOnARun(OrderPoller):
    """Logs a run that cannot be loaded, and marks it, so that it does not fail again."""

    def load(self, run: FinishedRun) -> None:
        try:
            super().load(run)
        except OSError:
            log.exception("run %s skipped", run.run_id)
            with self.database:
                self.database.execute("INSERT INTO loaded_runs VALUES (?)", (run.run_id,))


class GivesUpOnARunSuite(SqlitePollerSuite):
    """Does not try a failed run again."""

    poller = GivesUpOnARun


class LogsRefusals(OrderPoller):
    """Upserts a run's rows and marks it; what the database refuses is logged."""

    def load(self, run: FinishedRun) -> None:
        try:
            with self.database:
                self.database.executemany(UPSERT, values(self.storage.items(run.folder)))
        except sqlite3.Error:
            log.exception("run %s", run.run_id)
        with self.database:
            self.database.execute("INSERT OR IGNORE INTO loaded_runs VALUES (?)", (run.run_id,))


class LogsRefusalsSuite(SqlitePollerSuite):
    """Logs that the database refused a run, and marks it all the same."""

    poller = LogsRefusals
    tables = KEYED_TABLES


class SaysNothing(OrderPoller):
    """Leaves a run that cannot be loaded to the next poll."""

    def load(self, run: FinishedRun) -> None:
        with contextlib.suppress(OSError):
            super().load(run)


class SaysNothingSuite(SqlitePollerSuite):
    """Fails at a run for ever, and nobody hears of it."""

    poller = SaysNothing


class UnsyncedCheckpoint(Checkpoint):
    """Renames a file that the disk may not hold yet."""

    def write(self, loaded: set[str]) -> None:
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(json.dumps({"version": 1, "loaded": sorted(loaded)}), encoding="utf-8")
        os.replace(temporary, self.path)


class NeverSyncs(AtomicCheckpoint):
    """Upserts a run's rows, then replaces the checkpoint file, without fsync."""

    def __init__(self, folder: Path, storage: Storage) -> None:
        super().__init__(folder, storage)
        self.checkpoint = UnsyncedCheckpoint(folder / "checkpoint.json")


class NeverSyncsSuite(SqlitePollerSuite):
    """A checkpoint by rename, and no fsync."""

    poller = NeverSyncs
    tables = KEYED_TABLES


class FolderNeverSynced:
    """Builds a run's folder under `staging` and moves it into place; what is in it the disk may not hold yet."""

    def __init__(self, folder: Path, storage: Storage) -> None:
        self.orders, self.staging, self.storage = folder / "orders", folder / "staging", storage
        self.orders.mkdir(exist_ok=True)

    def poll(self) -> None:
        """Look once."""
        each([run for run in self.storage.finished_runs() if not self.place(run).exists()], self.load)

    def place(self, run: FinishedRun) -> Path:
        """Where a run's items are, once it is loaded."""
        return self.orders / file_name(run.run_id)

    def load(self, run: FinishedRun) -> None:
        """Load one run."""
        shutil.rmtree(self.staging, ignore_errors=True)
        self.staging.mkdir()
        for item in self.storage.items(run.folder):
            (self.staging / f"{file_name(item.event_id)}.json").write_text(as_lines([item]), encoding="utf-8")
        self.staging.rename(self.place(run))


class FolderNeverSyncedSuite(PollerConformance):
    """A staging directory, renamed when it is whole, and no fsync."""

    workers = 1

    def start(self, world: World) -> FolderNeverSynced:
        return FolderNeverSynced(world.disk, Storage(world.storage_root))

    def rows(self, world: World) -> list[dict[str, Any]]:
        return [row for file in sorted((world.disk / "orders").glob("*/*.json")) for row in read_rows(file)]
