"""The kit tests itself: every broken sample is convicted by the checks it names, no sound one is accused.

Seed 0 goes through every broken sample and the check it names first (every 25th meets all it names), and through every
25th pair of sound sample and check, spread so that each check meets several samples; of samples that share a reader, one
meets the checks of it; two workers at once are for those samples that are about them. Seeds 1 to 19 (other run ids, other
randomness in the consumer) are spread over the pairs. Slow pairs stay with seed 0, and of those on S3 only what S3 makes
different; what tests/outside shows is left to it. `benchmarks/samples.py` holds every check against every sample; its tables are in docs/.

Before any search, every broken sample is convicted by the one schedule on record, in `benchmarks/measured/schedules.json`: what
a team has saved goes on failing with a later version.

A few samples that take longest are left to the gate of a release. That is `QUARRY_EVERY_SEED=1` in the environment: every
broken sample meets every check it names, and every sound one every check at every seed, which takes hours.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_quarry.checks.catalogue import BY_ID, CATALOGUE, Check, of_kind
from pytest_quarry.checks.conduct import Conductor, Result
from pytest_quarry.report import terminal
from pytest_quarry.samples import SAMPLES, Sample
from pytest_quarry.samples.listed_concurrency import SOUND_TOGETHER
from pytest_quarry.simulation.schedule import Schedule
from pytest_quarry.simulation.shrink import is_ahead, without_step

ON_RECORD = json.loads((Path(__file__).parents[2] / "benchmarks/measured/schedules.json").read_text("utf-8"))
FURTHER_SEEDS = range(1, 20)
SOUND = tuple(sample for sample in SAMPLES if sample.sound)
BROKEN = tuple(sample for sample in SAMPLES if not sample.sound)
# A sound sample meets every n-th of the further seeds, each time with another of its checks.
STRIDE = 120
# A sound sample meets every n-th check at seed 0, the next sample the next ones; a broken one at first the check named first.
SHARE = 25
# They take seconds each: further seeds would add more time than they find.
SLOW = {"EB02", "PO09", "PO04", "PO10", "PO13", "RD04", "RD07", "PB03", "PB04"}
# They take longest, and are about what these samples do.
TOGETHER = {"EB02", "PO09"}
ABOUT_TOGETHER = {sample.name for sample in SOUND_TOGETHER} | {"one-transaction", "poller-one-transaction", "worker"}
# What differs for a consumer whose storage is on S3.
ON_S3 = {"EB03", "EB18", "PO01", "PO08", "PO10", "RD04", "RD06", "PB01", "PB02"}
# How storage is read is up to the reader; these have one of their own, or do something else with what it gives.
READERS = {"one-transaction", "reads-in-threads", "async", "artifacts", "staged-folder", "target"} | {
    f"poller-{name}" for name in ("one-transaction", "flat", "target")
}
# More than a thousand files, which takes long to list.
LISTING = {"poller-one-transaction", "poller-bucket"}
EVERY_SEED = os.environ.get("QUARRY_EVERY_SEED") == "1"
# What a reader of a failure can take in.
MOST_STEPS = 8
# They fail at more messages than SQS hands over at once, or than they remember, leave alone or try.
MANY_MESSAGES = {
    "remembers-five",
    "worker-deletes-all-at-once",
    "merges-in-two-steps",
    "clears-up-first",
    "drops-at-its-sixth",
}

# Programs in other languages start anew for each turn, which takes longer than a fork: each meets one check, at seed 0.
PROGRAMS = {sample.name for sample in SAMPLES if sample.name.startswith("outside-")}
# tests/outside/test_must_show.py convicts and clears these.
SHOWN = {
    f"outside-{name}" for name in ("bash-poller", "bash-poller-in-place", "python-poller", "python-poller-looks-back")
} | {f"outside-{name}" for name in ("node-lambda", "node-lambda-remembers", "bash-publisher", "bash-publisher-pasted")}
# Up to half a minute for one check: others do the same in less.
LONG = {
    "duckdb",
    "leaves-its-lock-file",
    "outside-bash-worker",
    "outside-python-bucket-poller",
    "outside-python-publisher",
    "outside-python-worker",
    "outside-python-worker-acknowledges-first",
    "outside-typescript-lambda",
    "outside-typescript-lambda-remembers",
    "outside-typescript-poller",
    "outside-typescript-poller-remembers-first",
    "outside-typescript-publisher",
    "outside-typescript-worker",
    "poller-pages-until-an-error",
    "poller-rereads-manifests",
    "poller-shares-a-temporary-file",
    "poller-stands-by",
    "publisher-endless",
    "recovers-row-by-row",
    "worker-deletes-all-at-once",
}

# One conductor serves all checks of a case: EB04 and EB05, PO02 and PO03 share their executions.
Case = tuple[Sample, tuple[Check, ...], int]


def checks_of(sample: Sample) -> tuple[Check, ...]:
    """The checks of a sample's kind."""
    return of_kind(sample.suite()().kind)


