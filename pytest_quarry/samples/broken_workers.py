"""Queue workers with one mistake each: when they delete, whom they leave a run to, what one bad message does to the rest."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import time
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from pytest_quarry.samples.handlers import INSERT, Notification, OneTransaction, values
from pytest_quarry.samples.reading import NotVisibleYet, Storage
from pytest_quarry.samples.sound_handlers import Leased, LeasedSuite, StillLeased
from pytest_quarry.samples.workers import (
    VISIBILITY,
    Message,
    Worker,
    WorkerSuite,
    notification_in,
    receives,
)

log = logging.getLogger(__name__)


class DeletesBeforeLoading(Worker):
    """Deletes a message as soon as it has it, so that a slow load does not bring it back."""

    def work(self, message: Message) -> None:
        self.delete(message)
        self.loader.handle(notification_in(message))


class DeletesBeforeLoadingSuite(WorkerSuite):
    """Deletes, then loads."""

    worker = DeletesBeforeLoading


class DeletesInFinally(Worker):
    """Deletes a message whatever became of it."""

    def work(self, message: Message) -> None:
        try:
            self.loader.handle(notification_in(message))
        finally:
            self.delete(message)


class DeletesInFinallySuite(WorkerSuite):
    """Deletes in `finally`."""

    worker = DeletesInFinally


class LogsAndDeletes(Worker):
    """Logs what could not be loaded, for somebody to look at, and deletes it."""

    def work(self, message: Message) -> None:
        try:
            self.loader.handle(notification_in(message))
        except Exception:
            log.exception("message %s was not loaded", message["MessageId"])
        self.delete(message)


class LogsAndDeletesSuite(WorkerSuite):
    """Deletes what could not be loaded."""

    worker = LogsAndDeletes


class DeletesTheBatch(Worker):
    """Deletes at the end of a turn all that it received."""

    def run_once(self) -> None:
        messages = self.receive()
        for message in messages:
            try:
                self.loader.handle(notification_in(message))
            except Exception:
                log.exception("message %s was not loaded", message["MessageId"])
        if messages:
            entries = [{"Id": str(at), "ReceiptHandle": one["ReceiptHandle"]} for at, one in enumerate(messages)]
            self.sqs.delete_message_batch(QueueUrl=self.queue_url, Entries=entries)


class DeletesTheBatchSuite(WorkerSuite):
    """One DeleteMessageBatch for all that was received."""

    worker = DeletesTheBatch


class LeavesItToTheHolder(Worker):
    """Deletes the message of a run that another worker has claimed: that one will load it."""

    def work(self, message: Message) -> None:
        with contextlib.suppress(StillLeased):
            self.loader.handle(notification_in(message))
        self.delete(message)


class LeasedAsLongAsInvisible(Leased):
    """Claims a run as long as its message is invisible."""

    seconds = VISIBILITY


class LeavesItToTheHolderSuite(WorkerSuite):
    """Acknowledges a duplicate while a dead worker's claim stands."""

    worker = LeavesItToTheHolder
    loader = LeasedAsLongAsInvisible
    tables = LeasedSuite.tables


class LockFile(OneTransaction):
    """Takes a lock file for each run, which no second worker can take, and removes it when the run is loaded."""

    def __init__(self, database: Path, storage: Storage) -> None:
        super().__init__(database, storage)
        self.locks = database.with_name("locks")
        self.locks.mkdir(exist_ok=True)

    def load(self, run_id: str, notification: Notification) -> None:
        lock = self.locks / hashlib.sha256(run_id.encode()).hexdigest()
        lock.touch(exist_ok=False)
        try:
            super().load(run_id, notification)
        finally:
            lock.unlink()


class LockFileSuite(WorkerSuite):
    """A lock file that outlives the worker that took it."""

    loader = LockFile


class GivesBackLateRuns(Worker):
    """Gives up its claim to a run that took longer than its message was invisible: another worker has it by now."""

    def work(self, message: Message) -> None:
        began = time.monotonic()
        notification = notification_in(message)
        self.loader.handle(notification)
        if time.monotonic() - began > VISIBILITY:
            with self.loader.database as database:
                database.execute("DELETE FROM loaded_runs WHERE run_id = ?", (notification["run_id"],))
        self.delete(message)


class GivesBackLateRunsSuite(WorkerSuite):
    """Takes back the mark of a run that was slow, and leaves its rows."""

    worker = GivesBackLateRuns


