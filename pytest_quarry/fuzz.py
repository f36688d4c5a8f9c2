"""The fuzz item of a suite: Hypothesis draws schedules, the same engine plays them, the same words report them.

Under pytest-xdist each suite has as many fuzz items, shards, as there are workers; they share out the examples of one.
"""

from __future__ import annotations

import contextlib
import unittest
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from pytest_quarry import marking, shards
from pytest_quarry.checks.conduct import Result
from pytest_quarry.checks.fuzzing import FUZZ, drawn
from pytest_quarry.consumers.consumer import ConsumerError

if TYPE_CHECKING:
    from pytest_quarry.simulation.schedule import Schedule
    from pytest_quarry.suites import Conformance

# The suite of each shard is another instance of one class, which is no other executor.
QUIET = (
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.filter_too_much,
    HealthCheck.differing_executors,
)
UNTIL_THE_BUDGET_ENDS = 1_000_000  # examples


class Enough(unittest.SkipTest):
    """Ends a fuzz item early: of all exceptions Hypothesis lets only those that skip a test pass at once."""


class Fuzzer:
    """Plays what Hypothesis draws for one item, until something fails."""

    def __init__(self, suite: Conformance, node: Any) -> None:
        from pytest_quarry import runner

        self._suite, self._node, self._runner = suite, node, runner
        self._failed: dict[Schedule, tuple[str, bool]] = {}
        self._played = self._executions = 0
        self._over = False
        self._outcome: BaseException | None = None
        # What overrides the item calls it when it has made ready what the consumer needs.
        self._begins_when_called = bool(marking.override(node)) and marking.fuzz(node) is not None
        self._passed: Result | None = None
        try:
            self._conductor = runner.conductor(suite, node.config)
            self._strategy = self._conductor.closer(lambda: drawn(self._conductor.stage))
        except ConsumerError as error:
            words = str(error)
        else:
            return
        runner.cannot(node, FUZZ, words)

    def begin(self) -> None:
        """Before anything is drawn: what failed before and fails again, or what is to be replayed and nothing else."""
        if getattr(self._node.config, "_quarry_replay", None) is not None or self._conductor.is_too_late:
            self._over = True
            self._runner.run_item(self._suite, self._node, FUZZ)
            return
        doubt = self._conductor.doubt(FUZZ)
        if doubt is not None:
            self._judge(doubt)
        for schedule in self._runner.saved_schedules(self._node, FUZZ):
            found = self._conductor.replay(FUZZ, schedule)
            if found.status == "failed":  # what a mended consumer no longer comes to says nothing of it
                self._judge(found)

    def play(self, data: st.DataObject) -> None:
        """One example. Ends in pytest's own fail where it is a counterexample."""
        if self._begins_when_called:
            self._begin_when_called()
        schedule = data.draw(self._strategy)
        if schedule in self._failed:  # Hypothesis looks whether it fails again
            self._fail(*self._failed[schedule])
        if self._over or (self._played and self._conductor.is_over()):
            self._cut_short()
            raise Enough("nothing more is drawn: the budget is used up, or a schedule was replayed")
        try:
            result = self._conductor.play(FUZZ, schedule)
        except ConsumerError as error:
            words = str(error)
        else:
            self._judge(result, schedule)
            return
        self._runner.cannot(self._node, FUZZ, words)

    def _begin_when_called(self) -> None:
        if self._outcome is not None:  # Hypothesis looks whether it fails again
            raise self._outcome
        try:
            self.begin()
        except pytest.fail.Exception as failed:
            self._outcome = failed
            raise
        self._begins_when_called = False

    def close(self) -> None:
        """Nothing more is played."""
        self._conductor.close()

    def _cut_short(self) -> None:
        """Say that the budget ended, as other checks do."""
        if self._over or self._passed is None:
            return
        self._over = True
        reason = f"the budget ended after {self._played} schedules"
        self._node.user_properties.append(("quarry_budget", f"{FUZZ.title}: {reason}"))
        self._runner.note(replace(self._passed, reason=reason), self._node, self._suite)

    def _judge(self, result: Result, drawn: Schedule | None = None) -> None:
        self._played += 1
        self._executions += result.executions
        result = replace(result, schedules=self._played, executions=self._executions, drawn=True)
        if result.status == "passed":
            self._passed = result
            self._runner.note(result, self._node, self._suite)
            return
        words, violates = self._runner.failing(result, self._node, self._suite)[0], result.status == "failed"
        if drawn is not None:
            self._failed[drawn] = words, violates
        self._fail(words, violates)

    def _fail(self, words: str, violates: bool) -> NoReturn:
        reason = self._suite.known_failures.get(FUZZ.id)
        if reason is not None and violates:
            pytest.xfail(reason)
        pytest.fail(words, pytrace=False)


