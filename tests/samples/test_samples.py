"""The kit tests itself: every broken sample is convicted by the checks it names, no sound one is accused.

Seed 0 goes through every pair of sample and check; seeds 1 to 19 (other run ids, other randomness in the consumer) are
spread over the pairs, so that every seed meets samples of all kinds, and every check of every kind meets several seeds.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator

import pytest

from pytest_quarry.checks.catalogue import BY_ID, CATALOGUE, Check, of_kind
from pytest_quarry.checks.conduct import Conductor, Result
from pytest_quarry.report import terminal
from pytest_quarry.samples import SAMPLES, Sample

FURTHER_SEEDS = range(1, 20)
SOUND = tuple(sample for sample in SAMPLES if sample.sound)
BROKEN = tuple(sample for sample in SAMPLES if not sample.sound)
# A sound sample meets every n-th of the further seeds, each time with another of its checks.
STRIDE = 4
# What a reader of a failure can take in.
MOST_STEPS = 8

Case = tuple[Sample, Check, int]


def checks_of(sample: Sample) -> tuple[Check, ...]:
    """The checks of a sample's kind."""
    return of_kind(sample.suite()().kind)


def conduct(sample: Sample, check: Check, seed: int) -> Result:
    """Conduct one check against one sample."""
    return Conductor(sample.suite()().consumer(), seed=seed).conduct(check)


def sound_cases() -> Iterator[Case]:
    """Every check at seed 0; then, for every further seed, some samples with one check each."""
    for number, sample in enumerate(SOUND):
        checks = checks_of(sample)
        yield from ((sample, check, 0) for check in checks)
        rotating = itertools.cycle(checks[number % len(checks) :] + checks[: number % len(checks)])
        yield from ((sample, next(rotating), seed) for seed in FURTHER_SEEDS if (seed + number) % STRIDE == 0)


def broken_cases() -> Iterator[Case]:
    """Every named check at seed 0; then one of them at a further seed, each sample at another."""
    seeds = itertools.cycle(FURTHER_SEEDS)
    for number, sample in enumerate(BROKEN):
        yield from ((sample, BY_ID[named], 0) for named in sample.caught_by)
        yield sample, BY_ID[sample.caught_by[number % len(sample.caught_by)]], next(seeds)


def named(cases: Iterator[Case]) -> list[object]:
    """Cases as parameters that name sample, check and seed."""
    return [pytest.param(*case, id=f"{case[0].name}-{case[1].id}-{case[2]}") for case in cases]


@pytest.mark.parametrize(("sample", "check", "seed"), named(sound_cases()))
def test_a_sound_sample_is_not_accused(sample: Sample, check: Check, seed: int) -> None:
    result = conduct(sample, check, seed)
    if result.status != "passed":
        pytest.fail(f"{sample.name} is sound: {sample.what}\n{terminal.failure(result, replay=None)}", pytrace=False)
    assert result.schedules


@pytest.mark.parametrize(("sample", "check", "seed"), named(broken_cases()))
def test_a_broken_sample_is_convicted(sample: Sample, check: Check, seed: int) -> None:
    result = conduct(sample, check, seed)
    assert result.status == "failed", f"{sample.name} got away with it: {sample.what}"
    assert result.verdict is not None
    assert result.verdict.sentence
    assert result.schedule is not None
    assert len(result.schedule.steps) <= MOST_STEPS, result.schedule.to_json()


def test_every_check_convicts_a_sample() -> None:
    convicting = {check for sample in BROKEN for check in sample.caught_by}
    assert convicting == {check.id for check in CATALOGUE}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_samples_say_what_they_are(sample: Sample) -> None:
    suite = sample.suite()
    assert suite.__doc__
    assert sample.what.endswith(".")
    assert "\n" not in sample.what
    assert sample.sound == (not sample.caught_by)
    assert set(sample.caught_by) <= {check.id for check in checks_of(sample)}


def test_names_and_suites_are_unique() -> None:
    assert len({sample.name for sample in SAMPLES}) == len(SAMPLES)
    assert len({sample.suite() for sample in SAMPLES}) == len(SAMPLES)


def test_listing_the_samples_imports_none_of_them(pytester: pytest.Pytester) -> None:
    program = (
        "import sys, pytest_quarry.plugin; print('pytest_quarry.samples' in sys.modules);"
        "import pytest_quarry.samples; print({'pytest_quarry.suites', 'sqlalchemy', 'boto3'} & set(sys.modules))"
    )
    assert pytester.run(sys.executable, "-c", program).outlines == ["False", "set()"]
