"""Handlers that acknowledge what they have written down, and load it later, in a thread or a task of their own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, ClassVar

from pytest_quarry.samples.handlers import INSERT, PLAIN_TABLES, Notification, OrderLoader, SqliteHandlerSuite, values
from pytest_quarry.samples.reading import Storage
from pytest_quarry.samples.workers import Worker, WorkerSuite

INBOX_TABLE = (
    "CREATE TABLE inbox (run_id TEXT PRIMARY KEY, notification TEXT NOT NULL, loaded INTEGER NOT NULL DEFAULT 0);"
)


class WorksItsInboxOff(OrderLoader):
    """Writes each notification down; a thread looks every few seconds, and loads and marks in one transaction."""

    SECONDS = 5

    def __init__(self, database: Path, storage: Storage) -> None:
        super().__init__(database, storage)
        self.path = database
        self.begin()

    def begin(self) -> None:
        """Let the thread begin."""
        threading.Thread(target=self.work_off_for_ever, daemon=True).start()

    def load(self, run_id: str, notification: Notification) -> None:
        with self.database:
            self.database.execute(
                "INSERT OR IGNORE INTO inbox (run_id, notification) VALUES (?, ?)", (run_id, json.dumps(notification))
            )

    def work_off_for_ever(self) -> None:
        """In the thread."""
        while True:
            self.work_off()
            time.sleep(self.SECONDS)

    def work_off(self) -> None:
        """Load all that can be loaded by now; what cannot is tried the next time, and holds nothing up."""
        try:
            with closing(sqlite3.connect(self.path, isolation_level=None)) as database:
                found = database.execute("SELECT run_id, notification FROM inbox WHERE NOT loaded").fetchall()
                for run_id, text in found:
                    self.try_to_load(database, run_id, json.loads(text))
        except sqlite3.Error as error:
            print(f"the inbox cannot be read now: {error}")

    def try_to_load(self, database: sqlite3.Connection, run_id: str, notification: Notification) -> None:
        """Load one run, if that works."""
        try:
            self.load_now(database, run_id, notification)
        except Exception as error:
            print(f"{run_id} cannot be loaded now: {error}")

    def load_now(self, database: sqlite3.Connection, run_id: str, notification: Notification) -> None:
        """Load one run, unless the other worker has."""
        items = self.items(notification)
        with transaction(database):
            if database.execute("UPDATE inbox SET loaded = 1 WHERE run_id = ? AND NOT loaded", (run_id,)).rowcount:
                database.executemany(INSERT, values(items))


@contextlib.contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """A transaction that is taken back where it fails."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


class WorksItsInboxOffSuite(SqliteHandlerSuite):
    """An inbox that a thread works off."""

    loader: ClassVar[type[OrderLoader]] = WorksItsInboxOff
    tables = PLAIN_TABLES + INBOX_TABLE
    durable_inbox = True


class InboxInATask(WorksItsInboxOff):
    """The same in a task, begun with the first notification or, where one is left, at the start."""

    SECONDS = 1
    task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """What was left is loaded before anything else."""
        self.work_off()

    async def handle(self, notification: Notification) -> None:  # type: ignore[override]
        """Write it down."""
        super().handle(notification)
        if self.task is None:
            self.task = asyncio.create_task(self.task_for_ever())

    async def task_for_ever(self) -> None:
        """In the task."""
        while True:
            self.work_off()
            await asyncio.sleep(self.SECONDS)


class InboxInATaskSuite(WorksItsInboxOffSuite):
    """An inbox that a task works off."""

    loader = InboxInATask


class InboxAtTheStart(WorksItsInboxOff):
    """Works the inbox off when it starts, and whenever it was told of a run."""

    def begin(self) -> None:
        self.work_off()

    def handle(self, notification: Notification) -> None:
        super().handle(notification)
        self.work_off()


class InboxAtTheStartSuite(WorksItsInboxOffSuite):
    """An inbox that is worked off at the start and with each notification."""

    loader = InboxAtTheStart


class InboxOfAWorker(WorksItsInboxOff):
    """Only writes down what it is told."""

    def begin(self) -> None:
        """Its worker works it off."""


