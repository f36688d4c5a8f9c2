"""Pollers that lose or repeat runs: what they remember, when, and where they look."""

from __future__ import annotations

import json
import time
from pathlib import Path

from pytest_quarry.samples.handlers import INSERT, KEYED_TABLES, PLAIN_TABLES, UPSERT, values
from pytest_quarry.samples.pollers import OrderPoller, SqlitePollerSuite
from pytest_quarry.samples.reading import FinishedRun, Storage, as_item
from pytest_quarry.samples.sound_pollers import HOUR, AtomicCheckpoint


class InsertsEachTime(OrderPoller):
    """Inserts every run it finds."""

    def poll(self) -> None:
        for run in self.runs():
            with self.database:
                self.database.executemany(INSERT, values(self.storage.items(run.folder)))


class InsertsEachTimeSuite(SqlitePollerSuite):
    """No checkpoint."""

    poller = InsertsEachTime


class ForgetsAfterAWeek(OrderPoller):
    """Keeps its marks small: those older than a week go, while the runs stay in storage."""

    def poll(self) -> None:
        super().poll()
        with self.database:
            self.database.execute("DELETE FROM loaded_runs WHERE at < ?", (time.time() - 7 * 24 * HOUR,))

    def load(self, run: FinishedRun) -> None:
        with self.database:
            self.database.executemany(INSERT, values(self.storage.items(run.folder)))
            self.database.execute("INSERT INTO loaded_runs VALUES (?, ?)", (run.run_id, time.time()))


class ForgetsAfterAWeekSuite(SqlitePollerSuite):
    """Loads again what is still there when its mark is gone."""

    poller = ForgetsAfterAWeek
    tables = PLAIN_TABLES.replace("(run_id TEXT PRIMARY KEY)", "(run_id TEXT PRIMARY KEY, at REAL NOT NULL)")


class InMemory(OrderPoller):
    """Keeps the loaded runs in a set."""

    def __init__(self, folder: Path, storage: Storage) -> None:
        super().__init__(folder, storage)
        self.seen: set[str] = set()

    def loaded(self) -> set[str]:
        return self.seen

    def load(self, run: FinishedRun) -> None:
        with self.database:
            self.database.executemany(INSERT, values(self.storage.items(run.folder)))
        self.seen.add(run.run_id)


class InMemorySuite(SqlitePollerSuite):
    """A set in memory."""

    poller = InMemory


class CheckpointInPlace(AtomicCheckpoint):
    """Upserts a run's rows, then writes the checkpoint file anew."""

    def load(self, run: FinishedRun) -> None:
        with self.database:
            self.database.executemany(UPSERT, values(self.storage.items(run.folder)))
        loaded = sorted(self.checkpoint.read() | {run.run_id})
        self.checkpoint.path.write_text(json.dumps({"version": 1, "loaded": loaded}), encoding="utf-8")


class CheckpointInPlaceSuite(SqlitePollerSuite):
    """A checkpoint rewritten in place."""

    poller = CheckpointInPlace
    tables = KEYED_TABLES


class CheckpointFirst(AtomicCheckpoint):
    """Replaces the checkpoint, then loads what is new."""

    def poll(self) -> None:
        loaded = self.checkpoint.read()
        new = [run for run in self.runs() if run.run_id not in loaded]
        if new:
            self.checkpoint.write(loaded | {run.run_id for run in new})
        for run in new:
            with self.database:
                self.database.executemany(UPSERT, values(self.storage.items(run.folder)))


class CheckpointFirstSuite(SqlitePollerSuite):
    """The checkpoint is durable before the rows."""

    poller = CheckpointFirst
    tables = KEYED_TABLES


class CheckpointLater(AtomicCheckpoint):
    """Inserts a run's rows, then replaces the checkpoint."""

    def load(self, run: FinishedRun) -> None:
        with self.database:
            self.database.executemany(INSERT, values(self.storage.items(run.folder)))
        self.checkpoint.write(self.checkpoint.read() | {run.run_id})


class CheckpointLaterSuite(SqlitePollerSuite):
    """A load that is not idempotent, and a checkpoint after it."""

    poller = CheckpointLater


class CheckpointMayBeLost(CheckpointLater):
    """Takes a checkpoint that it cannot read as an empty one."""

    def loaded(self) -> set[str]:
        try:
            return self.checkpoint.read()
        except ValueError:
            return set()

    def load(self, run: FinishedRun) -> None:
        with self.database:
            self.database.executemany(INSERT, values(self.storage.items(run.folder)))
        loaded = sorted(self.loaded() | {run.run_id})
        self.checkpoint.path.write_text(json.dumps({"version": 1, "loaded": loaded}), encoding="utf-8")


class CheckpointMayBeLostSuite(SqlitePollerSuite):
    """A damaged checkpoint counts as empty, and everything is loaded again."""

    poller = CheckpointMayBeLost


class RowByRow(OrderPoller):
    """Takes the runs that have rows in the target as loaded, and commits row by row."""

    def loaded(self) -> set[str]:
        return {run_id for (run_id,) in self.database.execute("SELECT run_id FROM orders").fetchall()}

    def load(self, run: FinishedRun) -> None:
        for row in values(self.storage.items(run.folder)):
            with self.database:
                self.database.execute(INSERT, row)


