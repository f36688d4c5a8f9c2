"""Runs and events, as values of the contract."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from functools import lru_cache
from typing import Any, Literal, overload

from hypothesis import assume
from hypothesis import strategies as st

from pytest_quarry.contract import (
    DROPPABLE,
    Artifact,
    ContractError,
    Event,
    EventType,
    FlushMode,
    Outcome,
    Policy,
    Run,
    Sidecar,
    number_events,
)
from pytest_quarry.strategies import arguments, values

TextLike = str | st.SearchStrategy[str] | None
Of = Run | st.SearchStrategy[Run] | None
TYPES: tuple[str, ...] = (*(str(kind) for kind in EventType), "something_new")

_TERMINALS: dict[str, tuple[str | None, ...]] = {
    "success": ("run_complete",),
    "script_error": ("run_error",),
    "executor_crash": (None,),
    "version_mismatch": (None,),
    "policy_failure": (None, "run_complete", "run_error"),
}


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What `runs` was asked for."""

    run_id: st.SearchStrategy[str]
    source: st.SearchStrategy[str]
    category: st.SearchStrategy[str]
    dataset: st.SearchStrategy[str]
    other_id: st.SearchStrategy[str]
    min_items: int
    max_items: int
    max_others: int
    max_artifacts: int
    max_sidecars: int
    policies: tuple[str, ...]
    outcomes: tuple[str, ...]
    drops: bool
    retries: bool
    odd: bool
    data: st.SearchStrategy[Any]


def runs(
    *,
    run_id: TextLike = None,
    source: TextLike = None,
    category: TextLike = None,
    dataset: TextLike = None,
    ids: values.Ids = "plain",
    min_items: int = 0,
    max_items: int = 3,
    max_others: int = 3,
    max_artifacts: int = 1,
    max_sidecars: int = 1,
    policies: Collection[Policy | str] = tuple(Policy),
    outcomes: Collection[Outcome | str] = tuple(Outcome),
    drops: bool = True,
    retries: bool = True,
    odd: bool = True,
    data: st.SearchStrategy[Any] | None = None,
) -> st.SearchStrategy[Run]:
    """Whole runs, as Quarry could have produced them; each leaves something in storage.

    ``run_id``, ``source``, ``category``, ``dataset``: a text or a strategy; else from ``ids``: ``plain`` (letters,
    digits, ``-_.``) or ``hostile`` (whatever Quarry takes: spaces, slashes, ``%``, ``..``, NUL). Of items there are
    ``min_items`` to ``max_items``, their data from ``data`` (objects, with sku and price first). ``max_others``: logs,
    checkpoints, enqueues, proxy rotations and unknown types between them; ``max_artifacts`` (orphans too) and
    ``max_sidecars``. ``drops``: the buffered policy may have dropped events, which leaves gaps in seq; ``retries``:
    attempts above 1; ``odd``: null payloads, fields and types of a later contract.

    Examples shrink to a strict, successful ``run-1`` of ``shop`` with the fewest items; the first of ``policies`` and
    ``outcomes`` is the simplest. Raises InvalidArgument at once for what cannot be.
    """
    arguments.one_of("runs", "ids", ids, values.IDS)
    arguments.between("runs", "items", min_items, max_items)
    for name, most in (("max_others", max_others), ("max_artifacts", max_artifacts), ("max_sidecars", max_sidecars)):
        arguments.count("runs", name, most, most=100)
    if data is not None and not isinstance(data, st.SearchStrategy):
        arguments.refuse("runs", f"data is {data!r}; give a strategy of objects, as st.fixed_dictionaries({{…}})")
    text = arguments.text
    plan = _Plan(
        run_id=text("runs", "run_id", run_id, values.run_ids(ids)),
        source=text("runs", "source", source, values.sources(ids)),
        category=text("runs", "category", category, values.categories(ids)),
        dataset=text("runs", "dataset", dataset, values.datasets(ids)),
        other_id=values.run_ids(ids),
        min_items=min_items,
        max_items=max_items,
        max_others=max_others,
        max_artifacts=max_artifacts,
        max_sidecars=max_sidecars,
        policies=arguments.some("runs", "policies", policies, tuple(Policy)),
        outcomes=arguments.some("runs", "outcomes", outcomes, tuple(Outcome)),
        drops=drops,
        retries=retries,
        odd=odd,
        data=values.item_data if data is None else data,
    )
    return _runs(plan)


