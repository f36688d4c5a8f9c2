"""Planned runs become runs of Quarry: what the writer writes and what a correct reader then expects of a consumer."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pytest_quarry.consumers.consumer import Consumer, ConsumerError
from pytest_quarry.contract import Artifact, ContractError, EventType, Outcome, Policy, Run, encode_line, number_events
from pytest_quarry.contract.records import Event
from pytest_quarry.simulation.history import RunView
from pytest_quarry.simulation.schedule import PlannedRun, Schedule
from pytest_quarry.simulation.world import SECOND
from pytest_quarry.storage import StoredRun

Body = tuple[EventType | str, Mapping[str, Any] | None]


def started(schedule: Schedule, run_id: str, now: int) -> Schedule:
    """The schedule with a run that starts now (µs), whenever it was planned: a wrapper's clock tells its day."""
    moment = datetime.datetime.fromtimestamp(now // SECOND, datetime.UTC)
    day, starts = moment.date().isoformat(), moment.time().isoformat()
    runs = (replace(run, day=day, starts=starts) if run.run_id == run_id else run for run in schedule.runs)
    return replace(schedule, runs=tuple(runs))


def build(planned: PlannedRun, consumer: Consumer) -> Run:
    """The run of Quarry a plan stands for, its items in the shape this consumer parses."""
    return _build(planned, consumer) if planned.blob else _kept(planned, consumer)


def _build(planned: PlannedRun, consumer: Consumer) -> Run:
    events = number_events(
        planned.run_id,
        _bodies(planned, consumer),
        started_at=datetime.datetime.fromisoformat(f"{planned.day}T{planned.starts}+00:00"),
        attempt=planned.attempt,
        job_id=planned.job_id,
        parent_run_id=planned.parent_run_id,
    )
    events = tuple(event for event in events if event.payload != DROPPED)
    if planned.plain_event_ids:
        events = tuple(_renamed(event) for event in events)
    return Run(
        run_id=planned.run_id,
        source=planned.source,
        category=planned.category,
        day=planned.day,
        job_id=planned.job_id,
        attempt=planned.attempt,
        parent_run_id=planned.parent_run_id,
        policy=Policy(planned.policy),
        outcome=Outcome(planned.outcome),
        events=events,
        artifacts=_artifacts(planned),
    )


# What a later contract adds: fields, with characters that end a line of text for some and not of JSON; a type that begins as another.
ADDED = {"added_in": "0.14", "note": "one\u0085two\u2028three"}
OTHER_TYPE = "item_rejected"
# What the buffered policy drops where its buffer is full: it leaves a gap in seq.
DROPPED: Mapping[str, Any] = {"level": "info", "message": "dropped"}

# The same run again is the same object: the writer knows it, and need not encode it anew.
_kept = functools.lru_cache(maxsize=256)(_build)


def _bodies(planned: PlannedRun, consumer: Consumer) -> list[Body]:
    bodies: list[Body] = []
    for number in range(planned.first_item, planned.first_item + planned.items):
        data = _item_data(consumer, number)
        if not isinstance(data, Mapping):
            raise ConsumerError(
                f"{consumer.name}.item_data({number}) returned {type(data).__name__}. Return the item's data as a mapping."
            )
        if planned.blob and number == planned.first_item:
            data = {**data, "blob": "x" * planned.blob}
        payload: dict[str, Any] = {"item_type": "product", "data": data}
        bodies.append((EventType.ITEM, {**payload, **ADDED} if planned.odd else payload))
        if planned.odd and planned.policy == "buffered" and number == planned.first_item:
            bodies.append((EventType.LOG, DROPPED))
    if planned.odd:
        bodies += [(EventType.LOG, None), (OTHER_TYPE, {"reason": "no price"})]
    if planned.artifacts == "committed":
        about = {"artifact_id": "page-1", "name": "page.html", "content_type": "text/html", "size_bytes": 0}
        bodies.append((EventType.ARTIFACT, about))
    for number in range(planned.logs):
        bodies.append((EventType.LOG, {"level": "info", "message": f"page {number}"}))
    if planned.outcome == "success":
        summary = {"skipped": True, "reason": "nothing new"} if planned.skipped else {"items": planned.items}
        bodies.append((EventType.RUN_COMPLETE, {"summary": summary}))
    elif planned.outcome == "script_error":
        bodies.append((EventType.RUN_ERROR, {"error_type": "TypeError", "message": "selector not found"}))
    return bodies


def _artifacts(planned: PlannedRun) -> tuple[Artifact, ...]:
    if planned.artifacts == "none":
        return ()
    return (Artifact(artifact_id="page-1", chunks=(b"<html>", b"</html>")),)


def _item_data(consumer: Consumer, number: int) -> Any:
    where = f"{consumer.name}.item_data({number})"
    try:
        data = consumer.item_data(number)
    except ConsumerError:  # of another declaration, which it names
        raise
    except Exception as error:
        raise ConsumerError(f"{where} raised {type(error).__name__}: {error}. Return the data as a mapping.") from error
    try:
        encode_line({"data": data})
    except ContractError as error:
        raise ConsumerError(f"{where} returned what Quarry could not store: {error}.") from error
    return data


def _renamed(event: Event) -> Event:
    """`event_id` is unique within its run only (the emit contract): here every run has the same ones."""
    return replace(event, event_id=f"ev-{event.seq:04d}")


def view(run: StoredRun, consumer: Consumer) -> RunView:
    """What a correct reader sees of a run now, and what this consumer may and must load of it."""
    standing = _standing(run, consumer)
    items: tuple[str, ...] = tuple(str(_key(event, consumer)) for event in run.items)
    if consumer.expected is not None and standing != "forbidden":
        expected = _expected(consumer, consumer.expected, run)
        if expected is None:
            standing = "forbidden"
        else:
            items = expected
    unwanted = _unwanted(run, consumer)
    return RunView(run_id=run.run_id, standing=standing, state=run.state, items=items, unwanted=unwanted)


def unless_broken(view: RunView, broken: tuple[str, ...]) -> RunView:
    """A run whose files cannot be read for ever need not be loaded."""
    return replace(view, standing="optional", readable=False) if any(view.run_id in at for at in broken) else view


def _expected(consumer: Consumer, expected: Callable[[Any], Any], run: StoredRun) -> tuple[str, ...] | None:
    try:
        found = expected(run)
        return None if found is None else tuple(str(item) for item in found)
    except Exception as error:
        raise ConsumerError(
            f"{consumer.name}.expected(run) raised {type(error).__name__}: {error}. It gets a run with run_id, source, items, "
            "artifacts and state. Return the keys of its items, or None where it is not to be loaded."
        ) from error


def _standing(run: StoredRun, consumer: Consumer) -> Any:
    if _unwanted(run, consumer):
        return "forbidden"
    if run.state == "finished":
        # A policy that failed at the very end: announced as such, and yet finished in storage. Both readings are right.
        whole = run.complete_partitions and run.outcome != Outcome.POLICY_FAILURE
        return "due" if whole else "optional"
    if consumer.failed_runs == "load" and run.state in ("failed", "crashed"):
        # A run is over when its terminal event is committed: of one that has none, only Quarry's metrics tell.
        return "due" if any(event.type == "run_error" for event in run.events) else "optional"
    return "forbidden"


def _unwanted(run: StoredRun, consumer: Consumer) -> str:
    """Of which declaration of the suite this run is not, in words; else nothing."""
    if consumer.only_sources and run.source not in consumer.sources:
        return f"of source {run.source!r}, and the suite declares sources = {consumer.sources}"
    if consumer.only_categories and run.category not in consumer.categories:
        return f"of category {run.category!r}, and the suite declares categories = {consumer.categories}"
    return ""


def _key(event: Any, consumer: Consumer) -> Any:
    try:
        return consumer.item_key(event)
    except Exception as error:
        raise ConsumerError(
            f"{consumer.name}.item_key(event) raised {type(error).__name__}: {error}. It gets an item event with event_id, "
            f"seq, payload and data; here data is {event.data!r}. Return what rows(world) calls item."
        ) from error
