"""Schedules: everything that will happen in a world, as plain data, to and from JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pytest_quarry.bus import faults

SCHEDULE_VERSION = 1
ANY = "*"  # the n-th boundary of a turn, whatever its label
RETURN = "return"  # the boundary at the end of a turn: the work is done, nobody has been told


class ScheduleError(ValueError):
    """A schedule that cannot be; the words say which part and what would do."""


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """A run that the writer will write. Its items are numbered from `first_item`.

    One that its publisher wraps starts when the publisher is called, whatever `day` and `starts` say.
    """

    run_id: str
    source: str = "shop"
    category: str = "products"
    day: str = "2026-02-02"
    starts: str = "07:00:00"
    items: int = 3
    first_item: int = 0
    policy: Literal["strict", "buffered", "streaming"] = "strict"
    outcome: Literal["success", "script_error", "executor_crash", "policy_failure", "version_mismatch"] = "success"
    job_id: str | None = None
    attempt: int = 1
    parent_run_id: str | None = None
    stored_twice: bool = False
    plain_event_ids: bool = False
    logs: int = 0
    artifacts: Literal["none", "orphan", "committed"] = "none"
    odd: bool = (
        False  # unknown fields, an unknown event type, a null payload; where it is buffered, a log that was dropped
    )
    blob: int = 0  # bytes by which the first item's data is larger
    skipped: bool = False  # the run skipped itself before any work


@dataclass(frozen=True)
class Crash:
    """Kill the consumer at the n-th boundary of that label in the turn (`*`: of any label), before it takes effect.

    With `keep`, so many bytes of that write reach the disk first: a torn write. With `power`, the machine dies with it:
    what was not fsynced is cut or taken back.
    """

    label: str
    occurrence: int = 1
    keep: int | None = None
    power: Literal["cut", "back"] | None = None


@dataclass(frozen=True)
class Write:
    """The writer writes a run: all of it, or up to a crash window of one of its flushes.

    A later `Write` of the same run goes on where the writer stood, so a window is also a moment in a slow run.
    """

    run: str
    window: str | None = None
    flush: int = -1
    clock: int = 0  # seconds by which this writer's clock is off


Form = Literal[
    "full",
    "minimal",
    "extra",
    "reordered",
    "other-event",
    "bare",
    "not-json",
    "missing-fields",
    "wrong-types",
    "no-such-path",
]


@dataclass(frozen=True)
class Notify:
    """`run_completed` for a run is accepted by the bus; messages are numbered from 1 in this order.

    No consumer can act on the last four forms.
    """

    run: str
    form: Form = "full"
    outcome: str | None = None


@dataclass(frozen=True)
class Deliver:
    """The consumer receives these messages, in one batch; `ack`: whether its acknowledgement reaches the bus."""

    messages: tuple[int, ...]
    crash: Crash | None = None
    ack: Literal["kept", "lost"] = "kept"


@dataclass(frozen=True)
class Poll:
    """The poller takes one turn."""

    crash: Crash | None = None


@dataclass(frozen=True)
class Switch:
    """The worker that goes on stands still before the n-th boundary of that label in its turn, and the other goes on."""

    label: str
    occurrence: int = 1


@dataclass(frozen=True)
class Overlap:
    """Two workers at once: the first is given `first`, the second each of `second` in a turn of its own; pollers poll.

    The first begins. At each switch, at a sleep, where one would block, and at its end the other goes on. `crash` kills
    the first (or, with `crash_second`, the second) at a boundary of its turn. `pause` seconds pass between two turns of
    the second. Who stands at a switch stands there for `stands` seconds as far as the other sleeps meanwhile.
    """

    first: tuple[int, ...] = ()
    second: tuple[int, ...] = ()
    switches: tuple[Switch, ...] = ()
    crash: Crash | None = None
    crash_second: bool = False
    pause: int = 0
    stands: int = 0


@dataclass(frozen=True)
class Publish:
    """The publisher is called for a run."""

    run: str
    crash: Crash | None = None


@dataclass(frozen=True)
class Restart:
    """The consumer's process is killed between two turns and started again for the next."""


@dataclass(frozen=True)
class Wait:
    """Virtual time passes."""

    seconds: int


@dataclass(frozen=True)
class Break:
    """From here on boundaries whose label contains `at` (with `*` for anything between) fail: `times` times (0: until healed), after the first `skip`.

    All is healed at the end of the schedule, and for who tries 200 times in one turn, but not what is `lasting`. Errors of files and databases: EIO, ENOENT,
    EACCES, ENOSPC, EROFS; of what goes to another server, each of them breaks the connection. Of AWS calls whose URL or body contains `containing`: 503, 500, 404, throttle; reset and timeout
    (no effect, no answer); of DynamoDB's transactions: conflict (cancelled, since another one is at an item); lost and dropped (an effect, no answer: a timeout, a broken connection); cut (half of the
    body arrives); twice (it takes effect again); of listings: lag (without what is newer than this step), pieces (two
    keys a page); of batches to a topic, and of DynamoDB: entries, first-entry, last-entry (all, or this one, are not taken, and the answer with
    status 200 says so). What is slow does not fail, and takes 45 seconds.
    """

    at: str
    error: str
    times: int = 0
    skip: int = 0
    lasting: bool = False
    containing: str = ""


@dataclass(frozen=True)
class Heal:
    """What is broken works again."""


@dataclass(frozen=True)
class Damage:
    """A file of the consumer's is damaged between two turns, unless the target is in it.

    `file` is its name on the consumer's disk, or `storage/…` where the consumer keeps it beside the runs.
    """

    file: str
    how: Literal["missing", "empty", "cut", "garbage", "older"]