class TriesAgainAtOnce(Worker):
    """Looks whether a run is loaded, then tries up to three times to load it and to delete its message."""

    def work(self, message: Message) -> None:
        loader, notification = self.loader, notification_in(message)
        if not loader.wants(notification) or loader.is_loaded(notification["run_id"]):
            self.delete(message)
            return
        for attempt in range(3):
            try:
                with loader.database:
                    loader.database.executemany(INSERT, values(loader.items(notification)))
                    mark = "INSERT OR IGNORE INTO loaded_runs VALUES (?)"
                    loader.database.execute(mark, (notification["run_id"],))
                self.delete(message)
            except Exception:
                log.exception("attempt %s failed", attempt)
                time.sleep(attempt)
            else:
                return


class TriesAgainAtOnceSuite(WorkerSuite):
    """Takes a failed delete for a failed load, and loads again."""

    worker = TriesAgainAtOnce


class UndoesTheMark(Worker):
    """Takes back the mark where the message could not be deleted, so that it is worked on when it comes again."""

    def delete(self, message: Message) -> None:
        try:
            super().delete(message)
        except (BotoCoreError, ClientError):
            with self.loader.database as database:
                run_id = notification_in(message)["run_id"]
                database.execute("DELETE FROM loaded_runs WHERE run_id = ?", (run_id,))
            raise


class UndoesTheMarkSuite(WorkerSuite):
    """Takes back the mark after a failed delete, and leaves the rows."""

    worker = UndoesTheMark


class StopsAtABadMessage(Worker):
    """Lets the turn fail at a message that cannot be loaded: it comes first in the next batch as well."""

    def run_once(self) -> None:
        for message in self.receive():
            self.work(message)


class StopsAtABadMessageSuite(WorkerSuite):
    """A bad message holds up all behind it in its batch."""

    worker = StopsAtABadMessage


class OneCommitPerBatch(Worker):
    """Loads a batch in one transaction, which is faster, and deletes it after the commit."""

    def run_once(self) -> None:
        loader, messages = self.loader, self.receive()
        with loader.database:
            for notification in map(notification_in, messages):
                if loader.wants(notification) and not loader.is_loaded(notification["run_id"]):
                    loader.database.executemany(INSERT, values(loader.items(notification)))
                    loader.mark(notification["run_id"])
        for message in messages:
            self.delete(message)


class OneCommitPerBatchSuite(WorkerSuite):
    """One bad message rolls the whole batch back."""

    worker = OneCommitPerBatch


class DeletesAllAtOnce(Worker):
    """Empties the queue, and then deletes all that it loaded in one call: SQS takes ten."""

    def run_once(self) -> None:
        loaded: list[Message] = []
        while messages := self.receive():
            for message in messages:
                try:
                    self.loader.handle(notification_in(message))
                except Exception:
                    log.exception("message %s was not loaded", message["MessageId"])
                else:
                    loaded.append(message)
        if loaded:
            entries = [{"Id": str(at), "ReceiptHandle": one["ReceiptHandle"]} for at, one in enumerate(loaded)]
            self.sqs.delete_message_batch(QueueUrl=self.queue_url, Entries=entries)


class DeletesAllAtOnceSuite(WorkerSuite):
    """More than ten entries in a DeleteMessageBatch."""

    worker = DeletesAllAtOnce


class ParsesFirst(Worker):
    """Parses all messages of a batch before it works on the first."""

    def run_once(self) -> None:
        messages = [(message, notification_in(message)) for message in self.receive()]
        for message, notification in messages:
            try:
                self.loader.handle(notification)
                self.delete(message)
            except Exception:
                log.exception("message %s was not loaded", message["MessageId"])


class ParsesFirstSuite(WorkerSuite):
    """Text that is no JSON fails the batch."""

    worker = ParsesFirst


class DropsAtItsSixth(Worker):
    """Deletes what was received five times before: somebody will look at the log."""

    def work(self, message: Message) -> None:
        if receives(message) > 5:
            log.error("message %s is given up", message["MessageId"])
            self.delete(message)
        else:
            super().work(message)


class DropsAtItsSixthSuite(WorkerSuite):
    """Gives a message up before the redrive policy does."""

    worker = DropsAtItsSixth


class SendsACopy(Worker):
    """What is not there yet it deletes, and sends again to come in two minutes."""

    def work(self, message: Message) -> None:
        try:
            super().work(message)
        except NotVisibleYet:
            self.delete(message)
            self.sqs.send_message(QueueUrl=self.queue_url, MessageBody=message["Body"], DelaySeconds=120)


class SendsACopySuite(WorkerSuite):
    """Deletes, then sends a copy with a delay."""

    worker = SendsACopy
