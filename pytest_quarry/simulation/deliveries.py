"""What the bus does to a consumer that is told of runs: a handler, a Lambda function, a worker that receives by itself."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from itertools import groupby
from typing import Any, Literal, TypeVar

from pytest_quarry.bus.delivery import Mailbox, Message, failed_identifiers
from pytest_quarry.consumers.consumer import Consumer
from pytest_quarry.consumers.protocol import Call
from pytest_quarry.contract import Run, message_attributes
from pytest_quarry.contract.notification import EVENT_TYPE
from pytest_quarry.simulation import messages
from pytest_quarry.simulation.drive import Drive
from pytest_quarry.simulation.recorder import Recorder
from pytest_quarry.simulation.schedule import Notify
from pytest_quarry.simulation.turn import Going, Turn
from pytest_quarry.simulation.world import World

Ack = Literal["kept", "lost"]
T = TypeVar("T")
MOST_TURNS = 40  # of a worker, until its queue is empty
AT_ONCE = 2  # receives that count, of those in a schedule: the one whose consumer died, and a copy


class Deliveries:
    """Deliveries to one consumer, and the books about them."""

    def __init__(self, world: World, consumer: Consumer, recorder: Recorder, mailbox: Mailbox, drive: Drive) -> None:
        self._world, self._consumer, self._recorder, self._drive = world, consumer, recorder, drive
        self.mailbox = mailbox
        self._arrived = 0  # messages that are in the worker's queue
        self._ack: Ack = "kept"
        self._first_received: dict[str, int] = {}  # virtual µs, by message id

    @property
    def notified(self) -> dict[int, str]:
        """The runs that sound messages told of, by message."""
        return {
            message.number: message.run_id
            for message in self.mailbox.messages
            if not message.filtered and messages.is_sound(message.body) and message.body["event_type"] == EVENT_TYPE
        }

    def notify(self, run: Run, step: Notify) -> None:
        """The bus accepts a notification."""
        world = self._world
        body = messages.body(run, step, root_url=world.storage_url, layout=self._consumer.layout, now=world.now)
        attributes = {} if step.form == "bare" else message_attributes(run)
        message = self.mailbox.accept(step.run, body, attributes, world.now)
        self._recorder.look(observe=False)
        form = "" if step.form == "full" else f" ({step.form})"
        if not world.topology.passes(attributes, message.text):
            message.filtered = True
            form += ", filtered by the subscription's policy"
        self._recorder.record("notified", f"{step.run} (#{message.number}){form}", messages=(message.number,))
        world.advance(1)

    def deliver(self, numbers: Sequence[int], turn: Turn, ack: Ack = "kept", drive: Drive | None = None) -> Going[None]:
        """Give the consumer these messages: in batches of its size, one by one, or where its own receives find them."""
        drive = drive or self._drive
        numbers = [number for number in numbers if not self.mailbox.messages[number - 1].filtered]
        started = yield from drive.start(turn)
        self._ack = ack if drive.takes != "queue" else "kept"  # a worker acknowledges by itself
        if started is not None:
            if drive.takes != "queue":
                self._received(numbers)
        elif drive.takes == "queue":
            yield from self._work(numbers, turn, drive)
        elif drive.takes == "lambda":
            yield from self._invoke_in_batches(numbers, turn, drive)
        else:
            for number in numbers:
                yield from self._handle(number, turn, drive)
        self._ack = "kept"

    def _handle(self, number: int, turn: Turn, drive: Drive) -> Going[None]:
        (message,) = self._received((number,))
        if not drive.running or drive.hung:
            return  # received in the same batch, and lost with the process
        self._recorder.record("delivered", _named([message]), messages=(number,))
        outcome = yield from drive.do(Call("handle", json.loads(json.dumps(message.body))), turn)
        if outcome.returned:
            self._acknowledge([message])
            yield from drive.linger(turn)

    def _invoke_in_batches(self, numbers: Sequence[int], turn: Turn, drive: Drive) -> Going[None]:
        size = self._consumer.batch_size
        for start in range(0, len(numbers), size):
            batch = tuple(numbers[start : start + size])
            if drive.running and not drive.hung:
                yield from self._invoke(batch, turn, drive)
            else:
                self._received(batch)

    def _invoke(self, numbers: tuple[int, ...], turn: Turn, drive: Drive) -> Going[None]:
        batch = self._received(numbers)
        self._recorder.record("delivered", _named(batch), messages=numbers)
        event = messages.event(batch, topology=self._world.topology, first_received=self._first_received)
        outcome = yield from drive.do(Call("handle", event), turn)
        if not outcome.returned:
            return
        reports = self._consumer.reports_batch_item_failures
        failed = failed_identifiers(outcome.value, [message.identifier for message in batch], reports=reports)
        if failed is None:
            self._recorder.record("raised", f"the batch failed: it answered {outcome.value!r}"[:300])
            return
        self._acknowledge([message for message in batch if message.identifier not in failed])
        yield from drive.linger(turn)

    def _received(self, numbers: Sequence[int]) -> list[Message]:
        """Count the receive. A FIFO queue delivers nothing again that was deleted: there it was published again."""
        found = self.mailbox.receive(numbers)
        for message in found:
            message.copy += self._world.topology.fifo and message.acknowledged
            self._first_received.setdefault(message.identifier, self._world.now)
        return found

    def _acknowledge(self, done: list[Message]) -> None:
        new = [message for message in done if message.waiting]
        if not new:
            return
        numbers = tuple(message.number for message in new)
        if self._ack == "lost":
            self._recorder.record("failed", f"the acknowledgement of {_named(new)} is lost")
            return
        for message in new:
            message.acknowledged = True
        self._recorder.record("acknowledged", _named(new), messages=numbers)
        self._recorder.look(observe=False)

    def _work(self, numbers: Sequence[int], turn: Turn, drive: Drive) -> Going[None]:
        """A worker's receives find these messages, and no other; it takes turns until it has seen them."""
        queue = self._world.queue
        self._arrive()
        for number in numbers:
            message = self.mailbox.messages[number - 1]
            if message.acknowledged and not message.dead and not queue.holds(message.identifier):
                message.copy += self._world.topology.fifo
                self._put(message)
        found = [self.mailbox.messages[number - 1].identifier for number in numbers]
        for _ in numbers:
            if not found or not drive.running or drive.hung:
                break
            outcome = yield from self._offering(found, drive.do(Call("run_once"), turn))
            if not outcome.returned:
                break

    def _offering(self, found: list[str] | None, going: Going[T]) -> Going[T]:
        """What this worker's receives find while it goes on; while another does, that is the other's affair."""
        queue = self._world.queue
        try:
            while True:
                queue.offered = found
                boundary = next(going)
                queue.offered = []
                yield boundary
        except StopIteration as end:
            value: T = end.value
            return value
        finally:
            queue.offered = []

    def work(self, turn: Turn) -> Going[None]:
        """A worker takes turns as long as it finds messages; all that is visible is there to be found."""
        self._arrive()
        for _ in range(MOST_TURNS):
            if (yield from self._drive.start(turn)) is not None:
                break
            before = len(self._recorder.entries)
            outcome = yield from self._offering(None, self._drive.do(Call("run_once"), turn))
            found = any(entry.what == "delivered" for entry in self._recorder.entries[before:])
            if not outcome.returned or not found or self._drive.hung:
                break

    def forgive(self) -> None:
        """The redrive policy is to end what the consumer cannot do, not what was delivered on purpose, in no time."""
        self.mailbox.forgive(AT_ONCE)
        with contextlib.suppress(LookupError):  # the consumer deleted its queue
            if self._arrived:
                self._world.queue.forgive(AT_ONCE)

    def has_own(self) -> bool:
        """Whether the queue holds messages that the consumer sent to it by itself: a copy that is to come later, say."""
        with contextlib.suppress(LookupError):  # the consumer deleted its queue
            return self._arrived > 0 and any(self.mailbox.named(each) is None for each in self._world.queue.ids())
        return False

    def _arrive(self) -> None:
        """What was published since is in the worker's queue."""
        if self._arrived == 0:
            self._world.on_aws = self._noticed
        for message in self.mailbox.messages[self._arrived :]:
            if not message.filtered:
                self._put(message)
        self._arrived = len(self.mailbox.messages)

    def _put(self, message: Message) -> None:
        topology = self._world.topology
        text = messages.queued(message, topology)
        attributes = message.attributes if topology.raw else {}
        self._world.put(message.identifier, text, attributes, sent=message.sent)

    def _noticed(self, call: Any, answer: Any) -> None:
        """What an AWS call of the worker did to its messages."""
        for what, group in groupby(self._world.queue.happened(), key=lambda happened: happened.what):
            known = [self.mailbox.named(happened.message_id) for happened in group]
            found = [message for message in known if message is not None]
            numbers = tuple(message.number for message in found)
            if not found:
                continue
            if what == "received":
                self.mailbox.receive(numbers)
                self._recorder.record("delivered", _named(found), messages=numbers)
            elif what == "deleted":
                self._acknowledge(found)
            elif what == "stale":
                self._recorder.record("failed", f"the receipt handle of {_named(found)} is stale: not deleted")
            elif what == "dead":
                for message in found:
                    message.dead = True
                    self._recorder.record("dead-lettered", f"#{message.number}", messages=(message.number,))


def _named(batch: Sequence[Message]) -> str:
    return ", ".join(f"{message.run_id} (#{message.number})" for message in batch)
