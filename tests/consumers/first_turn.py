"""A consumer that does one thing in its first turn, and what the world saw of it."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from pytest_quarry.consumers import unhooked
from pytest_quarry.consumers.consumer import Consumer
from pytest_quarry.consumers.zygote import Nursery
from pytest_quarry.simulation.history import Entry, History
from pytest_quarry.simulation.play import Limits, Play
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import Break, Crash, Deliver, Notify, PlannedRun, Schedule, Write
from pytest_quarry.simulation.world import EPOCH, SECOND, World

closer_or_skip = pytest.mark.skipif(not unhooked.POSSIBLE, reason="this system does not show its calls")
Work = Callable[[World], Any]
SCHEDULE = Schedule(runs=(PlannedRun(run_id="run-A", items=1),), steps=(Write("run-A"), Notify("run-A"), Deliver((1,))))
# Redelivery comes after a visibility timeout of 30 s.
END_OF_FIRST_TURN = EPOCH / SECOND + 20


@dataclass(frozen=True)
class Seen:
    """What the world saw."""

    history: History
    delivery: int = len(SCHEDULE.steps)

    @property
    def turn(self) -> tuple[Entry, ...]:
        """What happened in the first turn, the start of the consumer included."""
        return tuple(entry for entry in self.history.entries if entry.step == self.delivery)

    @property
    def boundaries(self) -> list[str]:
        """The labels of the boundaries it crossed, in order."""
        return [entry.text for entry in self.turn if entry.what == "crossed"]

    @property
    def happenings(self) -> list[str]:
        """Everything else that happened in the first turn."""
        return [f"{entry.what} {entry.text}".strip() for entry in self.turn if entry.what != "crossed"]

    @property
    def files(self) -> dict[str, str]:
        """What the world's disk held at the end; directories end with a slash."""
        return files_in(self.history.rows)

    def files_before(self, entry: Entry) -> dict[str, str]:
        """What the disk held before a boundary took effect."""
        found: dict[str, str] = {}
        for other in self.history.entries:
            if other is entry:
                return found
            if other.rows is not None:
                found = files_in(other.rows)
        raise AssertionError(entry)

    @property
    def told(self) -> list[Any]:
        """What the consumer told the test."""
        return [json.loads(row.item or "") for row in self.history.rows if row.run_id == "told"]


def files_in(rows: tuple[Any, ...]) -> dict[str, str]:
    """The disk as `rows` described it."""
    return {row.run_id: row.item for row in rows if row.run_id != "told"}


def tell(world: World, *values: Any) -> None:
    """In the consumer: hand values to the test."""
    for value in values:
        world.target.insert({"run_id": "told", "item": json.dumps(value)})


def natively(path: Path, data: bytes) -> None:
    """In the consumer: write a file as a library in C does."""
    libc = ctypes.CDLL(None)
    descriptor = libc.open(os.fsencode(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    libc.write(descriptor, data, len(data))
    libc.close(descriptor)


def consumer(work: Work, **details: Any) -> Consumer:
    """A consumer whose first turn is `work`; afterwards it does nothing. Its rows are the files of its disk."""

    def start(world: World) -> Callable[[Any], None]:
        def handle(notification: Any) -> None:
            if time.time() < END_OF_FIRST_TURN:
                work(world)

        return handle

    hooks = {"start": start, "rows": lambda world: [*world.target.rows(), *_files(world)], **details}
    return Consumer(name="TestConsumer", kind="event-bus", **hooks)


def _files(world: World) -> list[dict[str, str]]:
    found = []
    for path in sorted(world.disk.rglob("*")):
        if path.name.endswith("-shm"):
            continue
        content = path.read_bytes().decode("latin-1") if path.is_file() else ""
        name = str(path.relative_to(world.disk)) + ("/" if path.is_dir() else "")
        found.append({"run_id": name, "item": content})
    return found


def see(
    work: Work,
    *,
    crash: Crash | None = None,
    fault: Break | None = None,
    limits: Limits | None = None,
    fine: bool = True,
    again: bool = True,
    closer: bool = False,
    **details: Any,
) -> Seen:
    """Let a consumer do its work in one turn. Unless told that it is not `fine`, nothing may raise in there.

    And `again`, forked from a zygote and not from this process: it must see no difference. `closer`: what it does to files without
    Python is seen too.
    """
    plan, one, play = schedule(crash, fault), consumer(work, **details), Play(limits=limits or Limits(), closer=closer)
    seen = Seen(simulate(plan, one, play), len(plan.steps))
    with contextlib.closing(Nursery()) as nursery:
        if again:
            other = simulate(plan, one, replace(play, nursery=nursery))
            pairs = zip_longest(seen.history.entries, other.entries)
            difference = next((pair for pair in pairs if pair[0] != pair[1]), (seen.history, other))
            assert other == seen.history, difference
    if fine:
        assert not [entry.text for entry in seen.turn if entry.what in ("raised", "hung")], seen.history.stack
    return seen


def schedule(crash: Crash | None, fault: Break | None = None) -> Schedule:
    """One run, delivered once, perhaps killed at it, perhaps with something that fails meanwhile."""
    faults = () if fault is None else (fault,)
    return replace(SCHEDULE, steps=(*SCHEDULE.steps[:-1], *faults, Deliver((1,), crash)))


def crashes(seen: Seen) -> list[tuple[Entry, Crash]]:
    """A crash before each boundary of the first turn."""
    counts: dict[str, int] = {}
    found = []
    for entry in seen.turn:
        if entry.what == "crossed":
            counts[entry.text] = counts.get(entry.text, 0) + 1
            found.append((entry, Crash(entry.text, counts[entry.text])))
    return found


def leftovers() -> set[str]:
    """What worlds left where worlds live."""
    from pytest_quarry.simulation import places

    return {path.name for path in places.base().iterdir()} - {"Case"}


def processes_of(group: int) -> list[int]:
    """The living processes of a process group."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[2]) == group and fields[0] != "Z":
                found.append(int(entry.name))
    return found
