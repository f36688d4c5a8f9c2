"""Two workers that do what a test says, as values."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from pytest_quarry.consumers.consumer import Consumer
from pytest_quarry.simulation.history import History
from pytest_quarry.simulation.play import Limits, Play
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import Overlap, Schedule, Switch
from pytest_quarry.simulation.world import World

Work = Callable[[World], None]


def consumer(first: Work, second: Work | None = None, **details: Any) -> Consumer:
    """A poller whose first process does `first` in its first turn, the second `second` (or the same), later ones nothing."""

    class Worker:
        def __init__(self, world: World) -> None:
            number = 1
            while (world.disk / f"started-{number}").exists():
                number += 1
            os.mkdir(world.disk / f"started-{number}")
            self.world, self.work = world, {1: [first], 2: [second or first]}.get(number, [])

        def poll(self) -> None:
            while self.work:
                self.work.pop()(self.world)

    kept: dict[str, Any] = {"rows": lambda world: [], **details}
    return Consumer(name="Worker", kind="poller", start=Worker, **kept)


def meet(
    first: Work, second: Work | None = None, *switches: Switch, limits: Limits | None = None, **overlap: Any
) -> History:
    """What happens when two workers do this at once."""
    schedule = Schedule(runs=(), steps=(Overlap(switches=switches, **overlap),))
    return simulate(schedule, consumer(first, second), Play(limits=limits or Limits()))


def words(history: History, what: str) -> list[str]:
    return [entry.text for entry in history.entries if entry.what == what]


def said(history: History) -> list[str]:
    """The boundaries that the workers name themselves, with their number."""
    found = [entry for entry in history.entries if entry.what == "crossed" and entry.text.startswith("boundary ")]
    return [f"{entry.worker} {entry.text.removeprefix('boundary ')}" for entry in found]


def says(*texts: str) -> Work:
    def work(world: World) -> None:
        for text in texts:
            world.boundary(text)

    return work
