"""A consumer's own threads: what they do is seen, one after another, in the same order each time, and gets its time."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from queue import SimpleQueue
from typing import Any

import pytest
from first_turn import SCHEDULE, see

from pytest_quarry.consumers.consumer import Consumer
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import Deliver, Wait
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


def in_a_group(world: World) -> None:
    """One thread of the loop's pool is idle when the others are begun."""

    async def load() -> None:
        names = await asyncio.to_thread(lambda: FILES)
        async with asyncio.TaskGroup() as group:
            for name in names:
                group.create_task(one(name))

    async def one(name: str) -> None:
        await asyncio.to_thread((world.disk / f"{name}.part").write_text, name)
        await asyncio.to_thread(os.replace, world.disk / f"{name}.part", world.disk / name)

    asyncio.run(load())


def test_which_thread_of_a_pool_takes_a_piece_of_work_changes_nothing() -> None:
    first = see(in_a_group)
    assert [label for label in first.boundaries if label.startswith("open")] == [f"open {name}.part" for name in FILES]
    for _ in range(3):
        assert first.history.difference(see(in_a_group, again=False).history) is None


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
    settling = next(at for at, entry in enumerate(history.entries) if entry.what == "settling")
    assert not [entry for entry in history.entries[:settling] if entry.text == "boundary beat"]
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


def for_ever(world: World, wait: Callable[[float], object]) -> None:
    """Looks for what is to be done, once a second."""
    while True:
        if not (world.disk / "done").exists():
            put(world, "done")
        wait(1)


def by_a_thread(wait: Callable[[float], object]) -> Callable[[World], Callable[[Any], Any]]:
    def start(world: World) -> Callable[[Any], None]:
        thread = threading.Thread(target=for_ever, args=(world, wait), daemon=True)
        return lambda notification: thread.start() if thread.ident is None else None

    return start


def by_a_task(world: World) -> Callable[[Any], Any]:
    async def for_ever() -> None:
        while True:
            if not (world.disk / "done").exists():
                put(world, "done")
            await asyncio.sleep(1)

    async def wait_for_nothing() -> None:
        await asyncio.Event().wait()

    tasks: list[asyncio.Task[None]] = []

    async def handle(notification: Any) -> None:
        tasks.extend(asyncio.create_task(each()) for each in (for_ever, wait_for_nothing) if len(tasks) < 2)

    return handle


def waits_for_an_event(seconds: float) -> None:
    threading.Event().wait(seconds)


@pytest.mark.parametrize(
    "start", [by_a_thread(time.sleep), by_a_thread(waits_for_an_event), by_a_task], ids=["sleeps", "waits", "task"]
)
def test_what_a_turn_left_and_never_ends_sleeps_three_times_in_vain_after_each_turn(
    start: Callable[[World], Any],
) -> None:
    schedule = replace(SCHEDULE, steps=(*SCHEDULE.steps, Wait(60), Deliver((1,))))
    consumer = Consumer(
        name="NeverEnds",
        kind="event-bus",
        start=start,
        rows=lambda world: [{"run_id": "run-A", "item": path.name} for path in world.disk.iterdir()],
        item_key=lambda event: "done",
    )
    history, again = (simulate(schedule, consumer) for _ in range(2))
    assert history.difference(again) is None
    assert not [entry.text for entry in history.entries if entry.what in ("hung", "gave-up")]
    assert [row.item for row in history.rows] == ["done"]
    sleeps = [entry for entry in history.entries if entry.text == "sleep"]
    assert 3 <= len(sleeps) <= 2 * 3


def test_the_handler_goes_on_before_the_thread_that_told_it() -> None:
    """A thread that writes for all, and does something more when the handler knows already."""

    def start(world: World) -> Callable[[Any], None]:
        queue: SimpleQueue[Future[None]] = SimpleQueue()

        def write() -> None:
            while True:
                done = queue.get()
                put(world, "row")
                done.set_result(None)
                put(world, "log")

        def handle(notification: Any) -> None:
            done = Future[None]()
            queue.put(done)
            done.result()
            put(world, "handler")

        threading.Thread(target=write, daemon=True).start()
        return handle

    consumer = Consumer(name="OneWriter", kind="event-bus", start=start, rows=lambda world: [])
    stories = [simulate(SCHEDULE, consumer) for _ in range(3)]
    assert all(stories[0].difference(other) is None for other in stories[1:])
    renames = [entry.text.split()[-1] for entry in stories[0].entries if entry.text.startswith("rename")]
    assert renames[:2] == ["row", "handler"]
