"""Moves one consumer process through its turns, boundary by boundary, and kills it where the schedule says."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from typing import Any

from pytest_quarry.bus.calls import DUMMY_ENVIRONMENT
from pytest_quarry.consumers import protocol
from pytest_quarry.consumers.child import Birth, Home
from pytest_quarry.consumers.command import Command
from pytest_quarry.consumers.consumer import Consumer, ConsumerError
from pytest_quarry.consumers.outside.program import CommandProcess
from pytest_quarry.consumers.process import ConsumerProcess, Hung
from pytest_quarry.consumers.protocol import (
    Blocked,
    Boundary,
    Call,
    Ended,
    Fail,
    Later,
    Raised,
    Returned,
    Sleep,
    Started,
    Tear,
    Unusable,
)
from pytest_quarry.consumers.unhooked import UNHELD
from pytest_quarry.consumers.zygote import Parent
from pytest_quarry.simulation.grants import Grants
from pytest_quarry.simulation.play import Play
from pytest_quarry.simulation.power import PowerLog
from pytest_quarry.simulation.recorder import Recorder
from pytest_quarry.simulation.schedule import RETURN, Crash
from pytest_quarry.simulation.trouble import Trouble
from pytest_quarry.simulation.turn import Going, Outcome, Turn
from pytest_quarry.simulation.world import DIRECTORIES, EPOCH, SECOND, World

CPU_MARGIN = 60
MOST_LINGERING = 3  # times that what was left to threads may stand still, and go on


class Drive:
    """The consumer's processes, one after another, in one world."""

    def __init__(
        self, world: World, parent: Parent, recorder: Recorder, trouble: Trouble, play: Play, *, worker: int = 1
    ) -> None:
        self._world, self._parent, self._recorder, self._play = world, parent, recorder, play
        self._worker = worker
        self.lane = 0  # the worker's number while there are two
        self._incarnation = 0
        self._busy = self._lingers = self._starting = self.company = False
        self._process: ConsumerProcess | CommandProcess | None = None
        self.takes: str | None = None
        self.reconciles = False
        self._grants = Grants(world, recorder, trouble, worker)
        self._power = PowerLog(world.root)
        self.hung = self.by_a_program = False
        recorder.processes.append(self._let_go)
        self.output, self.stack = "", ""

    def executes(self, execute: Callable[[str], Any]) -> None:
        """What carries out a run that a publisher wraps."""
        self._grants.execute = execute

    @property
    def running(self) -> bool:
        """Whether a consumer process is there."""
        return self._process is not None

    def start(self, turn: Turn) -> Going[Outcome | None]:
        """Start the consumer where it is not running; None when it is, or how its start ended."""
        if self._process is not None:
            return None
        self._recorder.incarnations += 1
        self._incarnation = self._recorder.incarnations
        self._speak()
        self._recorder.restored()
        self._recorder.record("started", "the consumer" if self._incarnation == 1 else "the consumer again")
        self._process = self._new_process()
        self._starting = True
        outcome = yield from self._go_on(turn)
        self._starting = False
        return None if outcome.returned and self.takes else outcome

    def do(self, call: Call, turn: Turn) -> Going[Outcome]:
        """Let the consumer take one turn."""
        assert self._process is not None
        self._speak()
        self._recorder.expect(())
        self._process.send(call._replace(now=self._world.now))
        return (yield from self._go_on(turn))

    def linger(self, turn: Turn) -> Going[None]:
        """The turn was acknowledged; what it left to threads and tasks goes on."""
        for _ in range(MOST_LINGERING):
            if self._process is None or not self._busy:
                return
            yield from self.attend(turn)

    def attend(self, turn: Turn) -> Going[None]:
        """Let its threads and tasks go on, those too who sleep until now."""
        assert self._process is not None
        self._busy = False
        turn.leaves()
        self._process.send(Call("linger", now=self._world.now))
        self._lingers = True
        yield from self._go_on(turn)
        self._lingers = False

    def alone(self) -> None:
        """From now on it is the only worker."""
        self.lane = 0
        self._speak()

    def _speak(self) -> None:
        """What is recorded from now on is this process's."""
        self._recorder.incarnation, self._recorder.worker = self._incarnation, self.lane

    def _go_on(self, turn: Turn) -> Going[Outcome]:
        assert self._process is not None
        while True:
            try:
                message = self._process.receive(contended=turn.contended)
            except Hung as hung:
                if turn.contended:
                    yield Boundary("wait for what the other worker holds", call=Blocked(None, unseen=True))
                    self._speak()
                    if turn.retry:
                        turn.retry = False
                        continue
                return self._give_up(str(hung), hung.stack)
            self._note_process()
            goes_on = isinstance(message, Boundary)
            self._recorder.look(observe=self._play.observe or not goes_on, thorough=not goes_on)
            if isinstance(message, Boundary):
                yield message
                self._speak()
                outcome = self._at_boundary(message, turn)
                if outcome is not None:
                    return outcome
            elif isinstance(message, Started) and message.command is not None:
                self._process.kill()
                self._world.gone(self._process)
                self._process = self._program(message.command)
            elif isinstance(message, Started):
                self.takes, self.reconciles, self.company = message.takes, message.reconciles, message.company
                return Outcome(True)
            else:
                return self._over(message, turn)

    def _new_process(self) -> ConsumerProcess | CommandProcess:
        command = self._parent.home.consumer.command
        if command is not None:
            return self._program(command)
        birth, seconds = self._birth(), self._play.limits.seconds
        return self._world.born(
            lambda: ConsumerProcess(self._parent, birth, self._world.made_up, guard_seconds=seconds)
        )

    def _program(self, command: Command) -> CommandProcess:
        self.by_a_program = True
        seconds, made_up = self._play.limits.seconds, self._world.made_up
        process = CommandProcess(command, self._parent.home, self._birth(), made_up, guard_seconds=seconds)
        self._world.watch.look(self._world.now)  # where its prints will be kept is no doing of its own
        return process

    def _note_process(self) -> None:
        """Whom it reached; and of a program what it was refused, and what of it cannot be seen."""
        assert self._process is not None
        self._recorder.servers.update(dict.fromkeys(self._process.servers))
        if isinstance(self._process, CommandProcess):
            for words in self._process.remarks():
                self._recorder.record("failed", words)
            self._recorder.blind |= self._process.blind
            self._recorder.not_exercised.update(dict.fromkeys(self._process.not_exercised))

    def _over(self, message: Any, turn: Turn) -> Outcome:
        if isinstance(message, Returned):
            self._busy, self.company = message.busy, message.company
            if message.unheld:
                self._recorder.not_exercised[UNHELD] = None
            return Outcome(True) if self._lingers else self._return(message, turn)
        if isinstance(message, Raised):
            return self._raised(message)
        if isinstance(message, Unusable):
            self.kill()
            raise ConsumerError(message.words)
        assert isinstance(message, Ended), message
        self._recorder.record("ended", f"its own process, with status {message.status}")
        if isinstance(self._process, ConsumerProcess):
            self.stack = self._process.last_stack()
        self.kill()
        return Outcome(False)

    def _return(self, message: Returned, turn: Turn) -> Outcome:
        turn.crossed[RETURN] += 1
        self._recorder.record("returned", RETURN)
        if turn.ends_at(RETURN):
            turn.reached = True
            if turn.crash is not None and turn.crash.power is not None:
                self._lose_power("after it returned", turn.crash.power)
            else:
                self._recorder.record("killed", "after it returned, before anybody was told")
                self.kill()
            return Outcome(False)
        return Outcome(True, message.value)

    def _raised(self, message: Raised) -> Outcome:
        starting = self._starting
        self._recorder.record("raised", f"{'start raised ' if starting else ''}{message.summary}")
        self.stack = message.stack
        if starting:
            self.kill()
        return Outcome(False)

    def _at_boundary(self, boundary: Boundary, turn: Turn) -> Outcome | None:
        assert self._process is not None
        if self._lingers and turn.only_naps(boundary, self._recorder.state):
            self._process.send(Later(self._world.now))
            return None
        turn.boundaries += 1
        turn.crossed[boundary.label] += 1
        if self._recorder.incarnations == 1:
            turn.sleeps(boundary, self._recorder.state)
        endless = turn.endless(boundary, self._play.limits.boundaries)
        if endless:
            return self._give_up(endless, self._process.stack())
        if turn.ends_at(boundary.label):
            turn.reached = True
            turn.wakes = None  # the process that comes after it does not sleep
            return self._crash(boundary, turn.crash)
        if self._play.power:
            self._power.before(boundary)
        if turn.refused:
            turn.refused = False
            words = f"{errno.EDEADLK} {os.strerror(errno.EDEADLK)}"
            self._recorder.record("failed", f"{boundary.label}: a deadlock")
            self._process.send(Fail(self._world.now, "OSError", words))
            return None
        if isinstance(boundary.call, Blocked) and not turn.retry:
            if boundary.call.until is None:
                return self._give_up(f"{boundary.label}: nobody will release it", self._process.stack())
            self._world.advance(max(0, boundary.call.until - self._world.now) / SECOND)
        turn.retry = False
        if isinstance(boundary.call, Sleep) and turn.wakes is not None:
            left = max(0, turn.wakes - self._world.now) / SECOND
            boundary = boundary._replace(call=boundary.call._replace(seconds=left))
        turn.wakes = None
        self._process.send(self._grants.answer(boundary, turn))
        return None

    def _crash(self, boundary: Boundary, crash: Crash | None) -> Outcome:
        assert self._process is not None
        assert crash is not None
        if crash.power is not None:
            self._lose_power(f"before {boundary.label}", crash.power)
            return Outcome(False)
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
        return Outcome(False)

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
        return Outcome(False)

    def kill(self) -> None:
        """End the process, if there is one; its memory is gone."""
        if self._process is None:
            return
        self._process.kill()
        self._world.gone(self._process)
        self._world.wait_for_endpoint()
        self._keep_output()
        self._process = None
        self._world.target.forget_open(self._worker)

    def _let_go(self) -> None:
        """End the process at once, wherever it stands; it is looked after later."""
        if self._process is not None:
            self._process.end_at_once()

    def end_between_turns(self) -> Going[None]:
        """End the process, if there is one: a program that works by itself is asked to, and killed where it does not."""
        if self._process is None:
            return
        self._speak()
        asked = self._process.ask_to_end() if isinstance(self._process, CommandProcess) else ""
        if not asked:
            self._recorder.record("killed", "between two turns")
            self.kill()
            return
        self._recorder.record("killed", f"between two turns, by {asked}")
        yield from self._go_on(Turn())
        if isinstance(self._process, CommandProcess) and not self._process.is_over:
            self._recorder.record("killed", f"by SIGKILL: it ignored {asked}")
        self.kill()

    def end(self, who: str) -> None:
        """Kill the process between two turns, or while it waits for what another keeps."""
        self._speak()
        self._recorder.record("killed", f"{who} is not needed any more")
        self.kill()

    def stop(self) -> None:
        """End the process at the end of the world, by itself where that saves coverage."""
        if self._process is not None:
            if _measuring_coverage():
                self._process.stop()
            else:
                self._process.kill()
            self._world.gone(self._process)
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
                self._process.send(self._grants.grant(message))
            else:
                return message.value if isinstance(message, Returned) else None

    def _keep_output(self) -> None:
        assert self._process is not None
        self.output = (self.output + self._process.output())[-20_000:]

    def _birth(self) -> Birth:
        world, incarnation = self._world, self._incarnation
        return Birth(
            output=str(world.outputs / f"{incarnation}.out"),
            stack=str(world.outputs / f"{incarnation}.stack"),
            now=world.now,
            seed=world.seed * 1_000_003 + incarnation,
            world_seed=world.seed,
            incarnation=incarnation,
            reads=self._play.reads,
            guard=self._play.limits.seconds,
            endpoint=world.served,
            inline=self._play.inline == incarnation,
            closer=self._play.closer,
        )


def home(world: World, consumer: Consumer, play: Play) -> Home:
    """What all processes of a consumer in this world have in common."""
    return Home(
        consumer=consumer,
        world=world,
        directories=tuple((str(world.root / name), name) for name in DIRECTORIES),
        environment=(*DUMMY_ENVIRONMENT.items(), ("TMPDIR", str(world.tmp))),
        temporary=str(world.tmp),
        epoch=EPOCH,
        cpu_seconds=int(play.limits.seconds) + CPU_MARGIN,
        debugged=bool(play.inline),
    )


def _measuring_coverage() -> bool:
    coverage = sys.modules.get("coverage")
    return coverage is not None and coverage.Coverage.current() is not None
