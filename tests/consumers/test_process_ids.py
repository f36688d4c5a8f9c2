"""A consumer's process id is the world's, and who asks the system about it is told of the process that has it."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from os import getpgid, kill
from pathlib import Path
from typing import Any

import psutil
import pytest
from first_turn import see, tell

from pytest_quarry.simulation.world import World

ALL = sorted(getattr(os, "sched_getaffinity", lambda pid: {0})(0))  # processors
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it")


def answers(*questions: Callable[[int], Any]) -> list[Any]:
    """What a consumer is told that asks about its own process id."""

    def work(world: World) -> None:
        tell(world, [question(os.getpid()) for question in questions])

    (found,) = see(work).told
    assert isinstance(found, list)
    return found


def own_ids(status: str) -> list[str]:
    return [line for line in status.splitlines() if line.startswith(("Tgid:", "Pid:"))]


def test_it_is_the_same_in_each_execution_and_names_no_process() -> None:
    first, second = answers(lambda pid: pid), answers(lambda pid: pid)
    assert first == second
    assert not Path(f"/proc/{first[0]}").exists()


def test_the_system_knows_it() -> None:
    assert answers(
        lambda pid: os.kill(pid, 0),
        lambda pid: os.killpg(pid, 0),
        lambda pid: os.getpgid(pid) == os.getpgid(0),
        lambda pid: os.setpgid(pid, pid),
        lambda pid: os.getsid(pid) == os.getsid(0),
        lambda pid: os.getpriority(os.PRIO_PROCESS, pid) == os.getpriority(os.PRIO_PROCESS, 0),
    ) == [None, None, True, None, True, True]


def test_functions_that_were_imported_by_name_know_it() -> None:
    assert answers(lambda pid: kill(pid, 0), lambda pid: getpgid(pid) == getpgid(0)) == [None, True]


@on_linux
def test_linux_knows_it() -> None:
    assert answers(
        lambda pid: os.sched_getscheduler(pid) == os.sched_getscheduler(0),
        lambda pid: os.sched_getparam(pid) == os.sched_getparam(0),
        lambda pid: resource.prlimit(pid, resource.RLIMIT_CORE) == resource.getrlimit(resource.RLIMIT_CORE),
        lambda pid: os.close(os.pidfd_open(pid)),
    ) == [True, True, True, None]


@on_linux
def test_linux_tells_of_it() -> None:
    assert answers(
        lambda pid: os.path.exists(f"/proc/{pid}"),
        lambda pid: Path(f"/proc/{pid}").is_dir(),
        lambda pid: os.path.exists("/proc/4999999"),
        lambda pid: os.path.exists(f"/proc/{pid + 100}"),
        lambda pid: sorted(os.listdir(f"/proc/{pid}")) == sorted(os.listdir("/proc/self")),
        lambda pid: os.readlink(f"/proc/{pid}/cwd") == os.getcwd(),
        lambda pid: Path(f"/proc/{pid}/cmdline").read_bytes() == Path("/proc/self/cmdline").read_bytes(),
        lambda pid: own_ids(Path(f"/proc/{pid}/status").read_text()) == [f"Tgid:\t{pid}", f"Pid:\t{pid}"],
    ) == [True, True, False, False, True, True, True, True]


@on_linux
def test_psutil_knows_it() -> None:
    assert answers(
        psutil.pid_exists,
        lambda pid: psutil.pid_exists(pid + 100),
        lambda pid: psutil.Process().pid == pid,
        lambda pid: psutil.Process(pid).is_running(),
        lambda pid: psutil.Process().memory_info().rss > 0,
        lambda pid: psutil.Process().cmdline() != [],
        lambda pid: psutil.Process().status(),
        lambda pid: psutil.Process().num_fds() > 0,
        lambda pid: psutil.Process().nice(),
        lambda pid: psutil.Process().ionice() is not None,
        lambda pid: psutil.Process().cpu_affinity(),
        lambda pid: psutil.Process().cpu_affinity([min(ALL)]),
        lambda pid: [psutil.Process().cpu_affinity(), sorted(os.sched_getaffinity(0))],
        lambda pid: psutil.Process().as_dict()["pid"] == pid,
    ) == [
        *[True, False, True, True, True, True, "running", True],
        *[psutil.Process().nice(), True, ALL, None, [[min(ALL)]] * 2, True],
    ]


def test_another_process_asks_as_ever() -> None:
    def work(world: World) -> None:
        with subprocess.Popen(["sleep", "100"]) as other:
            os.kill(other.pid, 0)
            assert os.getpgid(other.pid)
            os.kill(other.pid, signal.SIGKILL)
        with pytest.raises(ProcessLookupError):
            os.getpgid(other.pid)
        tell(world, True)

    assert see(work).told == [True]


@pytest.mark.parametrize("arguments", [(), ("1",), (None,), (1, 2, 3, 4)])
def test_what_is_wrong_is_told_as_by_the_system(arguments: tuple[Any, ...]) -> None:
    def message() -> str:
        with pytest.raises(TypeError) as error:
            os.getpgid(*arguments)
        return str(error.value)

    expected = message()
    assert answers(lambda pid: message()) == [expected]
