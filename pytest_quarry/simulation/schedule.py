"""Schedules: everything that will happen in a world, as plain data, to and from JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any, Literal

SCHEDULE_VERSION = 1
RETURN = "return"  # the boundary at the end of a turn: the work is done, nobody has been told


class ScheduleError(ValueError):
    """A schedule that cannot be; the words say which part and what would do."""


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """A run that the writer will write. Its items are numbered from `first_item`."""

    run_id: str
    source: str = "shop"
    category: str = "products"
    day: str = "2026-02-02"
    starts: str = "07:00:00"
    items: int = 3
    first_item: int = 0
    policy: str = "strict"
    outcome: str = "success"
    job_id: str | None = None
    attempt: int = 1
    parent_run_id: str | None = None
    stored_twice: bool = False
    plain_event_ids: bool = False
    logs: int = 0


@dataclass(frozen=True)
class Crash:
    """Kill the consumer at the n-th boundary of that label in the turn, before it takes effect.

    With `keep`, so many bytes of that write reach the disk first: a torn write.
    """

    label: str
    occurrence: int = 1
    keep: int | None = None


@dataclass(frozen=True)
class Write:
    """The writer writes a run: all of it, or up to a crash window of one of its flushes.

    A later `Write` of the same run goes on where the writer stood, so a window is also a moment in a slow run.
    """

    run: str
    window: str | None = None
    flush: int = -1
    clock: int = 0  # seconds by which this writer's clock is off


@dataclass(frozen=True)
class Notify:
    """`run_completed` for a run is accepted by the bus; messages are numbered from 1 in this order."""

    run: str
    form: Literal["full", "minimal", "extra", "reordered", "other-event", "bare"] = "full"
    outcome: str | None = None


@dataclass(frozen=True)
class Deliver:
    """The consumer receives these messages, in one batch."""

    messages: tuple[int, ...]
    crash: Crash | None = None


@dataclass(frozen=True)
class Poll:
    """The poller takes one turn."""

    crash: Crash | None = None


@dataclass(frozen=True)
class Restart:
    """The consumer's process is killed between two turns and started again for the next."""


@dataclass(frozen=True)
class Wait:
    """Virtual time passes."""

    seconds: int


Step = Write | Notify | Deliver | Poll | Restart | Wait
STEPS: dict[str, type] = {
    "write": Write,
    "notify": Notify,
    "deliver": Deliver,
    "poll": Poll,
    "restart": Restart,
    "wait": Wait,
}


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Which runs exist and what happens, in order; afterwards the world settles by itself."""

    runs: tuple[PlannedRun, ...]
    steps: tuple[Step, ...]
    seed: int = 0

    def __post_init__(self) -> None:
        known = [run.run_id for run in self.runs]
        if len(set(known)) != len(known):
            raise ScheduleError(f"two planned runs share a run_id: {sorted(known)}")
        notified = 0
        for number, step in enumerate(self.steps, 1):
            if isinstance(step, (Write, Notify)) and step.run not in known:
                raise ScheduleError(f"step {number} is about run {step.run!r}; planned are {', '.join(known)}")
            notified += isinstance(step, Notify)
            if isinstance(step, Deliver):
                unknown = [message for message in step.messages if not 1 <= message <= notified]
                if unknown or not step.messages:
                    raise ScheduleError(
                        f"step {number} delivers {step.messages}, but only {notified} were accepted before it"
                    )

    def run(self, run_id: str) -> PlannedRun:
        """The planned run of that id."""
        return next(run for run in self.runs if run.run_id == run_id)

    def to_json(self) -> dict[str, Any]:
        """Plain data; defaults are left out, so that a saved schedule reads like its story."""
        return {
            "version": SCHEDULE_VERSION,
            "seed": self.seed,
            "runs": [_plain(run) for run in self.runs],
            "steps": [{"do": _name(step), **_plain(step)} for step in self.steps],
        }

    @staticmethod
    def from_json(data: Any) -> Schedule:
        """The schedule that `to_json` described; ScheduleError says which part is wrong."""
        if not isinstance(data, Mapping) or not {"version", "runs", "steps"} <= set(data):
            raise ScheduleError("not a schedule: it needs version, runs and steps")
        if data["version"] != SCHEDULE_VERSION:
            raise ScheduleError(
                f"it is of schedule version {data['version']!r}; this pytest-quarry reads version {SCHEDULE_VERSION}"
            )
        steps = []
        for number, step in enumerate(data["steps"], 1):
            kind = STEPS.get(str(step.get("do"))) if isinstance(step, Mapping) else None
            if kind is None:
                raise ScheduleError(f"step {number} is {step!r}; known are {', '.join(STEPS)}")
            rest = {name: value for name, value in step.items() if name != "do"}
            steps.append(_build(kind, rest, f"step {number}"))
        runs = tuple(_build(PlannedRun, run, f"run {number}") for number, run in enumerate(data["runs"], 1))
        return Schedule(runs=runs, steps=tuple(steps), seed=int(data.get("seed", 0)))

    @property
    def fingerprint(self) -> str:
        """Eight characters that stand for this schedule in file names."""
        text = json.dumps(self.to_json(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]


def _name(step: Step) -> str:
    return next(name for name, kind in STEPS.items() if type(step) is kind)


def _plain(value: Any) -> dict[str, Any]:
    found = {}
    for field in fields(value):
        current = getattr(value, field.name)
        if field.default is not MISSING and current == field.default:
            continue
        if is_dataclass(current):
            current = _plain(current)
        found[field.name] = list(current) if isinstance(current, tuple) else current
    return found


def _build(kind: type, data: Any, where: str) -> Any:
    if not isinstance(data, Mapping):
        raise ScheduleError(f"{where} is {data!r}, not an object")
    known = {field.name: field for field in fields(kind)}
    unknown = sorted(set(data) - set(known))
    if unknown:
        raise ScheduleError(f"{where} has unknown {', '.join(unknown)}; known are {', '.join(known)}")
    values = dict(data)
    if values.get("crash") is not None:
        values["crash"] = _build(Crash, values["crash"], f"{where}, crash")
    if "messages" in values:
        values["messages"] = tuple(values["messages"])
    try:
        return kind(**values)
    except TypeError as error:
        raise ScheduleError(f"{where}: {error}") from None
