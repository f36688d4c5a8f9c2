"""Handlers that mistake one run for another, or one notification for another."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from pytest_quarry.samples.handlers import (
    PLAIN_TABLES,
    Notification,
    OneTransaction,
    SqliteHandlerSuite,
    values,
)
from pytest_quarry.samples.reading import Item, Storage
from pytest_quarry.samples.sound_aws import Event, LambdaSuite, TargetLoader, notification_in
from pytest_quarry.samples.sound_files import MarkerByRename, MarkerByRenameSuite, as_lines, replace_file

if TYPE_CHECKING:
    from pytest_quarry.simulation.world import World

log = logging.getLogger(__name__)


class KeyedByEvent(OneTransaction):
    """Leaves it to the table's primary key to skip what is there."""

    def load(self, run_id: str, notification: Notification) -> None:
        with self.database:
            insert = "INSERT OR IGNORE INTO orders (run_id, event_id, sku, price) VALUES (?, ?, ?, ?)"
            self.database.executemany(insert, values(self.items(notification)))


class KeyedByEventSuite(SqliteHandlerSuite):
    """A primary key of event_id alone."""

    loader = KeyedByEvent
    tables = "CREATE TABLE orders (run_id TEXT NOT NULL, event_id TEXT PRIMARY KEY, sku TEXT, price REAL);"


class MatchesPrefix(OneTransaction):
    """Looks for the run among the marks, which carry a suffix for the attempt."""

    def is_loaded(self, run_id: str) -> bool:
        query = "SELECT 1 FROM loaded_runs WHERE run_id LIKE ? || '%'"
        return self.database.execute(query, (run_id,)).fetchone() is not None


class MatchesPrefixSuite(SqliteHandlerSuite):
    """Compares run ids by prefix."""

    loader = MatchesPrefix


class MatchesAnywhere(OneTransaction):
    """Keeps the loaded runs in one text column and looks whether the id is in it."""

    def is_loaded(self, run_id: str) -> bool:
        (text,) = self.database.execute("SELECT coalesce(max(ids), '') FROM processed").fetchone()
        return run_id in text

    def mark(self, run_id: str) -> None:
        self.database.execute("INSERT OR IGNORE INTO processed VALUES (1, '')")
        self.database.execute("UPDATE processed SET ids = ids || ? || char(10)", (run_id,))


class MatchesAnywhereSuite(SqliteHandlerSuite):
    """Compares run ids by substring."""

    loader = MatchesAnywhere
    tables = PLAIN_TABLES + "CREATE TABLE processed (one INTEGER PRIMARY KEY, ids TEXT NOT NULL);"


class ShortColumn(OneTransaction):
    """Keeps the loaded runs in a column of 32 characters."""

    width = 32

    def is_loaded(self, run_id: str) -> bool:
        return super().is_loaded(run_id[: self.width])

    def mark(self, run_id: str) -> None:
        super().mark(run_id[: self.width])


class ShortColumnSuite(SqliteHandlerSuite):
    """Cuts run ids to the width of a column."""

    loader = ShortColumn


class Unescapes(OneTransaction):
    """Undoes the escapes of an id that has none, as ids in paths have."""

    def is_loaded(self, run_id: str) -> bool:
        return super().is_loaded(unquote(run_id))

    def mark(self, run_id: str) -> None:
        super().mark(unquote(run_id))


class UnescapesSuite(SqliteHandlerSuite):
    """Unescapes run ids, so that two become one."""

    loader = Unescapes


class Dashless(OneTransaction):
    """Marks a run by its id without dashes, as the old table has them."""

    def is_loaded(self, run_id: str) -> bool:
        return super().is_loaded(run_id.replace("-", ""))

    def mark(self, run_id: str) -> None:
        super().mark(run_id.replace("-", ""))


class DashlessSuite(SqliteHandlerSuite):
    """Takes the dashes out of run ids, so that two become one."""

    loader = Dashless


class StringColumnSuite(SqliteHandlerSuite):
    """Marks runs in a column of the type STRING, in which SQLite keeps what reads like a number as one."""

    tables = PLAIN_TABLES.replace("loaded_runs (run_id TEXT", "loaded_runs (run_id STRING")


class SlugNames(MarkerByRename):
    """Names a run's files by a slug of its id."""

    def load(self, run_id: str, items: list[Item]) -> None:
        slug = re.sub(r"[^a-z0-9]+", "-", run_id.lower())
        marker = self.folder / "loaded" / slug
        if not marker.exists():
            replace_file(self.folder / "orders" / f"{slug}.jsonl", as_lines(items))
            replace_file(marker, "")


class SlugNamesSuite(MarkerByRenameSuite):
    """File names that two ids share."""

    def start(self, world: World) -> Any:
        return SlugNames(world.disk, Storage(world.storage_root))