@dataclass(frozen=True, kw_only=True)
class _Part:
    """What a run emits between its items: all of it is drawn together, so that it is left out together."""

    kind: str
    payload: Any
    place: int
    dropped: bool = False
    chunks: tuple[bytes, ...] = ()
    checksums: bool = False


@st.composite
def _runs(draw: st.DrawFn, plan: _Plan) -> Run:
    outcome = draw(st.sampled_from(plan.outcomes))
    policy = draw(st.sampled_from(plan.policies))
    started_at = draw(_starts)
    who = _identity(draw, plan)
    parts = _parts(draw, plan)
    end = _end(draw, plan, outcome)
    bodies = [(part.kind, part.payload) for part in parts] + end
    every = _renamed(draw, number_events(bodies=bodies, started_at=started_at, **who))
    kept, dropped = every, dict[str, int]()
    if plan.drops and policy == Policy.BUFFERED:
        gone = {number for number, part in enumerate(parts, start=1) if part.dropped and number < len(every)}
        kept = tuple(event for event in every if event.seq not in gone)
        if draw(st.booleans()):
            dropped = dict(Counter(str(event.type) for event in every if event.seq in gone))
    artifacts = _artifacts(draw, plan, parts)
    run = Run(
        **who,
        source=draw(plan.source),
        category=draw(plan.category),
        dataset=draw(plan.dataset),
        day=started_at.date().isoformat(),
        started_at=started_at,
        duration_ms=draw(_DURATIONS),
        policy=Policy(policy),
        outcome=Outcome(outcome),
        events=kept,
        artifacts=artifacts,
        dropped=dropped,
        lost=draw(_FEW) if outcome == Outcome.POLICY_FAILURE else 0,
        metrics=draw(_YES) or not (kept or artifacts),
        **_flushing(draw, policy, outcome),
    )
    sidecars = _sidecars(draw, plan, len(every)) if plan.max_sidecars else ()
    # Raw paths of ids with dots may climb out of the dataset: such runs have no sidecar files.
    with suppress(ContractError):
        run = replace(run, sidecars=sidecars)
    return run


_days = st.just(date(2026, 2, 1)) | st.dates(date(2020, 1, 1), date(2035, 12, 31))
_times = st.sampled_from([time(7), time(23, 59, 59)]) | st.times()
_DURATIONS = st.sampled_from([1500, 0, 1, 2000, 90_000_000])
_starts = st.builds(datetime.combine, _days, _times, st.just(UTC))


_JOBS = st.sampled_from([None, "nightly", "any"])
_ATTEMPTS = st.sampled_from([1, 1, 1, 2, 3])


def _identity(draw: st.DrawFn, plan: _Plan) -> dict[str, Any]:
    job = draw(_JOBS)
    who: dict[str, Any] = {"run_id": draw(plan.run_id), "job_id": draw(plan.other_id) if job == "any" else job}
    attempt = draw(_ATTEMPTS) if plan.retries else 1
    if attempt > 1:
        who["attempt"] = attempt
        who["parent_run_id"] = draw(plan.other_id.filter(lambda other: other != who["run_id"]))
    return who


def _parts(draw: st.DrawFn, plan: _Plan) -> list[_Part]:
    """What a run emits before its end, in order."""
    items, others, artifacts = draw(_lists(plan))
    parts = [_Part(kind="item", payload=payload, place=0) for payload in items]
    for part in [*others, *artifacts]:
        parts.insert(part.place, part)
    commits = 0
    for number, part in enumerate(parts):
        if part.kind == EventType.ARTIFACT:
            commits += 1
            parts[number] = replace(part, payload={**part.payload, "artifact_id": f"art-{commits}"})
    return parts


