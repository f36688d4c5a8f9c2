"""What storage holds in the reading checks, for consumers of every kind: the schedules, smallest first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pytest_quarry.checks.failures import LISTING, tries_again
from pytest_quarry.checks.stage import MANY_ITEMS, Stage
from pytest_quarry.simulation.schedule import Break, Heal, Schedule

UNESCAPED = (
    "a+b@c:d=e&f$g"  # Go leaves these in a path as they are; other libraries escape them, or read "+" as a space
)
SEPARATED = ("-run,05;6", "run\\7\t8|9")  # by what separates columns, begins options, escapes
SPECIAL_IDS = ("run 01", "run-100%", "a%20b", "run#04~!'()*", 'say "hi"', "run-é-03", "run/02", UNESCAPED, *SEPARATED)
LONG_LINE = 16 << 20
MOST_READS = 60
POLICIES = ("strict", "buffered", "streaming")


def stored_twice(stage: Stage) -> Iterator[Schedule]:
    """RD01: a flush was retried, so that each event of the run is stored in two snapshots."""
    yield stage.loaded(stage.run("A", items=1, policy="buffered", stored_twice=True))
    yield stage.loaded(
        stage.run("A", items=3, policy="buffered", stored_twice=True), stage.run("B", items=2, policy="strict")
    )


def all_segments(stage: Stage) -> Iterator[Schedule]:
    """RD02: one snapshot, one per flush, one per event; logs in between; past midnight."""
    for policy in POLICIES:
        yield stage.loaded(stage.run("A", items=5, policy=policy, logs=2))
        yield stage.loaded(stage.run("A", items=5, policy=policy, day="2026-02-01", starts="23:59:59"))
    if stage.consumer.storage == "s3":
        listed = stage.loaded(stage.run("A", items=5, policy="strict"))
        yield replace(listed, steps=(Break(LISTING, "pieces", lasting=True), *listed.steps))


def policy_blind(stage: Stage) -> Iterator[Schedule]:
    """RD05: one run under each policy, alone and side by side."""
    for policy in POLICIES:
        yield stage.loaded(stage.run("A", items=3, policy=policy))
    yield stage.loaded(*(stage.run(name, items=3, policy=policy) for name, policy in zip("ABC", POLICIES, strict=True)))


def orphan_chunks(stage: Stage) -> Iterator[Schedule]:
    """RD03: chunks of an artifact that was never committed, and of one whose commit record says 0 bytes."""
    for policy in ("strict", "buffered"):
        yield stage.loaded(stage.run("A", items=2, policy=policy, artifacts="orphan"))
        yield stage.loaded(stage.run("A", items=2, policy=policy, artifacts="committed"))


def failed_read(stage: Stage) -> Iterator[Schedule]:
    """RD04: from the n-th read on storage fails, until the turn is over, or once; then a data file that is not there."""
    if stage.consumer.storage == "s3":
        faults = [("s3.GetObject", error) for error in ("503", "reset", "cut")]
        gone = ("s3.GetObject *event_type=item", "404")
    else:
        faults = [("read storage/", "EIO")]
        gone = ("read storage/*event_type=item", "ENOENT")
    one = stage.loaded(stage.run("A", items=2))
    yield replace(one, steps=(Break(faults[0][0], "slow"), *one.steps))
    for at, error in faults:
        yield from _each_read(stage, at, error)
    if stage.consumer.storage == "s3" or stage.consumer.layout == "flat":
        yield from _each_read(stage, *gone)
    else:
        yield from _each_read(stage, gone[0] + "*/data/data", gone[1])


def _each_read(stage: Stage, at: str, error: str) -> Iterator[Schedule]:
    one = stage.loaded(stage.run("A", items=2))
    for skip in range(MOST_READS):
        schedule = replace(one, steps=(*one.steps[:-1], Break(at, error, skip=skip), one.steps[-1], Heal()))
        yield schedule
        history = stage.history(schedule)
        if history.unreached:
            return
        if error != "503" and tries_again(history):  # botocore answers that itself
            yield replace(one, steps=(*one.steps[:-1], Break(at, error, times=1, skip=skip), one.steps[-1]))


def special_ids(stage: Stage) -> Iterator[Schedule]:
    """RD06: run ids whose escaped path and whose `storage_path` differ."""
    for run_id in SPECIAL_IDS:
        yield stage.loaded(stage.run("", run_id=run_id, items=2))


def big_and_odd(stage: Stage) -> Iterator[Schedule]:
    """RD07: more items than fit into one batch, unknown fields and event types, a null payload, a gap in seq, a line of 16 MiB."""
    yield stage.loaded(stage.run("A", items=MANY_ITEMS, policy="buffered"))
    yield stage.loaded(stage.run("A", items=2, odd=True))
    yield stage.loaded(stage.run("A", items=2, odd=True, policy="buffered"))
    yield stage.loaded(stage.run("A", items=2, blob=LONG_LINE, policy="buffered"))


def skipped_run(stage: Stage) -> Iterator[Schedule]:
    """RD08: a run that skipped itself, and one that found nothing, beside one with items."""
    good = stage.run("A", items=2)
    yield stage.loaded(good, stage.run("B", items=0, skipped=True))
    yield stage.loaded(stage.run("B", items=0), good)
