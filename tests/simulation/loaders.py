"""Consumers for tests of the engine, as values."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from pytest_quarry.consumers.consumer import Consumer
from pytest_quarry.simulation.world import World
from pytest_quarry.storage import read_runs

Rows = list[dict[str, Any]]


def loader(**details: Any) -> Consumer:
    """Upserts the items of each successful run into the world's target: sound."""

    def start(world: World) -> Callable[[Mapping[str, Any]], None]:
        def handle(notification: Mapping[str, Any]) -> None:
            if notification["outcome"] == "success" and notification["event_type"] == "run_completed":
                load(world, notification["run_id"])

        return handle

    return Consumer(**{"name": "TestLoader", "kind": "event-bus", "start": start, "rows": rows, **details})


def poller(**details: Any) -> Consumer:
    """Upserts the items of every finished run at each poll: sound."""

    class Poller:
        def __init__(self, world: World) -> None:
            self.world = world

        def poll(self) -> None:
            for run in read_runs(self.world.storage_root):
                if run.state == "finished":
                    load(self.world, run.run_id)

    return Consumer(**{"name": "TestPoller", "kind": "poller", "start": Poller, "rows": rows, **details})


def load(world: World, run_id: str) -> None:
    """Upsert the items of a run."""
    run = next(run for run in read_runs(world.storage_root) if run.run_id == run_id)
    for event in run.items:
        world.target.upsert({"run_id": run_id, "item": event.event_id})


def rows(world: World) -> Rows:
    """What the target holds."""
    return world.target.rows()


def noting(**details: Any) -> Consumer:
    """Notes on its disk what it is told, and loads nothing."""

    def start(world: World) -> Callable[[Mapping[str, Any]], None]:
        def handle(notification: Mapping[str, Any]) -> None:
            with open(world.disk / "notes", "a") as file:
                print(json.dumps(notification), file=file)

        return handle

    def notes(world: World) -> Rows:
        path = world.disk / "notes"
        lines = path.read_text().splitlines() if path.exists() else []
        return [{"run_id": json.loads(line)["run_id"], "item": line} for line in lines]

    return Consumer(**{"name": "TestNoting", "kind": "event-bus", "start": start, "rows": notes, **details})
