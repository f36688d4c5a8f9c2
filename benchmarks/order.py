"""The order in which a suite plays its checks: what convicts most samples for the seconds it takes, first.

    benchmarks/order.py            what each check costs a sound consumer, then the order, and what it saves
    benchmarks/order.py --seconds  only what they cost

Of the broken samples that the checks before it let pass, each check convicts some (benchmarks/samples.py measures it); the one that
convicts most of them for its seconds is next. `SOONEST` in pytest_quarry/checks/catalogue.py is what this prints.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence

from measure import Cost
from record import Found, Record

from pytest_quarry.checks.catalogue import Check, of_kind, soonest_first
from pytest_quarry.checks.conduct import Conductor
from pytest_quarry.consumers.consumer import Kind
from pytest_quarry.samples import SAMPLES, Sample

SOUND: dict[Kind, str] = {"event-bus": "one-transaction", "poller": "poller-one-transaction", "publisher": "publisher"}
LEAST = 0.3  # seconds: what says nothing of this consumer costs another one something

Costs = dict[str, float]
Group = tuple[Check, ...]


def main() -> None:
    detection = Record("detection").read()
    for kind, name in SOUND.items():
        seconds = costs(kind, name)
        print(kind, " ".join(f"{check}={cost:.2f}" for check, cost in seconds.items()))
        if "--seconds" in sys.argv:
            continue
        broken = [sample for sample in SAMPLES if sample.name in detection and not sample.missing]
        broken = [sample for sample in broken if sample.suite().kind == kind]
        found = order(kind, seconds, broken, detection)
        for what, checks in (("by number", of_kind(kind)), ("as it is", soonest_first(kind)), ("found here", found)):
            waits = [seconds_until(checks, seconds, detection[sample.name]) for sample in broken]
            print(
                f"  {what:<10} {statistics.median(waits):6.2f} s at the median, {statistics.mean(waits):6.2f} s at the mean"
            )
        print("  " + " ".join(check.id for check in found))


def costs(kind: Kind, name: str) -> Costs:
    """Seconds of each check of a kind; of two that play the same schedules, the first has them all."""
    sample = next(sample for sample in SAMPLES if sample.name == name)
    conductor = Conductor(sample.suite()().consumer())
    return {check.id: Cost.of(lambda check=check: conductor.conduct(check)).cpu for check in of_kind(kind)}


def order(kind: Kind, seconds: Costs, broken: Sequence[Sample], detection: dict[str, Found]) -> list[Check]:
    """Greedily: of what is left, what convicts most for its seconds; what convicts nothing more, the cheapest first."""
    left, rest, found = list(broken), groups(kind), list[Check]()
    while rest:
        best = max(rest, key=lambda group: (worth(group, seconds, left, detection), -cost(group, seconds)))
        rest.remove(best)
        found += best
        left = [sample for sample in left if not convicts(best, detection[sample.name])]
    return found


def groups(kind: Kind) -> list[Group]:
    """Checks that play the same schedules stay together: they share their executions."""
    found: dict[object, Group] = {}
    for check in of_kind(kind):
        found[check.schedules] = (*found.get(check.schedules, ()), check)
    return list(found.values())


def worth(group: Group, seconds: Costs, left: Sequence[Sample], detection: dict[str, Found]) -> float:
    return sum(convicts(group, detection[sample.name]) for sample in left) / cost(group, seconds)


def cost(group: Group, seconds: Costs) -> float:
    return max(sum(seconds[check.id] for check in group), LEAST)


def convicts(group: Group, measured: Found) -> bool:
    return any(measured.get(check.id, {}).get("status") == "failed" for check in group)


def seconds_until(checks: Sequence[Check], seconds: Costs, measured: Found) -> float:
    """How long a sample is played until the first check that convicts it begins."""
    before = 0.0
    for check in checks:
        if convicts((check,), measured):
            break
        before += seconds[check.id]
    return before


if __name__ == "__main__":
    main()
