"""A sound handler over DuckDB, a library in C++ that writes unseen: its suite says where.

The loader is as its team runs it. In the suite a connection says before each statement that its file may change there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import duckdb

from pytest_quarry.samples.handlers import Notification
from pytest_quarry.samples.reading import Storage
from pytest_quarry.suites import EventBusConformance

if TYPE_CHECKING:
    from pytest_quarry.simulation.world import World

TABLES = (
    "CREATE TABLE IF NOT EXISTS orders (run_id TEXT, event_id TEXT); CREATE TABLE IF NOT EXISTS loaded (run_id TEXT)"
)


class DuckLoader:
    """Rows and mark in one DuckDB transaction."""

    def __init__(self, connect: Callable[[], Any], storage: Storage) -> None:
        self.connect, self.storage = connect, storage
        with self.connect() as database:
            database.execute(TABLES)

    def handle(self, notification: Notification) -> None:
        """Load the run a notification announces."""
        if notification.get("event_type") != "run_completed" or notification.get("outcome") != "success":
            return
        run_id = notification["run_id"]
        items = self.storage.items(self.storage.announced(notification["storage_path"]))
        rows = [[run_id, item.event_id] for item in items]
        with self.connect() as database:
            self.load(database, run_id, rows)

    def load(self, database: Any, run_id: str, rows: list[list[str]]) -> None:
        """Everything or nothing, once."""
        database.execute("BEGIN TRANSACTION")
        if database.execute("SELECT 1 FROM loaded WHERE run_id = ?", [run_id]).fetchone():
            database.execute("ROLLBACK")
            return
        if rows:
            database.executemany("INSERT INTO orders VALUES (?, ?)", rows)
        database.execute("INSERT INTO loaded VALUES (?)", [run_id])
        database.execute("COMMIT")


class Seen:
    """A connection that says where its file changes; otherwise DuckDB's."""

    def __init__(self, world: World) -> None:
        self._world, self._file = world, world.disk / "orders.duckdb"
        self._say("connect")
        self._connection = duckdb.connect(str(self._file))

    def _say(self, what: str) -> None:
        self._world.boundary(f"duckdb {what}", self._file)

    def execute(self, statement: str, *values: Any) -> Any:
        """As DuckDB's."""
        self._say(statement.partition(" ")[0])
        return self._connection.execute(statement, *values)

    def executemany(self, statement: str, values: Any) -> Any:
        """As DuckDB's."""
        self._say(statement.partition(" ")[0])
        return self._connection.executemany(statement, values)

    def __enter__(self) -> Seen:
        return self

    def __exit__(self, *error: object) -> None:
        self._say("close")
        self._connection.close()


class DuckSuite(EventBusConformance):
    """Rows and mark in one DuckDB transaction."""

    loader = DuckLoader

    def start(self, world: World) -> Any:
        return self.loader(lambda: Seen(world), Storage(world.storage_root))

    def rows(self, world: World) -> list[dict[str, Any]]:
        file = world.disk / "orders.duckdb"
        if not file.exists():
            return []
        with duckdb.connect(str(file), read_only=True) as database:
            found = database.execute("SELECT run_id, event_id FROM orders").fetchall()
        return [{"run_id": run_id, "item": event_id} for run_id, event_id in found]
