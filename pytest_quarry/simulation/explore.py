"""Small-scope enumeration: every crash point, every order, every place for a duplicate of a small schedule."""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from pytest_quarry.simulation.history import DATA_SIZED, Entry, History
from pytest_quarry.simulation.schedule import (
    Crash,
    Deliver,
    Notify,
    Poll,
    Publish,
    Schedule,
    Step,
    Write,
)

# What tempfile and uuid make up: another name in each process.
RANDOM_NAME = re.compile(r"tmp[0-9a-z_]{8}|[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}")
NUMBER = re.compile(r"[0-9a-f]{8,}|\d+")  # or a digest
# What a program does to a database and its rollback journal, as the kernel sees it.
JOURNALED = re.compile(r"(open|write|truncate|unlink|fsync) (.+?)(-journal)?")


def crash_points(schedule: Schedule, history: History) -> Iterator[Schedule]:
    """The schedule with one crash in it: before the first boundary of every distinct durable state, in order.

    Crashes between which nothing durable changed cannot differ, so one of them stands for all. Nor do those within a
    transaction that SQLite writes file by file: the next to open the database takes it back.
    """
    seen: set[int] = {history.entries[at].state for inside in _transactions(history.entries) for at in inside[:-1]}
    crossed: Counter[tuple[int, str]] = Counter()
    before = 0
    for entry in history.entries:
        if entry.what in ("crossed", "returned"):
            crossed[entry.step, entry.text] += 1
            if before not in seen and _may_crash(schedule, entry.step):
                seen.add(before)
                yield with_crash(schedule, entry.step, Crash(entry.text, crossed[entry.step, entry.text]))
        before = entry.state


def _transactions(entries: Sequence[Entry]) -> Iterator[list[int]]:
    """What SQLite changed in each transaction with a rollback journal, before it was committed.

    Its documentation ("Atomic Commit In SQLite") has the order: the journal is written and synced, then the database, then the
    journal goes. Where nothing is synced no such promise holds, nor where there is no journal: those are not among them.
    """
    begun: dict[tuple[int, str], list[int]] = {}
    synced: set[tuple[int, str]] = set()
    for at, entry in enumerate(entries):
        match = JOURNALED.fullmatch(entry.text) if entry.what == "crossed" else None
        if match is None:
            continue
        operation, database, is_journal = match.groups()
        key = entry.worker, database
        if operation in ("unlink", "truncate") and is_journal:
            inside = begun.pop(key, [])
            if inside and key in synced:
                yield inside
            synced.discard(key)
        elif operation == "fsync":
            synced.update([key] if is_journal else [])
        elif entry.changed and (is_journal or key in begun):
            begun.setdefault(key, []).append(at)


def durable_work(history: History, step: int) -> tuple[str, ...]:
    """The operations of a step (counted from 1) that changed something durable, in order; random names count as alike."""
    durable = (entry for entry in history.entries if entry.is_durable and entry.step == step)
    return tuple(RANDOM_NAME.sub("*", entry.text) for entry in durable)


def kinds_of_work(history: History, schedule: Schedule) -> set[str]:
    """What was done that changed something durable: its labels without the ids of runs, numbers and random names."""
    return {_kind(entry.text, schedule) for entry in history.entries if entry.is_durable}


def _kind(label: str, schedule: Schedule) -> str:
    for run in schedule.runs:
        label = label.replace(run.run_id, "*")
    return NUMBER.sub("#", RANDOM_NAME.sub("*", label))


def rare_places(schedule: Schedule, history: History, usual: set[str]) -> Iterator[Schedule]:
    """The schedule up to a crash before durable work that is not usual, for the first time, and one before what comes after it."""
    crossed: Counter[tuple[int, str]] = Counter()
    met, after = set(usual), False
    for entry in history.entries:
        if entry.what not in ("crossed", "returned"):
            continue
        crossed[entry.step, entry.text] += 1
        kind = _kind(entry.text, schedule)
        new = entry.is_durable and kind not in met
        if (new or after) and _may_crash(schedule, entry.step):
            crash = Crash(entry.text, crossed[entry.step, entry.text])
            yield _up_to(with_crash(schedule, entry.step, crash), entry.step)
        after = new or (after and not entry.is_durable and entry.what == "crossed")
        met.update([kind] if entry.is_durable else [])


