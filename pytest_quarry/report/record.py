"""The one stream every report reads: what became of each check, as plain data that survives JSON and xdist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

Status = Literal["passed", "failed", "known", "inconclusive", "skipped"]
Mark = Literal["", "duplicate", "crash", "restart", "lost", "fault", "error", "stuck", "dead", "told", "effect", "note"]
STATUSES: tuple[Status, ...] = get_args(Status)


@dataclass(frozen=True, kw_only=True)
class Message:
    """What a publisher's topic accepted at a step."""

    topic: str
    text: str
    attributes: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One happening of a history.

    `number` is its line in the failure's table, None where nothing durable changed. `world`, `consumer` and `target` are the
    words of that line; `mark` says what to draw. `gained` and `lost` are rows, as [run_id, item]; `added` and `removed` are keys of the storage.
    """

    number: int | None
    time: float
    what: str
    text: str
    worker: int = 0
    incarnation: int = 0
    changed: bool = False
    mark: Mark = ""
    here: bool = False
    world: str = ""
    consumer: str = ""
    target: str = ""
    gained: tuple[tuple[str, str | None], ...] = ()
    lost: tuple[tuple[str, str | None], ...] = ()
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    message: Message | None = None


@dataclass(frozen=True, kw_only=True)
class RowCount:
    """How often a row should be in the target at the end, and how often it is. `item` None: the run as a whole."""

    run_id: str
    item: str | None
    expected: int
    found: int


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a check did not pass: the verdict's words, the schedule, its history, and how to play it again.

    `steps_left_out` and `rows_left_out` count what would have made the record too long to read.
    """

    sentence: str
    why: str
    fix: str
    oracle: str
    run_id: str | None
    text: str
    replay: str | None
    saved: str | None
    schedule: dict[str, Any] | None
    steps: tuple[Step, ...]
    steps_left_out: int
    rows: tuple[RowCount, ...]
    rows_left_out: int
    output: str
    stack: str


@dataclass(frozen=True, kw_only=True)
class Record:
    """What became of one check of one consumer.

    `reason`: of a skip, of a known failure, or what else there is to say. `not_exercised`: what the check could not reach.
    """

    id: str
    slug: str
    states: str
    severity: str
    status: Status
    consumer: str
    item: str
    reason: str = ""
    schedules: int = 0
    executions: int = 0
    seconds: float = 0.0
    not_exercised: tuple[str, ...] = ()
    failure: Failure | None = None
    docs: str = field(default="")

    def to_json(self) -> dict[str, Any]:
        """Plain data without anything UTF-8 cannot hold."""
        data: dict[str, Any] = plain(asdict(self))
        return data

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Record:
        """The record that `to_json` described."""
        values = dict(data)
        if values.get("failure") is not None:
            values["failure"] = _failure(values["failure"])
        values["not_exercised"] = tuple(values["not_exercised"])
        return Record(**values)

    @property
    def title(self) -> str:
        """Its id and name."""
        return f"{self.id} {self.name}"

    @property
    def name(self) -> str:
        """Its slug; and which of the consumers of one suite it is of, where that is parametrized: `restart[postgres]`."""
        _, bracket, parameters = self.item.removeprefix(self.consumer).partition("[")
        return f"{self.slug}{bracket}{parameters}"


# Of several, what is said of all.
WORST: tuple[Status, ...] = ("failed", "inconclusive", "known", "skipped", "passed")


def merged(records: Sequence[Record]) -> list[Record]:
    """One record for all shards of an item: the worst that became of them, and the sum of what they did."""
    groups: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record.consumer, record.id, record.item), []).append(record)
    return [_merged(group) for group in groups.values()]


def _merged(group: Sequence[Record]) -> Record:
    worst = min(group, key=lambda record: WORST.index(record.status))
    return replace(
        worst,
        reason=worst.reason
        or next((record.reason for record in group if record.status == worst.status and record.reason), ""),
        schedules=sum(record.schedules for record in group),
        executions=sum(record.executions for record in group),
        seconds=round(sum(record.seconds for record in group), 3),
        not_exercised=tuple(dict.fromkeys(words for record in group for words in record.not_exercised)),
    )


def plain(value: Any) -> Any:
    """JSON's own types only; lone surrogates, which no file can hold as UTF-8, are spelt out."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode() if not value.isascii() else value
    if isinstance(value, Mapping):
        return {plain(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def _failure(data: Mapping[str, Any]) -> Failure:
    values = dict(data)
    values["steps"] = tuple(_step(step) for step in values["steps"])
    values["rows"] = tuple(RowCount(**row) for row in values["rows"])
    return Failure(**values)


def _step(data: Mapping[str, Any]) -> Step:
    values = dict(data)
    for name in ("gained", "lost"):
        values[name] = tuple((run_id, item) for run_id, item in values[name])
    for name in ("added", "removed"):
        values[name] = tuple(values[name])
    if values.get("message") is not None:
        values["message"] = Message(**values["message"])
    return Step(**values)
