"""At-least-once delivery: what the bus accepted, what is in flight, acknowledged, dead, and by which rules.

The world decides what is delivered when; this keeps the books, as a queue with a redrive policy would (Amazon SQS
Developer Guide, "Visibility timeout" and "Dead-letter queues").
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass
class Message:
    """One accepted notification; `body` is what was published, text where that is not JSON."""

    number: int
    run_id: str
    body: Mapping[str, Any] | str
    attributes: Mapping[str, Any]
    sent: int  # µs
    receives: int = 0
    copy: int = 0  # how often it was published again, where the queue itself delivers nothing twice
    acknowledged: bool = False
    dead: bool = False
    filtered: bool = False  # the subscription's filter policy let it not through

    @property
    def waiting(self) -> bool:
        """Whether the bus still owes it to the consumer."""
        return not self.acknowledged and not self.dead and not self.filtered

    @property
    def identifier(self) -> str:
        """The message id, the same at every delivery."""
        return f"00000000-0000-4000-8{self.copy:03d}-{self.number:012d}"

    @property
    def text(self) -> str:
        """What was published."""
        return self.body if isinstance(self.body, str) else json.dumps(self.body)


class Mailbox:
    """The messages of a world and what became of each."""

    def __init__(self, max_receives: int) -> None:
        self.messages: list[Message] = []
        self._max_receives = max_receives

    def accept(self, run_id: str, body: Mapping[str, Any] | str, attributes: Mapping[str, Any], now: int) -> Message:
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

    def named(self, identifier: str) -> Message | None:
        """The message of that id; None where the id is none of ours."""
        number = int(identifier[-12:]) if identifier[-12:].isdigit() else 0
        if not 1 <= number <= len(self.messages):
            return None
        message = self.messages[number - 1]
        return message if message.identifier == identifier else None

    def waiting(self) -> list[Message]:
        """What is neither acknowledged nor dead, in the order of acceptance."""
        return [message for message in self.messages if message.waiting]

    def forgive(self, most: int) -> None:
        """Count no more than so many receives of each message: the rest was more than a queue does of itself."""
        for message in self.messages:
            message.receives = min(message.receives, most)

    def redrive(self) -> list[Message]:
        """Move what was received too often to the dead-letter queue; what was moved."""
        moved = [message for message in self.waiting() if message.receives >= self._max_receives]
        for message in moved:
            message.dead = True
        return moved

    @property
    def state(self) -> tuple[bool, ...]:
        """The durable part: which messages the bus no longer owes."""
        return tuple(message.waiting for message in self.messages)


def failed_identifiers(answer: Any, known: Sequence[str], *, reports: bool | None = None) -> set[str] | None:
    """The message ids a Lambda's answer reports as failed; None when the whole batch counts as failed.

    `reports`: whether the event source mapping has ReportBatchItemFailures; None: as the answer suggests.
    AWS Lambda Developer Guide, "Implementing partial batch responses", success and failure conditions: an empty or null
    list, an empty or null answer is complete success; an answer that is no JSON object, an identifier that is empty,
    null, unknown or under another name is complete failure.
    """
    if reports is False or answer is None:
        return set()
    if not isinstance(answer, Mapping):
        return None if reports else set()
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
