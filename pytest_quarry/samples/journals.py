"""Handlers that note what they are about to do, and finish it when they start again: one soundly, one not."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from pytest_quarry.samples.handlers import INSERT, Notification, OrderLoader, SqliteHandlerSuite, values
from pytest_quarry.samples.reading import Item, Storage
from pytest_quarry.samples.sound_files import replace_file


class Journaled(OrderLoader):
    """Notes a run's rows in a journal, loads and marks them in one transaction, and clears the journal."""

    def __init__(self, database: Path, storage: Storage) -> None:
        super().__init__(database, storage)
        self.journal = database.with_name("journal.json")
        if self.journal.exists():
            noted = [Item(**row) for row in json.loads(self.journal.read_text(encoding="utf-8"))]
            if noted and not self.is_loaded(noted[0].run_id):
                self.recover(noted)
            self.journal.unlink()

    def load(self, run_id: str, notification: Notification) -> None:
        if self.is_loaded(run_id):
            return
        items = self.items(notification)
        replace_file(self.journal, json.dumps([asdict(item) for item in items]))
        self.apply(run_id, items)
        self.journal.unlink()

    def apply(self, run_id: str, items: list[Item]) -> None:
        """Load and mark in one transaction."""
        with self.database:
            self.database.executemany(INSERT, values(items))
            self.mark(run_id)

    def recover(self, noted: list[Item]) -> None:
        """Finish what a crash interrupted."""
        self.apply(noted[0].run_id, noted)


class JournaledSuite(SqliteHandlerSuite):
    """A journal that is finished at the next start, in one transaction."""

    loader = Journaled
    workers = 1


class RecoversRowByRow(Journaled):
    """Finishes the journal row by row, so that a second crash finds it half done and begins anew."""

    def recover(self, noted: list[Item]) -> None:
        for row in values(noted):
            self.database.execute(INSERT, row)
            self.database.commit()
        with self.database:
            self.mark(noted[0].run_id)


class RecoversRowByRowSuite(SqliteHandlerSuite):
    """Its recovery is not safe to repeat."""

    loader = RecoversRowByRow
    workers = 1
