"""What `quarry-conformance demo` shows: a loader with a common mistake, and the same loader repaired."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

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
            self.load(run_id, folder_of(notification["storage_path"]))

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


def folder_of(storage_path: str) -> Path:
    """The folder of a run: its values are raw in `storage_path`, and escaped on disk as Go's url.PathEscape does."""
    match = re.fullmatch("file://(.*)/source=(.*)/category=(.*)/day=(.*)/run_id=(.*)", storage_path, re.DOTALL)
    if match is None:
        raise ValueError(f"{storage_path!r} names no run")
    root, *values = match.groups()
    escaped = [quote(value, safe="$&+:=@~") for value in values]
    return Path(root, "source={}/category={}/day={}/run_id={}".format(*escaped))


def committed(folder: Path, event_type: str) -> Iterator[Path]:
    """The data files of one type of events in a run's folder: those in snapshots whose canonical manifest is whole."""
    for data in sorted(folder.glob(f"event_type={event_type}/segments/*/data/data")):
        manifest = folder.parents[4] / "segments" / data.parts[-3] / "manifest.json"
        try:
            json.loads(manifest.read_bytes())
        except (FileNotFoundError, ValueError):
            continue
        yield data


def read_items(folder: Path) -> Iterator[dict[str, Any]]:
    """The item events of a run, each once."""
    if not any(committed(folder, "run_complete")):
        raise FileNotFoundError(f"{folder} does not show the end of the run yet")
    seen = set()
    for data in committed(folder, "item"):
        with open(data, encoding="utf-8") as lines:
            for event in map(json.loads, lines):
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
