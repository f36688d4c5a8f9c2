"""What the world owes a consumer before it may accuse it: after the last disturbance, time and turns."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

from pytest_quarry.bus.delivery import Mailbox
from pytest_quarry.consumers.consumer import Consumer, Kind
from pytest_quarry.simulation.deliveries import Deliveries
from pytest_quarry.simulation.drive import Drive
from pytest_quarry.simulation.history import RunView, missing
from pytest_quarry.simulation.recorder import Recorder
from pytest_quarry.simulation.schedule import Crash

# Seconds between redeliveries: visibility timeouts first, then claims of any sane length; then as often as it takes to be
# received too often, whoever hides a message for an hour. Three days in all: SQS keeps a message four.
PATIENCE = (31, 31, 31, 60, 300, 900, 3_600, 21_600, 86_400, 86_400, *[7_200] * 12)
POLL_EVERY = 60
IDLE_POLLS = 3
MOST_POLLS = 16
MOST_WAITS = 8  # for what a service does by itself: seven hours
RECONCILES, RECONCILE_EVERY = 3, 3_600
BATCH = 10  # SQS's largest


class Unsettled(Protocol):
    """The parts of a simulation that settling moves."""

    consumer: Consumer
    deliveries: Deliveries
    mailbox: Mailbox
    recorder: Recorder
    drive: Drive
    views: dict[str, RunView]
    lasting: bool

    def deliver(self, numbers: tuple[int, ...], crash: Crash | None) -> None: ...
    def work(self) -> None: ...
    def reconcile(self) -> None: ...
    def attend(self) -> None: ...
    def restart(self) -> None: ...
    def poll(self, crash: Crash | None) -> None: ...
    def wait(self, seconds: float) -> None: ...


def handler(world: Unsettled) -> None:
    """Deliver what is not acknowledged again and again, until it is, or the redrive policy ends it; let it reconcile."""
    _redeliver(world)
    _attend(world)
    for _ in range(RECONCILES if world.consumer.reconciles and not world.drive.hung else 0):
        world.wait(RECONCILE_EVERY)
        if world.drive.takes == "queue" and not world.drive.reconciles:
            world.work()
        else:
            world.reconcile()


def _redeliver(world: Unsettled) -> None:
    world.deliveries.forgive()
    for seconds in PATIENCE:
        if not world.mailbox.waiting() and not world.deliveries.has_own():
            return
        world.wait(seconds)
        if world.drive.takes == "queue":
            world.work()
        else:
            _deliver_all(world)
        if world.drive.hung:
            return
    for message in world.mailbox.waiting():
        words = f"#{message.number} is still not acknowledged"
        world.recorder.record("gave-up", words, messages=(message.number,))


def _attend(world: Unsettled) -> None:
    """Start a service again that was killed, as whoever runs it does, and give time to the threads and tasks that it has.

    Who says that it has an inbox may work that off in its turns, messages or none, or when it starts.
    """
    if world.drive.takes == "lambda":
        return  # one that nobody invokes is not started, and stands still between its turns
    for seconds in PATIENCE[:MOST_WAITS]:
        if world.drive.hung or not _lacks(world):
            return
        if not world.drive.running:
            world.attend()
        elif world.drive.company:
            world.wait(seconds)
            world.attend()
        elif world.consumer.durable_inbox:
            world.wait(seconds)
            _come_back(world)
        else:
            return


def _come_back(world: Unsettled) -> None:
    """Another turn of a worker, though there is nothing to receive; another start of a handler, which nobody tells of anything."""
    if world.drive.takes == "queue":
        world.work()
    else:
        world.restart()
        world.attend()


def _lacks(world: Unsettled) -> bool:
    """Whether something of a due run that it was told of is not there."""
    world.recorder.look()
    return bool(_due_and_missing(world, set(world.deliveries.notified.values())))


def _due_and_missing(world: Unsettled, runs: Collection[str]) -> int:
    """How many items of these runs are due, and not there."""
    rows = world.recorder.rows
    return sum(len(missing(view, rows)) for run, view in world.views.items() if view.standing == "due" and run in runs)


def _deliver_all(world: Unsettled) -> None:
    for message in world.mailbox.redrive():
        world.recorder.record("dead-lettered", f"#{message.number}", messages=(message.number,))
    waiting = [message.number for message in world.mailbox.waiting()]
    for start in range(0, len(waiting), BATCH):
        world.deliver(tuple(waiting[start : start + BATCH]), None)
        if world.drive.hung:
            return


def poller(world: Unsettled) -> None:
    """Poll at least three times, and go on, with more and more time between, while something due is missing.

    One that loads a few runs, or a part of one, at each poll is polled as often as it takes: a poll after which fewer items are
    missing than ever costs none of its patience.
    """
    idle = polls = gained = 0
    least = _due_and_missing(world, world.views)
    while polls < MOST_POLLS + gained:
        spent = polls - gained - IDLE_POLLS
        world.wait(POLL_EVERY if polls < IDLE_POLLS or spent < 0 else PATIENCE[min(spent, len(PATIENCE) - 1)])
        rows, entries = world.recorder.rows, len(world.recorder.entries)
        world.poll(None)
        if world.drive.hung:
            return
        # A poller that cannot load one run for ever may well say so by raising, each time.
        failed = not world.lasting and any(
            entry.what in ("raised", "ended") for entry in world.recorder.entries[entries:]
        )
        idle = idle + 1 if world.recorder.rows == rows and not failed else 0
        polls += 1
        world.recorder.look()
        left = _due_and_missing(world, world.views)
        if polls >= IDLE_POLLS and idle and not left:
            return
        gained, least = gained + (left < least), min(left, least)
    if not idle:
        world.recorder.record("gave-up", f"not idle after {polls} polls")


def publisher(world: Unsettled) -> None:
    """Nothing: a wrapper is called once for its run, and one that failed loudly is somebody's to look at."""


BY_KIND: dict[Kind, Callable[[Unsettled], None]] = {"event-bus": handler, "poller": poller, "publisher": publisher}
