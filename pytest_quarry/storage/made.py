"""Runs made by the number, and several writers at once."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from random import Random

from pytest_quarry.contract.records import EventType, number_events
from pytest_quarry.contract.run import Outcome, Run
from pytest_quarry.storage.writer import QuarryWriter, SnapshotConflict

__all__ = ["interleave", "plain_run"]


def plain_run(run_id: str, *, items: int, started_at: datetime, outcome: Outcome, **fields: object) -> Run:
    """A run with so many items, ``{"n": 1}`` and so on, and the end its outcome has."""
    bodies: list[tuple[str, dict[str, object]]] = [
        (EventType.ITEM, {"item_type": "item", "data": {"n": number}}) for number in range(1, items + 1)
    ]
    if outcome == Outcome.SUCCESS:
        bodies.append((EventType.RUN_COMPLETE, {}))
    elif outcome == Outcome.SCRIPT_ERROR:
        bodies.append((EventType.RUN_ERROR, {"error_type": "Error", "message": ""}))
    lineage = {name: fields[name] for name in ("attempt", "job_id", "parent_run_id") if name in fields}
    events = number_events(run_id, bodies, started_at=started_at, **lineage)  # type: ignore[arg-type]
    values: dict[str, object] = {"source": "shop", "day": started_at.date().isoformat(), "started_at": started_at}
    return Run(**{**values, **fields, "run_id": run_id, "outcome": outcome, "events": events})  # type: ignore[arg-type]


def interleave(writers: Iterable[QuarryWriter], runs: Sequence[Run], *, seed: int) -> tuple[str, ...]:
    """Write each run with a writer of its own, all at once: after every step a random one goes on.

    So ids are smaller than their parents', snapshots fork, swaps fail and are retried. The ids of the runs whose writer
    gave up on a conflict and died.
    """
    random = Random(seed)
    waiting: list[tuple[str, Iterator[tuple[int, str]]]] = [
        (run.run_id, writer.steps(run)) for writer, run in zip(writers, runs, strict=True)
    ]
    failed: list[str] = []
    while waiting:
        one = random.choice(waiting)
        over = True
        with suppress(StopIteration):
            try:
                next(one[1])
                over = False
            except SnapshotConflict:
                failed.append(one[0])
        if over:
            waiting.remove(one)
    return tuple(failed)
