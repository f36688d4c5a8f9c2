"""At-least-once delivery to a handler: what is waiting, in flight, acknowledged, dead.

The world decides what is delivered when; this keeps the books, as a queue with a redrive policy would (Amazon SQS
Developer Guide, "Visibility timeout" and "Dead-letter queues").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MAX_RECEIVES = 10
VISIBILITY_SECONDS = 30


@dataclass
class Message:
    """One accepted notification."""

    number: int
    run_id: str
    body: Mapping[str, Any]
    attributes: Mapping[str, Any]
    sent: int  # µs
    receives: int = 0
    acknowledged: bool = False
    dead: bool = False

    @property
    def waiting(self) -> bool:
        """Whether the bus still owes it to the consumer."""
        return not self.acknowledged and not self.dead


class Mailbox:
    """The messages of a world and what became of each."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def accept(self, run_id: str, body: Mapping[str, Any], attributes: Mapping[str, Any], now: int) -> Message:
        """Take a notification; its number is its place in the order of acceptance, from 1."""
        message = Message(len(self.messages) + 1, run_id, body, attributes, now)
        self.messages.append(message)
        return message

    def receive(self, numbers: Sequence[int]) -> list[Message]:
        """Hand these messages to the consumer, the same one perhaps more than once."""
        found = [self.messages[number - 1] for number in numbers]
        for message in found:
            message.receives += 1
        return found

    def waiting(self) -> list[Message]:
        """What is neither acknowledged nor dead, in the order of acceptance."""
        return [message for message in self.messages if message.waiting]

    def redrive(self) -> list[Message]:
        """Move what was received too often to the dead-letter queue; what was moved."""
        moved = [message for message in self.waiting() if message.receives >= MAX_RECEIVES]
        for message in moved:
            message.dead = True
        return moved

    @property
    def state(self) -> tuple[bool, ...]:
        """The durable part: which messages the bus no longer owes."""
        return tuple(message.waiting for message in self.messages)


def failed_identifiers(answer: Any, known: Sequence[str]) -> set[str] | None:
    """The message ids a Lambda's answer reports as failed; None when the whole batch counts as failed.

    AWS Lambda Developer Guide, "Reporting batch item failures": nothing, null or an empty list is complete success;
    an empty, null or unknown identifier, or an answer of another shape, is complete failure.
    """
    if not isinstance(answer, Mapping):  # null, or a value that has no such member
        return set()
    failures = answer.get("batchItemFailures")
    if failures is None:
        return set()
    if not isinstance(failures, Sequence) or isinstance(failures, str):
        return None
    found: set[str] = set()
    for failure in failures:
        identifier = failure.get("itemIdentifier") if isinstance(failure, Mapping) else None
        if not isinstance(identifier, str) or identifier not in known:
            return None
        found.add(identifier)
    return found
