"""Deep random for publishers: runs of all kinds, SNS that fails, processes that die before somebody was told."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from pytest_quarry.bus.batches import PUBLISH_BATCH
from pytest_quarry.checks.failures import breaks, crossed
from pytest_quarry.checks.publisher import (
    ATTEMPTS,
    FAILURES,
    LONG,
    NOT_RUN,
    PUBLISHING,
    SPECIAL,
    TO_MIDNIGHT,
    failing_entries,
)
from pytest_quarry.checks.stage import Stage
from pytest_quarry.consumers.consumer import Consumer
from pytest_quarry.contract import Outcome, Policy
from pytest_quarry.simulation.schedule import (
    ANY,
    RETURN,
    Break,
    Crash,
    Heal,
    PlannedRun,
    Publish,
    Restart,
    Schedule,
    Step,
    Wait,
    Write,
)
from pytest_quarry.strategies.values import free_run_id, run_ids

MOST_RUNS = 3
LONGEST_WAIT = 86_400  # between a run and its publisher: a day
ONE_IN_FOUR = st.integers(0, 3).map(lambda found: found == 3)
OTHER_DAYS = (("2026-02-01", "23:59:59"), ("2026-01-31", "22:15:00"))


@dataclass(frozen=True, kw_only=True)
class _Member:
    """A run, and what happens around the call that announces it."""

    run: PlannedRun
    restarts: bool
    waits: int
    crash: Crash | None
    again: bool
    trouble: Break | None


def published(stage: Stage) -> st.SearchStrategy[Schedule]:
    """Schedules for a publisher; they shrink to one run, announced once."""
    consumer = stage.consumer
    undisturbed = stage.history(stage.loaded(stage.run("A")))
    boundaries = sum(entry.what == "crossed" for entry in undisturbed.entries)
    # What SNS does is drawn from its failures; a broken topic that never recovers makes who tries for ever try for ever.
    own = tuple(fault for fault in breaks(crossed(undisturbed)) if not fault.at.startswith(("sns.", "quarry run")))
    own = (*own, NOT_RUN) if consumer.wraps_run else own
    failures = [(PUBLISHING, error) for error in FAILURES]
    failures += [(PUBLISH_BATCH, error) for error in failing_entries(stage)]
    return _published(consumer, _members(consumer, boundaries, own, failures))


@st.composite
def _published(draw: st.DrawFn, consumer: Consumer, members: st.SearchStrategy[_Member]) -> Schedule:
    midnight = draw(ONE_IN_FOUR)
    cast = draw(st.lists(members, min_size=1, max_size=MOST_RUNS))
    steps: list[Step] = [Wait(TO_MIDNIGHT)] if midnight and consumer.wraps_run else []
    runs: list[PlannedRun] = []
    for member in cast:
        run = _fitted(member.run, runs)
        runs.append(run)
        steps += _steps(replace(member, run=run), consumer)
    return Schedule(runs=tuple(runs), steps=tuple(steps), seed=draw(st.integers(0, 3)))


def _fitted(run: PlannedRun, before: list[PlannedRun]) -> PlannedRun:
    """The run under an id that is free, a retry of the one before it where there is one: of a job, its next attempt."""
    names = [other.run_id for other in before]
    run = replace(run, run_id=free_run_id(names)) if run.run_id in names else run
    attempts = [other.attempt for other in before if run.job_id is not None and other.job_id == run.job_id]
    run = replace(run, attempt=max(attempts) + 1) if attempts else run
    return replace(run, parent_run_id=names[-1] if names else "run-0") if run.attempt > 1 else run


def _steps(member: _Member, consumer: Consumer) -> list[Step]:
    name = member.run.run_id
    steps: list[Step] = [Restart()] * member.restarts
    if not consumer.wraps_run:
        steps += [Write(name), *[Wait(member.waits)] * bool(member.waits)]
    if member.trouble is not None:
        steps.append(member.trouble)
    steps.append(Publish(name, crash=member.crash))
    if member.trouble is not None:
        steps.append(Heal())
    # A run is executed once: what wraps it cannot be called again.
    return [*steps, Publish(name)] if member.crash and member.again and not consumer.wraps_run else steps


@st.composite
def _members(
    draw: st.DrawFn, consumer: Consumer, boundaries: int, own: tuple[Break, ...], failures: list[tuple[str, str]]
) -> _Member:
    crashes, fails, of_its_own = draw(ONE_IN_FOUR), draw(st.booleans()), draw(ONE_IN_FOUR)
    crash = trouble = None
    if crashes:
        number = draw(st.integers(0, boundaries))
        crash = Crash(ANY, number) if number else Crash(RETURN)
    if fails:
        times = st.sampled_from([1, 2, ATTEMPTS, LONG])
        of_sns = st.builds(lambda at, times: Break(at[0], at[1], times), st.sampled_from(failures), times)
        trouble = draw(st.sampled_from(own) if own and of_its_own else of_sns)
    return _Member(
        run=_run(draw, consumer),
        restarts=draw(ONE_IN_FOUR),
        waits=draw(st.sampled_from([0, 0, 60, LONGEST_WAIT])),
        crash=crash,
        again=draw(st.booleans()),
        trouble=trouble,
    )


def _run(draw: st.DrawFn, consumer: Consumer) -> PlannedRun:
    details: dict[str, Any] = {"outcome": str(draw(st.sampled_from(Outcome)))}
    if draw(st.booleans()):
        details["policy"] = str(draw(st.sampled_from(Policy)))
    if draw(ONE_IN_FOUR):
        details["job_id"], details["attempt"] = draw(st.sampled_from([("job-1", 2), (None, 2), ("job-1", 1)]))
    if not consumer.wraps_run and draw(ONE_IN_FOUR):
        details["day"], details["starts"] = draw(st.sampled_from(OTHER_DAYS))
    names = {
        "run_id": draw(run_ids("plain")),
        "source": draw(st.sampled_from(consumer.sources)),
        "category": draw(st.sampled_from(consumer.categories)),
    }
    if draw(ONE_IN_FOUR):
        kept = {"source": consumer.only_sources, "category": consumer.only_categories}
        field = draw(st.sampled_from([name for name in ("run_id", "job_id", *kept) if not kept.get(name)]))
        names[field] = f"{names.get(field, 'job')} {draw(st.sampled_from(SPECIAL))}"
    return PlannedRun(items=draw(st.sampled_from([1, 2, 3, 0])), **{**details, **names})
