"""A small consumer as the text of a test module: broken in one place, sound where that is repaired."""

from __future__ import annotations

# Imported once here: pytester forgets what was imported while it ran.
import pytest_quarry.bus.aws
import pytest_quarry.suites  # noqa: F401

BROKEN = """
import sqlite3
from pytest_quarry import EventBusConformance, read_runs


class Orders:
    def __init__(self, world):
        self.root = world.storage_root
        self.database = sqlite3.connect(world.disk / "orders.sqlite")

    def handle(self, notification):
        if notification["event_type"] != "run_completed" or notification["outcome"] != "success":
            return
        run_id = notification["run_id"]
        if self.database.execute("SELECT 1 FROM marks WHERE run_id = ?", (run_id,)).fetchone():
            return
        run = next(run for run in read_runs(self.root) if run.run_id == run_id)
        if run.damage:
            raise OSError(run.damage)
        rows = {event.event_id: (run_id, event.event_id) for event in run.items}
        with self.database:
            self.database.executemany("INSERT INTO orders VALUES (?, ?)", rows.values())
        self.mark(run_id)

    def mark(self, run_id):
        with self.database:
            self.database.execute("INSERT INTO marks VALUES (?)", (run_id,))


class TestOrders(EventBusConformance):
    def prepare(self, world):
        with sqlite3.connect(world.disk / "orders.sqlite") as database:
            database.execute("CREATE TABLE orders (run_id, item)")
            database.execute("CREATE TABLE marks (run_id PRIMARY KEY)")
        database.close()

    def start(self, world):
        return Orders(world)

    def rows(self, world):
        database = sqlite3.connect(world.disk / "orders.sqlite")
        database.row_factory = sqlite3.Row
        try:
            return database.execute("SELECT run_id, item FROM orders").fetchall()
        finally:
            database.close()
"""

SOUND = BROKEN.replace(
    """        with self.database:
            self.database.executemany("INSERT INTO orders VALUES (?, ?)", rows.values())
        self.mark(run_id)
""",
    """        with self.database:
            self.database.executemany("INSERT INTO orders VALUES (?, ?)", rows.values())
            self.database.execute("INSERT INTO marks VALUES (?)", (run_id,))
""",
)
assert SOUND != BROKEN
