"""A sound handler that asks psutil about processes: about another that holds its file, and about its own."""

from __future__ import annotations

import logging
import os

import psutil

from pytest_quarry.samples.handlers import Notification, SqliteHandlerSuite
from pytest_quarry.samples.sound_together import UNKEYED_TABLES, NamesItsProcess

log = logging.getLogger(__name__)


class AsksPsutil(NamesItsProcess):
    """Takes the file of a process over that psutil no longer knows, and logs how much memory each load took."""

    def load(self, run_id: str, notification: Notification) -> None:
        process = psutil.Process()
        before = process.memory_info().rss
        super().load(run_id, notification)
        log.info("loaded %s, %+d KiB", run_id, (process.memory_info().rss - before) // 1024)

    def is_gone(self, holder: int) -> bool:
        return holder == os.getpid() or not psutil.pid_exists(holder)


class AsksPsutilSuite(SqliteHandlerSuite):
    """A file with a process's id, and psutil to say whether it is alive."""

    loader = AsksPsutil
    tables = UNKEYED_TABLES