@dataclass(frozen=True)
class Litter:
    """Somebody else's file appears in storage."""

    key: str
    content: str = ""


FILE_ERRORS = ("EIO", "ENOENT", "EACCES", "ENOSPC", "EROFS")
AWS_ERRORS = faults.ERRORS
SLOW = faults.SLOW
Step = Write | Notify | Deliver | Poll | Overlap | Publish | Restart | Wait | Break | Heal | Damage | Litter
STEPS: dict[str, type] = {
    "write": Write,
    "notify": Notify,
    "deliver": Deliver,
    "poll": Poll,
    "overlap": Overlap,
    "publish": Publish,
    "restart": Restart,
    "wait": Wait,
    "break": Break,
    "heal": Heal,
    "damage": Damage,
    "litter": Litter,
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
            if isinstance(step, (Write, Notify, Publish)) and step.run not in known:
                raise ScheduleError(f"step {number} is about run {step.run!r}; planned are {', '.join(known)}")
            notified += isinstance(step, Notify)
            if isinstance(step, Break) and step.error not in (*FILE_ERRORS, *AWS_ERRORS, SLOW):
                known_errors = ", ".join((*FILE_ERRORS, *AWS_ERRORS, SLOW))
                raise ScheduleError(f"step {number} breaks with {step.error!r}; known are {known_errors}")
            if isinstance(step, Deliver):
                _check_messages(number, step.messages, notified)
            if isinstance(step, Overlap) and (step.first or step.second):
                _check_messages(number, step.first, notified)
                _check_messages(number, step.second, notified)

    def run(self, run_id: str) -> PlannedRun:
        """The planned run of that id."""
        return next(run for run in self.runs if run.run_id == run_id)

    def check(self) -> None:
        """Raise ScheduleError for what is no step, and for a run or a step with a value that it cannot have."""
        for number, step in enumerate(self.steps, 1):
            if type(step) not in STEPS.values():
                known = ", ".join(kind.__name__ for kind in STEPS.values())
                raise ScheduleError(f"step {number} is {step!r:.80}, which is no step; there are {known}")
            if isinstance(step, Wait) and isinstance(step.seconds, (int, float)) and step.seconds < 0:
                raise ScheduleError(f"step {number} waits for {step.seconds} seconds; time goes on only")
        try:
            Schedule.from_json(json.loads(json.dumps(self.to_json())))
        except TypeError as error:
            raise ScheduleError(f"{error}") from None

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
        for part in ("steps", "runs"):
            if not isinstance(data[part], list):
                raise ScheduleError(f"{part} is {data[part]!r}, not a list")
        if type(data.get("seed", 0)) is not int:
            raise ScheduleError(f"seed is {data['seed']!r}, not a whole number")
        steps = []
        for number, step in enumerate(data["steps"], 1):
            kind = STEPS.get(str(step.get("do"))) if isinstance(step, Mapping) else None
            if kind is None:
                raise ScheduleError(f"step {number} is {step!r}; known are {', '.join(STEPS)}")
            rest = {name: value for name, value in step.items() if name != "do"}
            steps.append(_build(kind, rest, f"step {number}"))
        runs = tuple(_build(PlannedRun, run, f"run {number}") for number, run in enumerate(data["runs"], 1))
        return Schedule(runs=runs, steps=tuple(steps), seed=data.get("seed", 0))

    @property
    def fingerprint(self) -> str:
        """Eight characters that stand for this schedule in file names."""
        text = json.dumps(self.to_json(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]


def _check_messages(number: int, messages: tuple[int, ...], notified: int) -> None:
    unknown = [message for message in messages if not 1 <= message <= notified]
    if unknown or not messages:
        raise ScheduleError(f"step {number} delivers {messages}, but only {notified} were accepted before it")


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
        if isinstance(current, tuple):
            current = [_plain(item) if is_dataclass(item) else item for item in current]
        found[field.name] = current
    return found


def _build(kind: type, data: Any, where: str) -> Any:
    if not isinstance(data, Mapping):
        raise ScheduleError(f"{where} is {data!r}, not an object")
    known = {field.name: field for field in fields(kind)}
    unknown = sorted(set(data) - set(known))
    if unknown:
        raise ScheduleError(f"{where} has unknown {', '.join(unknown)}; known are {', '.join(known)}")
    missing = [name for name, field in known.items() if field.default is MISSING and name not in data]
    if missing:
        raise ScheduleError(f"{where} lacks {', '.join(missing)}")
    values = dict(data)
    if values.get("crash") is not None:
        values["crash"] = _build(Crash, values["crash"], f"{where}, crash")
    if isinstance(values.get("switches"), list):
        values["switches"] = [_build(Switch, switch, f"{where}, switch") for switch in values["switches"]]
    for name in ("messages", "first", "second", "switches"):
        if isinstance(values.get(name), list):
            values[name] = tuple(values[name])
    hints = get_type_hints(kind)
    for name, value in values.items():
        if not _fits(value, hints[name]):
            raise ScheduleError(f"{where} has {name} {value!r}; it must be {_words(hints[name])}")
    return kind(**values)


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of the type a field is declared with: only the few kinds of types that steps have."""
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(_fits(item, get_args(hint)[0]) for item in value)
    if get_origin(hint) in (Union, UnionType):
        return any(_fits(value, choice) for choice in get_args(hint))
    return type(value) is hint


def _words(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(str, get_args(hint)))
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(_words(choice) for choice in get_args(hint))
    if get_origin(hint) is tuple:
        return "a list of " + {int: "whole numbers", Switch: "switches"}[get_args(hint)[0]]
    return {int: "a whole number", str: "text", bool: "true or false", type(None): "null"}[hint]
