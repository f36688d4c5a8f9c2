"""What the world does to publishers: the schedules of each check, smallest first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pytest_quarry.bus.batches import ENTRIES, PUBLISH_BATCH
from pytest_quarry.checks import alike
from pytest_quarry.checks.reading import UNESCAPED
from pytest_quarry.checks.stage import NotApplicable, Stage
from pytest_quarry.contract import Outcome
from pytest_quarry.simulation.schedule import Break, Heal, Publish, Schedule, Step, Wait, Write

# From the beginning of a world, at eight in the morning, to just before midnight (UTC).
TO_MIDNIGHT = 57_598
SPECIAL = (
    'say "hi"',
    "back\\slash",
    "two\nlines",
    "a\ttab",
    "it's",
    "{curly} %s $HOME",
    "naïve-データ-🚀",
)
PUBLISHING = "sns.Publish"  # PublishBatch too
FAILURES = ("throttle", "503", "500", "404", "reset", "timeout", "lost", "dropped", "cut")
NOT_RUN = Break("quarry run", "EIO")  # Quarry could not be run at all
ATTEMPTS = 5  # botocore's, of one call, unless told otherwise ("legacy" retries)
LONG = 20 * ATTEMPTS  # longer than most try; who tries for ever gets through in the end


def after_the_boundary(stage: Stage) -> Iterator[Schedule]:
    """PB01: runs of every policy, a failed one, two in turn, and one that could not be run at all."""
    if not stage.consumer.wraps_run:
        raise NotApplicable(
            "the run is over before publish(run) is called, so nothing can be announced too early. If the publisher runs "
            "Quarry itself, declare wraps_run = True and call run.execute() in publish(run)."
        )
    for details in ({}, {"policy": "streaming"}, {"policy": "buffered"}, {"outcome": str(Outcome.SCRIPT_ERROR)}):
        yield stage.loaded(stage.run("A", **details))
    yield stage.loaded(stage.run("A"), stage.run("B", items=1))
    run = stage.run("A")
    yield stage.schedule([run], [NOT_RUN, Publish(run.run_id)])


def says_the_truth(stage: Stage) -> Iterator[Schedule]:
    """PB02: runs that differ in one field each, days that are over, ids whose paths are escaped, two runs in turn."""
    yield stage.loaded(stage.run("A"))
    sources, categories = stage.consumer.sources, stage.consumer.categories
    other: list[dict[str, Any]] = [
        {"source": sources[-1]},
        {"category": categories[-1]},
        {"job_id": "job-1", "attempt": 2, "parent_run_id": stage.run_id("0")},
        {"outcome": str(Outcome.SCRIPT_ERROR)},
    ]
    for details in other:
        yield stage.loaded(stage.run("A", **details))
    yield from _past_midnight(stage)
    for run_id in ("run A, 100%", UNESCAPED):
        yield stage.loaded(stage.run("A", run_id=run_id))
    yield stage.loaded(stage.run("A"), stage.run("B", category=categories[-1], outcome=str(Outcome.SCRIPT_ERROR)))


def _past_midnight(stage: Stage) -> Iterator[Schedule]:
    """The run starts just before midnight; it, or the wait for its publisher, ends after."""
    run = stage.run("A", starts="23:59:58")
    if stage.consumer.wraps_run:  # it starts when it is called
        yield stage.schedule([stage.run("A")], [Wait(TO_MIDNIGHT), Publish(run.run_id)])
        return
    yield stage.schedule([run], [Wait(TO_MIDNIGHT), Write(run.run_id), Wait(60), Publish(run.run_id)])
    yield stage.loaded(stage.run("A", day="2026-01-31", starts="22:15:00"))


def valid_json(stage: Stage) -> Iterator[Schedule]:
    """PB03: quotes, backslashes, newlines, unicode in each id that a message names."""
    yield stage.loaded(stage.run("A"))
    for special in SPECIAL:
        yield stage.loaded(stage.run("A", run_id=f"run {special}"))
    for special in SPECIAL:
        others = {} if stage.consumer.only_sources else {"source": f"shop {special}"}
        others |= {} if stage.consumer.only_categories else {"category": f"products {special}"}
        yield stage.loaded(stage.run("A", job_id=f"job {special}", **others))


def retries(stage: Stage) -> Iterator[Schedule]:
    """PB04: publishing fails once, for as long as botocore retries, for long and for good; then it is another run's turn.

    Batches are taken in part; runs whose ids look alike are announced in turn.
    """
    run = stage.run("A")
    for error in FAILURES:
        yield stage.schedule([run], _with_trouble(stage, Break(PUBLISHING, error, 1)))
    for error in ("throttle", "timeout", "lost"):
        yield stage.schedule([run], _with_trouble(stage, Break(PUBLISHING, error, ATTEMPTS)))
    for error in FAILURES:
        yield stage.schedule([run], _with_trouble(stage, Break(PUBLISHING, error, LONG)))
    second = stage.run("B", items=1)
    for error in ("throttle", "lost"):
        steps = [*_with_trouble(stage, Break(PUBLISHING, error, LONG)), Heal(), *stage.published(second)]
        yield stage.schedule([run, second], steps)
    yield stage.schedule([run], _with_trouble(stage, Break(PUBLISHING, "timeout")))
    for error in failing_entries(stage):
        yield stage.schedule([run], _with_trouble(stage, Break(PUBLISH_BATCH, error, 1)))
        yield stage.schedule([run], _with_trouble(stage, Break(PUBLISH_BATCH, error, LONG)))
    pairs = [*alike.pairs_of_runs(stage)]
    yield from alike.meetings(
        stage, pairs, lambda some: stage.loaded(*(run for new in alike.new_ones(some) for run in new))
    )


def failing_entries(stage: Stage) -> tuple[str, ...]:
    """How batches of this publisher are taken only in part: not at all where it publishes none."""
    undisturbed = stage.history(stage.loaded(stage.run("A")))
    batches = any(entry.what == "crossed" and entry.text.startswith(PUBLISH_BATCH) for entry in undisturbed.entries)
    return tuple(ENTRIES) if batches else ()


def _with_trouble(stage: Stage, trouble: Break) -> list[Step]:
    *before, publish = stage.published(stage.run("A"))
    return [*before, trouble, publish]


def failed_runs(stage: Stage) -> Iterator[Schedule]:
    """PB05: a run of every outcome, alone and in turn; and a failed one with its retry, which is a run of its own."""
    for outcome in Outcome:
        yield stage.loaded(stage.run("A", outcome=str(outcome)))
    yield stage.loaded(*(stage.run(str(number), items=1, outcome=str(each)) for number, each in enumerate(Outcome)))
    failed = stage.run("A", job_id="job-1", outcome=str(Outcome.SCRIPT_ERROR))
    yield stage.loaded(failed, stage.run("B", items=1, job_id="job-1", attempt=2, parent_run_id=failed.run_id))


def attributes(stage: Stage) -> Iterator[Schedule]:
    """PB06: runs whose ids, sources and outcomes differ."""
    yield stage.loaded(stage.run("A"))
    yield stage.loaded(stage.run("A", source=stage.consumer.sources[-1], outcome=str(Outcome.EXECUTOR_CRASH)))
    yield stage.loaded(stage.run("A", run_id=f"run {SPECIAL[0]}"))
    yield stage.loaded(stage.run("A", run_id=f"{alike.LONG}-{'0' * 128}"))
    yield stage.loaded(stage.run("A"), stage.run("B", outcome=str(Outcome.SCRIPT_ERROR)))
