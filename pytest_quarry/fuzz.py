"""The fuzz item of a suite: Hypothesis draws schedules, the same engine plays them, the same words report them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_quarry.checks.conduct import Conductor, Result
from pytest_quarry.checks.fuzzing import FUZZ, drawn
from pytest_quarry.consumers.consumer import ConsumerError

if TYPE_CHECKING:
    from pytest_quarry.suites import Conformance

SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)


class Fuzzer:
    """Plays what Hypothesis draws for one item; of what fails only the smallest is kept."""

    def __init__(self, suite: Conformance, node: Any) -> None:
        from pytest_quarry import runner

        self._suite, self._node, self._runner = suite, node, runner
        self._saved: Path | None = None
        self._played = 0
        self._ended = False
        self._words: str | None = None
        self._conductor: Conductor | None = None
        try:
            self._conductor = runner.conductor(suite, node.config)
            self._strategy = drawn(suite.consumer())
        except ConsumerError as error:
            self._words = str(error)

    def play(self, data: st.DataObject) -> None:
        """One example. Ends in pytest's own fail where it is a counterexample."""
        if self._conductor is None:
            self._runner.cannot(self._node, FUZZ, self._words or "")
            return
        if not self._ended:
            self._begin(self._conductor)
        if self._ended and (getattr(self._node.config, "_quarry_replay", None) or self._conductor.is_over()):
            return
        schedule = data.draw(self._strategy)
        try:
            self._judged(self._conductor.replay(FUZZ, schedule, drifts=True))
        except ConsumerError as error:
            self._runner.cannot(self._node, FUZZ, str(error))

    def _begin(self, conductor: Conductor) -> None:
        """First what failed before, or what is to be replayed."""
        self._ended = True
        replay = getattr(self._node.config, "_quarry_replay", None)
        if replay is not None:
            self._runner.run_item(self._suite, self._node, FUZZ)
            return
        doubt = conductor.doubt(FUZZ)
        if doubt is not None:
            self._ended = False  # each example says so again
            self._judged(doubt)
        for schedule in self._runner.saved_schedules(self._node, FUZZ):
            self._judged(conductor.replay(FUZZ, schedule))

    def _judged(self, result: Result) -> None:
        self._played += 1
        if result.status == "passed":
            self._runner.note(replace(result, schedules=self._played, executions=self._played), self._node, self._suite)
            return
        if self._saved is not None:
            self._saved.unlink(missing_ok=True)
        words, self._saved = self._runner.failing(result, self._node, self._suite)
        pytest.fail(words, pytrace=False)


def fuzz_item() -> Callable[..., None]:
    """The method `test_fuzz` of a suite: an ordinary Hypothesis test, so that its settings, seed and database apply."""

    @settings(deadline=None, suppress_health_check=SLOW, print_blob=False)
    @given(data=st.data())
    def test_fuzz(self: Conformance, data: st.DataObject) -> None:
        node = self._quarry_node
        fuzzer = getattr(node, "_quarry_fuzzer", None)
        if fuzzer is None:
            fuzzer = node._quarry_fuzzer = Fuzzer(self, node)
        fuzzer.play(data)

    test_fuzz.__doc__ = FUZZ.states
    marked: Callable[..., None] = pytest.mark.quarry(id=FUZZ.id, severity=FUZZ.severity)(test_fuzz)
    return marked
