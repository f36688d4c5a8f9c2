"""What the world answers at a boundary: leave to go on, an AWS answer, an error."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from pytest_quarry.bus.calls import AwsAnswer, AwsCall
from pytest_quarry.bus.faults import SLOW, SLOW_SECONDS, Fault, Unanswered, carry_out
from pytest_quarry.consumers.protocol import Boundary, EndpointCall, Fail, Grant, RunCall, Sleep, TargetCall
from pytest_quarry.simulation.recorder import Recorder
from pytest_quarry.simulation.trouble import Trouble, has_failed_entries, has_no_effect
from pytest_quarry.simulation.turn import Turn
from pytest_quarry.simulation.world import World

# Failures in one turn after which what is broken works again: no outage lasts for ever, and who tries until it is over is sound.
# Who gives up does so much sooner; botocore makes up to ten attempts of a call.
TRIES = 200
BOUNDARY_SECONDS = 0.001  # virtual time one boundary takes, so that no two instants are the same


class Grants:
    """Answers one consumer's boundaries, and writes down what it answers."""

    def __init__(self, world: World, recorder: Recorder, trouble: Trouble, worker: int) -> None:
        self._world, self._recorder, self._trouble, self._worker = world, recorder, trouble, worker
        self._turn = Turn()
        self.execute: Callable[[str], Any] | None = None

    def answer(self, boundary: Boundary, turn: Turn) -> Grant | Fail:
        """Let the consumer cross, or let the operation fail as the schedule says."""
        if turn.failures >= TRIES:
            turn.failures = 0
            self._trouble.heal()
            self._recorder.record("healed", f"what was broken, as it tries on: {TRIES} times by now")
        self._turn = turn
        return self._answer(boundary)

    def _answer(self, boundary: Boundary) -> Grant | Fail:
        failure = self._trouble.at(boundary)
        if failure is not None:
            return self._fail(boundary, failure)
        fault = self._trouble.of_call(boundary)
        if fault is not None and has_no_effect(fault):
            return self._refuse(boundary, fault)
        self._recorder.record("crossed", boundary.label, size=boundary.size, buffered=boundary.buffered)
        self._recorder.expect(boundary.paths, boundary.own, below=not boundary.label.startswith("mkdir "))
        self._recorder.told(boundary)
        return self.grant(boundary, fault)

    def grant(self, boundary: Boundary, fault: Fault | None = None) -> Grant | Fail:
        """Carry out what the world keeps: calls, sleeps, the target."""
        delay = self._trouble.delay(boundary)
        self._world.advance(BOUNDARY_SECONDS + delay)
        if delay:
            self._world.expire()
        try:
            return self._carried_out(boundary, fault)
        except Exception as error:  # a call the world cannot carry out is the consumer's to deal with
            return Fail(self._world.now, type(error).__name__, str(error))

    def _carried_out(self, boundary: Boundary, fault: Fault | None) -> Grant | Fail:
        call, world = boundary.call, self._world
        value: Any = None
        if isinstance(call, Sleep):
            world.advance(call.seconds)
        elif isinstance(call, AwsCall):
            found = self._call_aws(boundary, call, fault)
            if isinstance(found, Fail):
                return found
            value = found
        elif isinstance(call, TargetCall):
            value = world.target.apply(call, self._worker)
        elif isinstance(call, RunCall) and self.execute is not None:
            value = self.execute(call.run_id)
        elif isinstance(call, EndpointCall):
            value = world.endpoint
        return Grant(world.now, value)

    def _fail(self, boundary: Boundary, number: int) -> Fail:
        self._turn.failures += 1
        self._world.advance(BOUNDARY_SECONDS)
        self._recorder.record("failed", f"{boundary.label}: {os.strerror(number)}")
        self._recorder.expect(())
        return Fail(self._world.now, "OSError", f"{number} {os.strerror(number)}")

    def _refuse(self, boundary: Boundary, fault: Fault) -> Grant | Fail:
        """The AWS call has no effect: the service says no, or nothing comes back."""
        assert isinstance(boundary.call, AwsCall)
        self._turn.failures += 1
        self._world.advance(BOUNDARY_SECONDS)
        self._recorder.expect(())
        try:
            answer = carry_out(fault, boundary.call, self._world.aws)
        except Unanswered as lost:
            self._recorder.record("failed", f"{boundary.label}: {lost.how}")
            return Fail(self._world.now, f"aws-{lost.how}", boundary.label)
        self._recorder.record("failed", f"{boundary.label}: AWS answers {answer.status}")
        return Grant(self._world.now, answer)

    def _call_aws(self, boundary: Boundary, call: AwsCall, fault: Fault | None) -> AwsAnswer | Fail:
        if fault is not None and fault.error == SLOW:
            self._world.advance(SLOW_SECONDS)
            self._world.expire()
        try:
            answer = carry_out(fault, call, self._world.aws)
        except Unanswered as lost:
            self._failed_after(f"{boundary.label}: done, and its answer lost ({lost.how})")
            return Fail(self._world.now, f"aws-{lost.how}", boundary.label)
        if fault is not None and has_failed_entries(fault, call):
            self._failed_after(f"{boundary.label}: AWS answers {answer.status}, with entries that it did not take")
        return answer

    def _failed_after(self, words: str) -> None:
        """A call failed that may have had an effect, which belongs to the call."""
        self._turn.failures += 1
        self._recorder.look(observe=False)
        self._recorder.record("failed", words)
