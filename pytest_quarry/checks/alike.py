"""Runs that somebody may take for one another: what checks of all kinds of consumers write."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_quarry.checks.stage import Stage
from pytest_quarry.contract import Outcome
from pytest_quarry.simulation import places
from pytest_quarry.simulation.schedule import PlannedRun

LONG = "nightly-2026-02-02-shop-products-eu-central-1"
PAIRS = (
    ("run-1", "run-10"),
    ("run-12", "run-2"),
    (f"{LONG}-000001", f"{LONG}-000002"),
    (f"a-{LONG}", f"b-{LONG}"),
    ("run.1", "run_1"),
    ("run-1-0", "run-10"),
    ("run 1", "run%201"),
    ("1000", "01000"),
    ("1000", "1e3"),
    ("eu/nightly-1", "us/nightly-1"),
)
IN_CASE = ("run-a", "run-A")


def pairs_of_runs(stage: Stage) -> Iterator[list[PlannedRun]]:
    """Two runs each, with equal event ids, on one day, from one source and job."""
    tells_case = stage.consumer.layout == "lode" and _case_matters()
    for pair in (*PAIRS, IN_CASE) if tells_case else PAIRS:
        yield [stage.run("", run_id=run_id, items=2, job_id="job-1", plain_event_ids=True) for run_id in pair]


def siblings(name: str) -> tuple[str, ...]:
    """Sources, or categories, that somebody may take for this one."""
    return f"{name}2", f"{name} eu", f"x{name}", f"{name}%2F"


def unwanted(stage: Stage) -> Iterator[PlannedRun]:
    """Runs that the consumer must leave alone by what its suite declares."""
    if stage.consumer.only_sources:
        for source in siblings(stage.consumer.sources[0]):
            yield stage.run("B", items=2, source=source)
    if stage.consumer.only_categories:
        for category in siblings(stage.consumer.categories[0]):
            yield stage.run("B", items=2, category=category)


def retried(stage: Stage) -> tuple[PlannedRun, PlannedRun, PlannedRun]:
    """Three runs of one job: a good one, one that failed, and its retry."""
    failed = stage.run("B", items=2, outcome=str(Outcome.SCRIPT_ERROR), job_id="job-1")
    retry = stage.run("C", items=2, job_id="job-1", attempt=2, parent_run_id=failed.run_id)
    return stage.run("A", job_id="job-1"), failed, retry


def _case_matters() -> bool:
    """Whether worlds live on a file system that tells `run-a` from `run-A`."""
    probe = places.base() / "Case"
    probe.touch()
    return not (places.base() / "cASE").exists()
