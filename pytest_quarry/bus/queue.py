"""The world's queue: moto's, and what the world decides about its deliveries."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import moto.sqs.models

from pytest_quarry.bus import names
from pytest_quarry.bus.topology import Topology

models: Any = moto.sqs.models
IN_FLIGHT_LIMIT = (
    120_000  # messages of a queue, standard or FIFO (Developer Guide, "Standard queue quotas", "FIFO queue quotas")
)
HIDDEN = 0.4  # how many messages a short poll misses, with luck
TWICE = 0.1  # how many messages stay visible although they were received, with luck


class Happened(NamedTuple):
    """Something that became of a message of the world's queue: `received`, `deleted`, `stale` (a delete without effect), `dead`."""

    what: str
    message_id: str
    receipt: str = ""


class Queue:
    """The world's queue.

    `offered` is what the next receives find, in this order, whatever else is there; None: all that is visible.
    With `luck` order is best-effort, a short poll asks a sample of the servers (not a `thorough` one), and a message may be
    received twice. `lost` notifications never arrive; `delays` are for the next that do; `unheard` deletes have no effect.
    """

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.offered: list[str] | None = None
        self.luck: random.Random | None = None
        self.thorough = False
        self.lost = 0
        self.delays: list[float] = []
        self.unheard = 0
        self.in_flight_limit = IN_FLIGHT_LIMIT
        self.last: list[str] = []  # the ids that the last receive with any found
        self._gone: dict[str, Any] = {}
        self._happened: list[Happened] = []
        self._backend: Any = models.sqs_backends[names.ACCOUNT][names.REGION]

    @property
    def moto(self) -> Any:
        """The queue in moto. Raises LookupError where somebody deleted it."""
        if not self.is_there:
            raise LookupError(f"the queue {self.topology.queue} is gone: something deleted it, or reset moto")
        return self._backend.queues[self.topology.queue]

    @property
    def is_there(self) -> bool:
        """Whether nobody deleted it."""
        return self.topology.queue in self._backend.queues

    @property
    def _dead(self) -> list[Any]:
        queue = self._backend.queues.get(self.topology.dead_letter_queue)
        return queue._messages if queue is not None else []

    def put(
        self, message_id: str, body: str, attributes: Mapping[str, Any], *, group: str = "", delay: int = 0
    ) -> None:
        """A message arrives (again, under its old id, where the queue had lost track of its deletion)."""
        fifo = {"group_id": group or "runs", "deduplication_id": message_id} if self.topology.fifo else {}
        message = self._backend.send_message(
            self.topology.queue, body, message_attributes=dict(attributes), delay_seconds=delay, **fifo
        )
        message.id = message_id

    def holds(self, message_id: str) -> bool:
        """Whether a message is in the queue, in flight or not."""
        return self._find(message_id) is not None

    def show(self, message_id: str) -> None:
        """Make a message visible at once: its visibility timeout is over, or another copy of it turns up."""
        message = self._find(message_id)
        if message is not None:
            message.visible_at = message.delayed_until = 0.0
            self.moto.pending_messages.discard(message)

    def forgive(self, most: int) -> None:
        """Count no more than so many receives of each message that is in the queue."""
        for message in self.moto._messages:
            message.approximate_receive_count = min(message.approximate_receive_count, most)

    def bring_back(self, message_id: str) -> None:
        """A copy of a message turns up, on a server that did not hear of its deletion or its receive.

        Raises LookupError where none can: the queue never had it, or gave it away.
        """
        if self.holds(message_id):
            self.show(message_id)
            return
        if message_id not in self._gone:
            raise LookupError(f"message {message_id!r} {self._why_not(message_id)}")
        if self.topology.fifo:
            raise LookupError(
                f"message {message_id!r} was deleted, and a FIFO queue delivers nothing again that was; publish its run again"
            )
        message = self._gone.pop(message_id)
        message.visible_at = 0.0
        self.moto._messages.append(message)

    def _why_not(self, message_id: str) -> str:
        if any(message.id == message_id for message in self._dead):
            return "is in the dead-letter queue: nobody receives it from this queue again"
        known = ", ".join([*(message.id for message in self.moto._messages), *self._gone]) or "none yet"
        return f"was never in the queue; there were {known}"

    def arrives(self, message: Any) -> bool:
        """Whether a notification that SNS sends gets into the queue; it may be late."""
        if self.lost:
            self.lost -= 1
            return False
        if self.delays:
            message.delay(self.delays.pop(0))
        return True

    def hears(self) -> bool:
        """Whether the queue acts on a delete that it is about to answer."""
        if self.unheard:
            self.unheard -= 1
            return False
        return True

    def heal(self) -> None:
        """Nothing is lost, late or out of order from now on."""
        self.lost, self.delays, self.unheard, self.luck = 0, [], 0, None

    def happened(self) -> list[Happened]:
        """What became of messages since this was last asked."""
        found, self._happened = self._happened, []
        return found

    def ids(self) -> list[str]:
        """The ids of all messages in the queue."""
        return [message.id for message in self.moto._messages]

    def messages(self) -> list[dict[str, Any]]:
        """All that is in the queue: MessageId, Body, receives, and whether it is in flight."""
        return [_described(message) for message in self.moto._messages]

    def dead_letters(self) -> list[dict[str, Any]]:
        """All that is in the dead-letter queue."""
        return [_described(message) for message in self._dead]

    def _find(self, message_id: str) -> Any:
        return next((message for message in self.moto._messages if message.id == message_id), None)

    def note(self, what: str, message_id: str, receipt: str = "") -> None:
        """Keep what became of a message."""
        self._happened.append(Happened(what, message_id, receipt))

    def deleted(self, message: Any, receipt: str) -> None:
        """A message was deleted."""
        self._gone[message.id] = message
        self.note("deleted", message.id, receipt)

    def receive(self, receive: Callable[..., Any], count: int, wait: int, rest: tuple[Any, ...]) -> list[Any]:
        """The messages of one receive, chosen as the world decides; `receive` is moto's, without its queue name."""
        before = len(self._dead)
        if self.offered is None:
            with self._by_luck(wait):
                found = list(receive(count, wait, *rest))
            self._leave_some_visible(found)
        else:
            found = self._offered(receive, count, rest)
            if not found and wait:
                with self._only(()):  # moto's takes what becomes visible meanwhile, though it is to give nothing
                    receive(0, wait, *rest)  # waits for the whole of a long poll
        for message in self._dead[before:]:
            self.note("dead", message.id)
        for message in found:
            self.note("received", message.id, message.receipt_handle)
        self.last = [message.id for message in found] or self.last
        return found

    def _offered(self, receive: Callable[..., Any], count: int, rest: tuple[Any, ...]) -> list[Any]:
        assert self.offered is not None
        found: list[Any] = []
        while self.offered and len(found) < count:
            wanted = _distinct(self.offered, count - len(found))
            del self.offered[: len(wanted)]
            for message_id in wanted:
                self.show(message_id)
            with self._only(wanted):
                found += receive(len(wanted), 0, *rest)
        return found

    @contextlib.contextmanager
    def _only(self, wanted: Sequence[str]) -> Iterator[None]:
        """For one receive the queue holds these, in this order."""
        queue, everything = self.moto, self.moto._messages
        chosen = [message for message_id in wanted for message in everything if message.id == message_id]
        queue._messages = list(chosen)
        try:
            yield
        finally:
            left = {id(message) for message in queue._messages}
            gone = {id(message) for message in chosen} - left
            come = left - {id(message) for message in chosen}
            queue._messages = [
                *(message for message in everything if id(message) not in gone),
                *(message for message in queue._messages if id(message) in come),
            ]

    @contextlib.contextmanager
    def _by_luck(self, wait: int) -> Iterator[None]:
        """Best-effort order; a short poll asks a sample of the servers, and may find nothing."""
        queue, luck = self.moto, self.luck
        if luck is None or self.topology.fifo:
            yield
            return
        shown: list[Any] = []
        hidden: list[Any] = []
        for message in queue._messages:
            missed = wait == 0 and not self.thorough and luck.random() < HIDDEN
            (hidden if missed else shown).append(message)
        luck.shuffle(shown)
        queue._messages = shown
        try:
            yield
        finally:
            queue._messages += hidden

    def _leave_some_visible(self, found: Sequence[Any]) -> None:
        """Another server, which did not hear of the receive, still has a copy."""
        if self.luck is None or self.topology.fifo:
            return
        for message in found:
            if self.luck.random() < TWICE:
                self.show(message.id)


def _distinct(offered: Sequence[str], most: int) -> list[str]:
    """The longest beginning without a message twice: a copy comes in a receive of its own."""
    found: list[str] = []
    for message_id in offered[:most]:
        if message_id in found:
            break
        found.append(message_id)
    return found


def _described(message: Any) -> dict[str, Any]:
    return {
        "MessageId": message.id,
        "Body": message.body,
        "MessageAttributes": json.loads(json.dumps(message.message_attributes, default=str)),
        "receives": message.approximate_receive_count,
        "in_flight": not message.visible,
    }
