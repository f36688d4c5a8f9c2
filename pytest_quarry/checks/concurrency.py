"""Two workers at once: the schedules of the checks about concurrency, few switches first."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from pytest_quarry.bus.faults import SLOW_SECONDS
from pytest_quarry.checks.failures import breaks
from pytest_quarry.checks.stage import NotApplicable, Stage
from pytest_quarry.simulation.history import Entry, History
from pytest_quarry.simulation.schedule import Break, Crash, Overlap, PlannedRun, Schedule, Switch, Write

MOST_POINTS = 16  # at which one worker stands still
MOST_OF_TWO = 32  # interleavings of two switches, those between operations that changed something first
MOST_KILLED = 40  # of those between operations that changed something: the second worker is killed where it stands
PROGRAM_SHARE = 2  # a program, each of whose schedules takes many times as long, meets one in so many of these
REMOVES = "unlink "
WAITS = "waits for the lock of "
ACKNOWLEDGES = "sqs.DeleteMessage"
VISIBILITY = 31  # seconds after which the bus delivers again what nobody acknowledged
T = TypeVar("T")


def one_message(stage: Stage) -> Iterator[Schedule]:
    """EB02: two workers, one message."""
    _two_workers(stage)
    run = stage.run("A", items=2)
    base = stage.schedule([run], [*stage.told(run), Overlap((1,), (1,))])
    yield from _interleavings(stage, base)
    yield from _fails_beside(stage, base)


def two_messages(stage: Stage) -> Iterator[Schedule]:
    """EB02: two workers, two messages; then the first goes on with a duplicate of the other's, where locks are removed."""
    _two_workers(stage)
    run, other = stage.run("A", items=2), stage.run("B", items=1)
    both = stage.schedule([run, other], [*stage.told(run), *stage.told(other), Overlap((1,), (2,))])
    yield from _interleavings(stage, both)
    yield from _locks_removed(stage, both)


