"""What `quarry-conformance demo` shows: a loader with a common mistake, and the same loader repaired."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from pytest_quarry import EventBusConformance, World


class OrderLoader:
    """Loads the items of successful runs into SQLite and remembers which runs it has loaded."""

    def __init__(self, database: Path) -> None:
        self.connection = sqlite3.connect(database)
        self.connection.execute("CREATE TABLE IF NOT EXISTS orders (run_id TEXT, item TEXT, data TEXT)")
        self.connection.execute("CREATE TABLE IF NOT EXISTS processed (run_id TEXT PRIMARY KEY)")

    def handle(self, notification: Mapping[str, Any]) -> None:
        """Load the run a notification is about, unless it is loaded."""
        if notification["event_type"] != "run_completed" or notification["outcome"] != "success":
            return
        run_id = notification["run_id"]
        found = self.connection.execute("SELECT 1 FROM processed WHERE run_id = ?", (run_id,)).fetchone()
        if found is None:
            self.load(run_id, Path(notification["storage_path"].removeprefix("file://")))

    def load(self, run_id: str, folder: Path) -> None:
        """Load in one transaction, mark in the next."""
        with self.connection:
            self.insert_items(run_id, folder)
        with self.connection:
            self.mark(run_id)

    def insert_items(self, run_id: str, folder: Path) -> None:
        """Insert each item of the run once."""
        for event in read_items(folder):
            row = (run_id, event["event_id"], json.dumps(event["payload"]["data"]))
            self.connection.execute("INSERT INTO orders VALUES (?, ?, ?)", row)

    def mark(self, run_id: str) -> None:
        """Remember that the run is loaded."""
        self.connection.execute("INSERT INTO processed VALUES (?)", (run_id,))


class RepairedOrderLoader(OrderLoader):
    """The same, with one transaction for both."""

    def load(self, run_id: str, folder: Path) -> None:
        """Load and mark in one transaction."""
        with self.connection:
            self.insert_items(run_id, folder)
            self.mark(run_id)


def read_items(folder: Path) -> Iterator[dict[str, Any]]:
    """The item events of a run's folder, each once: those in snapshots whose canonical manifest is whole."""
    dataset = folder.parents[4]
    seen = set()
    for data in sorted(folder.glob("event_type=item/segments/*/data/data")):
        try:
            json.loads((dataset / "segments" / data.parents[1].name / "manifest.json").read_text())
        except (OSError, ValueError):
            continue
        for line in data.read_text(encoding="utf-8").splitlines():
            event = json.loads(line)
            if event["event_id"] not in seen:
                seen.add(event["event_id"])
                yield event


class BrokenOrders(EventBusConformance):
    """The suite of the loader with the mistake."""

    def start(self, world: World) -> OrderLoader:
        return OrderLoader(world.disk / "orders.sqlite")

    def rows(self, world: World) -> list[dict[str, str]]:
        with closing(sqlite3.connect(world.disk / "orders.sqlite")) as connection:
            found = connection.execute("SELECT run_id, item FROM orders").fetchall()
        return [{"run_id": run_id, "item": item} for run_id, item in found]


class RepairedOrders(BrokenOrders):
    """The suite of the repaired loader."""

    def start(self, world: World) -> OrderLoader:
        return RepairedOrderLoader(world.disk / "orders.sqlite")
