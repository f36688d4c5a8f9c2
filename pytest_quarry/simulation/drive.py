"""Moves one consumer process through its turns, boundary by boundary, and kills it where the schedule says."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

from pytest_quarry.bus.faults import SLOW, SLOW_SECONDS, Fault, Unanswered, carry_out
from pytest_quarry.consumers import protocol
from pytest_quarry.consumers.child import Birth
from pytest_quarry.consumers.consumer import Consumer, ConsumerError
from pytest_quarry.consumers.hooks.aws import DUMMY_ENVIRONMENT
from pytest_quarry.consumers.process import ConsumerProcess, Hung
from pytest_quarry.consumers.protocol import (
    AwsAnswer,
    AwsCall,
    Boundary,
    Call,
    Ended,
    Fail,
    Grant,
    Raised,
    Returned,
    Sleep,
    Started,
    TargetCall,
    Tear,
    Unusable,
)
from pytest_quarry.simulation.power import PowerLog
from pytest_quarry.simulation.recorder import Recorder
from pytest_quarry.simulation.schedule import RETURN, Crash
from pytest_quarry.simulation.trouble import Trouble, has_no_effect
from pytest_quarry.simulation.world import EPOCH, World

BOUNDARY_SECONDS = 0.001  # virtual time one boundary takes, so that no two instants are the same
CPU_MARGIN = 60


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long a consumer may go on: boundaries in one turn, and real seconds without a sign of life."""

    boundaries: int = 10_000
    seconds: float = 10.0


@dataclass(frozen=True, kw_only=True)
class Play:
    """How a schedule is played: its limits, what is observed, and which operations are boundaries on this occasion."""

    limits: Limits = field(default_factory=Limits)
    observe: bool = True  # read the target at every durable change, not only between turns and after kills
    reads: bool = False  # opening a file for reading is a boundary too
    power: bool = False  # keep the log that a power loss needs


