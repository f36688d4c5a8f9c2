"""Whole schedules for the engine: which runs exist, and what is done to the consumer."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, get_args

from hypothesis import strategies as st

from pytest_quarry.contract import Outcome, Policy
from pytest_quarry.simulation.schedule import (
    RETURN,
    Break,
    Crash,
    Deliver,
    Heal,
    Notify,
    PlannedRun,
    Poll,
    Restart,
    Schedule,
    Step,
    Wait,
    Write,
)
from pytest_quarry.strategies import arguments, values
from pytest_quarry.strategies.delivering import MOST

Disturbance = Literal["duplicates", "order", "batches", "restarts", "waits", "crashes", "breaks"]
"""What may happen, beside that runs are written and told or polled for; see `schedules`."""

Kind = Literal["event-bus", "poller"]
DISTURBANCES: tuple[str, ...] = get_args(Disturbance)
TROUBLES = frozenset({"restarts", "waits", "crashes", "breaks"})
KINDS: tuple[str, ...] = get_args(Kind)
FORMS = ("full", "minimal", "extra", "reordered", "bare")
BREAKS = {
    "fs": (("read storage/", "EIO"), ("read storage/", "EACCES"), ("read storage/", "slow")),
    "s3": (("s3.GetObject", "503"), ("s3.GetObject", "reset"), ("s3.GetObject", "cut"), ("s3.ListObjects", "throttle")),
}
LONGEST_WAIT = 90_000  # seconds: a day and an hour


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What `schedules` was asked for."""

    max_runs: int
    max_items: int
    max_again: int
    max_troubles: int
    disturbances: frozenset[str]
    crash_at: tuple[str, ...]
    breaks: tuple[tuple[str, str], ...]
    ids: values.Ids
    sources: tuple[str, ...]
    categories: tuple[str, ...]
    policies: tuple[str, ...]
    outcomes: tuple[str, ...]

    def has(self, disturbance: Disturbance) -> bool:
        return disturbance in self.disturbances


def schedules(
    *,
    kind: Kind = "event-bus",
    max_runs: int = 3,
    max_items: int = 3,
    max_again: int = 2,
    max_troubles: int = 3,
    disturbances: Collection[Disturbance] = get_args(Disturbance),
    crash_at: Collection[str] = (RETURN,),
    storage: Literal["fs", "s3"] = "fs",
    ids: values.Ids = "plain",
    sources: Collection[str] = ("shop",),
    categories: Collection[str] = ("products",),
    policies: Collection[Policy | str] = tuple(Policy),
    outcomes: Collection[Outcome | str] = tuple(Outcome),
) -> st.SearchStrategy[Schedule]:
    """Whole schedules for `pytest_quarry.simulation.run.simulate`, each of them valid and the same after JSON.

    ``kind``: ``event-bus`` (runs are written and announced, messages delivered, in every legal form) or ``poller`` (runs
    are written, the poller polls). One to ``max_runs`` runs of up to ``max_items`` items. ``disturbances``, an empty list
    for none: ``duplicates`` (``max_again`` deliveries or polls more, 8 at most), ``order`` (in which runs are announced
    and delivered), ``batches`` (of a poller: runs that share a poll), and at most ``max_troubles`` of ``restarts``
    between turns, ``waits`` (up to 25 hours), ``crashes`` (a kill at a boundary that ``crash_at`` names: ``return``,
    after the work and before it is acknowledged, or labels of the consumer's own) and ``breaks`` (reads of ``storage``
    fail, or are slow, in one turn). ``ids`` as in `runs`; ``sources`` and ``categories`` should be ones the consumer
    wants.

    A sound consumer ends each of them with every item of every finished run, once. Examples shrink to one strict,
    successful run with one item, told and delivered once. Raises InvalidArgument for what cannot be.
    """
    where = "schedules"
    arguments.one_of(where, "kind", kind, KINDS)
    arguments.one_of(where, "storage", storage, tuple(BREAKS))
    arguments.one_of(where, "ids", ids, values.IDS)
    arguments.count(where, "max_runs", max_runs, least=1, most=50)
    arguments.count(where, "max_items", max_items, least=1)
    arguments.count(where, "max_again", max_again, most=MOST)
    arguments.count(where, "max_troubles", max_troubles, most=100)
    chosen = arguments.some(where, "disturbances", disturbances, DISTURBANCES, empty=True)
    for name, texts in (("crash_at", crash_at), ("sources", sources), ("categories", categories)):
        if isinstance(texts, str) or not texts or not all(isinstance(text, str) for text in texts):
            arguments.refuse(where, f"{name} is {texts!r}; give a list of texts, one at least")
    plan = _Plan(
        max_runs=max_runs,
        max_items=max_items,
        max_again=max_again if "duplicates" in chosen else 0,
        max_troubles=max_troubles if TROUBLES & set(chosen) else 0,
        disturbances=frozenset(chosen),
        crash_at=tuple(crash_at),
        breaks=BREAKS[storage],
        ids=ids,
        sources=tuple(sources),
        categories=tuple(categories),
        policies=arguments.some(where, "policies", policies, tuple(Policy)),
        outcomes=arguments.some(where, "outcomes", outcomes, tuple(Outcome)),
    )
    return _schedules(plan, kind)


