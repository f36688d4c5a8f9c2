"""What the pollers share: a checkpoint file, rows in SQLite, and the suite that starts them."""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pytest_quarry.samples.handlers import INSERT, PLAIN_TABLES, make_tables, select_orders, values
from pytest_quarry.samples.reading import FinishedRun, Storage
from pytest_quarry.suites import PollerConformance

if TYPE_CHECKING:
    from pytest_quarry.simulation.world import World


class Checkpoint:
    """The ids of the loaded runs, in a JSON file that is replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> set[str]:
        """The loaded runs."""
        if not self.path.exists():
            return set()
        return set(json.loads(self.path.read_text(encoding="utf-8"))["loaded"])

    def write(self, loaded: set[str]) -> None:
        """Replace the checkpoint; no two writers share a temporary file."""
        folder = self.path.parent
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=folder, suffix=".tmp", delete=False) as file:
            json.dump({"version": 1, "loaded": sorted(loaded)}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(file.name, self.path)


def each(runs: Iterable[FinishedRun], load: Callable[[FinishedRun], None]) -> None:
    """Load every run that can be loaded; then raise for those that cannot."""
    failures: list[Exception] = []
    for run in runs:
        try:
            load(run)
        except Exception as failure:
            failure.add_note(f"while loading run {run.run_id}")
            failures.append(failure)
    if failures:
        raise ExceptionGroup("some runs could not be loaded", failures)


class OrderPoller:
    """Loads every finished run that is not loaded yet, rows and mark in one SQLite transaction."""

    def __init__(self, folder: Path, storage: Storage) -> None:
        self.database = sqlite3.connect(folder / "orders.sqlite")
        self.checkpoint = Checkpoint(folder / "checkpoint.json")
        self.storage = storage

    def poll(self) -> None:
        """Look once. A run that cannot be loaded holds up no other, and is tried again at the next poll."""
        loaded = self.loaded()
        each([run for run in self.runs() if run.run_id not in loaded], self.load)

    def runs(self) -> list[FinishedRun]:
        """The runs to look at."""
        return self.storage.finished_runs()

    def loaded(self) -> set[str]:
        """The runs that are loaded."""
        return {run_id for (run_id,) in self.database.execute("SELECT run_id FROM loaded_runs").fetchall()}

    def load(self, run: FinishedRun) -> None:
        """Load one run, and remember it."""
        with self.database:
            self.database.executemany(INSERT, values(self.storage.items(run.folder)))
            self.database.execute("INSERT INTO loaded_runs VALUES (?)", (run.run_id,))


class SqlitePollerSuite(PollerConformance):
    """Starts a `poller` on `orders.sqlite`, with `tables` and a `reader` of its own where they differ."""

    poller: ClassVar[type[OrderPoller]] = OrderPoller
    reader: ClassVar[type[Storage]] = Storage
    tables: ClassVar[str] = PLAIN_TABLES

    def prepare(self, world: World) -> None:
        make_tables(world.disk / "orders.sqlite", self.tables)

    def start(self, world: World) -> Any:
        return self.poller(world.disk, self.reader(world.storage_root))

    def rows(self, world: World) -> list[dict[str, Any]]:
        return select_orders(world.disk / "orders.sqlite")