@lru_cache(maxsize=256)
def _lists(plan: _Plan) -> st.SearchStrategy[tuple[list[Any], list[_Part], list[_Part]]]:
    """Payloads of items, what is between them, and artifacts."""
    return st.tuples(
        st.lists(_payload("item", plan), min_size=plan.min_items, max_size=plan.max_items),
        st.lists(_other(plan), max_size=plan.max_others),
        st.lists(_commit(plan), max_size=plan.max_artifacts),
    )


_CHUNKS = st.lists(st.binary(max_size=6), min_size=1, max_size=3)
_PLACES = st.integers(0, 9)
_YES = st.sampled_from([True, False])


@st.composite
def _other(draw: st.DrawFn, plan: _Plan) -> _Part:
    kind = draw(st.sampled_from(values.KINDS if plan.odd else values.KINDS[:-1]))
    payload, dropped = draw(_payload(kind, plan)), draw(st.booleans())
    return _Part(kind=kind, payload=payload, place=draw(_PLACES), dropped=dropped and kind in DROPPABLE)


@st.composite
def _commit(draw: st.DrawFn, plan: _Plan) -> _Part:
    chunks = draw(_CHUNKS)
    payload, checksums = draw(_payload("artifact", plan)), draw(st.booleans())
    return _Part(kind="artifact", payload=payload, place=draw(_PLACES), chunks=tuple(chunks), checksums=checksums)


@lru_cache(maxsize=1024)
def _payload(kind: str, plan: _Plan) -> st.SearchStrategy[dict[str, Any] | None]:
    return values.payloads(kind, data=plan.data, odd=plan.odd)


def _end(draw: st.DrawFn, plan: _Plan, outcome: str) -> list[tuple[str, dict[str, Any] | None]]:
    """The terminal event of a run, if its outcome has one."""
    # No outcome takes fewer choices than success, so that examples shrink to that.
    payload = draw(_payload("run_complete", plan))
    kinds = _TERMINALS[outcome]
    terminal = kinds[0] if len(kinds) == 1 else draw(st.sampled_from(kinds))
    if terminal == "run_error":
        payload = draw(_payload("run_error", plan))
    return [] if terminal is None else [(terminal, payload)]


def _renamed(draw: st.DrawFn, events: tuple[Event, ...]) -> tuple[Event, ...]:
    """Event ids are unique within their run only, and need not rise."""
    how = draw(st.sampled_from(["numbered", "plain", "falling"]))
    if how == "numbered":
        return events
    ids = [f"ev-{event.seq if how == 'plain' else 9999 - event.seq:04d}" for event in events]
    return tuple(replace(event, event_id=event_id) for event, event_id in zip(events, ids, strict=True))


def _artifacts(draw: st.DrawFn, plan: _Plan, parts: list[_Part]) -> tuple[Artifact, ...]:
    found = [
        Artifact(artifact_id=part.payload["artifact_id"], chunks=part.chunks, checksums=part.checksums)
        for part in parts
        if part.kind == EventType.ARTIFACT
    ]
    if plan.max_artifacts and draw(st.booleans()):
        found.append(Artifact(artifact_id="orphan", chunks=(b"left",), complete=draw(_YES)))
    return tuple(found)


_SIDECARS = st.sampled_from(["shot.png", "side car+é%.txt", "<1>.json"]) | st.integers(1, 99).map("{}.bin".format)
_CONTENT_TYPES = st.sampled_from(["", "text/plain", 'a"<b>'])
_CONTENT = st.binary(max_size=4)


def _sidecars(draw: st.DrawFn, plan: _Plan, events: int) -> tuple[Sidecar, ...]:
    names = draw(st.lists(_SIDECARS, max_size=plan.max_sidecars, unique=True))
    after = st.integers(0, events)
    return tuple(
        Sidecar(name=name, data=draw(_CONTENT), content_type=draw(_CONTENT_TYPES), after_seq=draw(after))
        for name in names
    )