def on_s3(sample: Sample) -> bool:
    """Whether a sample's storage is on S3."""
    return sample.suite().storage == "s3"


def worth_it(sample: Sample, check: Check) -> bool:
    """Whether a sound sample meets a check at seed 0 in the ordinary tests."""
    if check.id in TOGETHER:
        return sample.name in ABOUT_TOGETHER
    if on_s3(sample):
        return check.id in ON_S3
    if check.id.startswith("RD") and sample.name not in READERS:
        return False
    return check.id != "PO10" or sample.name in LISTING


def sound_cases() -> Iterator[Case]:
    """What is worth it at seed 0; then, for every further seed, some samples with one check each."""
    for number, sample in enumerate(SOUND):
        if sample.missing:
            yield sample, (), 0
            continue
        checks = checks_of(sample)
        if EVERY_SEED:
            yield from ((sample, checks, seed) for seed in (0, *FURTHER_SEEDS))
            continue
        if sample.name in SHOWN | LONG:
            continue
        if sample.name in PROGRAMS:
            quick = [check for check in checks if check.id not in SLOW and worth_it(sample, check)]
            yield sample, (quick[number % len(quick)],), 0
            continue
        worth = [check for check in checks if worth_it(sample, check)]
        yield sample, tuple(check for at, check in enumerate(worth) if (at + number) % SHARE == 0), 0
        quick = [check for check in checks if check.id not in SLOW]
        rotating = itertools.cycle(quick[number % len(quick) :] + quick[: number % len(quick)])
        seeds = [seed for seed in FURTHER_SEEDS if (seed + number) % STRIDE == 0 and not on_s3(sample)]
        yield from ((sample, (next(rotating),), seed) for seed in seeds)


def broken_cases() -> Iterator[Case]:
    """The check named first at seed 0, or all; then, for some samples, one of them at a further seed, each time another."""
    seeds = itertools.cycle(FURTHER_SEEDS)
    for number, sample in enumerate(BROKEN):
        if not EVERY_SEED and sample.name in SHOWN | LONG:
            continue
        all_of_them = EVERY_SEED or (number % SHARE == 0 and sample.name not in PROGRAMS)
        yield sample, tuple(BY_ID[named] for named in sample.caught_by[: None if all_of_them else 1]), 0
        check = BY_ID[sample.caught_by[number % len(sample.caught_by)]]
        if (
            number % SHARE == 1
            and sample.name not in PROGRAMS
            and not sample.missing
            and not on_s3(sample)
            and check.id not in SLOW
        ):
            yield sample, (check,), next(seeds)


def named(cases: Iterator[Case]) -> list[object]:
    """Cases as parameters that name sample and seed; those whose library is missing are skipped, and say so."""
    return [
        pytest.param(
            *case,
            id=f"{case[0].name}-{case[2]}",
            marks=[pytest.mark.skip(reason=case[0].missing)] if case[0].missing else [],
        )
        for case in cases
    ]


def results(sample: Sample, checks: tuple[Check, ...], seed: int) -> Iterator[Result]:
    """Conduct checks against one sample."""
    conductor = Conductor(sample.suite()().consumer(), seed=seed)
    return (conductor.conduct(check) for check in checks)