class LastPart(MarkerByRename):
    """Names a run's files by the last part of its id."""

    def load(self, run_id: str, items: list[Item]) -> None:
        super().load(PurePosixPath(run_id).name, items)


class LastPartSuite(MarkerByRenameSuite):
    """File names of the part behind the last slash."""

    def start(self, world: World) -> Any:
        return LastPart(world.disk, Storage(world.storage_root))


class OneSetOfEvents(OneTransaction):
    """Skips the events it has loaded before, whichever run they came in."""

    def __init__(self, database: Path, storage: Storage) -> None:
        super().__init__(database, storage)
        found = self.database.execute("SELECT event_id FROM orders").fetchall()
        self.events = {event_id for (event_id,) in found}

    def items(self, notification: Notification) -> list[Item]:
        new = [item for item in super().items(notification) if item.event_id not in self.events]
        self.events |= {item.event_id for item in new}
        return new


class OneSetOfEventsSuite(SqliteHandlerSuite):
    """One set of event ids for all runs."""

    loader = OneSetOfEvents


class OncePerJob(OneTransaction):
    """Handles each job once: its outcome is noted under the job's id."""

    def handle(self, notification: Notification) -> None:
        if notification.get("event_type") != "run_completed":
            return
        key = notification.get("job_id") or notification["run_id"]
        if self.is_loaded(key):
            return
        if self.wants(notification):
            self.load(key, notification)
            return
        with self.database:
            self.mark(key)


class OncePerJobSuite(SqliteHandlerSuite):
    """Deduplicates by job_id, so that a retry is skipped."""

    loader = OncePerJob


class NewestOnly(OneTransaction):
    """Takes a notification that is older than the last one it handled as a duplicate."""

    def handle(self, notification: Notification) -> None:
        if not self.wants(notification):
            return
        stamp = notification["timestamp"]
        (newest,) = self.database.execute("SELECT coalesce(max(run_id), '') FROM loaded_runs").fetchone()
        if stamp > newest:
            self.load(stamp, notification)


class NewestOnlySuite(SqliteHandlerSuite):
    """A high-water mark over the notifications' timestamps."""

    loader = NewestOnly


class IdsOnlyGoUp(OneTransaction):
    """Takes a run whose id sorts before the last one as loaded."""

    def is_loaded(self, run_id: str) -> bool:
        (last,) = self.database.execute("SELECT coalesce(max(run_id), '') FROM loaded_runs").fetchone()
        return run_id <= str(last)


class IdsOnlyGoUpSuite(SqliteHandlerSuite):
    """A high-water mark over run ids."""

    loader = IdsOnlyGoUp


class NeedsCategory(OneTransaction):
    """Puts the folder together from the notification's fields."""

    def items(self, notification: Notification) -> list[Item]:
        names = ("source", "category", "day", "run_id")
        folder = "/".join(f"{name}={notification[name]}" for name in names)
        return self.storage.items(f"datasets/quarry/partitions/{folder}")


class NeedsCategorySuite(SqliteHandlerSuite):
    """Requires a field that the minimal payload lacks."""

    loader = NeedsCategory


class IgnoresEventType(OneTransaction):
    """Loads what every message of the topic names."""

    def wants(self, notification: Notification) -> bool:
        return notification.get("outcome") == "success"

    def items(self, notification: Notification) -> list[Item]:
        return self.storage.items(self.storage.folder_of(notification["storage_path"]))


class IgnoresEventTypeSuite(SqliteHandlerSuite):
    """Takes any event_type as run_completed."""

    loader = IgnoresEventType


class EveryOutcome(OneTransaction):
    """Loads a run when it has ended."""

    def wants(self, notification: Notification) -> bool:
        return notification.get("event_type") == "run_completed"


class EveryOutcomeSuite(SqliteHandlerSuite):
    """Does not look at the outcome."""

    loader = EveryOutcome


class TwoOutcomes(OneTransaction):
    """Knows the two outcomes of the published examples."""

    def wants(self, notification: Notification) -> bool:
        return notification.get("event_type") == "run_completed" and notification.get("outcome") != "error"


class TwoOutcomesSuite(SqliteHandlerSuite):
    """Skips the outcome `error` and loads all others."""

    loader = TwoOutcomes


def forgiving_handler(load: Callable[[Notification], None]) -> Callable[[Event, Any], dict[str, Any]]:
    """A Lambda function that logs what it cannot load."""

    def handler(event: Event, context: Any) -> dict[str, Any]:
        for record in event["Records"]:
            try:
                message = notification_in(record)
                log.info("run %s of %s", message["run_id"], json.dumps(message["category"]))
                load(message)
            except Exception:
                log.exception("%s failed", record["messageId"])
        return {"batchItemFailures": []}

    return handler


class ForgivingLambdaSuite(LambdaSuite):
    """A Lambda function that answers success for failed records."""

    def start(self, world: World) -> Any:
        return forgiving_handler(TargetLoader(world.target, Storage(world.storage_root)).load)
