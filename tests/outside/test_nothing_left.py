"""A test run that is interrupted or killed leaves no program, no daemon of it, no file and no open port behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

PROGRAM = """
import json, os, pathlib, signal, sys
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
reading, writing = os.pipe()
if os.fork() == 0:
    os.setsid()
    daemon = os.fork()
    if daemon:
        os.write(writing, str(daemon).encode())
        os._exit(0)
    while True:
        signal.pause()
about = {"pids": [os.getpid(), int(os.read(reading, 32))], "endpoint": os.environ["AWS_ENDPOINT_URL"], "disk": os.environ["HOME"]}
pathlib.Path(sys.argv[1] + ".new").write_text(json.dumps(about))
os.rename(sys.argv[1] + ".new", sys.argv[1])
while True:
    signal.pause()
"""
SUITE = """
import sys
from pytest_quarry import Command, PollerConformance

class TestHanging(PollerConformance):
    command = Command(argv=[sys.executable, "program.py", {where!r}], cwd={folder!r})

    def rows(self, world):
        return []
"""


def lives(pid: int) -> bool:
    """Whether a process is there and not only waits to be reaped."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def answers(url: str) -> bool:
    """Whether somebody listens at a URL's port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", urlsplit(url).port or 0), timeout=1):
        return True
    return False


def until(holds: Any, seconds: float) -> bool:
    """Whether it holds before so many seconds are over."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_nothing_survives(tmp_path: Path, number: signal.Signals) -> None:
    where = tmp_path / "where"
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "test_hanging.py").write_text(SUITE.format(where=str(where), folder=str(tmp_path)))
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", "poll_again", "--quarry-guard=60"]
    run = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - one thread here
    )
    about: dict[str, Any] = {"pids": []}
    try:
        assert until(where.exists, 60)
        about = json.loads(where.read_text())
        assert all(map(lives, about["pids"]))
        assert answers(about["endpoint"])
        run.send_signal(number)
        assert until(lambda: run.poll() is not None, 30)
        assert until(lambda: not any(map(lives, about["pids"])), 15)
        assert not answers(about["endpoint"])
        assert until(lambda: not left_of(run.pid, about), 15), left_of(run.pid, about)
    finally:
        run.kill()
        run.communicate()
        for pid in filter(lives, about["pids"]):
            os.kill(pid, signal.SIGKILL)


def left_of(pid: int, about: dict[str, Any]) -> list[str]:
    """What there still is of the files it made: its worlds, and what it shared with the program's clock."""
    shared = [str(path) for path in Path("/dev/shm").glob(f"*quarry-{pid}-*")]
    worlds = Path(about["disk"]).parents[1]
    return [*shared, *([str(worlds)] if worlds.exists() else [])]
