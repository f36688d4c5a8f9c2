"""What `test_fuzz` finds of the broken samples, how soon, and whether it accuses a sound one.

    benchmarks/fuzz.py                   measure what is not measured yet (seed 0), print the tables
    benchmarks/fuzz.py --seeds 0:3       sound samples under three seeds
    benchmarks/fuzz.py --shard 1/2       half of the samples, beside another process
    benchmarks/fuzz.py --again NAME      a sample once more
    benchmarks/fuzz.py --print           measure nothing

The schedules are those of the item `test_fuzz`; programs in other languages, which take many times as long, are left out. What
was measured is kept in benchmarks/measured/. Exits 1 where a sound sample was accused.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator

from hypothesis import HealthCheck, Phase, given, seed, settings
from record import Found, Record, numbers, part, ranges
from samples import lacks

from pytest_quarry.checks.conduct import Conductor, Result
from pytest_quarry.checks.fuzzing import FUZZ, drawn
from pytest_quarry.samples import SAMPLES, Sample
from pytest_quarry.simulation.schedule import Schedule

BROKEN, SOUND = Record("fuzz"), Record("fuzz-sound")
CAP, EXAMPLES = 300, 100  # of a broken sample, at most; of a sound one, for each seed: as many as the item draws


class Convicted(Exception):
    """Ends the drawing."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", default="0:1", metavar="A:B", help="for sound samples: from A up to B, without B")
    parser.add_argument("--shard", default="1/1", metavar="K/N", help="the K-th of N parts of the samples")
    parser.add_argument("--again", nargs="*", default=[], metavar="NAME", help="samples to measure once more")
    parser.add_argument("--print", action="store_true", help="only print the tables")
    options = parser.parse_args()
    if not options.print:
        find(options.shard, options.again)
        clear(options.seeds, options.shard, options.again)
    print("\n".join([*rows(), "", *sums()]))
    return 1 if any(what["accused"] for what in SOUND.read().values() if what) else 0


def fuzzed() -> list[Sample]:
    """Samples that have the item, but programs."""
    return [
        sample
        for sample in SAMPLES
        if not sample.name.startswith("outside-") and not sample.missing and sample.suite().kind in FUZZ.kinds
    ]


def find(shard: str, again: list[str]) -> None:
    """Every broken sample: how many schedules are drawn until one convicts it."""
    for sample in part([sample for sample in fuzzed() if not sample.sound], shard):
        if lacks(sample) or (sample.name in BROKEN.read() and sample.name not in again):
            continue
        tried, result = play(sample, CAP, 0)
        steps = len(result.schedule.steps) if result is not None and result.schedule is not None else None
        found = {"found": result is not None, "schedules": tried, "steps": steps}
        BROKEN.add(sample.name, lambda old, new=found: new)
        print(sample.name, found, flush=True)


def clear(seeds: str, shard: str, again: list[str]) -> None:
    """Every sound sample, seed by seed."""
    first, _, end = seeds.partition(":")
    for name in again:
        SOUND.add(name, lambda old: {})
    pairs = [(sample, number) for number in range(int(first), int(end)) for sample in fuzzed() if sample.sound]
    for sample, number in part(pairs, shard):
        if lacks(sample) or number in numbers(SOUND.read().get(sample.name, {}).get("seeds", "")):
            continue
        tried, result = play(sample, EXAMPLES, number)
        SOUND.add(sample.name, lambda old, new=(number, tried, result): with_seed(old, *new))
        print(sample.name, number, tried, result and (result.verdict, result.schedule), flush=True)


def with_seed(old: Found, number: int, tried: int, result: Result | None) -> Found:
    """What is known of a sound sample, one seed more."""
    accused = dict(old.get("accused", {}))
    if result is not None:
        accused[str(number)] = result.verdict.sentence if result.verdict else result.status
    seeds = ranges([*numbers(old.get("seeds", "")), number])
    return {"seeds": seeds, "schedules": old.get("schedules", 0) + tried, "accused": accused}


def play(sample: Sample, most: int, number: int) -> tuple[int, Result | None]:
    """How many drawn schedules were played, and the first that did not pass."""
    conductor = Conductor(sample.suite()().consumer())
    tried = 0
    failed: list[Result] = []

    @seed(number)
    @settings(
        max_examples=most,
        phases=[Phase.generate],
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(schedule=conductor.closer(lambda: drawn(conductor.stage)))
    def one(schedule: Schedule) -> None:
        nonlocal tried
        tried += 1
        result = conductor.play(FUZZ, schedule)
        if result.status != "passed":
            failed.append(result)
            raise Convicted

    try:
        one()
    except Convicted:
        return tried, failed[0]
    finally:
        conductor.close()
    return tried, None


def rows() -> Iterator[str]:
    """A line for each broken sample, then for each sound one that was accused."""
    yield f"{'sample':<34} {'schedules':>9} {'steps':>6}"
    for name, what in BROKEN.read().items():
        yield f"{name:<34} {what['schedules'] if what['found'] else '-':>9} {what['steps'] or '-':>6}"
    for name, what in SOUND.read().items():
        for number, sentence in what.get("accused", {}).items():
            yield f"{name}: accused under seed {number}: {sentence}"


def sums() -> Iterator[str]:
    broken, sound = BROKEN.read().values(), [what for what in SOUND.read().values() if what]
    found = [what["schedules"] for what in broken if what["found"]]
    within = sum(count <= EXAMPLES for count in found)
    if found:
        yield (
            f"of {len(broken)} broken samples {within} are convicted within {EXAMPLES} drawn schedules, {len(found)} within "
            f"{CAP}; half of those by the {statistics.median_high(found)}."
        )
    yield (
        f"of {len(sound)} sound samples {sum(bool(what['accused']) for what in sound)} were accused, in "
        f"{sum(what['schedules'] for what in sound):,} drawn schedules."
    )


if __name__ == "__main__":
    sys.exit(main())
