"""Whose turn it is of the processes and loops of a program: who asks a queue for messages comes after all that work."""

from __future__ import annotations

from typing import Any

from pytest_quarry.consumers.arriving import Request
from pytest_quarry.consumers.outside.events import Events
from pytest_quarry.consumers.protocol import Boundary

RECEIVE, DELETE = (f"sqs.{name}Message quarry-runs-consumer" for name in ("Receive", "Delete"))


class AtWork:
    """One process, some of whose looks find it at work; what it then asks comes at the last of them."""

    several = False

    def __init__(self, events: Events, *asks: str) -> None:
        self.events, self.asks = events, list(asks)

    def at_work(self, waiting: Any) -> bool:
        if not self.asks:
            return False
        self.events.put(Request(Boundary(self.asks.pop(0))))
        return True


def test_a_receive_waits_until_nobody_is_at_work() -> None:
    events = Events()
    processes: Any = AtWork(events, DELETE)
    events.put(Request(Boundary(RECEIVE)))
    order = [events.next(5, processes, 0).boundary.label for _ in range(2)]
    assert order == [DELETE, RECEIVE]


def test_a_receive_of_one_loop_is_answered() -> None:
    events = Events()
    events.put(Request(Boundary(RECEIVE)))
    processes: Any = AtWork(events)
    assert events.next(5, processes, 0).boundary.label == RECEIVE
