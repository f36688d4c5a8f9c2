"""Programs as consumers, for tests: what happens when a schedule is executed against them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pytest_quarry.consumers.command import Command
from pytest_quarry.consumers.consumer import Consumer
from pytest_quarry.simulation.history import History
from pytest_quarry.simulation.play import Limits, Play
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import PlannedRun, Poll, Schedule, Step

RUN = PlannedRun(run_id="run-A", items=1)


def consumer(command: Command, **details: Any) -> Consumer:
    """A consumer that is a program, a poller where nothing else is said."""
    kept: dict[str, Any] = {"name": "Program", "kind": "poller", "rows": lambda world: [], "layout": "flat", **details}
    return Consumer(start=lambda world: None, command=command, **kept)


def play(command: Command, *steps: Step, play: Play | None = None, **details: Any) -> History:
    """What happens when a program takes these turns: one poll, where none are given."""
    return simulate(Schedule(runs=(RUN,), steps=steps or (Poll(),)), consumer(command, **details), play)


def python(code: str, *words: str, **details: Any) -> Command:
    """A Python program."""
    return Command(argv=[sys.executable, "-c", code, *words], **details)


def bash(code: str, *words: str, **details: Any) -> Command:
    """A bash program; its words are $1, $2 …."""
    return Command(argv=["bash", "-c", code, "bash", *words], **details)


def once_in_bash(code: str) -> str:
    """bash code that does something in the first turn only."""
    return f"[ -e once ] && exit; : > once; {code}"


def texts(history: History, what: str) -> list[str]:
    """What the entries of one kind say."""
    return [entry.text for entry in history.entries if entry.what == what]


def first_turn(history: History) -> list[str]:
    """The boundaries of the first turn."""
    found: list[str] = []
    for entry in history.entries:
        if entry.what in ("returned", "raised", "killed", "hung"):
            break
        if entry.what == "crossed":
            found.append(entry.text)
    return found


def kept(where: Path) -> dict[str, Any]:
    """A `rows` hook that keeps what is on the world's disk, for a look after the world is gone."""

    def rows(world: Any) -> list[dict[str, str]]:
        for path in (path for path in world.disk.rglob("*") if path.is_file()):
            copy = where / path.relative_to(world.disk)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
        return []

    return {"rows": rows}


QUICK = Play(limits=Limits(boundaries=300, seconds=1.5))
