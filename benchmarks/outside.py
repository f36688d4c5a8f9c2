"""What programs cost from outside: a turn beyond the child's own time, one operation on a file, core on a bash poller."""

from __future__ import annotations

import resource
import shutil
import statistics
import subprocess
import sys
import time

from measure import Ratio, report

from pytest_quarry.checks.catalogue import of_kind
from pytest_quarry.checks.conduct import Conductor
from pytest_quarry.consumers.command import Command
from pytest_quarry.consumers.consumer import Consumer
from pytest_quarry.samples.programs import BashPollerSuite
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import Poll, Schedule

POLLS = 10
WRITES = 200
BARE = ("bash", "-c", ":")
WRITING = ("bash", "-c", f"for ((n = 0; n < {WRITES}; n++)); do echo x; done > file")


def program(words: tuple[str, ...]) -> Consumer:
    return Consumer(
        name="Benchmark", kind="poller", start=lambda world: None, rows=lambda world: [], command=Command(argv=words)
    )


def processors() -> float:
    """Seconds of processors that this process and its children had: what a shared machine does not change."""
    found = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in found)


def turn(words: tuple[str, ...]) -> float:
    """Seconds of processors for one turn of a program."""
    consumer = program(words)
    before = processors()
    history = simulate(Schedule(runs=(), steps=(Poll(),) * POLLS), consumer)
    return (processors() - before) / sum(entry.what == "polled" for entry in history.entries)


def alone(words: tuple[str, ...]) -> float:
    """Seconds of processors for the program by itself."""
    before = processors()
    for _ in range(POLLS):
        subprocess.run(words, check=True, cwd="/tmp")
    return (processors() - before) / POLLS


def one_turn() -> Ratio:
    """What a turn costs beyond the child's own time, in milliseconds of processors."""
    turn(BARE)
    costs = [(turn(BARE) - alone(BARE)) * 1000 for _ in range(5)]
    return Ratio("a turn beyond the child's own time, in ms of processors", statistics.median(costs), 25, "bash -c :")


def one_operation() -> Ratio:
    """What an operation on a file of the world costs, in milliseconds of processors."""
    costs = [(turn(WRITING) - turn(BARE)) * 1000 / WRITES for _ in range(5)]
    return Ratio("one operation on a file, in ms of processors", statistics.median(costs), 1.5, f"{WRITES} writes")


def core_of_a_bash_poller() -> Ratio:
    """The critical checks of the bash poller, in seconds of one of two processors."""
    conductor = Conductor(BashPollerSuite().consumer())
    checks = [check for check in of_kind("poller") if check.severity == "critical"]
    before, began = processors(), time.perf_counter()
    executions = sum(conductor.conduct(check).executions for check in checks)
    value = processors() - before
    detail = f"{len(checks)} checks, {executions} executions, {time.perf_counter() - began:.0f} s on this machine"
    return Ratio("core of a bash poller, in seconds of processors", value, 120, detail)


if __name__ == "__main__":
    if shutil.which("jq") is None:
        sys.exit("jq is not installed")
    sys.exit(report([one_turn(), one_operation(), core_of_a_bash_poller()]))
