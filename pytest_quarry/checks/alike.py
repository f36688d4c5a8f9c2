"""Runs that somebody may take for one another: what checks of all kinds of consumers write."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pytest_quarry.checks.stage import Stage
from pytest_quarry.contract import Outcome
from pytest_quarry.simulation import places
from pytest_quarry.simulation.schedule import PlannedRun, Schedule

LONG = "nightly-2026-02-02-shop-products-eu-central-1"
LONGER = f"{LONG}-{LONG}"  # than a column of 64 characters, or a name cut at 80; SQS takes a deduplication id of 128
PAIRS = (
    ("run-1", "run-10"),
    ("run-12", "run-2"),
    (f"{LONG}-000001", f"{LONG}-000002"),
    (f"a-{LONG}", f"b-{LONG}"),
    (f"{LONGER}-000001", f"{LONGER}-000002"),
    ("run.1", "run_1"),
    ("run-1-0", "run-10"),
    ("run 1", "run%201"),
    ("1000", "01000"),
    ("1000", "1e3"),
    ("eu/nightly-1", "us/nightly-1"),
    ("eu/nightly-1", "eu_nightly-1"),
    ("job-1.5", "job-1.7"),
    ("run 1", "run+1"),
    ("run-1", "run-1 "),
)
IN_CASE = ("run-x", "run-X")
COMPOSED = ("run-\u00e9", "run-e\u0301")  # é in one character, and in two

Pair = list[PlannedRun]


def pairs_of_runs(stage: Stage) -> Iterator[Pair]:
    """Two runs each, with equal event ids, on one day, of one job, and but for the last from one source."""
    others = (IN_CASE, COMPOSED) if stage.consumer.layout == "lode" and _case_matters() else ()
    alike: dict[str, Any] = {"items": 2, "job_id": "job-1", "plain_event_ids": True}
    for pair in (*PAIRS, *others):
        yield [stage.run("", run_id=run_id, **alike) for run_id in pair]
    yield from ([stage.run("", **named, **alike) for named in pair] for pair in _joined_alike(stage.consumer.sources))


def _joined_alike(sources: Sequence[str]) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """Of a source whose name goes on where another's ends, as shop-eu and shop: runs that are one where name and id are joined."""
    for one, other in itertools.permutations(sources, 2):
        if other.startswith(one) and len(other) > len(one) + 1:
            joint, rest = other[len(one)], other[len(one) + 1 :]
            yield {"source": one, "run_id": f"{rest}{joint}1"}, {"source": other, "run_id": "1"}
            return


def siblings(name: str) -> tuple[str, ...]:
    """Sources, or categories, that somebody may take for this one."""
    return f"{name}2", f"{name} eu", f"x{name}", f"{name}%2F"


def of_siblings(stage: Stage, *, sources: bool = False) -> Iterator[Pair]:
    """A good run, and one of a source or category like its own: of `sources` in any case, else of those that the suite declares,
    and the consumer must leave alone then."""
    consumer, others = stage.consumer, list[dict[str, str]]()
    if sources or consumer.only_sources:
        others += [{"source": source} for source in siblings(consumer.sources[0])]
    if consumer.only_categories:
        others += [{"category": category} for category in siblings(consumer.categories[0])]
    for name, other in zip("BCDEFGHI", others, strict=False):
        yield [stage.run("A"), stage.run(name, items=2, **other)]


def meetings(stage: Stage, pairs: Sequence[Pair], met: Callable[[Sequence[Pair]], Schedule]) -> Iterator[Schedule]:
    """The schedules in which pairs of runs meet, each in both orders: at first all of them in one, which is two executions.

    Where that shows something, the pairs meet one by one, those of the run of which it shows it before the others: what is
    reported is small then, and says which run was taken for which.
    """
    for order in (slice(None), slice(None, None, -1)):
        together = met([pair[order] for pair in pairs])
        verdict = stage.verdict(together)
        if verdict is not None:
            hit = verdict.run_id
            nearest = sorted(pairs, key=lambda pair: hit not in [run.run_id for run in pair])
            yield from (met([each]) for pair in nearest for each in (pair, pair[::-1]))
        yield together


def new_ones(pairs: Sequence[Pair]) -> Iterator[Pair]:
    """The pairs without the runs that were in one before."""
    seen: set[PlannedRun] = set()
    for pair in pairs:
        yield [run for run in pair if run not in seen]
        seen.update(pair)


def retried(stage: Stage) -> tuple[PlannedRun, PlannedRun, PlannedRun]:
    """Three runs of one job: a good one, one that failed, and its retry."""
    failed = stage.run("B", items=2, outcome=str(Outcome.SCRIPT_ERROR), job_id="job-1")
    retry = stage.run("C", items=2, job_id="job-1", attempt=2, parent_run_id=failed.run_id)
    return stage.run("A", job_id="job-1"), failed, retry


def _case_matters() -> bool:
    """Whether worlds live on a file system that tells `run-a` from `run-A`; one that does not may take other forms for one, too."""
    probe = places.base() / "Case"
    probe.touch()
    return not (places.base() / "cASE").exists()
