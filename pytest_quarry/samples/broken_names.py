"""Consumers that spell a run's id, or its path, in a way of their own, so that it is another one now and then."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_plus

from pytest_quarry.samples.handlers import INSERT, Notification, OneTransaction, SqliteHandlerSuite
from pytest_quarry.samples.pollers import OrderPoller, SqlitePollerSuite
from pytest_quarry.samples.publishers import Publisher, PublisherSuite, notification
from pytest_quarry.samples.reading import RAW_FOLDER, FinishedRun, Item, Storage
from pytest_quarry.samples.sound_files import FileLoader, as_lines, file_name, replace_file
from pytest_quarry.samples.sound_pollers import FilePoller, FilePollerSuite
from pytest_quarry.suites import EventBusConformance

if TYPE_CHECKING:
    from pytest_quarry.consumers.wrapped import WrappedRun
    from pytest_quarry.simulation.world import World

COLUMN, NAME = 64, 80  # characters


class EscapesAll(Storage):
    """Escapes all that is not a letter or a digit, where Quarry leaves `+`, `@` and others as they are."""

    def folder_of(self, storage_path: str) -> str:
        match = RAW_FOLDER.search(storage_path)
        if match is None:
            raise ValueError(f"storage_path {storage_path!r} names no run")
        values = [quote(value, safe="") for value in match.groups()]
        base = storage_path[: match.start()].partition("/datasets/")[2]
        return "datasets/{}source={}/category={}/day={}/run_id={}".format(base, *values)


class EscapesAllSuite(SqliteHandlerSuite):
    """quote(value, safe="") for the values of a path."""

    reader = EscapesAll


class Strips(OneTransaction):
    """Strips what comes in, ids too, as validators of models do."""

    def load(self, run_id: str, notification: Notification) -> None:
        super().load(run_id.strip(), notification)


class StripsSuite(SqliteHandlerSuite):
    """Takes an id with a space at its end for the one without."""

    loader = Strips


class Normalizes(OneTransaction):
    """Brings all texts into one form of Unicode, ids too."""

    def load(self, run_id: str, notification: Notification) -> None:
        super().load(unicodedata.normalize("NFC", run_id), notification)


class NormalizesSuite(SqliteHandlerSuite):
    """Takes two ids for one whose accents are written in two ways."""

    loader = Normalizes


class JoinsSourceAndId(OneTransaction):
    """Makes a key of source and id, joined by what both may hold."""

    def load(self, run_id: str, notification: Notification) -> None:
        super().load(f"{notification['source']}-{run_id}", notification)


class JoinsSourceAndIdSuite(SqliteHandlerSuite):
    """Takes run eu-1 of shop for run 1 of shop-eu."""

    loader = JoinsSourceAndId


class PastesCsv(FileLoader):
    """Pastes rows into a CSV file of the run; no id had a comma so far."""

    def load(self, run_id: str, items: list[Item]) -> None:
        rows = [f"{item.run_id},{item.event_id}\n" for item in items]
        replace_file(self.folder / f"{file_name(run_id)}.csv", "".join(rows))


class PastesCsvSuite(EventBusConformance):
    """Columns that are not quoted."""

    def prepare(self, world: World) -> None:
        (world.disk / "orders").mkdir()

    def start(self, world: World) -> Any:
        return PastesCsv(world.disk / "orders", Storage(world.storage_root))

    def rows(self, world: World) -> list[dict[str, Any]]:
        found = []
        for file in sorted((world.disk / "orders").glob("*.csv")):
            found += [line.split(",")[:2] for line in file.read_text(encoding="utf-8").splitlines()]
        return [{"run_id": run_id, "item": item} for run_id, item in found]


class PlusIsASpace(Storage):
    """Reads folder names as if they were forms of a web page."""

    def finished_runs(self) -> list[FinishedRun]:
        found = []
        for run in super().finished_runs():
            run_id = unquote_plus(run.folder.rpartition("run_id=")[2])
            found.append(FinishedRun(run_id, run.day, run.folder, run.finished))
        return found


class NamesRows(OrderPoller):
    """Takes the id of a run from its folder, for its rows too."""

    def load(self, run: FinishedRun) -> None:
        rows = [(run.run_id, item.event_id, item.sku, item.price) for item in self.storage.items(run.folder)]
        with self.database:
            self.database.executemany(INSERT, rows)
            self.database.execute("INSERT INTO loaded_runs VALUES (?)", (run.run_id,))


class PlusIsASpaceSuite(SqlitePollerSuite):
    """unquote_plus on folder names."""

    poller = NamesRows
    reader = PlusIsASpace


class FilesByStem(FilePoller):
    """Names the file of a run by `with_suffix`, which takes away what is behind the last dot."""

    def load(self, run: FinishedRun) -> None:
        file = (self.folder / file_name(run.run_id)).with_suffix(".jsonl")
        if not file.exists():
            replace_file(file, as_lines(self.storage.items(run.folder)))


class FilesByStemSuite(FilePollerSuite):
    """One file per run, up to the last dot of its id."""

    def start(self, world: World) -> Any:
        return FilesByStem(world.disk, Storage(world.storage_root))


class ColumnOfMarks(OrderPoller):
    """Marks runs in a column of 64 characters."""

    def runs(self) -> list[FinishedRun]:
        cut = {run.run_id[:COLUMN]: run for run in super().runs()}
        return [FinishedRun(mark, run.day, run.folder, run.finished) for mark, run in cut.items()]


class ColumnOfMarksSuite(SqlitePollerSuite):
    """Marks that are cut where their column ends."""

    poller = ColumnOfMarks


class EscapesPaths(Publisher):
    """Escapes the path that it announces, where Quarry names it raw."""

    def fields(self, run: WrappedRun) -> dict[str, Any]:
        found = notification(run)
        before, _, run_id = str(found["storage_path"]).rpartition("run_id=")
        return {**found, "storage_path": f"{before}run_id={quote(run_id, safe=' %,/')}"}


class EscapesPathsSuite(PublisherSuite):
    """Escapes `@` and others in storage_path."""

    publisher = EscapesPaths


class MarksByFile(Publisher):
    """Leaves a file for each run that it announced, with a name of 80 characters and no slash."""

    def __init__(self, topic_arn: str, folder: Path) -> None:
        super().__init__(topic_arn)
        self.folder = folder

    def publish(self, run: WrappedRun) -> None:
        mark = self.folder / run.run_id.replace("/", "_")[:NAME]
        if mark.exists():
            return
        self.send(run)
        replace_file(mark, json.dumps({"announced": run.run_id}))


class MarksByFileSuite(PublisherSuite):
    """Announces no run whose mark is there."""

    def start(self, world: World) -> Any:
        return MarksByFile(world.topic_arn, world.disk)