def _locks_removed(stage: Stage, both: Schedule) -> Iterator[Schedule]:
    """Who waited for a lock whose file is gone holds nothing: the first worker meets it again, in its next turn."""
    entries = stage.history(both).entries
    removed = {entry.text.removeprefix(REMOVES) for entry in entries if _removes_a_file(entry)}
    if not removed:
        return
    once = _one_switch(stage, both, MOST_POINTS // _share(stage, both))
    waiting = [point for point, schedule in once.items() if removed & _waited_for(stage.history(schedule))]
    longer = _with(both, Overlap((1, 2), (2,)))
    for point in waiting[-1:]:
        overlap = Overlap((1, 2), (2,), switches=(point,))
        stands = _stands(stage.history(_with(longer, overlap)), 1)
        for back, _ in itertools.dropwhile(lambda stand: not _removes_a_file(stand[1]), stands):
            yield _with(longer, replace(overlap, switches=(point, back)))


def _removes_a_file(entry: Entry) -> bool:
    return entry.what == "crossed" and entry.text.startswith(REMOVES)


def _waited_for(history: History) -> set[str]:
    """The files whose locks the second worker waited for."""
    texts = (entry.text for entry in history.entries if entry.what == "switched" and entry.worker == 2)
    return {text.removeprefix(WAITS) for text in texts if text.startswith(WAITS)}


def live_claim_holds(stage: Stage) -> Iterator[Schedule]:
    """EB08: a duplicate comes while the first worker is still at work, at each operation: once, again later, and long."""
    _two_workers(stage)
    run = stage.run("A", items=2)
    base = stage.schedule([run], [*stage.told(run), Overlap((1,), (1,))])
    for point in _points(stage.history(base), worker=1):
        overlap = Overlap((1,), (1,), switches=(point,))
        yield _with(base, overlap)
        yield _with(base, replace(overlap, second=(1, 1), pause=VISIBILITY))
        if _sleeps(stage.history(_with(base, overlap)), worker=2):
            yield _with(base, replace(overlap, stands=SLOW_SECONDS))
    for point in _points(stage.history(base), worker=1):
        slow = Break(point.label, "slow", times=1, skip=point.occurrence - 1)
        yield replace(base, steps=(*base.steps[:-1], slow, Overlap((1,), (1,), switches=(point,))))


def one_new_run(stage: Stage) -> Iterator[Schedule]:
    """PO09: two polls overlap, with one new run."""
    _two_workers(stage)
    base = _two_polls(stage, stage.run("A", items=2))
    yield from _interleavings(stage, base)
    yield from _fails_beside(stage, base)


def two_new_runs(stage: Stage) -> Iterator[Schedule]:
    """PO09: two polls overlap, with two new runs."""
    _two_workers(stage)
    yield from _interleavings(stage, _two_polls(stage, stage.run("A", items=2), stage.run("B", items=1)))


def _two_polls(stage: Stage, *runs: PlannedRun) -> Schedule:
    return stage.schedule(list(runs), [*(Write(each.run_id) for each in runs), Overlap()])


def _fails_beside(stage: Stage, base: Schedule) -> Iterator[Schedule]:
    """The first worker fails where it stood still and the second did its work: what it tidies up then may be the other's.

    At the last of places that are the same for both, about something durable.
    """
    durable = _durable(stage.history(base), worker=1)
    once = _one_switch(stage, base, MOST_POINTS // _share(stage, base))
    for place in (group[-1] for group in _alike(stage, base, once)):
        if place not in durable:
            continue
        crossed = _crossed(stage.history(once[place]), place)
        for failing in itertools.islice(breaks([(place.label, crossed)]), 1):
            steps = once[place].steps
            yield replace(base, steps=(*steps[:-1], replace(failing, times=1), steps[-1]))


def _crossed(history: History, place: Switch) -> int:
    """How often both workers had crossed this when the first, which had stood there, did."""
    crossed: Counter[int] = Counter()
    for entry in history.entries:
        if entry.what == "crossed" and entry.text == place.label:
            crossed[entry.worker] += 1
            if crossed[1] == place.occurrence:
                break
    return crossed.total()


def in_turn(*parts: Callable[[Stage], Iterator[Schedule]]) -> Callable[[Stage], Iterator[Schedule]]:
    """The schedules of all parts, one part after the other."""
    return lambda stage: itertools.chain.from_iterable(part(stage) for part in parts)


EB02 = (one_message, two_messages)
PO09 = (one_new_run, two_new_runs)


def _two_workers(stage: Stage) -> None:
    if stage.consumer.workers == 1:
        raise NotApplicable("it declares workers = 1: it never runs twice at once")


def _interleavings(stage: Stage, base: Schedule) -> Iterator[Schedule]:
    """No switch, one, one with the first worker killed where it stands, two; durable boundaries before others.

    What follows a switch is tried only where it can make a difference: of places one after the other at which a switch is
    the same for both workers the last is tried with a kill, the first and the last with a second switch.
    """
    yield base
    overlap = base.steps[-1]
    assert isinstance(overlap, Overlap)
    share = _share(stage, base)
    once = _one_switch(stage, base, MOST_POINTS // share)
    yield from once.values()
    alike = _alike(stage, base, once)
    lasts = {group[-1] for group in alike}
    for point in once:
        if point in lasts:
            crash = Crash(point.label, point.occurrence)
            yield _with(base, replace(overlap, switches=(point,), crash=crash))
    ends = lasts | {group[0] for group in alike}
    yield from _there_and_back(stage, base, {point: once[point] for point in once if point in ends}, lasts, share)


def _share(stage: Stage, base: Schedule) -> int:
    return PROGRAM_SHARE if stage.history(base).by_a_program else 1


def _one_switch(stage: Stage, base: Schedule, most: int) -> dict[Switch, Schedule]:
    """The first worker stands still once, by the place where."""
    overlap = base.steps[-1]
    assert isinstance(overlap, Overlap)
    points = _points(stage.history(base), worker=1)[:most]
    return {point: _with(base, replace(overlap, switches=(point,))) for point in points}


def _there_and_back(
    stage: Stage, base: Schedule, once: Mapping[Switch, Schedule], lasts: set[Switch], share: int
) -> Iterator[Schedule]:
    """A second switch where the second worker is under way; then the second worker killed there.

    First where both places, of those of the first worker the last of its kind, are about something durable. With the
    others it goes on in rounds, each with one for every place of the first worker, as long as a round shows anything new.
    """
    overlap = base.steps[-1]
    assert isinstance(overlap, Overlap)
    durable = set(_durable(stage.history(base), worker=1))
    changing: list[Overlap] = []
    others: list[list[Overlap]] = []
    for point, schedule in once.items():
        history = stage.history(schedule)
        there = _durable(history, worker=2) if point in durable & lasts else []
        backs = _points(history, worker=2)[: MOST_POINTS // share]
        changing += [replace(overlap, switches=(point, back)) for back in backs if back in there]
        others.append([replace(overlap, switches=(point, back)) for back in backs if back not in there])
    luck = random.Random(f"{base.fingerprint}/{len(changing)}/{sum(map(len, others))}")
    most = MOST_OF_TWO // share
    first = _some(luck, changing, most)
    yield from (_with(base, each) for each in first)
    seen = {_seen(stage.history(each)) for each in (base, *once.values(), *(_with(base, each) for each in first))}
    yield from _rounds(
        stage, [_with(base, each) for each in _in_turn(luck, others)][: most - len(first)], len(others), seen
    )
    yield from _some(luck, _second_killed(stage, base, first), MOST_KILLED // share)


def _second_killed(stage: Stage, base: Schedule, changing: list[Overlap]) -> list[Schedule]:
    """The second worker killed where it stands; places of the first that are the same for both count as one."""
    killed: dict[object, Schedule] = {}
    for each in changing:
        back = each.switches[1]
        crash = Crash(back.label, back.occurrence)
        alike = _seen(stage.history(_with(base, each))), back
        killed.setdefault(alike, _with(base, replace(each, crash=crash, crash_second=True)))
    return list(killed.values())


def _rounds(stage: Stage, schedules: list[Schedule], length: int, seen: set[tuple[object, ...]]) -> Iterator[Schedule]:
    """So many in each round, up to a round of which nothing is new."""
    for a_round in (schedules[at : at + length] for at in range(0, len(schedules), length)):
        yield from a_round
        now = {_seen(stage.history(each)) for each in a_round}
        if now <= seen:
            return
        seen |= now


def _in_turn(luck: random.Random, lists: list[list[T]]) -> list[T]:
    """One of each list, then another one of each, by luck that is the same each time."""
    mixed = [luck.sample(each, len(each)) for each in lists]
    return [each for of_each in itertools.zip_longest(*mixed) for each in of_each if each is not None]


def _some(luck: random.Random, found: list[T], most: int) -> list[T]:
    """All, or as many as may be, by luck that is the same each time."""
    return found if len(found) <= most else luck.sample(found, most)


def _alike(stage: Stage, base: Schedule, once: Mapping[Switch, Schedule]) -> list[list[Switch]]:
    """The places in the order of the turn, in groups: a switch at each of a group is the same for both workers."""
    groups: list[list[Switch]] = []
    before = None
    for place, _ in _stands(stage.history(base), 1):
        if place in once:
            seen = _seen(stage.history(once[place]))
            if seen != before:
                groups.append([])
            groups[-1].append(place)
            before = seen
    return groups


def _seen(history: History) -> tuple[object, ...]:
    """What each of two workers did and what came of it, whoever did it first."""
    return tuple(
        tuple((entry.what, entry.text, entry.changed, entry.rows) for entry in history.entries if _is_of(entry, worker))
        for worker in (1, 2)
    )


def _is_of(entry: Entry, worker: int) -> bool:
    return entry.worker == worker and entry.what != "switched" and not entry.text.startswith("wait for ")


def _with(base: Schedule, overlap: Overlap) -> Schedule:
    return replace(base, steps=(*base.steps[:-1], overlap))


def _points(history: History, *, worker: int) -> list[Switch]:
    """Where a worker may stand still: before each operation of its turn, those that changed something first."""
    durable = _durable(history, worker=worker)
    others = [point for point, _ in _stands(history, worker) if point not in durable]
    return [*durable, *others][:MOST_POINTS]


def _durable(history: History, *, worker: int) -> list[Switch]:
    # That a message was taken from the queue shows only when it is acknowledged.
    return [
        point for point, entry in _stands(history, worker) if entry.is_durable or entry.text.startswith(ACKNOWLEDGES)
    ]


def _sleeps(history: History, *, worker: int) -> bool:
    """Whether a worker waits in a loop of its own: of locks the world knows whose they are."""
    return any(each.worker == worker and each.what == "crossed" and each.text == "sleep" for each in history.entries)


def _stands(history: History, worker: int) -> Iterator[tuple[Switch, Entry]]:
    """Each operation of a worker, as the place before it."""
    crossed: Counter[str] = Counter()
    waited = False
    for entry in history.entries:
        if entry.worker != worker or entry.what != "crossed":
            continue
        crossed[entry.text] += 1
        # What follows a wait is the same operation once more: it already stood still before that.
        if not waited and not entry.text.startswith("wait for "):
            yield Switch(entry.text, crossed[entry.text]), entry
        waited = entry.text.startswith("wait for ")
