"""A result of the engine as a record of the stream: the history's happenings, and the rows that should be there."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from pytest_quarry.checks.check import Check
from pytest_quarry.checks.conduct import Result
from pytest_quarry.checks.oracles import due
from pytest_quarry.report import terminal
from pytest_quarry.report.record import Failure, Mark, Message, Record, RowCount, Status, Step
from pytest_quarry.simulation.history import Entry, History, Row

MARKS: dict[str, Mark] = {
    "broke": "fault",
    "damaged": "fault",
    "raised": "error",
    "ended": "error",
    "hung": "stuck",
    "gave-up": "stuck",
    "dead-lettered": "dead",
    "acknowledged": "told",
    "published": "effect",
}
MOST_STEPS = 400
MOST_ROWS = 200
MOST_CHANGES = 50  # rows or keys of one step
MOST_TEXT = 20_000


@dataclass(frozen=True, kw_only=True)
class Told:
    """What the runner knows of a result beside it: how to play it again, and where its schedule is."""

    replay: str | None = None
    saved: str | None = None
    told_only: bool = True


def record_of_check(check: Check, *, consumer: str, item: str, status: Status, reason: str = "") -> Record:
    """The record of a check of which nothing is known but how it ended."""
    return Record(
        id=check.id,
        slug=check.slug,
        states=check.states,
        severity=check.severity,
        status=status,
        consumer=consumer,
        item=item,
        reason=reason,
        docs=check.page,
    )


def record_of_result(result: Result, told: Told, *, consumer: str, item: str) -> Record:
    """The record of a result; its history is told where there is a verdict."""
    record = record_of_check(result.check, consumer=consumer, item=item, status=result.status, reason=result.reason)
    return replace(
        record,
        schedules=result.schedules,
        executions=result.executions,
        not_exercised=tuple(getattr(result, "not_exercised", ())),
        failure=failure_of(result, told),
    )


def failure_of(result: Result, told: Told) -> Failure | None:
    """Why a result is no pass, with its history; None for one that is."""
    verdict, history = result.verdict, result.history
    if verdict is None or history is None:
        return None
    steps, left_out = steps_of(history, verdict.here)
    rows = rows_of(history, told.told_only)
    return Failure(
        sentence=verdict.sentence,
        why=terminal.why_of(verdict, history),
        fix=result.check.fix if result.status == "failed" else "",
        oracle=verdict.oracle,
        run_id=verdict.run_id,
        text=terminal.failure(result, replay=told.replay),
        replay=told.replay,
        saved=told.saved,
        schedule=result.schedule.to_json() if result.schedule is not None else None,
        steps=steps,
        steps_left_out=left_out,
        rows=tuple(rows[:MOST_ROWS]),
        rows_left_out=len(rows[MOST_ROWS:]),
        output=_cut(history.output),
        stack=_cut(history.stack),
    )


def steps_of(history: History, here: int | None) -> tuple[tuple[Step, ...], int]:
    """The happenings of a history, those of the failure's table numbered as there; and how many were left out."""
    lines = {
        at: (number, line) for number, line in enumerate(terminal.lines_of(history.entries), 1) for at in line.entries
    }
    trees = history.trees
    rows: tuple[Row, ...] = ()
    keys: frozenset[str] = frozenset()
    delivered: set[int] = set()
    steps: list[Step] = []
    for at, entry in enumerate(history.entries):
        step = replace(_step(entry, here=at == here), mark=_mark(entry, delivered))
        if at in lines:
            number, line = lines[at]
            step = replace(step, number=number, world=line.world, consumer=line.consumer, target=line.target)
        if entry.rows is not None:
            gained, lost = Counter(entry.rows) - Counter(rows), Counter(rows) - Counter(entry.rows)
            step = replace(step, gained=_pairs(gained), lost=_pairs(lost))
            rows = entry.rows
        if at in trees:
            step = replace(step, added=_some(trees[at] - keys), removed=_some(keys - trees[at]))
            keys = trees[at]
        steps.append(step)
    return _shortened(steps)


def _step(entry: Entry, *, here: bool) -> Step:
    published = entry.published
    message = None
    if published is not None:
        attributes = {name: value for name, _, value in published.attributes}
        message = Message(topic=published.topic, text=_cut(published.text), attributes=attributes)
    return Step(
        number=None,
        time=round(entry.time, 6),
        what=entry.what,
        text=entry.text,
        worker=entry.worker,
        incarnation=entry.incarnation,
        changed=entry.changed,
        here=here,
        message=message,
    )


def _mark(entry: Entry, delivered: set[int]) -> Mark:
    """What a happening is to somebody who looks at the whole; `delivered` keeps which messages were."""
    if entry.what == "delivered":
        again = bool(delivered & set(entry.messages))
        delivered.update(entry.messages)
        return "duplicate" if again else ""
    if entry.what == "killed":
        calm = entry.text == "between two turns" or entry.text.endswith("is not needed any more")
        return "restart" if calm else "crash"
    if entry.what == "failed":
        return "lost" if "lost" in entry.text else "fault"
    if entry.rows is not None:
        return "effect"
    if entry.what in ("crossed", "returned"):
        return "note" if entry.changed else ""
    return MARKS.get(entry.what, "")


def _shortened(steps: list[Step]) -> tuple[tuple[Step, ...], int]:
    """At most so many: what changed nothing goes first, then the middle."""
    if len(steps) <= MOST_STEPS:
        return tuple(steps), 0
    kept = [step for step in steps if step.number is not None or step.here]
    if len(kept) > MOST_STEPS:
        half = MOST_STEPS // 2
        middle = [step for step in kept[half:-half] if step.here]
        kept = [*kept[:half], *middle, *kept[-half:]]
    return tuple(kept), len(steps) - len(kept)


def rows_of(history: History, told_only: bool) -> list[RowCount]:
    """Each row that should be in the target at the end or is, those that differ first."""
    found = Counter(history.rows)
    by_run = {row.run_id for row in history.rows if row.item is None}
    wanted: Counter[Row] = Counter()
    for run_id, view in due(history, told_only).items():
        items = [None] if run_id in by_run and view.items else view.items
        wanted.update(Row(run_id, item) for item in items)
    for run_id, view in history.views.items():
        if view.standing == "optional":  # it may be there, and then it is right
            wanted.update({Row(run_id, item): min(1, found[Row(run_id, item)]) for item in view.items})
    counts = [
        RowCount(run_id=row.run_id, item=row.item, expected=wanted[row], found=found[row])
        for row in sorted({*found, *wanted}, key=lambda row: (row.run_id, row.item or ""))
        if wanted[row] or found[row]
    ]
    return sorted(counts, key=lambda count: count.expected == count.found)


def _pairs(rows: Counter[Row]) -> tuple[tuple[str, str | None], ...]:
    return tuple((row.run_id, row.item) for row in list(rows.elements())[:MOST_CHANGES])


def _some(keys: frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted(keys)[:MOST_CHANGES])


def _cut(text: str) -> str:
    return text if len(text) <= MOST_TEXT else f"… ({len(text) - MOST_TEXT} characters left out)\n{text[-MOST_TEXT:]}"
