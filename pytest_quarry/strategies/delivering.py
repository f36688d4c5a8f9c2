"""At-least-once delivery: copies, orders, batches."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from typing import Any, Literal, TypeVar, get_args, overload

from hypothesis import strategies as st

from pytest_quarry.bus import copies
from pytest_quarry.contract import ContractError, lambda_event
from pytest_quarry.duplicates import ADDED, EnvelopeKind
from pytest_quarry.strategies import arguments
from pytest_quarry.strategies.announcing import listed

T = TypeVar("T")
CopyKind = Literal["again", "new-envelope"]
"""``again``: the same message received once more; ``new-envelope``: published once more, as another message."""

COPY_KINDS: tuple[str, ...] = get_args(CopyKind)
ENVELOPES: tuple[str, ...] = get_args(EnvelopeKind)
MOST = 8  # receives of one message: at the tenth a redrive policy of ten ends it


def duplicates(
    of: Sequence[T] | st.SearchStrategy[T],
    *,
    max_messages: int = 3,
    max_copies: int = 2,
    kinds: Collection[CopyKind] = ("again", "new-envelope"),
) -> st.SearchStrategy[list[T]]:
    """Messages with duplicates among them: at least one copy and ``max_copies`` at most, each somewhere after its first.

    ``of``: the messages, in their order, or a strategy of single ones, of which one to ``max_messages`` are drawn, of
    different runs. Notifications, SNS envelopes, Lambda events and their records are copied as ``kinds`` say: ``again``
    (SQS: same message id, another receipt handle, one receive more) or ``new-envelope`` (other ids and time, keys in
    another order, a field added). Anything else is copied as it is.

    Examples shrink to one message and an equal copy behind it. Raises InvalidArgument for what cannot be.
    """
    arguments.count("duplicates", "max_messages", max_messages, least=1, most=100)
    arguments.count("duplicates", "max_copies", max_copies, least=1, most=100)
    chosen = arguments.some("duplicates", "kinds", kinds, COPY_KINDS)
    return _duplicates(_messages("duplicates", of, max_messages), max_copies, chosen)


@st.composite
def _duplicates(
    draw: st.DrawFn, of: st.SearchStrategy[Sequence[T]], max_copies: int, kinds: tuple[str, ...]
) -> list[T]:
    messages = draw(of)
    found: list[tuple[int, Any]] = list(enumerate(messages))
    for number in draw(st.lists(st.integers(0, len(messages) - 1), min_size=1, max_size=max_copies)):
        first = next(place for place, (which, _) in enumerate(found) if which == number)
        again = _copied(draw, messages[number], draw(st.sampled_from(kinds)))
        found.insert(draw(st.integers(first + 1, len(found))), (number, again))
    order: Any = [message for _, message in found]
    return copies.recounted(order) if all(map(_is_message, order)) else copy.deepcopy(order)  # type: ignore[return-value]


def _copied(draw: st.DrawFn, message: Any, kind: str) -> Any:
    if kind == "again" or not _is_message(message):
        return message
    new = copies.New(
        ids=copies.number_of(message) + 1000 + draw(st.integers(0, 1000)),
        seconds=draw(st.integers(1, 900)),
        turned=draw(st.integers(0, 6)),
        added=draw(st.sampled_from(({}, *ADDED))),
    )
    return copies.renewed(message, new)


@overload
def deliveries(
    of: Sequence[T] | st.SearchStrategy[T],
    *,
    envelope: Literal["none"] = "none",
    max_messages: int = 3,
    max_again: int = 2,
    max_batch: int = 3,
    ordered: bool = False,
) -> st.SearchStrategy[list[list[T]]]: ...
@overload
def deliveries(
    of: Sequence[T] | st.SearchStrategy[T],
    *,
    envelope: Literal["sns", "raw"],
    max_messages: int = 3,
    max_again: int = 2,
    max_batch: int = 3,
    ordered: bool = False,
) -> st.SearchStrategy[list[dict[str, Any]]]: ...
def deliveries(
    of: Any,
    *,
    envelope: EnvelopeKind = "none",
    max_messages: int = 3,
    max_again: int = 2,
    max_batch: int = 3,
    ordered: bool = False,
) -> Any:
    """What a bus that delivers at least once makes of messages: batches, in which each message is once or more often.

    ``of``: the messages, or a strategy of single ones, of which one to ``max_messages`` are drawn. At most ``max_again``
    (8) deliveries more than there are messages, also twice in one batch; batches of up to ``max_batch`` (10); in any
    order, unless ``ordered``: then first deliveries keep their order. ``envelope``: with ``sns`` or ``raw`` the messages
    are notifications, and each batch is the Lambda event of it, message ids and receive counts as SQS has them.

    Examples shrink to every message once, alone, in the order given. Raises InvalidArgument for what cannot be.
    """
    arguments.one_of("deliveries", "envelope", envelope, ENVELOPES)
    arguments.count("deliveries", "max_messages", max_messages, least=1, most=100)
    arguments.count("deliveries", "max_again", max_again, most=MOST)
    arguments.count("deliveries", "max_batch", max_batch, least=1, most=10)
    return _deliveries(_messages("deliveries", of, max_messages), max_again, max_batch, ordered, envelope)


@st.composite
def _deliveries(
    draw: st.DrawFn,
    of: st.SearchStrategy[Sequence[Any]],
    max_again: int,
    max_batch: int,
    ordered: bool,
    envelope: EnvelopeKind,
) -> list[Any]:
    messages = draw(of)
    found = draw(_batches(len(messages), max_again=max_again, max_batch=max_batch, ordered=ordered))
    if envelope == "none":
        return [[copy.deepcopy(messages[number]) for number in batch] for batch in found]
    records = [
        copies.record(message, number=copies.number_of(message) + 2 * place, raw=envelope == "raw")
        for place, message in enumerate(listed("deliveries", list(messages)))
    ]
    return copies.recounted(lambda_event(records[number] for number in batch) for batch in found)


@st.composite
def _batches(
    draw: st.DrawFn, count: int, *, max_again: int, max_batch: int, ordered: bool = False
) -> list[tuple[int, ...]]:
    """Batches of the numbers 0 to ``count`` - 1, each of them in one at least."""
    places = list(range(count))
    order = places if ordered or count < 2 else list(draw(st.permutations(places)))
    for number in draw(st.lists(st.sampled_from(places), max_size=max_again)):
        order.insert(draw(st.integers(order.index(number) + 1, len(order))), number)
    found: list[tuple[int, ...]] = []
    for number in order:
        if found and max_batch > 1 and draw(st.booleans()) and len(found[-1]) < max_batch:
            found[-1] = (*found[-1], number)
        else:
            found.append((number,))
    return found


def _messages(where: str, of: object, most: int) -> st.SearchStrategy[Sequence[Any]]:
    """The messages given, or lists of those a strategy draws."""
    if isinstance(of, st.SearchStrategy):
        return st.lists(of, min_size=1, max_size=most, unique_by=_identity)
    if not isinstance(of, Sequence) or isinstance(of, str | bytes) or not of:
        arguments.refuse(
            where, f"of is {of!r}; give a list of messages, or a strategy of single ones as notifications()"
        )
    return st.just(tuple(of))


def _is_message(value: object) -> bool:
    try:
        copies.kind_of(value)
    except ContractError:
        return False
    return True


def _identity(message: Any) -> object:
    """What makes two drawn messages different: the runs they are about."""
    if not _is_message(message):
        return repr(message)
    return copies.run_ids(message)
