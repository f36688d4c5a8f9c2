"""PO12: what an idle poll costs, against the number of runs that are done."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

from pytest_quarry.checks.stage import Stage
from pytest_quarry.checks.verdict import Verdict
from pytest_quarry.consumers.protocol import TO_SERVER
from pytest_quarry.simulation.history import Entry, History
from pytest_quarry.simulation.schedule import Poll, Schedule, Step, Write

SIZES = (20, 40, 80)
FAR = 1_000  # runs for which the curve is carried on
PAGE = 1_000  # keys of one page of a listing
STEEPEST = 1.25  # the exponent above which a cost grows faster than what it lists
FEW = 8  # operations of an idle poll that nobody minds


def idle_polls(stage: Stage) -> Iterator[Schedule]:
    """More and more runs, loaded by two polls; then one poll that finds nothing new."""
    for size in SIZES:
        runs = [stage.run(f"{number:03}", items=1, policy="buffered") for number in range(size)]
        half = size // 2
        steps: list[Step] = [*(Write(run.run_id) for run in runs[:half]), Poll()]
        steps += [*(Write(run.run_id) for run in runs[half:]), Poll(), Poll(), Poll()]
        yield stage.schedule(runs, steps)


def smallest(stage: Stage) -> Iterator[Schedule]:
    """PO12: the first of these; `curve` compares them all."""
    yield next(idle_polls(stage))


def curve(stage: Stage) -> tuple[Verdict, Schedule] | None:
    """What is wrong with the growth of an idle poll's cost: on disk faster than the files, on S3 than the pages of a listing."""
    schedules = list(idle_polls(stage))
    costs = [_cost(stage.history(schedule, reads=True)) for schedule in schedules]
    listings = [listing for _, listing in costs]
    others = [other for other, _ in costs]
    exponent = _exponent(others)
    on_s3 = stage.consumer.storage == "s3"
    grows = others[-1] > others[0] + FEW and (exponent > STEEPEST or (on_s3 and exponent > 0.5))
    if not grows:
        return None
    what = "requests beside the listing" if on_s3 else "file operations"
    table = _table(others, listings, exponent, on_s3)
    verdict = Verdict(
        status="violated",
        oracle="K",
        sentence=f"An idle poll costs more and more: {others[0]} {what} with {SIZES[0]} runs done, {others[-1]} with {SIZES[-1]}.",
        why=f"It grows as the number of runs to the power {exponent:.1f}:\n{table}",
    )
    return verdict, schedules[-1]


def _cost(history: History) -> tuple[int, int]:
    """The operations of an idle poll: those that are no listing, and those that are. Looking up each run in a database is none:
    SQLite's are not counted either."""
    labels = [entry.text for entry in _idle_poll(history) if entry.what in ("crossed", "failed")]
    listing = sum(label.startswith("s3.List") for label in labels)
    looked_up = sum(label.startswith(TO_SERVER) for label in labels)
    return len(labels) - listing - looked_up, listing


def _idle_poll(history: History) -> list[Entry]:
    """The last one of the schedule; one of those after it, where that one still loads, a few runs at a time."""
    begins = [at for at, entry in enumerate(history.entries) if entry.what == "polled"]
    settling = next((at for at, entry in enumerate(history.entries) if entry.what == "settling"), len(history.entries))
    polls = [list(history.entries[start:end]) for start, end in pairwise([*begins, len(history.entries)])]
    planned = sum(start < settling for start in begins)
    idle = [poll for poll in polls[planned - 1 :] if not any(entry.rows is not None for entry in poll)]
    if idle or not any(entry.what == "hung" for entry in polls[-1]):
        return idle[0] if idle else []
    return polls[-1]  # one that did not come back has done more than enough


def _exponent(costs: list[int]) -> float:
    """The steepest growth between two sizes, as a power of the number of runs."""
    return max(
        math.log(max(after, 1) / max(before, 1)) / math.log(larger / smaller)
        for (before, after), (smaller, larger) in zip(pairwise(costs), pairwise(SIZES), strict=True)
    )


def _table(others: list[int], listings: list[int], exponent: float, on_s3: bool) -> str:
    lines = [f"{'runs done':>10}  {'per idle poll':>13}" + (f"  {'listing':>7}" if on_s3 else "")]
    for size, other, listing in zip(SIZES, others, listings, strict=True):
        lines.append(f"{size:>10,}  {other:>13,}" + (f"  {listing:>7,}" if on_s3 else ""))
    far = others[-1] * (FAR / SIZES[-1]) ** exponent
    lines.append(f"{FAR:>10,}  {f'about {far:,.0f}':>13}")
    return "\n".join(lines)
