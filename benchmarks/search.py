"""How many executions it takes to convict each broken sample: our order, the test everybody writes, plain Hypothesis.

    benchmarks/search.py                 measure what is not measured yet, print the table
    benchmarks/search.py --shard 1/2     half of the samples, beside another process
    benchmarks/search.py --again NAME    a sample once more
    benchmarks/search.py --print         measure nothing

*check*: executions until the first failing schedule of the check that needs fewest (benchmarks/samples.py measures it).
*suite*: the same, with every check before it: what a whole run of pytest does.
*naive*: each message twice, in one process, or a poll after each run and two more; one execution.
*lists*: plain Hypothesis over random lists of steps (runs of all kinds, duplicates, crashes, faults, restarts, waits).
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from record import Found, Record, part, soonest
from samples import lacks

from pytest_quarry.checks.catalogue import soonest_first
from pytest_quarry.checks.conduct import Conductor
from pytest_quarry.checks.oracles import judge
from pytest_quarry.checks.stage import Stage
from pytest_quarry.consumers.consumer import Consumer
from pytest_quarry.contract import Outcome, Policy
from pytest_quarry.samples import SAMPLES, Sample
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import (
    ANY,
    RETURN,
    Break,
    Crash,
    Deliver,
    Notify,
    PlannedRun,
    Poll,
    Publish,
    Restart,
    Schedule,
    Step,
    Wait,
    Write,
)

SEARCH, DETECTION = Record("search"), Record("detection")
CAP = 200  # examples that plain Hypothesis may try
ORACLES = {"event-bus": "PDLV", "poller": "PDLV", "publisher": "BTJNOA"}
FAULTS = (
    ("s3.GetObject", "503"),
    ("sqs.", "throttle"),
    ("read storage/", "EIO"),
    ("sqlite COMMIT", "EIO"),
    ("sns.", "503"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--shard", default="1/1", metavar="K/N", help="the K-th of N parts of the samples")
    parser.add_argument("--again", nargs="*", default=[], metavar="NAME", help="samples to measure once more")
    parser.add_argument("--print", action="store_true", help="only print the table")
    options = parser.parse_args()
    broken = [sample for sample in SAMPLES if not sample.sound]
    for sample in () if options.print else part(broken, options.shard):
        if lacks(sample) or (sample.name in SEARCH.read() and sample.name not in options.again):
            continue
        consumer = sample.suite()().consumer()
        found = {"naive": naive(consumer), "lists": lists(consumer), **suite(consumer)}
        SEARCH.add(sample.name, lambda old, new=found: new)
        print(sample.name, found, flush=True)
    print(table(broken, SEARCH.read(), DETECTION.read()))


def suite(consumer: Consumer) -> Found:
    """Executions of a run of the whole suite until the first failing schedule, and whose it is."""
    conductor = Conductor(consumer)
    before = 0
    for check in soonest_first(consumer.kind):
        result = conductor.conduct(check)
        if result.status == "failed":
            return {"suite": before + result.until_found, "by": check.id}
        before += result.executions
    return {"suite": None, "by": None}


def convicts(consumer: Consumer, schedule: Schedule) -> bool:
    """Whether any oracle is violated by what happens."""
    told_only = consumer.kind == "event-bus" and not consumer.reconciles
    return judge(simulate(schedule, consumer), ORACLES[consumer.kind], told_only=told_only) is not None


def naive(consumer: Consumer) -> bool:
    """The test everybody writes."""
    stage = Stage(consumer, 0, lambda schedule: simulate(schedule, consumer))
    runs = [stage.run("A"), stage.run("B", items=2)]
    base = stage.loaded(*runs)
    more: dict[str, list[Step]] = {"event-bus": [Deliver((1,)), Deliver((2,))], "poller": [Poll(), Poll()]}
    return convicts(consumer, stage.schedule(runs, [*base.steps, *more.get(consumer.kind, [])]))


def lists(consumer: Consumer) -> int | None:
    """How many random lists Hypothesis draws until one convicts; None where the cap is met first."""
    tried = 0
    found: int | None = None

    @seed(0)
    @settings(
        max_examples=CAP, phases=[Phase.generate], deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(schedule=random_lists(consumer))
    def play(schedule: Schedule) -> None:
        nonlocal tried, found
        tried += 1
        if found is None and convicts(consumer, schedule):
            found = tried
        # Hypothesis looks once more whether it is so: that is no execution of ours.
        assert found is None

    with contextlib.suppress(AssertionError):
        play()
    return found


@st.composite
def random_lists(draw: st.DrawFn, consumer: Consumer) -> Schedule:
    """What somebody writes who has Hypothesis and this engine, and no catalogue."""
    runs = [draw(planned(consumer, name)) for name in "ABC"[: draw(st.integers(1, 3))]]
    unwritten, told = list(runs), 0
    steps: list[Step] = []
    for what in draw(st.lists(st.sampled_from(["run", "turn", "turn", "restart", "wait", "fault"]), max_size=12)):
        if what == "run" and unwritten:
            run = unwritten.pop(0)
            steps.append(Write(run.run_id))
            if consumer.kind == "event-bus":
                steps.append(Notify(run.run_id))
                told += 1
        elif what == "turn":
            steps += draw(turn(consumer, runs[: len(runs) - len(unwritten)], told))
        elif what == "restart":
            steps.append(Restart())
        elif what == "wait":
            steps.append(Wait(draw(st.sampled_from([31, 600]))))
        elif what == "fault":
            at, error = draw(st.sampled_from(FAULTS))
            steps.append(Break(at, error, times=draw(st.integers(1, 5))))
    return Schedule(runs=tuple(runs), steps=tuple(steps))


def planned(consumer: Consumer, name: str) -> st.SearchStrategy[PlannedRun]:
    """A run of any kind."""
    return st.builds(
        PlannedRun,
        run_id=st.just(f"run-{name}"),
        source=st.sampled_from(consumer.sources),
        category=st.sampled_from(consumer.categories),
        items=st.integers(0, 3),
        policy=st.sampled_from([str(policy) for policy in Policy]),
        outcome=st.sampled_from([str(outcome) for outcome in Outcome]),
    )


@st.composite
def turn(draw: st.DrawFn, consumer: Consumer, runs: list[PlannedRun], told: int) -> list[Step]:
    """One turn, now and then with a crash."""
    crash = draw(st.none() | st.just(Crash(RETURN)) | st.builds(Crash, st.just(ANY), st.integers(1, 40)))
    if consumer.kind == "poller":
        return [Poll(crash)]
    if consumer.kind == "publisher":
        return [Publish(draw(st.sampled_from(runs)).run_id)] if runs else []
    if not told:
        return []
    return [Deliver(tuple(draw(st.lists(st.integers(1, told), min_size=1, max_size=3))), crash)]


def table(broken: list[Sample], found: dict[str, Found], detection: dict[str, Found]) -> str:
    """One line a sample, then the sums."""
    return "\n".join([*rows(broken, found, detection), *sums(broken, found, detection)])


def rows(broken: list[Sample], found: dict[str, Found], detection: dict[str, Found]) -> Iterator[str]:
    yield f"{'sample':<34} {'check':>7} {'suite':>7} {'by':>5} {'naive':>6} {'lists':>6}"
    for sample in broken:
        if (what := found.get(sample.name)) is not None:
            yield (
                f"{sample.name:<34} {shown(soonest(detection.get(sample.name, {}))):>7} {shown(what['suite']):>7} {what['by'] or '-':>5} "
                f"{'1' if what['naive'] else '-':>6} {shown(what['lists']):>6}"
            )


def sums(broken: list[Sample], found: dict[str, Found], detection: dict[str, Found]) -> Iterator[str]:
    there = [sample for sample in broken if sample.name in found]
    if not there:
        return
    each = [found[sample.name] for sample in there]
    ours = [count for sample in there if (count := soonest(detection.get(sample.name, {}))) is not None]
    drawn = [what["lists"] for what in each if what["lists"] is not None]
    yield ""
    yield f"convicted of {len(there)}: by its check {len(ours)}, by a naive test {sum(what['naive'] for what in each)}, by random lists {len(drawn)} (at most {CAP} each)"
    yield f"median of executions: by its check {middle(ours)}, by the suite {middle([w['suite'] for w in each if w['suite']])}, by random lists {middle([what['lists'] or CAP for what in each])} (those not found count as {CAP})"
    pairs = [
        (found[sample.name]["lists"] or CAP) / count
        for sample in there
        if (count := soonest(detection.get(sample.name, {}))) is not None
    ]
    if pairs:
        yield f"random lists / by its check, in executions: median ratio {statistics.median(pairs):.1f}"


def shown(value: Any) -> str:
    return "-" if value is None else str(value)


def middle(values: list[int]) -> str:
    return f"{statistics.median(values):g}" if values else "-"


if __name__ == "__main__":
    main()