@pytest.mark.parametrize(("sample", "checks", "seed"), named(sound_cases()))
def test_a_sound_sample_is_not_accused(sample: Sample, checks: tuple[Check, ...], seed: int) -> None:
    for result in results(sample, checks, seed):
        if result.status not in ("passed", "skipped"):
            pytest.fail(
                f"{sample.name} is sound: {sample.what}\n{terminal.failure(result, replay=None)}", pytrace=False
            )


@pytest.mark.parametrize(("sample", "checks", "seed"), named(broken_cases()))
def test_a_broken_sample_is_convicted(sample: Sample, checks: tuple[Check, ...], seed: int) -> None:
    for result in results(sample, checks, seed):
        assert result.status == "failed", f"{sample.name} got away with it: {sample.what} {result.check.title}"
        assert result.verdict is not None
        assert result.verdict.sentence
        assert result.schedule is not None
        many = sample.name in MANY_MESSAGES or result.check.compares is not None
        assert many or len(result.schedule.steps) <= MOST_STEPS, result.schedule.to_json()
    if (EVERY_SEED or sample.name not in PROGRAMS) and seed == 0 and result.check.compares is None:
        assert_minimal(sample, result)


def assert_minimal(sample: Sample, result: Result) -> None:
    """No step of the reported schedule can go without losing the failure."""
    conductor = Conductor(sample.suite()().consumer())
    assert result.schedule is not None
    assert result.verdict is not None
    for at, step in enumerate(result.schedule.steps):
        smaller = without_step(result.schedule, at)
        if is_ahead(smaller):
            continue  # a run of a day that has not come yet
        found = conductor.replay(result.check, smaller, drifts=True).verdict
        assert found is None or found.oracle != result.verdict.oracle, f"{step} can go: {result.schedule.to_json()}"


@pytest.mark.parametrize(
    "sample",
    [sample for sample in BROKEN if not sample.missing and BY_ID[sample.caught_by[0]].compares is None],
    ids=lambda sample: sample.name,
)
def test_the_schedule_on_record_convicts(sample: Sample) -> None:
    check = BY_ID[sample.caught_by[0]]
    assert ON_RECORD[sample.name]["check"] == check.id
    schedule = Schedule.from_json(ON_RECORD[sample.name]["schedule"])
    assert schedule.to_json() == ON_RECORD[sample.name]["schedule"]
    result = Conductor(sample.suite()().consumer()).replay(check, schedule)
    said = "" if result.verdict is None else result.verdict.sentence
    assert result.status == "failed", (
        f"{sample.name}: {said} If this is meant, benchmarks/samples.py --again {sample.name}"
    )


def test_every_check_is_the_first_to_convict_a_sample() -> None:
    assert {sample.caught_by[0] for sample in BROKEN} == {check.id for check in CATALOGUE}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_samples_say_what_they_are(sample: Sample) -> None:
    if sample.missing:
        pytest.skip(sample.missing)
    suite = sample.suite()
    assert suite.__doc__
    assert sample.what.endswith(".")
    assert "\n" not in sample.what
    assert sample.sound == (not sample.caught_by)
    assert set(sample.caught_by) <= {check.id for check in checks_of(sample)}


def test_names_and_suites_are_unique() -> None:
    assert len({sample.name for sample in SAMPLES}) == len(SAMPLES)
    there = [sample for sample in SAMPLES if not sample.missing]
    assert len({sample.suite() for sample in there}) == len(there)


def test_listing_the_samples_imports_none_of_them(pytester: pytest.Pytester) -> None:
    program = (
        "import sys, pytest_quarry.plugin; print('pytest_quarry.samples' in sys.modules);"
        "import pytest_quarry.samples;"
        "print({'pytest_quarry.suites', 'sqlalchemy', 'boto3', 'aws_lambda_powertools'} & set(sys.modules))"
    )
    assert pytester.run(sys.executable, "-c", program).outlines == ["False", "set()"]