class InboxWorker(Worker):
    """Works the inbox off in each turn; what it receives it writes down, and deletes."""

    def __init__(self, loader: InboxOfAWorker, queue_url: str) -> None:
        super().__init__(loader, queue_url)
        self.inbox = loader

    def run_once(self) -> None:
        super().run_once()
        self.inbox.work_off()


class InboxWorkerSuite(WorkerSuite):
    """A worker whose inbox is worked off in its turns, messages or none."""

    worker = InboxWorker
    loader = InboxOfAWorker
    tables = WorksItsInboxOffSuite.tables
    durable_inbox = True


class EmptiesItsInboxFirst(WorksItsInboxOff):
    """Takes a run out of the inbox in one transaction, and loads it in the next."""

    def load_now(self, database: sqlite3.Connection, run_id: str, notification: Notification) -> None:
        items = self.items(notification)
        taken = database.execute("UPDATE inbox SET loaded = 1 WHERE run_id = ? AND NOT loaded", (run_id,)).rowcount
        if taken:
            with transaction(database):
                database.executemany(INSERT, values(items))


class EmptiesItsInboxFirstSuite(WorksItsInboxOffSuite):
    """An inbox whose runs are marked before they are loaded."""

    loader = EmptiesItsInboxFirst


class OneWriter(OrderLoader):
    """One thread writes for all; it logs what it did when the handler knows already."""

    def __init__(self, database: Path, storage: Storage) -> None:
        super().__init__(database, storage)
        self.path, self.queue = database, SimpleQueue[tuple[str, list[Any], Future[None]]]()
        threading.Thread(target=self.write_for_ever, daemon=True).start()

    def load(self, run_id: str, notification: Notification) -> None:
        done = Future[None]()
        self.queue.put((run_id, values(self.items(notification)), done))
        done.result()

    def write_for_ever(self) -> None:
        """In the thread, which outlives whatever fails."""
        while True:
            run_id, rows, done = self.queue.get()
            try:
                self.write(run_id, rows)
            except Exception as error:
                done.set_exception(error)
            else:
                done.set_result(None)
            with contextlib.suppress(OSError), open(self.path.with_name("writer.log"), "a", encoding="utf-8") as log:
                log.write(f"{run_id}\n")

    def write(self, run_id: str, rows: list[Any]) -> None:
        """Load and mark one run."""
        with closing(sqlite3.connect(self.path, isolation_level=None)) as database, transaction(database):
            if database.execute("INSERT OR IGNORE INTO loaded_runs VALUES (?)", (run_id,)).rowcount:
                database.executemany(INSERT, rows)


class OneWriterSuite(SqliteHandlerSuite):
    """A thread that writes for all."""

    loader = OneWriter


class OneFlush(OneWriter):
    """One thread collects for half a second what is to be written, and writes it in one transaction."""

    MOST = 60  # seconds that a handler waits

    def load(self, run_id: str, notification: Notification) -> None:
        done = Future[None]()
        self.queue.put((run_id, values(self.items(notification)), done))
        done.result(timeout=self.MOST)

    def write_for_ever(self) -> None:
        while True:
            batch = [self.queue.get()]
            with contextlib.suppress(Empty):
                while True:
                    batch.append(self.queue.get(timeout=0.5))
            try:
                self.write_all(batch)
            except Exception as error:
                for _, _, done in batch:
                    done.set_exception(error)
            else:
                for _, _, done in batch:
                    done.set_result(None)

    def write_all(self, batch: Iterable[tuple[str, list[Any], Future[None]]]) -> None:
        """Load and mark all of them, or none."""
        with closing(sqlite3.connect(self.path, isolation_level=None)) as database, transaction(database):
            for run_id, rows, _ in batch:
                if database.execute("INSERT OR IGNORE INTO loaded_runs VALUES (?)", (run_id,)).rowcount:
                    database.executemany(INSERT, rows)


class OneFlushSuite(SqliteHandlerSuite):
    """A thread that writes in batches."""

    loader = OneFlush
