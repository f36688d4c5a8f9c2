"""Consumers with one mistake each whose marks are the metadata of a file: its mode, its time, an extended attribute."""

from __future__ import annotations

import os
from pathlib import Path

from pytest_quarry.samples.handlers import INSERT, Notification, OrderLoader, SqliteHandlerSuite, values
from pytest_quarry.samples.reading import Storage
from pytest_quarry.samples.sound_files import file_name
from pytest_quarry.samples.sound_together import UNKEYED_TABLES

ATTRIBUTE = "user.loaded"


class MarksByAMode(OrderLoader):
    """Has a file for each run, which becomes read-only after the commit."""

    def __init__(self, database: Path, storage: Storage) -> None:
        super().__init__(database, storage)
        self.folder = database.parent / "runs"
        self.folder.mkdir(exist_ok=True)

    def load(self, run_id: str, notification: Notification) -> None:
        file = self.folder / file_name(run_id)
        if not file.exists():
            file.touch()
        if not self.is_marked(file):
            self.insert(notification)
            self.mark_file(file)

    def insert(self, notification: Notification) -> None:
        """Insert the rows of a run."""
        items = self.items(notification)
        with self.database:
            self.database.executemany(INSERT, values(items))

    def is_marked(self, file: Path) -> bool:
        """Whether its run is loaded."""
        return file.stat().st_mode & 0o777 == 0o444

    def mark_file(self, file: Path) -> None:
        """Note that its run is loaded."""
        file.chmod(0o444)


class MarksByAModeSuite(SqliteHandlerSuite):
    """A mark in a second step, which is a file's mode."""

    loader = MarksByAMode
    tables = UNKEYED_TABLES


class MarksByATime(MarksByAMode):
    """Has a file for each run, which is as old as can be after the commit."""

    def is_marked(self, file: Path) -> bool:
        return file.stat().st_mtime == 1

    def mark_file(self, file: Path) -> None:
        os.utime(file, (1, 1))


class MarksByATimeSuite(SqliteHandlerSuite):
    """A mark in a second step, which is a file's time."""

    loader = MarksByATime
    tables = UNKEYED_TABLES


class MarksByAnAttribute(MarksByAMode):
    """Has a file for each run, with an attribute after the commit."""

    def is_marked(self, file: Path) -> bool:
        return ATTRIBUTE in os.listxattr(file)

    def mark_file(self, file: Path) -> None:
        os.setxattr(file, ATTRIBUTE, b"1")


class MarksByAnAttributeSuite(SqliteHandlerSuite):
    """A mark in a second step, which is an extended attribute."""

    loader = MarksByAnAttribute
    tables = UNKEYED_TABLES
