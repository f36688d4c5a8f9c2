"""What stands between Quarry and a consumer: the topic, its subscription, the queue, the dead-letter queue."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pytest_quarry.bus import names

FIFO = ".fifo"


@dataclass(frozen=True, kw_only=True)
class Topology:
    """How a world's bus is built. `filter_policy` is JSON, on message attributes; `max_receives` ends in the dead-letter queue.

    `visibility` is the queue's visibility timeout in seconds.
    """

    raw: bool = False
    filter_policy: str = ""
    fifo: bool = False
    max_receives: int = 10
    visibility: int = 30

    @property
    def topic(self) -> str:
        """The topic's name."""
        return names.TOPIC + FIFO * self.fifo

    @property
    def queue(self) -> str:
        """The queue's name."""
        return names.QUEUE + FIFO * self.fifo

    @property
    def dead_letter_queue(self) -> str:
        """The dead-letter queue's name."""
        return names.DEAD_LETTER_QUEUE + FIFO * self.fifo

    @property
    def topic_arn(self) -> str:
        """What publishers publish to."""
        return names.arn("sns", self.topic)

    @property
    def queue_arn(self) -> str:
        """What the subscription sends to."""
        return names.arn("sqs", self.queue)

    @property
    def queue_url(self) -> str:
        """What consumers receive from."""
        return names.queue_url(self.queue)

    @property
    def dead_letter_url(self) -> str:
        """Where poison ends."""
        return names.queue_url(self.dead_letter_queue)

    def queue_attributes(self) -> dict[str, str]:
        """The queue's attributes, as CreateQueue takes them."""
        redrive = {
            "deadLetterTargetArn": names.arn("sqs", self.dead_letter_queue),
            "maxReceiveCount": self.max_receives,
        }
        fifo = {"FifoQueue": "true"} if self.fifo else {}
        return {"VisibilityTimeout": str(self.visibility), "RedrivePolicy": json.dumps(redrive), **fifo}

    def passes(self, attributes: Any, body: str) -> bool:
        """Whether the subscription's filter policy lets a message with these attributes through."""
        if not self.filter_policy:
            return True
        from moto.sns.utils import FilterPolicyMatcher

        found = {name: {"Type": value["DataType"], "Value": value["StringValue"]} for name, value in attributes.items()}
        matcher = FilterPolicyMatcher(json.loads(self.filter_policy), "MessageAttributes")
        return bool(matcher.matches(found, body))
