"""Runs made by the number, and several writers at once."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from random import Random

from pytest_quarry.contract.records import EventType, number_events
from pytest_quarry.contract.run import Outcome, Run
from pytest_quarry.storage.pointer import SnapshotConflict
from pytest_quarry.storage.writer import QuarryWriter

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


def interleave(writers: Iterable[QuarryWriter], runs: Sequence[Run], *, seed: int) -> list[Run]:
    """Write each run with a writer of its own, all at once: after every step a random one goes on.

    So ids are smaller than their parents', snapshots fork, swaps fail and are retried. The runs as they ended: those
    whose writer lost too often, or met a manifest half written, as a policy_failure.
    """
    random = Random(seed)
    waiting = [_Turn(number, writer.steps(run)) for number, (writer, run) in enumerate(zip(writers, runs, strict=True))]
    ended = list(runs)
    while waiting:
        one = random.choice(waiting)
        if random.random() < _LINGERS.get(one.step, 0):
            continue
        try:
            one.go(random)
        except StopIteration:
            waiting.remove(one)
        except SnapshotConflict as conflict:
            ended[one.number] = conflict.ended or runs[one.number]
            waiting.remove(one)
    return ended


# A writer is long between reading `latest` and swapping it, as it reads manifests and backs off there; and a new file is
# hardly ever seen before it is filled. So of six runs two to four fail, as in real Quarry.
_LINGERS = {"swap": 0.85}
_HURRIES = {"half": 0.8}


class _Turn:
    """One of several writers: which run, what it has still to do, and the step it is at."""

    def __init__(self, number: int, steps: Iterator[tuple[int, str]]) -> None:
        self.number = number
        self.step = ""
        self._steps = steps

    def go(self, random: Random) -> None:
        """Go on to the next step. Raises StopIteration at the end."""
        _, self.step = next(self._steps)
        if random.random() < _HURRIES.get(self.step, 0):
            _, self.step = next(self._steps)
