"""The event source of a Lambda function, by AWS's rules for batches, answers and what is deleted after them."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pytest_quarry.bus.bus import Bus
from pytest_quarry.bus.topology import Topology
from pytest_quarry.simulation.aws_of_test import aws_of_test
from pytest_quarry.storage import VirtualClock

START = datetime.datetime(2026, 2, 2, 8, tzinfo=datetime.UTC)


@pytest.fixture
def bus(request: pytest.FixtureRequest) -> Iterator[Bus]:
    topology = Topology(**getattr(request, "param", {}))
    with aws_of_test(VirtualClock(START), topology=topology) as aws:
        yield aws.bus


def fill(bus: Bus, count: int) -> list[str]:
    """The ids of so many messages in the queue."""
    return [str(bus.publish({"run_id": f"run-{number}"})) for number in range(count)]


def ids(event: Any) -> list[str]:
    return [record["messageId"] for record in event["Records"]]


class Function:
    """A Lambda function that answers what it is told to, and keeps its events."""

    def __init__(self, answer: Any = None) -> None:
        self.answer, self.events = answer, list[Any]()

    def __call__(self, event: Any, context: Any) -> Any:
        self.events.append(event)
        return self.answer(event) if callable(self.answer) else self.answer


# AWS Lambda Developer Guide, "Implementing partial batch responses", success and failure conditions.
SUCCESS: dict[str, Any] = {
    "an empty list": {"batchItemFailures": []},
    "a null list": {"batchItemFailures": None},
    "an empty answer": {},
    "a null answer": None,
    "an answer of its own": {"statusCode": 200},
}
FAILURE: dict[str, Any] = {
    "an empty identifier": {"batchItemFailures": [{"itemIdentifier": ""}]},
    "a null identifier": {"batchItemFailures": [{"itemIdentifier": None}]},
    "an identifier under another name": {"batchItemFailures": [{"itemId": "x"}]},
    "an identifier that is in no record": {"batchItemFailures": [{"itemIdentifier": "00000000"}]},
    "identifiers without objects": lambda event: {"batchItemFailures": ids(event)},
    "a list that is none": {"batchItemFailures": "all"},
    "a mapping for a list": {"batchItemFailures": {"itemIdentifier": "x"}},
    "a string": "ok",
    "a list": [],
    "a number": 1,
    "one that is unknown among known": lambda event: {
        "batchItemFailures": [{"itemIdentifier": ids(event)[0]}, {"itemIdentifier": "unknown"}]
    },
}


@pytest.mark.parametrize("answer", SUCCESS.values(), ids=SUCCESS)
def test_complete_success(bus: Bus, answer: Any) -> None:
    sent = fill(bus, 3)
    invocation = bus.event_source(Function(answer)).poll()
    assert invocation is not None
    assert (invocation.deleted, invocation.failed, invocation.error) == (tuple(sent), (), None)
    assert bus.messages() == []


@pytest.mark.parametrize("answer", FAILURE.values(), ids=FAILURE)
def test_complete_failure(bus: Bus, answer: Any) -> None:
    sent = fill(bus, 3)
    invocation = bus.event_source(Function(answer)).poll()
    assert invocation is not None
    assert (invocation.deleted, invocation.failed, invocation.error) == ((), tuple(sent), None)
    assert [message.in_flight for message in bus.messages()] == [True] * 3


@pytest.mark.parametrize("answer", [*SUCCESS.values(), *FAILURE.values()], ids=[*SUCCESS, *FAILURE])
def test_without_reports_every_answer_is_success(bus: Bus, answer: Any) -> None:
    fill(bus, 2)
    bus.event_source(Function(answer), reports=False).poll()
    assert bus.messages() == []


def test_only_what_failed_stays(bus: Bus) -> None:
    first, second, third = fill(bus, 3)
    function = Function({"batchItemFailures": [{"itemIdentifier": second}]})
    invocation = bus.event_source(function).poll()
    assert invocation is not None
    assert (invocation.deleted, invocation.failed) == ((first, third), (second,))
    bus.advance(31)
    assert ids(bus.deliver()) == [second]


def raising(event: Any) -> Any:
    raise KeyError("sku")


def exiting(event: Any) -> Any:
    raise SystemExit(1)


async def later(event: Any) -> None: ...


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (raising, KeyError),
        (exiting, SystemExit),
        (lambda event: {"at": START}, TypeError),  # Lambda cannot marshal it
        (later, TypeError),
    ],
)
@pytest.mark.parametrize("reports", [True, False])
def test_an_exception_fails_the_batch(bus: Bus, answer: Any, error: type[BaseException], reports: bool) -> None:
    sent = fill(bus, 2)
    invocation = bus.event_source(Function(answer), reports=reports).poll()
    assert invocation is not None
    assert isinstance(invocation.error, error)
    assert (invocation.deleted, invocation.failed) == ((), tuple(sent))
    assert len(bus.messages()) == 2


def test_what_the_function_does_to_its_event_is_its_own_affair(bus: Bus) -> None:
    fill(bus, 2)
    invocation = bus.event_source(lambda event, context: event["Records"].clear()).poll()
    assert invocation is not None
    assert len(invocation.event["Records"]) == len(invocation.deleted) == 2


def test_the_event_is_one_of_lambda(bus: Bus) -> None:
    (sent,) = fill(bus, 1)
    contexts: list[Any] = []
    left: list[int] = []

    def function(event: Any, context: Any) -> None:
        contexts.append(context)
        left.append(context.get_remaining_time_in_millis())
        bus.advance(12.5)
        left.append(context.get_remaining_time_in_millis())
        bus.advance(60)
        left.append(context.get_remaining_time_in_millis())

    source = bus.event_source(function)
    invocation = source.poll()
    assert invocation is not None
    (record,) = invocation.event["Records"]
    assert record["messageId"] == sent
    assert record["eventSource"] == "aws:sqs"
    assert record["attributes"]["ApproximateReceiveCount"] == "1"
    fill(bus, 1)
    source.poll()
    assert contexts[0].aws_request_id != contexts[1].aws_request_id
    assert left == [48_000, 35_500, 0] * 2


@pytest.mark.parametrize(("size", "sizes"), [(1, [1] * 12), (5, [5, 5, 2]), (10, [10, 2])])
def test_batches_have_at_most_their_size(bus: Bus, size: int, sizes: list[int]) -> None:
    sent = fill(bus, 12)
    function = Function()
    invocations = bus.event_source(function, batch_size=size).drain()
    assert [len(event["Records"]) for event in function.events] == sizes
    assert [found for invocation in invocations for found in invocation.deleted] == sent


def test_a_window_gathers_more_than_one_receive(bus: Bus) -> None:
    sent = fill(bus, 25)
    function = Function()
    invocations = bus.event_source(function, batch_size=20, window=5).drain()
    assert [len(event["Records"]) for event in function.events] == [20, 5]
    assert [found for invocation in invocations for found in invocation.deleted] == sent


def test_a_window_waits_for_what_is_late(bus: Bus) -> None:
    early = fill(bus, 1)
    bus.delay_next(4)
    late = fill(bus, 1)
    function = Function()
    bus.event_source(function, window=5).poll()
    assert ids(function.events[0]) == early + late


def test_a_window_begins_with_the_first_message(bus: Bus) -> None:
    source = bus.event_source(Function(), window=300)
    bus.delay_next(10)
    fill(bus, 1)
    assert source.poll() is None
    assert source.poll() is None  # no time passes while there is nothing
    bus.advance(11)
    assert source.poll() is not None


def test_a_full_batch_does_not_wait(bus: Bus) -> None:
    fill(bus, 2)
    bus.delay_next(1)
    fill(bus, 1)
    function = Function()
    source = bus.event_source(function, batch_size=2, window=300)
    source.poll()
    assert source.poll() is None  # the window did not pass, or the late one would be here


@pytest.mark.parametrize(
    ("size", "window"), [(0, 0), (11, 0), (10_001, 10), (10, 301), (10, -1), (-1, 0), ("9", 0), (9, 1.5), (True, 0)]
)
def test_what_aws_would_not_take_is_refused(bus: Bus, size: Any, window: Any) -> None:
    with pytest.raises(ValueError, match=f"batch_size {size!r}, window {window!r}: AWS takes 1 to 10,000 messages"):
        bus.event_source(Function(), batch_size=size, window=window)


@pytest.mark.parametrize("bus", [{"fifo": True}], indirect=True)
@pytest.mark.parametrize(("size", "window"), [(11, 1), (10, 1)])
def test_a_fifo_queue_has_small_batches_and_no_window(bus: Bus, size: int, window: int) -> None:
    with pytest.raises(ValueError, match="for a FIFO queue AWS takes 1 to 10 messages and no window"):
        bus.event_source(Function(), batch_size=size, window=window)
    assert bus.event_source(Function(), batch_size=10).poll() is None


def test_a_handler_that_is_none_is_refused(bus: Bus) -> None:
    with pytest.raises(TypeError, match="is no function; give the Lambda handler itself"):
        bus.event_source("orders.handler")  # type: ignore[arg-type]


def test_messages_are_invisible_while_the_function_works(bus: Bus) -> None:
    sent = fill(bus, 1)
    seen: list[Any] = []

    def function(event: Any, context: Any) -> None:
        seen.append([message.in_flight for message in bus.messages()])
        seen.append(bus.deliver()["Records"])

    invocation = bus.event_source(function).poll()
    assert seen == [[True], []]
    assert invocation is not None
    assert invocation.deleted == tuple(sent)


def test_a_slow_function_does_not_delete_what_another_has_received(bus: Bus) -> None:
    fill(bus, 1)

    def function(event: Any, context: Any) -> None:
        bus.advance(31)
        bus.deliver()

    invocation = bus.event_source(function).poll()
    assert invocation is not None
    assert (invocation.deleted, invocation.failed) == ((), ())  # it succeeded, and its receipt handle is stale
    assert [message.receives for message in bus.messages()] == [2]


@pytest.mark.parametrize("bus", [{"max_receives": 3}], indirect=True)
def test_what_always_fails_ends_in_the_dead_letter_queue(bus: Bus) -> None:
    (sent,) = fill(bus, 1)
    function = Function(raising)
    source = bus.event_source(function)
    for _ in range(3):
        assert len(source.drain()) == 1
        assert source.drain() == []  # not before its visibility timeout
        bus.advance(31)
    assert source.drain() == []
    assert [event["Records"][0]["attributes"]["ApproximateReceiveCount"] for event in function.events] == [
        "1",
        "2",
        "3",
    ]
    assert [(letter.message_id, letter.receives) for letter in bus.dead_letters()] == [(sent, 3)]
    assert bus.messages() == []


def test_two_pollers_share_a_queue(bus: Bus) -> None:
    sent = fill(bus, 4)
    one, other = Function(), Function()
    first, second = bus.event_source(one, batch_size=2), bus.event_source(other, batch_size=2)
    first.poll(), second.poll()
    assert ids(one.events[0]) + ids(other.events[0]) == sent


def test_a_poll_within_a_poll_gets_other_messages(bus: Bus) -> None:
    sent = fill(bus, 2)
    inner = Function()
    outer = Function(lambda event: bus.event_source(inner).drain() and None)
    bus.event_source(outer, batch_size=1).poll()
    assert (ids(outer.events[0]), ids(inner.events[0])) == (sent[:1], sent[1:])


def test_an_empty_queue_invokes_nothing(bus: Bus) -> None:
    function = Function()
    source = bus.event_source(function)
    assert (source.poll(), source.drain(), function.events) == (None, [], [])


def test_a_lost_receive_reaches_no_function(bus: Bus) -> None:
    sent = fill(bus, 1)
    bus.lose_next("receive")
    function = Function()
    source = bus.event_source(function)
    assert source.drain() == []
    assert source.drain() == []
    bus.advance(31)
    (invocation,) = source.drain()
    assert invocation.deleted == tuple(sent)
    assert function.events[0]["Records"][0]["attributes"]["ApproximateReceiveCount"] == "2"


def test_a_lost_acknowledgement_invokes_again(bus: Bus) -> None:
    sent = fill(bus, 1)
    bus.lose_next("acknowledgement")
    source = bus.event_source(Function())
    (first,) = source.drain()
    bus.advance(31)
    (second,) = source.drain()
    assert (first.deleted, second.deleted) == ((), tuple(sent))


def test_misbehaviour_hides_nothing_from_a_source_for_good(bus: Bus) -> None:
    found: Callable[[], int] = lambda: sum(len(event["Records"]) for event in function.events)  # noqa: E731
    sent = fill(bus, 30)
    bus.misbehave(3)
    function = Function()
    deleted = {name for invocation in bus.event_source(function).drain() for name in invocation.deleted}
    assert deleted == set(sent)
    assert found() >= 30
    assert [name for event in function.events for name in ids(event)] != sent
