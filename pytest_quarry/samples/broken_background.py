"""Handlers that return, and so acknowledge, while their work goes on elsewhere."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

from pytest_quarry.samples.handlers import Notification, OneTransaction, SqliteHandlerSuite
from pytest_quarry.samples.reading import Storage


class LoadsInAThread(OneTransaction):
    """Starts a thread for each run, and does not wait for it."""

    def __init__(self, database: Path, storage: Storage) -> None:
        super().__init__(database, storage)
        self.path = database

    def load(self, run_id: str, notification: Notification) -> None:
        threading.Thread(target=self.load_now, args=(run_id, notification)).start()

    def load_now(self, run_id: str, notification: Notification) -> None:
        """In the thread, which needs a connection of its own."""
        OneTransaction(self.path, self.storage).load(run_id, notification)


class LoadsInAThreadSuite(SqliteHandlerSuite):
    """A thread that nobody waits for."""

    loader = LoadsInAThread


class LoadsInATask(OneTransaction):
    """Makes a task of each run, and does not await it."""

    async def handle(self, notification: Notification) -> None:  # type: ignore[override]
        self.task = asyncio.get_running_loop().create_task(self.load_soon(notification))

    async def load_soon(self, notification: Notification) -> Any:
        """In the task."""
        await asyncio.sleep(0)
        super().handle(notification)


class LoadsInATaskSuite(SqliteHandlerSuite):
    """A task that nobody awaits."""

    loader = LoadsInATask
