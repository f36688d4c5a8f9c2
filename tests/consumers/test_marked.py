"""Processes are found by their environment also while they are on their way from one program into the next."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from pytest_quarry.consumers.marked import marked

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the environment of a process")
MARK = f"QUARRY_TEST_MARK=of {os.getpid()}"
NAME, _, VALUE = MARK.partition("=")
AGAIN = 'exec sh -c "$0" "$0"'  # executes itself for ever: half of its time it is in between
DAEMONS = "import os, time\nfor _ in range(200):\n    if os.fork():\n        os._exit(0)\n    time.sleep(0.001)\ntime.sleep(60)"


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    running: list[subprocess.Popen[bytes]] = []
    yield running
    for process in running:
        process.kill()
        process.wait()
    while found := marked(MARK):
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)


def test_one_that_executes_itself_for_ever_is_found_each_time(started: list[subprocess.Popen[bytes]]) -> None:
    started.append(subprocess.Popen(["sh", "-c", AGAIN, AGAIN], env={**os.environ, NAME: VALUE}))
    assert [marked(MARK) for _ in range(200)] == [[started[0].pid]] * 200


def test_one_that_hands_over_to_a_child_for_ever_is_found_each_time(started: list[subprocess.Popen[bytes]]) -> None:
    started.append(subprocess.Popen([sys.executable, "-S", "-c", DAEMONS], env={**os.environ, NAME: VALUE}))
    started[0].wait()
    for _ in range(20):
        assert marked(MARK)
        time.sleep(0.01)


def test_others_and_the_dead_are_not_found(started: list[subprocess.Popen[bytes]]) -> None:
    started.append(subprocess.Popen(["sleep", "60"], env={}))
    started.append(subprocess.Popen(["sleep", "60"], env={NAME: f"{VALUE[:-1]}x"}))
    started.append(subprocess.Popen(["true"], env={NAME: VALUE}))
    os.waitid(os.P_PID, started[2].pid, os.WEXITED | os.WNOWAIT)  # a zombie
    assert marked(MARK) == []
