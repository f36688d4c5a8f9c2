"""What the critical checks cost for each kind of consumer, whether it is linear, and what two processes save.

    benchmarks/core.py                  all kinds
    benchmarks/core.py handler worker   some of them
    benchmarks/core.py --two            pytest with `-n 2` against one process, all checks: only a quiet machine tells

Seconds are of processors, those of the consumers included; the clock stands beside them.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from measure import Cost, Ratio, report

from pytest_quarry.checks.catalogue import of_kind
from pytest_quarry.checks.conduct import Conductor
from pytest_quarry.checks.stage import Stage
from pytest_quarry.samples import SAMPLES
from pytest_quarry.simulation.run import simulate

# Sample and seconds that its critical checks may take.
KINDS = {
    "handler": ("one-transaction", 10),
    "worker": ("worker", 30),
    "poller": ("poller-one-transaction", 15),
    "s3-poller": ("poller-bucket", 45),
}
TWICE = 1.7  # how much faster two processes must be
ROUNDS = 3  # of which the median counts
# What is there where the kit and pytest-xdist are installed; what else this environment has is not what users start.
PLUGINS = ("pytest_quarry.plugin", "_hypothesis_pytestplugin", "pyfakefs.pytest_plugin", "xdist", "no:cacheprovider")
STEADY = 1.5  # how much more a late execution may cost than an early one of the same schedule
AGAIN = 100  # executions of one schedule, before and after all checks
GROWTH = 20  # MiB by which the test process may grow while the second half of the checks' executions is played
MIB = 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("kinds", nargs="*", default=list(KINDS), metavar="KIND", help=f"of {', '.join(KINDS)}")
    parser.add_argument("--two", action="store_true", help="compare one process with two, and nothing else")
    options = parser.parse_args()
    unknown = set(options.kinds) - set(KINDS)
    if unknown:
        parser.error(f"no kind: {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    if options.two:
        return report([ratio for kind in options.kinds for ratio in two_processes(kind)])
    return report([ratio for kind in options.kinds for ratio in core(kind)])


def core(kind: str) -> list[Ratio]:
    """The critical checks of one sample: their cost, that of one schedule before and after them, and the memory."""
    name, limit = KINDS[kind]
    consumer = next(sample for sample in SAMPLES if sample.name == name).suite()().consumer()
    conductor = Conductor(consumer)
    critical = [check for check in of_kind(consumer.kind) if check.severity == "critical"]
    played: list[int] = []
    memory: list[int] = []

    def checks() -> None:
        for check in critical:
            played.append(conductor.conduct(check).executions)
            memory.append(resident())

    stage = Stage(consumer, 0, lambda schedule: simulate(schedule, consumer))
    schedule = stage.loaded(stage.run("A"))
    early = statistics.median(Cost.of(lambda: simulate(schedule, consumer)).cpu for _ in range(AGAIN))
    cost = Cost.of(checks)
    late = statistics.median(Cost.of(lambda: simulate(schedule, consumer)).cpu for _ in range(AGAIN))
    half = memory[next(at for at in range(len(played)) if sum(played[: at + 1]) * 2 >= sum(played))]
    grown = (memory[-1] - half) / MIB
    each = f"{1000 * cost.cpu / sum(played):.1f} ms each"
    return [
        Ratio(
            f"core of {name}, seconds",
            cost.cpu,
            limit,
            f"{sum(played)} executions, {each}; {cost.wall:.1f} s by the clock",
        ),
        Ratio(f"{name}: one schedule after all checks / before", late / early, STEADY, f"{1000 * early:.1f} ms before"),
        Ratio(f"{name}: growth in the second half, MiB", grown, GROWTH, f"{memory[-1] / MIB:.0f} MiB at the end"),
    ]


def resident() -> int:
    """KiB of memory that this process holds, as far as the system tells: else the most it ever held."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def two_processes(kind: str) -> list[Ratio]:
    """`pytest -n 2` against one process, over all checks of one sample; and against what the machine has to give.

    Where two processors share a core, or their host, two pytests side by side that know nothing of each other do not get twice
    as much done as one either: -n 2 is to come near to them.
    """
    name = KINDS[kind][0]
    module = f"""
from pytest_quarry.samples import SAMPLES

suite = next(sample for sample in SAMPLES if sample.name == {name!r}).suite()


class TestIt(suite):
    pass


del suite
"""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_it.py").write_text(module, encoding="utf-8")
        rounds = [one_round(folder) for _ in range(ROUNDS)]
    saved = statistics.median(one / two for one, two, _ in rounds)
    possible = statistics.median(2 * one / both for one, _, both in rounds)
    reached = statistics.median(both / two / 2 for _, two, both in rounds)
    took = ", ".join(f"{one:.1f} s / {two:.1f} s" for one, two, _ in rounds)
    more = f"{possible:.2f} times as much as one: each took {', '.join(f'{both:.1f} s' for *_, both in rounds)}"
    return [
        Ratio(f"all of {name}: one process / -n 2", saved, TWICE, took, at_least=True),
        Ratio("of what two pytests side by side get done", reached, TWICE / 2, more, at_least=True),
    ]


def one_round(folder: str) -> tuple[float, float, float]:
    """One process, two by `-n 2`, and two pytests side by side, one right after the other: a machine's speed changes."""
    one, two = timed(folder), timed(folder, "-n", "2")
    with ThreadPoolExecutor() as pool:
        return one, two, max(pool.map(timed, [folder, folder]))


def timed(folder: str, *options: str) -> float:
    """Seconds by the clock of one run of pytest."""
    before = time.perf_counter()
    plugins = [option for plugin in PLUGINS for option in ("-p", plugin)]
    command = [sys.executable, "-m", "pytest", "-q", "--quarry-seed", "0", *plugins, *options]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "HYPOTHESIS_NO_PLUGINS": "1"}
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return time.perf_counter() - before


if __name__ == "__main__":
    sys.exit(main())