_FLUSHES = st.sampled_from([(2, None), (1, None), (3, None), (2, 0.5), (None, 0.5), (None, 3.0)])
_FLUSH_MODES = st.sampled_from(FlushMode)
_FEW = st.integers(0, 2)


def _flushing(draw: st.DrawFn, policy: str, outcome: str) -> dict[str, Any]:
    if policy == Policy.BUFFERED:
        # With failed writes in its metrics, a version mismatch is stored as a policy failure is.
        failures = draw(_FEW) if outcome != Outcome.VERSION_MISMATCH else 0
        return {"flush_mode": draw(_FLUSH_MODES), "write_failures": failures}
    if policy == Policy.STREAMING:
        number, seconds = draw(_FLUSHES)
        return {"flush_count": number, "flush_interval": seconds}
    return {}


_small_runs = runs(max_others=1, max_artifacts=0, max_sidecars=0, odd=False)


def run_of(where: str, of: object, *, default: st.SearchStrategy[Run] = _small_runs) -> st.SearchStrategy[Run]:
    """The strategy of runs behind an ``of=``."""
    if of is None:
        return default
    if isinstance(of, Run):
        return st.just(of)
    if isinstance(of, st.SearchStrategy):
        return of.map(lambda run: arguments.drawn(where, run, Run, "runs, as runs() does"))
    return arguments.refuse(where, f"of is {of!r}; give a Run, or a strategy of runs as runs()")


@overload
def events(
    *, of: Of = None, types: Collection[EventType | str] | None = None, whole: Literal[False] = False
) -> st.SearchStrategy[Event]: ...
@overload
def events(
    *, of: Of = None, types: Collection[EventType | str] | None = None, whole: Literal[True]
) -> st.SearchStrategy[tuple[Event, ...]]: ...
def events(*, of: Of = None, types: Collection[EventType | str] | None = None, whole: bool = False) -> Any:
    """Single events, of any type or of ``types``; with ``whole`` the events of a run, in order of seq.

    ``of``: the run they are of, or a strategy of runs; else any run. ``types`` are those of contract 0.13 and
    ``something_new``; a run's events are only those that were persisted. Examples shrink to the first of ``types``,
    an item, of ``run-1``, and to the events of the simplest run. Raises InvalidArgument for a type that is unknown, or that ``of`` has none of.
    """
    chosen = TYPES if types is None else arguments.some("events", "types", types, TYPES)
    if isinstance(of, Run) and not whole and not any(event.type in chosen for event in of.events):
        there = ", ".join(sorted({str(event.type) for event in of.events})) or "nothing"
        arguments.refuse("events", f"run {of.run_id!r} has no event of {', '.join(chosen)}; it emitted {there}")
    if of is None and not whole:
        return _single(chosen)
    return _events(run_of("events", of, default=runs()), None if types is None else chosen, whole)


@st.composite
def _events(draw: st.DrawFn, of: st.SearchStrategy[Run], types: tuple[str, ...] | None, whole: bool) -> Any:
    found = tuple(event for event in draw(of).events if types is None or event.type in types)
    if whole:
        return found
    assume(found)
    return draw(st.sampled_from(found))


@st.composite
def _single(draw: st.DrawFn, types: tuple[str, ...]) -> Event:
    # One payload of each type, so that each takes as many choices and examples shrink to the first.
    payloads = {kind: draw(values.payloads(kind, data=values.item_data, odd=True)) for kind in types}
    kind = draw(st.sampled_from(types))
    run_id = draw(values.run_ids("plain"))
    (event,) = number_events(run_id, [(kind, payloads[kind])], started_at=draw(_starts))
    seq = draw(st.integers(1, 9))
    return replace(event, seq=seq, event_id=f"ev-{run_id}-{seq:04d}")