def _up_to(schedule: Schedule, step: int) -> Schedule:
    """The schedule without what comes after this step, and without runs that are written, and announced, for that alone."""
    steps = schedule.steps[:step]
    told = [each.run for each in steps if isinstance(each, Notify)]
    delivered = max((number for each in steps if isinstance(each, Deliver) for number in each.messages), default=0)
    later = set(told[delivered:]) - set(told[:delivered])
    steps = tuple(each for each in steps if not (isinstance(each, (Write, Notify)) and each.run in later))
    written = {each.run for each in steps if isinstance(each, Write)}
    return replace(schedule, steps=steps, runs=tuple(run for run in schedule.runs if run.run_id in written))


def power_losses(schedule: Schedule, history: History) -> Iterator[Schedule]:
    """The same crash points, each as a loss of power: what was not fsynced is cut, or taken back."""
    for point in crash_points(schedule, history):
        for at, step in enumerate(point.steps, 1):
            if isinstance(step, (Deliver, Poll)) and step.crash is not None:
                yield with_crash(point, at, replace(step.crash, power="cut"))
                yield with_crash(point, at, replace(step.crash, power="back"))


def torn_writes(schedule: Schedule, history: History, sized: frozenset[str]) -> Iterator[Schedule]:
    """The schedule with one write cut: half of it, and all but its last byte.

    Only writes through a buffer whose size grows with the data (`sized`): with more data the same code makes several
    writes of it, and a kill may come between them. Not those of a transaction that SQLite would take back.
    """
    crossed: Counter[tuple[int, str]] = Counter()
    taken_back = {at for inside in _transactions(history.entries) for at in inside}
    for at, entry in enumerate(history.entries):
        if entry.what != "crossed":
            continue
        crossed[entry.step, entry.text] += 1
        if at in taken_back or not (entry.size and entry.size > 1 and entry.buffered and entry.text in sized):
            continue
        if _may_crash(schedule, entry.step):
            for keep in sorted({entry.size // 2, entry.size - 1}):
                crash = Crash(entry.text, crossed[entry.step, entry.text], keep)
                yield with_crash(schedule, entry.step, crash)


def data_sized(histories: Sequence[History]) -> frozenset[str]:
    """The labels of writes whose size differs with the data: in an execution with more or less of it there is one of no such size.

    A file of records may have a header too: two sizes, but the same in each execution.
    """
    sized: set[str] = set()
    for one, other in itertools.permutations(map(_sizes, histories), 2):
        sized.update(
            label
            for label, sizes in one.items()
            if label in other and any(min(abs(size - its) for its in other[label]) >= DATA_SIZED for size in sizes)
        )
    return frozenset(sized)


def _sizes(history: History) -> dict[str, set[int]]:
    sizes: defaultdict[str, set[int]] = defaultdict(set)
    for entry in _writes(history.entries):
        sizes[entry.text].add(entry.size or 0)
    return sizes


def _writes(entries: Sequence[Entry]) -> Iterator[Entry]:
    return (entry for entry in entries if entry.what == "crossed" and entry.size is not None)


def _may_crash(schedule: Schedule, step: int) -> bool:
    return 1 <= step <= len(schedule.steps) and isinstance(schedule.steps[step - 1], (Deliver, Poll, Publish))


def with_crash(schedule: Schedule, step: int, crash: Crash) -> Schedule:
    """The schedule whose step (counted from 1) is killed there."""
    steps = list(schedule.steps)
    steps[step - 1] = replace(steps[step - 1], crash=crash)  # type: ignore[arg-type]
    return replace(schedule, steps=tuple(steps))


def orders(schedule: Schedule) -> Iterator[Schedule]:
    """The schedule with its deliveries in every order."""
    places = [at for at, step in enumerate(schedule.steps) if isinstance(step, Deliver)]
    deliveries = [schedule.steps[at] for at in places]
    first = max((at for at, step in enumerate(schedule.steps) if isinstance(step, Notify)), default=0)
    rest = [step for at, step in enumerate(schedule.steps) if at not in places]
    if any(at <= first for at in places):
        return
    for order in itertools.permutations(deliveries):
        yield replace(schedule, steps=(*rest, *order))


def duplicates(schedule: Schedule) -> Iterator[Schedule]:
    """The schedule with one delivery repeated, for every delivery and every later place, in a batch and alone."""
    for at, step in enumerate(schedule.steps):
        if not isinstance(step, Deliver):
            continue
        twice = replace(step, messages=(*step.messages, step.messages[-1]))
        yield replace(schedule, steps=_put(schedule.steps, at, twice, instead=True))
        for later in range(at + 1, len(schedule.steps) + 1):
            yield replace(schedule, steps=_put(schedule.steps, later, Deliver(step.messages)))


def _put(steps: Sequence[Step], at: int, step: Step, *, instead: bool = False) -> tuple[Step, ...]:
    return (*steps[:at], step, *steps[at + instead :])
