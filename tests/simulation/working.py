"""A poller that does the work of a test in each of its turns, and what happens then."""

from __future__ import annotations

from collections.abc import Callable

from pytest_quarry.consumers.consumer import Consumer
from pytest_quarry.simulation.history import History
from pytest_quarry.simulation.play import Play
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import PlannedRun, Schedule, Step
from pytest_quarry.simulation.world import World

Work = Callable[[World], None]
RUN = PlannedRun(run_id="run-A", items=1)


class Worker:
    def __init__(self, world: World, work: Work) -> None:
        self.world, self.work = world, work

    def poll(self) -> None:
        self.work(self.world)


def play(
    work: Work, *steps: Step, play: Play | None = None, runs: tuple[PlannedRun, ...] = (RUN,), **details: object
) -> History:
    """What happens when a poller does this work in each of its turns."""
    kept: dict[str, object] = {"rows": lambda world: [], **details}
    consumer = Consumer(name="Worker", kind="poller", start=lambda world: Worker(world, work), **kept)  # type: ignore[arg-type]
    return simulate(Schedule(runs=runs, steps=steps), consumer, play)


def words(history: History, what: str) -> list[str]:
    return [entry.text for entry in history.entries if entry.what == what]
