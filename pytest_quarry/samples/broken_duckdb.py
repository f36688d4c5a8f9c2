"""A handler over DuckDB whose every statement commits by itself."""

from __future__ import annotations

from typing import Any

from pytest_quarry.samples.sound_duckdb import DuckLoader, DuckSuite


class CommitsEach(DuckLoader):
    """Looks, loads, marks; a crash after the rows leaves them without the mark."""

    def load(self, database: Any, run_id: str, rows: list[list[str]]) -> None:
        """Without a transaction."""
        if database.execute("SELECT 1 FROM loaded WHERE run_id = ?", [run_id]).fetchone():
            return
        if rows:
            database.executemany("INSERT INTO orders VALUES (?, ?)", rows)
        database.execute("INSERT INTO loaded VALUES (?)", [run_id])


class CommitsEachSuite(DuckSuite):
    """Rows, then mark, each committed by DuckDB at once."""

    loader = CommitsEach
