"""A consumer's own threads: what they do is seen, one after another, in the same order each time, and gets its time."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from first_turn import SCHEDULE, see

from pytest_quarry.consumers.consumer import Consumer
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.world import World

FILES = tuple("abcdef")


def put(world: World, name: str) -> None:
    """A file in two steps, synced before it has its name."""
    with open(world.disk / f"{name}.part", "w") as file:
        file.write(name)
        file.flush()
        os.fsync(file.fileno())
    os.replace(world.disk / f"{name}.part", world.disk / name)


def by_a_pool(world: World) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: put(world, name), FILES))


def by_threads(world: World) -> None:
    threads = [threading.Thread(target=put, args=(world, name)) for name in FILES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("work", [by_a_pool, by_threads])
def test_several_threads_at_once(work: Callable[[World], None]) -> None:
    seen = see(work)
    assert not seen.history.unexplained
    assert {name: text for name, text in seen.files.items() if name in FILES} == {name: name for name in FILES}
    other = see(work, again=False)
    assert seen.history.difference(other.history) is None


def test_each_thread_has_done_what_it_was_given_leave_for_before_another_is_asked() -> None:
    history = see(by_a_pool).history
    for entry in history.entries:
        if entry.what == "crossed" and entry.text.startswith("rename"):
            assert entry.text.partition(" → ")[2] in {row.run_id for row in entry.rows or ()}


def test_who_waits_for_a_thread_by_short_sleeps() -> None:
    def work(world: World) -> None:
        thread = threading.Thread(target=put, args=(world, "a"))
        thread.start()
        waited = 0
        while thread.is_alive():
            time.sleep(0.1)
            waited += 1
            assert waited < 100
        put(world, "b")

    assert see(work).files["b"] == "b"


def test_a_heartbeat_does_not_beat_faster_while_the_main_thread_sleeps() -> None:
    def start(world: World) -> Callable[[Any], None]:
        def beat() -> None:
            while True:
                time.sleep(30)
                world.boundary("beat")

        threading.Thread(target=beat, daemon=True).start()

        def handle(notification: Any) -> None:
            for _ in range(5):
                time.sleep(1)

        return handle

    consumer = Consumer(name="Beats", kind="event-bus", start=start, rows=lambda world: [])
    history = simulate(SCHEDULE, consumer)
    assert not [entry for entry in history.entries if entry.text == "boundary beat"]
    assert [entry.what for entry in history.entries if entry.what in ("returned", "acknowledged")]


def test_a_thread_that_is_older_than_the_turn_gets_on_after_it() -> None:
    def start(world: World) -> Callable[[Any], None]:
        pool = ThreadPoolExecutor(1)
        pool.submit(put, world, "begun").result()
        return lambda notification: pool.submit(put, world, "left") and None

    consumer = Consumer(
        name="LeavesIt",
        kind="event-bus",
        start=start,
        rows=lambda world: [{"run_id": path.name} for path in sorted(world.disk.iterdir())],
    )
    history = simulate(SCHEDULE, consumer)
    assert [row.run_id for row in history.rows] == ["begun", "left"]
