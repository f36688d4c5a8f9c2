"""Consumers that also look into storage for runs nobody told them of: sound ones, and ones that overlook some."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from pathlib import Path

from pytest_quarry.samples.handlers import INSERT, OneTransaction, SqliteHandlerSuite, values
from pytest_quarry.samples.reading import FinishedRun, Storage
from pytest_quarry.samples.workers import Worker, WorkerSuite

log = logging.getLogger(__name__)


class Reconciles(OneTransaction):
    """Compares, when it is asked to, what storage holds with what it has loaded; a run that fails is for the next time."""

    def reconcile(self) -> None:
        """Load every finished run that is not loaded."""
        for run in self.candidates():
            if self.is_loaded(run.run_id):
                continue
            try:
                items = self.storage.items(run.folder)
            except OSError:
                log.exception("run %s was not loaded", run.run_id)
                continue
            with self.database:
                self.database.executemany(INSERT, values(items))
                self.mark(run.run_id)

    def candidates(self) -> Iterable[FinishedRun]:
        """The runs to look at."""
        return self.storage.finished_runs()


class ReconcilesSuite(SqliteHandlerSuite):
    """A handler with a `reconcile` of its own, which a timer calls."""

    loader = Reconciles
    reconciles = True


class IdleWorker(Worker):
    """Looks for runs it was not told of whenever a receive finds nothing."""

    def run_once(self) -> None:
        messages = self.receive()
        for message in messages:
            try:
                self.work(message)
            except Exception:
                log.exception("message %s was not loaded", message["MessageId"])
        if not messages and isinstance(self.loader, Reconciles):
            self.loader.reconcile()


class IdleWorkerSuite(WorkerSuite):
    """A worker that reconciles on idle turns."""

    worker = IdleWorker
    loader = Reconciles
    reconciles = True


class ReconcilesAtStart(Reconciles):
    """Looks for runs it was not told of when it starts: what it missed, it missed while it was down."""

    def __init__(self, database: Path, storage: Storage) -> None:
        super().__init__(database, storage)
        super().reconcile()

    def reconcile(self) -> None:
        """Nothing: it has not been down."""


class ReconcilesAtStartSuite(ReconcilesSuite):
    """Reconciles at its start only."""

    loader = ReconcilesAtStart


class ReconcilesToday(Reconciles):
    """Looks at the runs of today: those of yesterday were looked at yesterday."""

    def candidates(self) -> Iterable[FinishedRun]:
        today = time.strftime("%Y-%m-%d", time.gmtime())
        return [run for run in super().candidates() if run.day == today]


class ReconcilesTodaySuite(ReconcilesSuite):
    """Reconciles the runs of today."""

    loader = ReconcilesToday


class ReconcilesFromTheNewest(Reconciles):
    """Looks at the runs that finished after the newest one it has loaded."""

    def candidates(self) -> Iterable[FinishedRun]:
        runs = list(super().candidates())
        newest = max((run.finished for run in runs if self.is_loaded(run.run_id)), default=0)
        return [run for run in runs if run.finished > newest]


class ReconcilesFromTheNewestSuite(ReconcilesSuite):
    """Reconciles what is newer than all that is loaded."""

    loader = ReconcilesFromTheNewest
