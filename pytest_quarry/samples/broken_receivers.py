"""Queue workers that take a message for another, count what they receive, or stop for good."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence

from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError

from pytest_quarry.samples.handlers import INSERT, OrderLoader, values
from pytest_quarry.samples.workers import Message, Worker, WorkerSuite, notification_in, receives

log = logging.getLogger(__name__)
HALF_A_DAY = 43_000


class Parks(Worker):
    """Puts away for half a day what it cannot load: the queue drops messages before the tenth of those."""

    def work(self, message: Message) -> None:
        try:
            super().work(message)
        except Exception:
            receipt = message["ReceiptHandle"]
            self.sqs.change_message_visibility(
                QueueUrl=self.queue_url, ReceiptHandle=receipt, VisibilityTimeout=HALF_A_DAY
            )
            raise


class ParksSuite(WorkerSuite):
    """A visibility timeout so long that no message ever gets to the dead-letter queue."""

    worker = Parks


class Seen(Worker):
    """Skips messages it has loaded; what it knows them by is up to `key`, and kept with the rows."""

    def work(self, message: Message) -> None:
        loader, notification = self.loader, notification_in(message)
        with loader.database:
            if loader.wants(notification) and not loader.is_loaded(key := self.key(message)):
                loader.database.executemany(INSERT, values(loader.items(notification)))
                loader.mark(key)
        self.delete(message)

    def key(self, message: Message) -> str:
        """What a message is known by."""
        raise NotImplementedError


class ByMessageId(Seen):
    """Knows a message by its id."""

    def key(self, message: Message) -> str:
        return str(message["MessageId"])


class ByMessageIdSuite(WorkerSuite):
    """Deduplicates on SQS's MessageId."""

    worker = ByMessageId


class ByEnvelope(Seen):
    """Knows a message by the id that SNS gave it."""

    def key(self, message: Message) -> str:
        return str(json.loads(message["Body"])["MessageId"])


class ByEnvelopeSuite(WorkerSuite):
    """Deduplicates on the MessageId of SNS's envelope."""

    worker = ByEnvelope


class ByText(Seen):
    """Knows a message by a hash of its text."""

    def key(self, message: Message) -> str:
        return hashlib.sha256(json.loads(message["Body"])["Message"].encode()).hexdigest()


class ByTextSuite(WorkerSuite):
    """Deduplicates on a hash of the message."""

    worker = ByText


class ByRunAndTime(Seen):
    """Knows a message by its run and its time, so that a run may be announced anew."""

    def key(self, message: Message) -> str:
        notification = notification_in(message)
        return f"{notification['run_id']}/{notification['timestamp']}"


class ByRunAndTimeSuite(WorkerSuite):
    """Deduplicates on run_id and timestamp."""

    worker = ByRunAndTime


class GeneratorEnds(Worker):
    """Receives in a generator, which ends at its first exception: later turns find nothing."""

    def __init__(self, loader: OrderLoader, queue_url: str) -> None:
        super().__init__(loader, queue_url)
        self.batches = self.forever()

    def forever(self) -> Iterator[Sequence[Message]]:
        """One batch after the other."""
        while True:
            yield super().receive()

    def receive(self) -> Sequence[Message]:
        return next(self.batches, [])


class GeneratorEndsSuite(WorkerSuite):
    """A generator that a failed receive ends for good."""

    worker = GeneratorEnds


class EndsWhenCutOff(GeneratorEnds):
    """Gets over what SQS refuses and over its silence, but not over a connection that is closed: that ends the generator."""

    def forever(self) -> Iterator[Sequence[Message]]:
        while True:
            try:
                batch = Worker.receive(self)
            except (ClientError, ReadTimeoutError):
                log.exception("nothing received")
                batch = []
            yield batch


class EndsWhenCutOffSuite(WorkerSuite):
    """A generator that a closed connection ends for good."""

    worker = EndsWhenCutOff


class CountsReceives(Worker):
    """Takes a message that was received before for a duplicate of one that was loaded."""

    def work(self, message: Message) -> None:
        if receives(message) > 1:
            log.info("message %s was handled before", message["MessageId"])
            self.delete(message)
            return
        super().work(message)


class CountsReceivesSuite(WorkerSuite):
    """Deletes what it receives a second time."""

    worker = CountsReceives


class StopsWhenThrottled(Worker):
    """Stops asking a queue that throttles it or does not answer; an operator is to start it again."""

    def __init__(self, loader: OrderLoader, queue_url: str) -> None:
        super().__init__(loader, queue_url)
        self.stopped = False

    def receive(self) -> Sequence[Message]:
        if self.stopped:
            return []
        try:
            return super().receive()
        except (BotoCoreError, ClientError):
            log.exception("the queue cannot be read; stopped")
            self.stopped = True
            return []


class StopsWhenThrottledSuite(WorkerSuite):
    """Does nothing any more after a receive failed."""

    worker = StopsWhenThrottled