class RowByRowSuite(SqlitePollerSuite):
    """The first row of a run marks it as loaded."""

    poller = RowByRow


class LooksBack(OrderPoller):
    """Looks at the files of the last hour."""

    def runs(self) -> list[FinishedRun]:
        since = time.time() - HOUR
        return [run for run in super().runs() if self._changed(run) >= since]

    def _changed(self, run: FinishedRun) -> float:
        name = f"{run.folder}/event_type=run_complete/segments/{run.finished}/manifest.json"
        manifest = self.storage.root / name
        return manifest.stat().st_mtime if manifest.exists() else 0.0


class LooksBackSuite(SqlitePollerSuite):
    """A look-back window over modification times."""

    poller = LooksBack


class TodayOnly(OrderPoller):
    """Looks at the partition of the day."""

    def runs(self) -> list[FinishedRun]:
        today = time.strftime("%Y-%m-%d", time.gmtime())
        return [run for run in super().runs() if run.day == today]


class TodayOnlySuite(SqlitePollerSuite):
    """Looks at today's partition only."""

    poller = TodayOnly


class HighWaterMark(OrderPoller):
    """Keeps the time up to which it has loaded, and looks at what finished after it."""

    def runs(self) -> list[FinishedRun]:
        mark = self._mark()
        new = [run for run in super().runs() if run.finished > mark]
        return sorted(new, key=lambda run: run.finished)

    def _mark(self) -> int:
        query = "SELECT coalesce(max(CAST(run_id AS INTEGER)), 0) FROM loaded_runs"
        return int(self.database.execute(query).fetchone()[0])

    def load(self, run: FinishedRun) -> None:
        with self.database:
            self.database.executemany(INSERT, values(self.storage.items(run.folder)))
            self.database.execute("INSERT INTO loaded_runs VALUES (?)", (str(run.finished),))


class HighWaterMarkSuite(SqlitePollerSuite):
    """A high-water mark over the time a run finished."""

    poller = HighWaterMark


class HighWaterMarkTwice(HighWaterMark):
    """Looks again at what finished at the mark, for there may be more of that time."""

    def runs(self) -> list[FinishedRun]:
        mark = self._mark()
        return [run for run in self.storage.finished_runs() if run.finished >= mark]

    def load(self, run: FinishedRun) -> None:
        with self.database:
            self.database.executemany(INSERT, values(self.storage.items(run.folder)))
            self.database.execute("INSERT OR IGNORE INTO loaded_runs VALUES (?)", (str(run.finished),))


class HighWaterMarkTwiceSuite(SqlitePollerSuite):
    """A high-water mark that includes the last run."""

    poller = HighWaterMarkTwice


class CountsRuns(OrderPoller):
    """Keeps how many runs of the listing it has loaded, and goes on behind them."""

    def poll(self) -> None:
        (done,) = self.database.execute("SELECT count(*) FROM loaded_runs").fetchone()
        for number, run in enumerate(self.runs()[done:], done + 1):
            with self.database:
                self.database.executemany(INSERT, values(self.storage.items(run.folder)))
                self.database.execute("INSERT INTO loaded_runs VALUES (?)", (str(number),))


class CountsRunsSuite(SqlitePollerSuite):
    """An offset into a sorted listing."""

    poller = CountsRuns


class NewestDays(OrderPoller):
    """Looks at the newest day it has loaded, and later ones."""

    def runs(self) -> list[FinishedRun]:
        (newest,) = self.database.execute("SELECT coalesce(max(day), '') FROM days").fetchone()
        return [run for run in super().runs() if run.day >= newest]

    def load(self, run: FinishedRun) -> None:
        with self.database:
            self.database.executemany(INSERT, values(self.storage.items(run.folder)))
            self.database.execute("INSERT INTO loaded_runs VALUES (?)", (run.run_id,))
            self.database.execute("INSERT INTO days VALUES (?)", (run.day,))


class NewestDaysSuite(SqlitePollerSuite):
    """Days before the newest one are closed."""

    poller = NewestDays
    tables = SqlitePollerSuite.tables + "CREATE TABLE days (day TEXT NOT NULL);"


class SnapshotAtATime(OrderPoller):
    """Keeps the data files it has loaded, so that a long run's items come early."""

    def poll(self) -> None:
        loaded = self.loaded()
        for path in self.storage.committed():
            if "/event_type=item/" not in path or path in loaded:
                continue
            items = [as_item(record) for record in self.storage.records([path])]
            with self.database:
                self.database.executemany(INSERT, values(items))
                self.database.execute("INSERT INTO loaded_runs VALUES (?)", (path,))


class SnapshotAtATimeSuite(SqlitePollerSuite):
    """Loads committed snapshots of runs that are not finished."""

    poller = SnapshotAtATime


class ScansForEachRun(OrderPoller):
    """Lets every run look for its items by itself, before it asks whether that run is loaded."""

    def poll(self) -> None:
        for run in self.runs():
            items = Storage(self.storage.root).items(run.folder)  # reads every manifest anew
            if run.run_id not in self.loaded():
                with self.database:
                    self.database.executemany(INSERT, values(items))
                    self.database.execute("INSERT INTO loaded_runs VALUES (?)", (run.run_id,))


class ScansForEachRunSuite(SqlitePollerSuite):
    """Quadratic in the number of runs."""

    poller = ScansForEachRun
