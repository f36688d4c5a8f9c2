"""A consumer's own threads: what they do is seen, one after another, in the same order each time, and gets its time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from queue import Empty, SimpleQueue
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
        asked: SimpleQueue[Future[None]] = SimpleQueue()

        def write() -> None:
            while True:
                done = asked.get()
                put(world, "row")
                done.set_result(None)
                put(world, "log")

        def handle(notification: Any) -> None:
            done = Future[None]()
            asked.put(done)
            done.result()
            put(world, "handler")

        threading.Thread(target=write, daemon=True).start()
        return handle

    consumer = Consumer(name="OneWriter", kind="event-bus", start=start, rows=lambda world: [])
    stories = [simulate(SCHEDULE, consumer) for _ in range(3)]
    assert all(stories[0].difference(other) is None for other in stories[1:])
    renames = [entry.text.split()[-1] for entry in stories[0].entries if entry.text.startswith("rename")]
    assert renames[:2] == ["row", "handler"]


@pytest.mark.parametrize("kind", ["Queue", "SimpleQueue"])
def test_who_waits_with_a_timeout_waits_for_those_whose_own_is_over_before(kind: str) -> None:
    """A thread that collects what comes within half a second and loads it at once, and a handler that waits for it, a minute at most."""

    def start(world: World) -> Callable[[Any], None]:
        asked = getattr(queue, kind)()

        def flush() -> None:
            while True:
                waiting = [asked.get()]
                with contextlib.suppress(Empty):
                    while True:
                        waiting.append(asked.get(timeout=0.5))
                put(world, "row")
                for done in waiting:
                    done.set_result(None)

        def handle(notification: Any) -> None:
            done = Future[None]()
            asked.put(done)
            done.result(timeout=60)

        threading.Thread(target=flush, daemon=True).start()
        return handle

    took = times_of_a_turn(start, 3)
    assert all(0.5 <= seconds < 1 for seconds in took)


@pytest.mark.parametrize("kind", ["Queue", "SimpleQueue"])
def test_who_waits_for_the_answer_in_a_queue(kind: str) -> None:
    def start(world: World) -> Callable[[Any], None]:
        asked, answers = getattr(queue, kind)(), getattr(queue, kind)()

        def load() -> None:
            while True:
                asked.get()
                threading.Event().wait(0.5)
                put(world, "row")
                answers.put("loaded")

        def handle(notification: Any) -> None:
            asked.put(notification)
            assert answers.get(timeout=60) == "loaded"
            with pytest.raises(Empty):
                answers.get(timeout=0.25)
            with pytest.raises(Empty):
                answers.get(block=False, timeout=60)

        threading.Thread(target=load, daemon=True).start()
        return handle

    took = times_of_a_turn(start, 3)
    assert all(0.75 <= seconds < 1 for seconds in took)


def test_a_coroutine_waits_for_a_thread_no_longer_than_its_timeout() -> None:
    def start(world: World) -> Callable[[Any], Any]:
        def load(seconds: float) -> None:
            threading.Event().wait(seconds)
            put(world, "row")

        async def handle(notification: Any) -> None:
            await asyncio.wait_for(asyncio.to_thread(load, 0.5), 60)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.to_thread(load, 600), 20)

        return handle

    took = times_of_a_turn(start, 3)
    assert all(20.5 <= seconds < 21 for seconds in took)


def test_a_thread_that_waits_with_a_timeout_for_another_one_too() -> None:
    def turn(world: World) -> None:
        done = threading.Event()

        def load() -> None:
            threading.Event().wait(0.5)
            put(world, "row")
            done.set()

        def look() -> None:
            assert done.wait(60)
            put(world, "seen")

        both = [threading.Thread(target=each) for each in (look, load)]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join()
        assert (world.disk / "seen").exists()

    took = times_of_a_turn(lambda world: lambda notification: turn(world), 3)
    assert all(0.5 <= seconds < 1 for seconds in took)


def test_a_thread_goes_on_though_the_main_thread_waits_unseen() -> None:
    """For a lock, which no hook sees: who is to let it go does so before the world takes the consumer for hung."""

    def turn(world: World) -> None:
        held = threading.Lock()
        held.acquire()

        def load() -> None:
            threading.Event().wait(0.5)
            put(world, "row")
            held.release()

        threading.Thread(target=load).start()
        with held:
            put(world, "seen")

    took = times_of_a_turn(lambda world: lambda notification: turn(world), 2)
    assert all(0.5 <= seconds < 1 for seconds in took)


def test_a_timeout_is_over_before_what_takes_longer() -> None:
    def turn(world: World) -> None:
        thread = threading.Thread(target=time.sleep, args=(600,), daemon=True)
        thread.start()
        thread.join(timeout=5)
        assert thread.is_alive()

    took = times_of_a_turn(lambda world: lambda notification: turn(world), 3)
    assert all(5 <= seconds < 6 for seconds in took)


def test_a_timeout_is_over_in_time_however_often_others_wake_meanwhile() -> None:
    def start(world: World) -> Callable[[Any], None]:
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(2):
                world.boundary("beat")

        threading.Thread(target=beat, daemon=True).start()
        return lambda notification: threading.Event().wait(9) and None

    took = times_of_a_turn(start, 3)
    assert all(9 <= seconds < 10 for seconds in took)


def times_of_a_turn(start: Callable[[World], Any], times: int) -> list[float]:
    """The virtual seconds of the only turn, each time."""
    consumer = Consumer(name="Waits", kind="event-bus", start=start, rows=lambda world: [])
    stories = [simulate(SCHEDULE, consumer) for _ in range(times)]
    assert all(stories[0].difference(other) is None for other in stories[1:])
    found = []
    for history in stories:
        entries = {
            entry.what: entry
            for entry in reversed(history.entries)
            if entry.what in ("delivered", "returned", "raised")
        }
        assert "raised" not in entries, entries["raised"].text
        found.append(entries["returned"].time - entries["delivered"].time)
    return found
