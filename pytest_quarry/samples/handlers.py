"""What the SQLite handlers share: tables, the reading of a notification, and the suite that starts them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pytest_quarry.samples.reading import Item, Storage
from pytest_quarry.suites import EventBusConformance

if TYPE_CHECKING:
    from pytest_quarry.simulation.world import World

Notification = Mapping[str, Any]

PLAIN_TABLES = """
CREATE TABLE orders (run_id TEXT NOT NULL, event_id TEXT NOT NULL, sku TEXT, price REAL);
CREATE TABLE loaded_runs (run_id TEXT PRIMARY KEY);
"""
KEYED_TABLES = """
CREATE TABLE orders (
    run_id TEXT NOT NULL, event_id TEXT NOT NULL, sku TEXT, price REAL, PRIMARY KEY (run_id, event_id)
);
CREATE TABLE loaded_runs (run_id TEXT PRIMARY KEY);
"""
INSERT = "INSERT INTO orders (run_id, event_id, sku, price) VALUES (?, ?, ?, ?)"
UPSERT = INSERT + (" ON CONFLICT (run_id, event_id) DO UPDATE SET sku = excluded.sku, price = excluded.price")


def values(items: Iterable[Item]) -> list[tuple[str, str, str, float]]:
    """Items as the parameters of `INSERT`."""
    return [(item.run_id, item.event_id, item.sku, item.price) for item in items]


class OrderLoader:
    """Loads the items of successful runs into SQLite; how, and what it remembers, is up to `load`."""

    def __init__(self, database: Path, storage: Storage) -> None:
        self.database = sqlite3.connect(database)
        self.storage = storage

    def handle(self, notification: Notification) -> None:
        """Load the run a notification announces."""
        if self.wants(notification):
            self.load(notification["run_id"], notification)

    def wants(self, notification: Notification) -> bool:
        """Whether this is a run to load."""
        return notification.get("event_type") == "run_completed" and notification.get("outcome") == "success"

    def load(self, run_id: str, notification: Notification) -> None:
        """Load one run."""
        raise NotImplementedError

    def items(self, notification: Notification) -> list[Item]:
        """The items of the run a notification announces."""
        return self.storage.items(self.storage.announced(notification["storage_path"]))

    def is_loaded(self, run_id: str) -> bool:
        """Whether a run is marked as loaded."""
        query = "SELECT 1 FROM loaded_runs WHERE run_id = ?"
        return self.database.execute(query, (run_id,)).fetchone() is not None

    def mark(self, run_id: str) -> None:
        """Mark a run as loaded."""
        self.database.execute(
            "INSERT INTO loaded_runs VALUES (?)", (run_id,)
        )  # refused where another worker was faster


class OneTransaction(OrderLoader):
    """Rows and mark in one transaction."""

    def load(self, run_id: str, notification: Notification) -> None:
        if self.is_loaded(run_id):
            return
        items = self.items(notification)
        with self.database:
            self.database.executemany(INSERT, values(items))
            self.mark(run_id)


class SqliteHandlerSuite(EventBusConformance):
    """Starts a `loader` on `orders.sqlite`, with `tables` and a `reader` of its own where they differ."""

    loader: ClassVar[type[OrderLoader]] = OneTransaction
    reader: ClassVar[type[Storage]] = Storage
    tables: ClassVar[str] = PLAIN_TABLES

    def prepare(self, world: World) -> None:
        make_tables(world.disk / "orders.sqlite", self.tables)

    def start(self, world: World) -> Any:
        return self.loader(world.disk / "orders.sqlite", self.reader(world.storage_root))

    def rows(self, world: World) -> list[dict[str, Any]]:
        return select_orders(world.disk / "orders.sqlite")


def make_tables(database: Path, tables: str) -> None:
    """Create the tables of a target."""
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(tables)


def select_orders(database: Path) -> list[dict[str, Any]]:
    """Every row of the target."""
    with closing(sqlite3.connect(database)) as connection:
        found = connection.execute("SELECT run_id, event_id FROM orders").fetchall()
    return [{"run_id": run_id, "item": event_id} for run_id, event_id in found]
