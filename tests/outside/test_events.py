"""Whose turn it is of the processes and loops of a program: who asks a queue for messages comes after all that work."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_quarry.consumers.arriving import Request
from pytest_quarry.consumers.at_work import group_at_work
from pytest_quarry.consumers.kernel.deed import Deed
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


def test_what_somebody_wanted_who_was_killed_meanwhile_is_not_heard_of() -> None:
    events = Events()
    gone, there = (deed(f"open {name}", waits) for name, waits in (("a", False), ("b", True)))
    for each in (gone, there):
        events.put(each)
    assert events.next(5, AtWork(events), 0) is there  # type: ignore[arg-type]


def deed(label: str, waits: bool) -> Deed:
    listener: Any = SimpleNamespace(waits=lambda called: waits)
    called: Any = SimpleNamespace(tid=1)
    return Deed(Boundary(label), called, listener, lambda keep: None)


PAUSES_AND_WORKS = """
import threading
threading.Thread(target=lambda: [None for _ in iter(int, 1)], daemon=True).start()
print(threading.get_native_id(), flush=True)
threading.Event().wait()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says who is at work")
def test_of_a_process_that_waits_for_the_world_its_other_threads_do_not_count() -> None:
    with subprocess.Popen([sys.executable, "-c", PAUSES_AND_WORKS], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        main = int(process.stdout.readline())
        (other,) = set(map(int, os.listdir(f"/proc/{process.pid}/task"))) - {main}
        try:
            assert group_at_work(process.pid)
            deadline = time.monotonic() + 30
            while group_at_work(process.pid, but={main}) and time.monotonic() < deadline:
                time.sleep(0.01)  # it comes to its wait
            assert not group_at_work(process.pid, but={main})
            assert group_at_work(process.pid, but={other}), "who waits and is ready to run was killed, or is let go"
        finally:
            process.kill()