@dataclass(frozen=True)
class _Turn:
    """A turn of the consumer; ``joined``: in one batch, or one poll, with the one before.

    ``place`` 0 is the plain one: in order, or right after the first.
    """

    joined: bool
    place: int


@dataclass(frozen=True, kw_only=True)
class _Cast:
    """A run, how it is told, and the turn it is first met in."""

    run: PlannedRun
    retries: bool
    form: Any
    early: bool
    turn: _Turn


@dataclass(frozen=True)
class _Trouble:
    """What happens before a turn, or in it, or until it is over."""

    turn: int
    before: Step | None = None
    crash: Crash | None = None
    healed: bool = False


@st.composite
def _schedules(draw: st.DrawFn, plan: _Plan, kind: Kind) -> Schedule:
    # Runs, turns more and troubles are lists of things that need nothing of each other: so each can be left out.
    cast = draw(st.lists(_cast(plan), min_size=1, max_size=plan.max_runs))
    again = draw(st.lists(st.tuples(st.integers(0, plan.max_runs - 1), _turn(plan)), max_size=plan.max_again))
    troubles = draw(st.lists(_trouble(plan), max_size=plan.max_troubles))
    runs: list[PlannedRun] = []
    for member in cast:
        runs.append(_fitted(member, runs))
    names = [run.run_id for run in runs]
    turns = _told(plan, names, cast, again) if kind == "event-bus" else _polled(names, cast, again)
    return Schedule(runs=tuple(runs), steps=tuple(_troubled(turns, troubles)), seed=draw(st.integers(0, 3)))


def _fitted(member: _Cast, before: list[PlannedRun]) -> PlannedRun:
    """The run with an id that is free, and as the retry of the one before where that failed."""
    run = member.run
    # An id that is taken becomes another, and is not drawn again: so examples shrink to run-1, run-2.
    names = [other.run_id for other in before]
    if run.run_id in names:
        run = replace(run, run_id=values.free_run_id(names))
    if not member.retries or not before or before[-1].outcome == "success":
        return run
    parent = before[-1]
    return replace(run, attempt=parent.attempt + 1, parent_run_id=parent.run_id, job_id=parent.job_id)


@st.composite
def _cast(draw: st.DrawFn, plan: _Plan) -> _Cast:
    policy = draw(st.sampled_from(plan.policies))
    outcome = draw(st.sampled_from(plan.outcomes))
    items = draw(st.sampled_from([*range(1, plan.max_items + 1), 0]))
    odds = [draw(st.booleans()) for _ in range(4)]
    day, starts = draw(st.sampled_from([("2026-02-02", "07:00:00"), ("2026-02-01", "23:59:59")]))
    details: dict[str, Any] = {"policy": policy, "outcome": outcome}
    run = PlannedRun(
        run_id=draw(values.run_ids(plan.ids)),
        source=draw(st.sampled_from(plan.sources)),
        category=draw(st.sampled_from(plan.categories)),
        day=day,
        starts=starts,
        items=items,
        first_item=draw(st.integers(0, 2)),
        job_id=draw(st.sampled_from([None, "job-1"])),
        stored_twice=odds[0] and policy == Policy.BUFFERED,
        skipped=odds[0] and outcome == Outcome.SUCCESS and not items,
        plain_event_ids=odds[1],
        odd=odds[2],
        logs=draw(st.integers(0, 2)),
        artifacts=draw(st.sampled_from(["none", "orphan", "committed"])),
        **details,
    )
    form, early = draw(st.sampled_from(FORMS)), plan.has("order") and draw(st.booleans())
    return _Cast(run=run, retries=odds[3], form=form, early=early, turn=draw(_turn(plan)))


