"""What stands between Quarry and a consumer: the topic, its subscription, the queue, the dead-letter queue."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any

from pytest_quarry.bus import names

FIFO = ".fifo"


@dataclass(frozen=True, kw_only=True)
class Topology:
    """How a world's bus is built. `filter_policy` is JSON, on message attributes; `max_receives` (1 to 1,000) ends in the dead-letter queue.

    `visibility` is the queue's visibility timeout, 0 to 43,200 seconds. Raises ValueError for what AWS would not take.
    """

    raw: bool = False
    filter_policy: str = ""
    fifo: bool = False
    max_receives: int = 10
    visibility: int = 30

    def __post_init__(self) -> None:
        for name, must, holds in (
            ("raw", "True or False", type(self.raw) is bool),
            ("fifo", "True or False", type(self.fifo) is bool),
            ("max_receives", "a whole number, 1 to 1,000", _is_whole(self.max_receives, 1, 1_000)),
            ("visibility", "a whole number of seconds, 0 to 43,200", _is_whole(self.visibility, 0, 43_200)),
            (
                "filter_policy",
                'JSON text with a list for each attribute, like \'{"source": ["shop"]}\', or ""',
                self.filter_policy == "" or _is_policy(self.filter_policy),
            ),
        ):
            if not holds:
                raise ValueError(f"Topology: {name} is {getattr(self, name)!r}; it must be {must}")

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


def chosen(topology: Topology | None) -> Topology:
    """What a test says of its topology, or the default. Raises TypeError for what is no topology."""
    # Not by its class: pyfakefs imports modules anew.
    if topology is not None and not all(hasattr(topology, each.name) for each in fields(Topology)):
        raise TypeError(f"quarry_topology is {topology!r:.100}; it must be a Topology, as Topology(raw=True)")
    return topology or Topology()


def _is_whole(value: object, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def _is_policy(text: object) -> bool:
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        return False
    return isinstance(found, dict) and all(isinstance(values, list) and values for values in found.values())
