"""What the kit says of its samples: measures it, and writes docs/detection.md and docs/soundness.md.

    benchmarks/samples.py                         measure what is not measured yet (seed 0), then write both pages
    benchmarks/samples.py --seeds 0:200           sound samples under 200 seeds: hours; stop it whenever you like
    benchmarks/samples.py --seeds 0:200 --shard 1/4    a quarter of that, beside three others, also on other machines
    benchmarks/samples.py --seeds 0:200 --in-process    without programs, which take minutes for each seed
    benchmarks/samples.py --seeds 0:200 --only publisher    of those whose names begin like that
    benchmarks/samples.py --seeds 0:200 --in-turn    one check for each sample and seed, each time the next; at first all
    benchmarks/samples.py --again NAME            measure a sample that was changed once more
    benchmarks/samples.py --write                 measure nothing, only write the pages

What was measured is kept in benchmarks/measured/ after each sample, also the schedule by which the check that a broken one
names first convicts it: tests/samples/test_samples.py replays that. Exits 1 where a sound sample was accused or a broken one
got away.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator

import tables
from record import Found, Record, numbers, part, ranges

from pytest_quarry.checks.catalogue import BY_ID, Check, of_kind
from pytest_quarry.checks.conduct import Conductor, Result
from pytest_quarry.samples import SAMPLES, Sample

DETECTION, SCHEDULES, SOUNDNESS, SEARCH = (Record(name) for name in ("detection", "schedules", "soundness", "search"))


def main() -> int:
    options = parsed()
    if not options.write:
        detect(options.shard, options.again)
        clear(options)
    tables.write(DETECTION.read(), SOUNDNESS.read(), SEARCH.read())
    return 1 if tables.got_away(DETECTION.read()) or tables.accused(SOUNDNESS.read()) else 0


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", default="0:1", metavar="A:B", help="seeds from A up to B, without B (default 0:1)")
    parser.add_argument("--shard", default="1/1", metavar="K/N", help="the K-th of N parts of the samples")
    parser.add_argument("--in-process", action="store_true", help="sound samples without programs in other languages")
    parser.add_argument(
        "--in-turn", action="store_true", help="sound samples meet one check under each seed, the next each time"
    )
    parser.add_argument("--again", nargs="*", default=[], metavar="NAME", help="samples to measure once more")
    parser.add_argument(
        "--only", nargs="*", default=[""], metavar="NAME", help="sound samples whose names begin like that"
    )
    parser.add_argument("--write", action="store_true", help="only write the pages")
    return parser.parse_args()


def detect(shard: str, again: list[str]) -> None:
    """Every broken sample, each check that must catch it, on its own."""
    known = DETECTION.read()
    for sample in part([sample for sample in SAMPLES if not sample.sound], shard):
        there = set(known.get(sample.name, {}))
        if BY_ID[sample.caught_by[0]].compares is None and sample.name not in SCHEDULES.read():
            there.discard(sample.caught_by[0])
        wanted = [name for name in sample.caught_by if sample.name in again or name not in there]
        if not wanted or lacks(sample):
            continue
        results = {name: Conductor(sample.suite()().consumer()).conduct(BY_ID[name]) for name in wanted}
        found = {name: detected(result) for name, result in results.items()}
        print(sample.name, found, flush=True)
        # Neither convicted nor cleared, as on a machine so busy that a program answers too late: the next run tries again.
        found = {name: what for name, what in found.items() if what["status"] != "inconclusive"}
        DETECTION.add(sample.name, lambda old, new=found, now=sample: kept(old | new, now))
        put_on_record(sample, results.get(sample.caught_by[0]))


def put_on_record(sample: Sample, result: Result | None) -> None:
    """The schedule by which the check that a sample names first convicts it, where one schedule does."""
    if result is None or result.status != "failed" or result.schedule is None or result.check.compares is not None:
        return
    convicting = {"check": result.check.id, "schedule": result.schedule.to_json()}
    SCHEDULES.add(sample.name, lambda old: convicting)


def kept(found: Found, sample: Sample) -> Found:
    """What is known of the checks that a sample names now."""
    return {name: found[name] for name in sample.caught_by if name in found}


def detected(result: Result) -> Found:
    """What the table of broken samples says of one check."""
    steps = len(result.schedule.steps) if result.schedule is not None else 0
    return {
        "status": result.status,
        "schedules": result.schedules,
        "until_found": result.until_found,
        "executions": result.executions,
        "steps": steps,
    }


def clear(options: argparse.Namespace) -> None:
    """Every sound sample under each seed: all checks of its kind. Seed by seed, so that all get equally far."""
    first, _, end = options.seeds.partition(":")
    samples = [sample for sample in SAMPLES if sample.sound and sample.name.startswith(tuple(options.only))]
    if options.in_process:
        samples = [sample for sample in samples if not sample.name.startswith("outside-")]
    for name in {sample.name for sample in SAMPLES if sample.sound} & set(options.again):
        SOUNDNESS.add(name, lambda old: {})
    pairs = [(sample, seed) for seed in range(int(first), int(end)) for sample in samples]
    for sample, seed in part(pairs, options.shard):
        known = SOUNDNESS.read().get(sample.name, {})
        in_turn = options.in_turn and "seeds" in known
        met = [*numbers(known.get("seeds", "")), *(numbers(known.get("in_turn", "")) if in_turn else ())]
        if lacks(sample) or seed in met:
            continue
        checks = of_kind(sample.suite().kind)
        if in_turn:
            at = (SAMPLES.index(sample) + seed) % len(checks)
            checks = checks[at : at + 1]
        found = list(judged(sample, seed, checks))
        add = with_one_check if in_turn else with_seed
        SOUNDNESS.add(sample.name, lambda old, new=found, now=seed, add=add: add(old, now, new))
        print(sample.name, seed, sum(result.executions for result in found), flush=True)


def judged(sample: Sample, seed: int, checks: Iterable[Check]) -> Iterator[Result]:
    """What checks say of a sample under one seed."""
    conductor = Conductor(sample.suite()().consumer(), seed=seed)
    return (conductor.conduct(check) for check in checks)


def accusations(old: Found, seed: int, results: list[Result]) -> dict[str, str]:
    """All accusations of a sound sample, those of one seed more."""
    accused: dict[str, str] = dict(old.get("accused", {}))
    for result in results:
        if result.status in ("failed", "inconclusive"):
            accused[f"{result.check.id}/{seed}"] = result.verdict.sentence if result.verdict else result.status
    return accused


def with_one_check(old: Found, seed: int, results: list[Result]) -> Found:
    """What is known of a sound sample, the check more that it met in turn."""
    return {
        **old,
        "in_turn": ranges([*numbers(old.get("in_turn", "")), seed]),
        "executions_in_turn": old.get("executions_in_turn", 0) + sum(result.executions for result in results),
        "accused": accusations(old, seed, results),
    }


def with_seed(old: Found, seed: int, results: list[Result]) -> Found:
    """What is known of a sound sample, one seed more."""
    return {
        **old,
        "seeds": ranges([*numbers(old.get("seeds", "")), seed]),
        "passed": sum(result.status == "passed" for result in results),
        "skipped": {result.check.id: result.reason for result in results if result.status == "skipped"},
        "schedules": old.get("schedules", 0) + sum(result.schedules for result in results),
        "executions": old.get("executions", 0) + sum(result.executions for result in results),
        "accused": accusations(old, seed, results),
    }


def lacks(sample: Sample) -> bool:
    """Whether something that a sample needs is not installed."""
    if sample.missing:
        print(f"left out: {sample.missing}", file=sys.stderr)
    return bool(sample.missing)


if __name__ == "__main__":
    sys.exit(main())
