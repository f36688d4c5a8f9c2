"""The time a program has: the world's, through libfaketime; where that is missing, what needs it is skipped and said."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from programs import bash, play, python, texts

from pytest_quarry.checks.catalogue import BY_ID
from pytest_quarry.checks.conduct import Conductor
from pytest_quarry.consumers.outside import clock
from pytest_quarry.samples.programs import PythonPollerLooksBackSuite
from pytest_quarry.simulation.schedule import Poll, Wait

needs_faketime = pytest.mark.skipif(clock.library() is None, reason="libfaketime is not installed")
NODE = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


@needs_faketime
class TestWithLibfaketime:
    def test_it_is_the_worlds(self) -> None:
        history = play(bash("date -u +%FT%H"), Poll(), Wait(3 * 86_400), Poll())
        assert history.output.split()[:2] == ["2026-02-02T08", "2026-02-05T08"]
        assert clock.MISSING not in history.not_exercised
        assert clock.WITHOUT not in history.not_exercised

    def test_for_all_that_it_starts(self) -> None:
        code = (
            f"""{python("").words[0]} -c 'import datetime; print(datetime.date.today())'; (date +%F); date +%F | cat"""
        )
        assert play(bash(code)).output.split()[:3] == ["2026-02-02"] * 3

    @NODE
    def test_in_node(self) -> None:
        assert play(bash("node -p 'new Date().toISOString()'")).output.startswith("2026-02-02T08")

    def test_files_are_dated_by_the_world(self) -> None:
        history = play(bash("[ -e a ] && date -u -r a +%FT%H; touch a"), Poll(), Wait(7200), Poll())
        assert history.output.split()[0] == "2026-02-02T08"

    def test_sleep_takes_the_worlds_time_only(self) -> None:
        history = play(bash("date +%s; sleep 3600; date +%s"))
        assert history.entries[-1].time > 3600
        assert "sleep" in texts(history, "crossed")
        before, after = map(int, history.output.split()[:2])
        assert 3600 <= after - before <= 3610

    def test_nothing_is_left_of_it(self) -> None:
        before = set(os.listdir("/dev/shm"))
        pids = play(bash("echo $$; date +%F | cat; kill -KILL $$")).output.split()[::2]
        assert pids
        assert not [name for name in set(os.listdir("/dev/shm")) - before if name.rpartition("_")[2] in pids]
        assert not list(Path("/dev/shm").glob(f"*quarry-{os.getpid()}-*"))


class TestWithout:
    @pytest.fixture(autouse=True)
    def missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(clock, "library", lambda: None)

    def test_it_is_said(self) -> None:
        assert play(bash("echo > a")).not_exercised == (clock.MISSING,)

    def test_checks_that_need_it_are_skipped(self) -> None:
        conductor = Conductor(PythonPollerLooksBackSuite().consumer())
        # It looks back from real time, and finds nothing: that is said before the clock is.
        result = conductor.conduct(BY_ID["PO05"])
        assert result.status in ("skipped", "inconclusive")
        assert clock.MISSING in result.not_exercised
