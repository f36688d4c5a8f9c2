"""A project of few lines: an event-bus loader, a poller, a publisher, in Python; and a command to check them with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

COMMAND = Path(sys.executable).with_name("quarry-conformance")
ORDERS = '''
import json
import sqlite3

from pytest_quarry import read_runs


def items_of(world, run_id):
    run = next(run for run in read_runs(world.storage_root) if run.run_id == run_id)
    if run.damage:
        raise OSError(run.damage)
    return sorted({event.event_id for event in run.items})


class Sound:
    """Loads a run by an upsert."""

    statement = "INSERT OR IGNORE INTO orders VALUES (?, ?)"

    def __init__(self, world):
        self.world = world
        self.database = sqlite3.connect(world.disk / "orders.sqlite")
        self.database.execute("CREATE TABLE IF NOT EXISTS orders (run_id, item, UNIQUE (run_id, item))")

    def handle(self, notification):
        if notification["event_type"] == "run_completed" and notification["outcome"] == "success":
            self.load(notification["run_id"])

    def load(self, run_id):
        with self.database:
            self.database.executemany(self.statement, [(run_id, item) for item in items_of(self.world, run_id)])


class Forgetful(Sound):
    """Remembers in memory what it has loaded."""

    statement = "INSERT INTO orders VALUES (?, ?)"

    def __init__(self, world):
        self.world = world
        self.database = sqlite3.connect(world.disk / "orders.sqlite")
        self.database.execute("CREATE TABLE IF NOT EXISTS orders (run_id, item)")
        self.seen = set()

    def load(self, run_id):
        if run_id not in self.seen:
            super().load(run_id)
            self.seen.add(run_id)


class ByNotification(Forgetful):
    """Remembers notifications where others remember runs."""

    def __init__(self, world):
        super().__init__(world)
        self.database.execute("CREATE TABLE IF NOT EXISTS seen (notification UNIQUE)")

    def handle(self, notification):
        if notification["event_type"] != "run_completed" or notification["outcome"] != "success":
            return
        run_id = notification["run_id"]
        rows = [(run_id, item) for item in items_of(self.world, run_id)]
        with self.database:
            words = str(sorted(notification.items()))
            if self.database.execute("INSERT OR IGNORE INTO seen VALUES (?)", (words,)).rowcount:
                self.database.executemany(self.statement, rows)


class Idle:
    """Does nothing."""

    def handle(self, notification):
        pass


class Lines(Sound):
    """Loads a run into a file of JSON lines, renamed into place."""

    def load(self, run_id):
        lines = [json.dumps({"run_id": run_id, "item": item}) + "\\n" for item in items_of(self.world, run_id)]
        part = self.world.disk / "part"
        part.write_text("".join(lines))
        part.rename(self.world.disk / f"{run_id}.jsonl")


class Poller(Sound):
    def poll(self):
        for run in read_runs(self.world.storage_root):
            if run.state == "finished":
                self.load(run.run_id)


def rows(world):
    database = sqlite3.connect(world.disk / "orders.sqlite")
    try:
        return [{"run_id": run_id, "item": item} for run_id, item in database.execute("SELECT run_id, item FROM orders")]
    finally:
        database.close()


not_callable = 5
'''
# Prints each run that is new and remembers it after that; needs nothing but bash.
POLL = """\
checkpoint=${2:-$HOME/checkpoint}
touch "$checkpoint"
for data in "$1"/source=*/category=*/day=*/run_id=*/event_type=run_complete/data.jsonl; do
    [ -e "$data" ] || continue
    run_id=${data%/event_type=*} run_id=${run_id##*/run_id=}
    grep -qxF "$run_id" "$checkpoint" && continue
    echo "Processing run: $run_id"
    echo "$run_id" >> "$checkpoint"
done
exit 0
"""
SQLITE = ("--rows-from-sqlite", "orders.sqlite:SELECT run_id, item FROM orders")
QUIET = ("-q", "-p", "no:randomly", "-p", "no:random_order")


def check(folder: Path, *options: str, pytest: tuple[str, ...] = (), command: str = "check") -> tuple[int, str]:
    """`quarry-conformance check` in a folder that has orders.py: its exit code, and all that it printed."""
    (folder / "orders.py").write_text(ORDERS)
    return run(folder, command, *options, "--", *QUIET, *pytest)


def run(folder: Path, *words: str, environment: dict[str, str] | None = None) -> tuple[int, str]:
    """`quarry-conformance` in a folder: its exit code, and all that it printed."""
    done = subprocess.run(
        [str(COMMAND), *words],
        cwd=folder,
        env={**os.environ, "COLUMNS": "110", **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
        check=False,
    )
    assert "Traceback" not in done.stdout, done.stdout
    return done.returncode, done.stdout
