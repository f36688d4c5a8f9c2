"""A handler that tidies up where it fails, and takes what another worker had loaded for its own."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from pytest_quarry.samples.handlers import KEYED_TABLES, UPSERT, Notification, OrderLoader, SqliteHandlerSuite, values
from pytest_quarry.samples.reading import Storage


class TidiesUp(OrderLoader):
    """Upserts row by row, each at once, then marks the run; where that fails it takes the run's rows away again."""

    def __init__(self, database: Path, storage: Storage) -> None:
        super().__init__(database, storage)
        self.database = sqlite3.connect(database, isolation_level=None)

    def load(self, run_id: str, notification: Notification) -> None:
        if self.is_loaded(run_id):
            return
        items = self.items(notification)
        try:
            for row in values(items):
                self.database.execute(UPSERT, row)
            self.database.execute("INSERT OR IGNORE INTO loaded_runs VALUES (?)", (run_id,))
        except Exception:
            self.database.execute("DELETE FROM orders WHERE run_id = ?", (run_id,))
            raise


class TidiesUpSuite(SqliteHandlerSuite):
    """Takes the rows of a run away where it fails, whoever wrote them."""

    loader = TidiesUp
    tables = KEYED_TABLES