@dataclass
class Turn:
    """One turn of the consumer, its start included where it was not running."""

    crash: Crash | None = None
    crossed: Counter[str] = field(default_factory=Counter)
    boundaries: int = 0
    reached: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a turn ended."""

    how: Literal["returned", "raised", "killed", "ended", "hung"]
    value: Any = None


class Drive:
    """The consumer's processes, one after another, in one world."""

    def __init__(self, world: World, consumer: Consumer, recorder: Recorder, trouble: Trouble, play: Play) -> None:
        self._world, self._consumer, self._recorder, self._play = world, consumer, recorder, play
        self._process: ConsumerProcess | None = None
        self.takes: str | None = None
        self._trouble = trouble
        self._power = PowerLog(world.root)
        self.hung = False
        self.output, self.stack = "", ""

    @property
    def running(self) -> bool:
        """Whether a consumer process is there."""
        return self._process is not None

    def start(self, turn: Turn) -> Outcome | None:
        """Start the consumer where it is not running; None when it is, or how its start ended."""
        if self._process is not None:
            return None
        self._recorder.incarnation += 1
        self._recorder.restored()
        self._recorder.record("started", "the consumer" if self._recorder.incarnation == 1 else "the consumer again")
        self._process = ConsumerProcess(self._birth(), guard_seconds=self._play.limits.seconds)
        outcome = self._go_on(turn)
        return None if outcome.how == "returned" and self.takes else outcome

    def do(self, call: Call, turn: Turn) -> Outcome:
        """Let the consumer take one turn."""
        assert self._process is not None
        self._process.send(call._replace(now=self._world.now))
        return self._go_on(turn)

    def _go_on(self, turn: Turn) -> Outcome:
        assert self._process is not None
        while True:
            try:
                message = self._process.receive()
            except Hung as hung:
                return self._give_up(str(hung), hung.stack)
            self._recorder.look(observe=self._play.observe or not isinstance(message, Boundary))
            if isinstance(message, Boundary):
                outcome = self._at_boundary(message, turn)
                if outcome is not None:
                    return outcome
            elif isinstance(message, Started):
                self.takes = message.takes
                return Outcome("returned")
            else:
                return self._over(message, turn)

    def _over(self, message: Any, turn: Turn) -> Outcome:
        if isinstance(message, Returned):
            return self._return(message, turn)
        if isinstance(message, Raised):
            return self._raised(message)
        if isinstance(message, Unusable):
            self.kill()
            raise ConsumerError(message.words)
        assert isinstance(message, Ended), message
        self._recorder.record("ended", f"its own process, with status {message.status}")
        self.kill()
        return Outcome("ended")

    def _return(self, message: Returned, turn: Turn) -> Outcome:
        turn.crossed[RETURN] += 1
        self._recorder.record("returned", RETURN)
        if _is_here(turn, RETURN):
            turn.reached = True
            if turn.crash is not None and turn.crash.power is not None:
                self._lose_power("after it returned", turn.crash.power)
            else:
                self._recorder.record("killed", "after it returned, before anybody was told")
                self.kill()
            return Outcome("killed")
        return Outcome("returned", message.value)

    def _raised(self, message: Raised) -> Outcome:
        starting = self.takes is None or self._recorder.entries[-1].what == "started"
        self._recorder.record("raised", f"{'start raised ' if starting else ''}{message.summary}")
        self.stack = message.stack
        if starting:
            self.kill()
        return Outcome("raised")

    def _at_boundary(self, boundary: Boundary, turn: Turn) -> Outcome | None:
        assert self._process is not None
        turn.boundaries += 1
        turn.crossed[boundary.label] += 1
        if turn.boundaries > self._play.limits.boundaries:
            words = f"it crossed {self._play.limits.boundaries:,} boundaries in one turn, the last at {boundary.label}"
            return self._give_up(words, self._process.stack())
        if _is_here(turn, boundary.label):
            turn.reached = True
            return self._crash(boundary, turn.crash)
        failure = self._trouble.at(boundary, self._world.now)
        if failure is not None:
            self._fail(boundary, failure)
            return None
        fault = self._trouble.of_call(boundary)
        if fault is not None and has_no_effect(fault):
            self._refuse(boundary, fault)
            return None
        if self._play.power:
            self._power.before(boundary)
        self._recorder.record("crossed", boundary.label, size=boundary.size, buffered=boundary.buffered)
        self._recorder.expect(boundary.paths)
        self._process.send(self._grant(boundary, fault))
        return None

    def _fail(self, boundary: Boundary, failure: Fail) -> None:
        assert self._process is not None
        self._world.advance(BOUNDARY_SECONDS)
        self._recorder.record("failed", f"{boundary.label}: {failure.message.lstrip('0123456789 ')}")
        self._recorder.expect(())
        self._process.send(failure)

    def _refuse(self, boundary: Boundary, fault: Fault) -> None:
        """The AWS call has no effect: the service says no, or nothing comes back."""
        assert self._process is not None
        assert isinstance(boundary.call, AwsCall)
        self._world.advance(BOUNDARY_SECONDS)
        self._recorder.expect(())
        try:
            answer = carry_out(fault, boundary.call, self._world.aws)
        except Unanswered as lost:
            self._recorder.record("failed", f"{boundary.label}: {lost.how}")
            self._process.send(Fail(self._world.now, f"aws-{lost.how}", boundary.label))
        else:
            self._recorder.record("failed", f"{boundary.label}: AWS answers {answer.status}")
            self._process.send(Grant(self._world.now, answer))

    def _call_aws(self, boundary: Boundary, call: AwsCall, fault: Fault | None) -> AwsAnswer | Fail:
        if fault is not None and fault.error == SLOW:
            self._world.advance(SLOW_SECONDS)
        try:
            return carry_out(fault, call, self._world.aws)
        except Unanswered as lost:
            self._recorder.look(observe=False)  # the effect belongs to the call
            self._recorder.record("failed", f"{boundary.label}: done, and its answer lost ({lost.how})")
            return Fail(self._world.now, f"aws-{lost.how}", boundary.label)

    def _grant(self, boundary: Boundary, fault: Fault | None = None) -> Grant | Fail:
        call, value = boundary.call, None
        self._world.advance(BOUNDARY_SECONDS + self._trouble.delay(boundary))
        try:
            if isinstance(call, Sleep):
                self._world.advance(call.seconds)
            elif isinstance(call, AwsCall):
                found = self._call_aws(boundary, call, fault)
                if isinstance(found, Fail):
                    return found
                value = found
            elif isinstance(call, TargetCall):
                value = self._world.target.apply(call)
        except Exception as error:  # a call the world cannot carry out is the consumer's to deal with
            return Fail(self._world.now, type(error).__name__, str(error))
        return Grant(self._world.now, value)

    def _crash(self, boundary: Boundary, crash: Crash | None) -> Outcome:
        assert self._process is not None
        assert crash is not None
        if crash.power is not None:
            self._lose_power(f"before {boundary.label}", crash.power)
            return Outcome("killed")
        if crash.keep is None or boundary.size is None:
            self._recorder.record("killed", f"before {boundary.label}")
        else:
            keep = min(crash.keep, boundary.size)
            self._recorder.record("killed", f"in {boundary.label}, {keep} of {boundary.size} bytes written")
            self._recorder.expect(boundary.paths)
            self._process.send(Tear(self._world.now, keep))
            self._process.receive()
        self.kill()
        self._recorder.look()
        return Outcome("killed")

    def _lose_power(self, where: str, how: str) -> None:
        """The machine dies with the process: what was not fsynced is not there when it comes back."""
        self.kill()
        lost = self._power.lose(how)
        self._recorder.expect(lost)
        words = "cut" if how == "cut" else "taken back"
        names = ", ".join(name.removeprefix("disk/") for name in lost) or "nothing"
        self._recorder.record("killed", f"power lost {where}; not fsynced, so {words}: {names}")
        self._recorder.look()

    def _give_up(self, words: str, stack: str) -> Outcome:
        self.hung, self.stack = True, stack
        self._recorder.record("hung", words)
        self.kill()
        return Outcome("hung")

    def kill(self) -> None:
        """End the process, if there is one; its memory is gone."""
        if self._process is None:
            return
        self._process.kill()
        self._keep_output()
        self._process = None
        self._world.target.forget_open()

    def stop(self) -> None:
        """End the process at the end of the world, by itself where that saves coverage."""
        if self._process is not None:
            if _measuring_coverage():
                self._process.stop()
            else:
                self._process.kill()
            self._keep_output()
            self._process = None

    def peek(self) -> int | None:
        """How many rows the suite's `rows` sees inside the consumer's process."""
        if self._process is None:
            return None
        self._process.send(protocol.Peek())
        while True:
            message = self._process.receive()
            if isinstance(message, Boundary):
                self._process.send(self._grant(message))
            else:
                return message.value if isinstance(message, Returned) else None

    def _keep_output(self) -> None:
        assert self._process is not None
        self.output = (self.output + self._process.output())[-20_000:]

    def _birth(self) -> Birth:
        world, incarnation = self._world, self._recorder.incarnation
        root = world.root
        return Birth(
            consumer=self._consumer,
            world=world,
            directories=tuple((str(root / name), name) for name in ("disk", "storage", "tmp")),
            environment=(*DUMMY_ENVIRONMENT.items(), ("TMPDIR", str(world.tmp))),
            output=str(world.outputs / f"{incarnation}.out"),
            stack=str(world.outputs / f"{incarnation}.stack"),
            temporary=str(world.tmp),
            world_root=str(root),
            now=world.now,
            epoch=EPOCH,
            seed=world.seed * 1_000_003 + incarnation,
            incarnation=incarnation,
            reads=self._play.reads,
            cpu_seconds=int(self._play.limits.seconds) + CPU_MARGIN,
        )


def _measuring_coverage() -> bool:
    coverage = sys.modules.get("coverage")
    return coverage is not None and coverage.Coverage.current() is not None


def _is_here(turn: Turn, label: str) -> bool:
    crash = turn.crash
    return crash is not None and crash.label == label and crash.occurrence == turn.crossed[label]
