"""How far a long check is, while it runs: on a real terminal, in a log, and silent where nobody asked."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest

SLOW = """
import time
from pytest_quarry import PollerConformance, read_runs
from pytest_quarry.report import progress

progress.FIRST, progress.OFTEN, progress.SELDOM = 0.1, 0.0, 0.0

class Poller:
    def __init__(self, world):
        self.world = world

    def poll(self):
        for run in read_runs(self.world.storage_root):
            for event in run.items if run.state == "finished" else ():
                self.world.target.upsert({"run_id": run.run_id, "item": event.event_id}, key=("run_id", "item"))

class TestSlow(PollerConformance):
    def start(self, world):
        return Poller(world)

    def rows(self, world):
        time.sleep(0.005)
        return world.target.rows()
"""
LIVE = re.compile(r"\x1b7\x1b\[K  PO01 poll-again: (\d+) of (\d+) schedules, \d+ s\x1b8")


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", "poll_again", *options]


@pytest.fixture
def slow(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(test_slow=SLOW)
    return pytester


def on_a_terminal(*options: str) -> str:
    """What a terminal of 100 columns is sent."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": "100", "TERM": "xterm"}
    with subprocess.Popen(command(*options), stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as running:
        os.close(theirs)
        found = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # EIO: the other side is closed
                break
            if not part:
                break
            found += part
        assert running.wait(60) == 0, found.decode()
    os.close(ours)
    return found.decode()


@pytest.mark.usefixtures("slow")
def test_on_a_terminal_it_stands_behind_the_line_and_goes_when_the_check_is_done() -> None:
    text = on_a_terminal()
    seen = [(int(done), int(planned)) for done, planned in LIVE.findall(text)]
    assert seen
    assert seen == sorted(seen)
    assert all(done < planned for done, planned in seen)
    assert len({planned for _, planned in seen}) == 1
    assert "\x1b7\x1b[K\x1b8" in text[text.rindex("schedules, ") :], "taken back"


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("options", [("-q",), ("-n", "1")])
def test_silent_when_quiet_and_under_xdist(options: tuple[str, ...]) -> None:
    assert "poll-again: " not in on_a_terminal(*options)


def test_in_a_log_it_has_lines_of_its_own_with_v(slow: pytest.Pytester) -> None:
    result = slow.run(*command("-v"))
    assert result.ret == 0
    lines = [line for line in result.outlines if line.startswith("PO01 poll-again: ")]
    assert lines
    assert all(re.fullmatch(r"PO01 poll-again: \d of \d schedules, \d+ s", line) for line in lines)
    assert "\x1b" not in result.stdout.str()


def test_in_a_log_without_v_there_is_none(slow: pytest.Pytester) -> None:
    assert not [line for line in slow.run(*command()).outlines if "poll-again: " in line]