@lru_cache(maxsize=64)
def _turn(plan: _Plan) -> st.SearchStrategy[_Turn]:
    joined = st.booleans() if plan.has("batches") else st.just(False)
    return st.builds(_Turn, joined, st.integers(0, plan.max_runs + plan.max_again) if plan.has("order") else st.just(0))


@lru_cache(maxsize=64)
def _trouble(plan: _Plan) -> st.SearchStrategy[_Trouble]:
    turn = st.integers(0, plan.max_runs + plan.max_again - 1)
    choices: list[st.SearchStrategy[_Trouble]] = []
    if plan.has("restarts"):
        choices.append(st.builds(_Trouble, turn, st.just(Restart())))
    if plan.has("waits"):
        choices.append(st.builds(_Trouble, turn, st.builds(Wait, st.integers(1, LONGEST_WAIT))))
    if plan.has("crashes"):
        choices.append(st.builds(_Trouble, turn, st.none(), _crash(plan)))
    if plan.has("breaks"):
        breaks = st.tuples(st.sampled_from(plan.breaks), st.integers(0, 2), st.integers(0, 5)).map(
            lambda found: Break(*found[0], times=found[1], skip=found[2])
        )
        choices.append(st.builds(_Trouble, turn, breaks, st.none(), st.just(True)))
    return st.one_of(choices)


def _told(plan: _Plan, names: list[str], cast: list[_Cast], again: list[tuple[int, _Turn]]) -> list[Step]:
    order: list[tuple[int, _Turn]] = []
    for number, member in enumerate(cast):
        order.insert(max(0, len(order) - member.turn.place), (number, member.turn))
    for which, turn in again:
        number = which % len(names)
        first = next(place for place, (other, _) in enumerate(order) if other == number)
        order.insert(min(len(order), first + 1 + turn.place), (number, turn))
    steps: list[Step] = []
    numbers: dict[int, int] = {}

    def tell(run: int) -> None:
        if run not in numbers:
            steps.extend((Write(names[run]), Notify(names[run], form=cast[run].form)))
            numbers[run] = len(numbers) + 1

    for run, member in enumerate(cast):
        if member.early:
            tell(run)
    for batch in _batched(order, 3 if plan.has("batches") else 1):
        for run, _ in batch:
            tell(run)
        steps.append(Deliver(tuple(numbers[run] for run, _ in batch)))
    return steps


def _batched(order: list[tuple[int, _Turn]], most: int) -> list[list[tuple[int, _Turn]]]:
    found: list[list[tuple[int, _Turn]]] = []
    for entry in order:
        if found and entry[1].joined and len(found[-1]) < most:
            found[-1].append(entry)
        else:
            found.append([entry])
    return found


def _polled(names: list[str], cast: list[_Cast], again: list[tuple[int, _Turn]]) -> list[Step]:
    steps: list[Step] = []
    for number, name in enumerate(names):
        steps.append(Write(name))
        polls = sum(which % len(names) == number for which, _ in again)
        # A run that is joined waits for the poll of the next one.
        polls += number == len(names) - 1 or not cast[number + 1].turn.joined
        steps += [Poll()] * polls
    return steps


def _troubled(steps: list[Step], troubles: list[_Trouble]) -> list[Step]:
    """The steps with what happens before, in and until the end of their turns."""
    turns = sum(isinstance(step, Deliver | Poll) for step in steps)
    found: list[Step] = []
    number = 0
    for step in steps:
        if not isinstance(step, Deliver | Poll):
            found.append(step)
            continue
        mine = [trouble for trouble in troubles if trouble.turn % turns == number]
        number += 1
        found += [trouble.before for trouble in mine if trouble.before is not None]
        crashes = [trouble.crash for trouble in mine if trouble.crash is not None]
        found.append(replace(step, crash=crashes[0]) if crashes else step)
        found += [Heal()] * any(trouble.healed for trouble in mine)
    return found


def _crash(plan: _Plan) -> st.SearchStrategy[Crash]:
    # A consumer returns once a turn; other boundaries it may cross more often.
    named = [label for label in plan.crash_at if label != RETURN]
    found: list[st.SearchStrategy[Crash]] = [st.just(Crash(RETURN))] if RETURN in plan.crash_at else []
    if named:
        found.append(st.builds(Crash, st.sampled_from(named), st.integers(1, 4)))
    return st.one_of(found)
