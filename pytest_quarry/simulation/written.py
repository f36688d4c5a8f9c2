"""What a story says of the writer's steps: the run, and in what it is not like the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pytest_quarry.simulation.history import RunView
from pytest_quarry.simulation.schedule import PlannedRun, Schedule, Write


def told(step: Write, schedule: Schedule, clock: int, views: Mapping[str, RunView]) -> str:
    """A write in words; `clock` is by how many seconds the writer of this run is off."""
    plan = schedule.run(step.run)
    state = views[plan.run_id].state if plan.run_id in views else "invisible"
    where = "" if step.window is None else f", writer in window {step.window}"
    if step.window is not None and step.flush >= 0:
        where += f" of its write call {step.flush + 1}"
    said = f"{plan.run_id} {state}, {plan.items} item{'' if plan.items == 1 else 's'}{where}"
    return "; ".join((said, *_traits(plan, schedule, clock)))


def _traits(plan: PlannedRun, schedule: Schedule, clock: int) -> Iterator[str]:
    """In what it differs from other runs of the schedule, or from what a writer does by itself."""
    if any(run.day != plan.day for run in schedule.runs):
        yield f"of {plan.day}"
    if any(run.source != plan.source for run in schedule.runs):
        yield f"source {plan.source}"
    # Hundreds of runs that are alike in this are written so because it is quick.
    alone = len(schedule.runs) == 1 and plan.policy != PlannedRun.policy
    if alone or any(run.policy != plan.policy for run in schedule.runs):
        yield f"policy {plan.policy}"
    if plan.job_id is not None and [run.job_id for run in schedule.runs].count(plan.job_id) > 1:
        yield f"of job {plan.job_id}" + (f", attempt {plan.attempt}" if plan.attempt > 1 else "")
    if plan.parent_run_id is not None:
        yield f"a retry of {plan.parent_run_id}"
    if plan.plain_event_ids and len(schedule.runs) > 1:
        yield "with the others' event ids"
    if clock:
        yield f"by a clock {abs(clock)} s {'ahead' if clock > 0 else 'behind'}"
    if plan.stored_twice:
        yield "stored twice"