def fuzz_item(examples: int | None = None) -> Callable[..., None]:
    """The method `test_fuzz` of a suite: an ordinary Hypothesis test, so that its profile, database and HypoFuzz apply."""

    # What fails is made smaller by the same means as everywhere, and not by Hypothesis, which needs more executions.
    @settings(
        phases=[phase for phase in settings().phases if phase not in (Phase.shrink, Phase.explain)],
        max_examples=examples or settings().max_examples,
        deadline=None,
        suppress_health_check=QUIET,
        print_blob=False,
    )
    @given(data=st.data())
    def test_fuzz(self: Conformance, data: st.DataObject) -> None:
        _fuzzer(self).play(data)

    test_fuzz.__doc__ = FUZZ.states
    marked: Callable[..., None] = pytest.mark.quarry(id=FUZZ.id, severity=FUZZ.severity)(test_fuzz)
    marked.quarry_made = True  # type: ignore[attr-defined]  # `as_configured` may replace it
    return marked


def as_configured(suite: type, config: pytest.Config) -> None:
    """Give a suite the fuzz item that the options ask for; where it has one of its own, the base whose item that overrides."""
    made = next((base for base in suite.__mro__ if hasattr(vars(base).get("test_fuzz"), "quarry_made")), None)
    if made is None:
        return
    count = shards.workers(config) if made is suite else 1  # an override is not split
    examples = -(-settings().max_examples // count)
    if config.getoption("--quarry-profile") == "fuzz" and config.getoption("--quarry-budget") is not None:
        examples = UNTIL_THE_BUDGET_ENDS
    made.test_fuzz = fuzz_item(examples)  # type: ignore[attr-defined]


def _begin(item: pytest.Function) -> None:
    """Before the item: seeds it where a seed was asked for, and plays what failed before.

    This is left to the item where it is overridden.
    """
    wanted, made = item.config.getoption("--quarry-seed"), marking.fuzz(item)
    if wanted is not None and made is not None:
        seed(f"{wanted}/{shards.of(item)[0]}")(made)
    suite: Any = item.instance
    if not marking.override(item):
        _fuzzer(suite).begin()


@contextlib.contextmanager
def around(item: pytest.Function) -> Iterator[None]:
    """What comes before the item and after it; what ends it early is no failure. As a decorator too: of a TestCase's method, which
    unittest calls, and not pytest's hook."""
    try:
        _begin(item)
        yield
    except Enough:
        pass
    finally:
        _end(item)


def _end(item: pytest.Function) -> None:
    fuzzer: Fuzzer | None = vars(item).pop("_quarry_fuzzer", None)  # the item may be run again
    if fuzzer is not None:
        fuzzer.close()


def _fuzzer(suite: Conformance) -> Fuzzer:
    if not hasattr(suite, "_quarry_node"):  # HypoFuzz makes an instance of its own, which no fixture has seen
        suite = type(suite)._quarry_latest
    node = suite._quarry_node
    fuzzer: Fuzzer | None = getattr(node, "_quarry_fuzzer", None)
    if fuzzer is None:
        fuzzer = node._quarry_fuzzer = Fuzzer(suite, node)
    return fuzzer
