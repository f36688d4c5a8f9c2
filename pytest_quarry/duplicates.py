"""What the fixture `quarry_duplicates` gives: one notification told again in every legal way, and what only looks like it."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Literal, TypeVar, get_args, overload

from pytest_quarry.bus import copies as bus
from pytest_quarry.contract import ContractError, Run, lambda_event

__all__ = ["Duplicates", "EnvelopeKind"]

EnvelopeKind = Literal["sns", "raw", "none"]
"""What is around a notification: an SNS envelope in a Lambda event, nothing in a Lambda event (raw delivery), nothing."""

M = TypeVar("M", bound=Mapping[str, Any])

ADDED: tuple[dict[str, Any], ...] = (
    {"schema_hint": {"since": "0.14"}},
    {"tags": ["nightly"], "priority": None},
    {"trace_id": "00-1"},
)


class Duplicates:
    """Makes duplicates of messages; the same ``seed`` makes the same ones, call by call.

    A message is a decoded ``run_completed``, an SNS envelope around it, a Lambda event or one of its records; methods
    answer in kind unless they say otherwise, never change what they are given, and raise ContractError for anything
    else.
    """

    def __init__(self, seed: int = 0) -> None:
        if type(seed) is not int:
            raise ContractError(f"seed is {seed!r}; it must be a whole number")
        self.seed = seed
        self._random = Random(f"quarry_duplicates/{seed}")

    def __repr__(self) -> str:
        return f"<duplicates, seed {self.seed}>"

    def event(self, *notifications: Mapping[str, Any], raw: bool = False) -> dict[str, Any]:
        """The Lambda event with these notifications, in one batch, each received for the first time.

        ``raw``: as with SNS's raw message delivery, without an envelope in the record's body.
        """
        if not notifications:
            raise ContractError("event() got no notification; a Lambda event has at least one record")
        return lambda_event(bus.record(one, number=self._number(), raw=raw) for one in notifications)

    def of(self, notification: Mapping[str, Any], *, envelope: EnvelopeKind = "sns") -> list[dict[str, Any]]:
        """One notification and its duplicates of every sort, as Lambda events in the order to deliver them.

        First the original; then, in an order that the seed decides, the same message again, twice in one batch, and
        published again in new envelopes; last the original once more. ``envelope="none"``: notifications, for a
        consumer that takes those.
        """
        if envelope not in get_args(EnvelopeKind):
            known = ", ".join(map(repr, get_args(EnvelopeKind)))
            raise ContractError(f"envelope {envelope!r} is unknown; there are {known}")
        if bus.kind_of(notification) != "notification":
            raise ContractError(
                f"of() got a {bus.kind_of(notification)}; it takes the decoded run_completed and makes what is around it"
            )
        if envelope == "none":
            first = copy.deepcopy(dict(notification))
            between = [first, *(self.new_envelope(first) for _ in range(3))]
        else:
            first = self.event(notification, raw=envelope == "raw")
            between = [first, self.in_one_batch(first), *(self.new_envelope(first) for _ in range(3))]
        self._random.shuffle(between)
        return bus.recounted([first, *between, first])

    def later(self, messages: Sequence[M]) -> list[M]:
        """The messages in their order, and each of them a second time, somewhere after its first.

        What SQS received again keeps its message id; its receipt handle and its count are new.
        """
        if isinstance(messages, Mapping) or not isinstance(messages, Sequence):
            raise ContractError(f"later() got {messages!r}"[:200] + "; it takes a list of messages")
        order: list[M] = list(messages)
        for message in messages:
            bus.kind_of(message)
            order.insert(self._random.randint(order.index(message) + 1, len(order)), message)
        found: Any = bus.recounted(order)
        return found  # type: ignore[no-any-return]

    def in_one_batch(self, message: Mapping[str, Any], *, copies: int = 1) -> dict[str, Any]:
        """One Lambda event that holds the message and ``copies`` of it: received again, or published again, by turns.

        Takes a notification too, and a Lambda event of several records.
        """
        if isinstance(copies, bool) or not isinstance(copies, int) or not 1 <= copies <= 9:
            raise ContractError(f"copies is {copies!r}; a batch of SQS has ten messages at most, so 1 to 9")
        records = self._records(message)
        batch = list(records)
        for number in range(copies):
            batch += [bus.renewed(one, self._new()) if number % 2 else one for one in records]
        if len(batch) > 10:
            raise ContractError(
                f"{len(records)} records and {copies} copies of each are {len(batch)}; a batch of SQS has ten at most"
            )
        self._random.shuffle(batch)
        return lambda_event(bus.recounted(batch))

    def new_envelope(self, message: M) -> M:
        """The same news published again: other message ids, receipt and time, keys in another order, a field added."""
        again: Any = bus.renewed(message, self._new())
        return again  # type: ignore[no-any-return]

    @overload
    def near_copies(self, message: Run) -> dict[str, Run]: ...
    @overload
    def near_copies(self, message: M) -> dict[str, M]: ...
    def near_copies(self, message: Any) -> Any:
        """What only looks like a duplicate: other runs, by what is alike; each of them is to be loaded.

        Run ids with a character more or less, other case, other punctuation; another run of the same day, source and
        job; a retry, with ``parent_run_id``. Of a `Run`: such runs, to be written to storage first.
        """
        if isinstance(message, Run):
            return bus.near_runs(message)
        kind = bus.kind_of(message)
        if kind == "notification":
            return bus.near_copies(message)
        raise ContractError(
            f"near_copies() got a {kind}; it takes a decoded run_completed, or a Run. event() puts one into a Lambda event"
        )

    def _records(self, message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        kind = bus.kind_of(message)
        if kind == "lambda event":
            return list(message["Records"])
        if kind == "record":
            return [message]
        if kind == "notification":
            return [bus.record(message, number=self._number())]
        raise ContractError(
            "in_one_batch() got an SNS envelope; it takes a notification, a Lambda event or one of its records"
        )

    def _number(self) -> int:
        return self._random.getrandbits(128)

    def _new(self) -> bus.New:
        return bus.New(
            ids=self._number(),
            seconds=self._random.randint(1, 900),
            turned=self._random.randint(1, 6),
            added=self._random.choice(ADDED),
        )
