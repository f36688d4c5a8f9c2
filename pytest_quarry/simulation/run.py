"""`simulate`: executes a schedule against a consumer in a fresh world. The only loop that moves a world."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pytest_quarry.bus import faults
from pytest_quarry.bus.delivery import Mailbox, Message, failed_identifiers
from pytest_quarry.consumers.consumer import Consumer, ConsumerError
from pytest_quarry.consumers.hooks import aws
from pytest_quarry.consumers.protocol import Call
from pytest_quarry.contract import message_attributes
from pytest_quarry.contract.notification import EVENT_TYPE
from pytest_quarry.simulation import damage, messages, places, planned, settle
from pytest_quarry.simulation.drive import Drive, Play, Turn
from pytest_quarry.simulation.history import History, RunView
from pytest_quarry.simulation.recorder import Recorder
from pytest_quarry.simulation.schedule import (
    Break,
    Crash,
    Damage,
    Deliver,
    Heal,
    Litter,
    Notify,
    PlannedRun,
    Poll,
    Restart,
    Schedule,
    Step,
    Wait,
    Write,
)
from pytest_quarry.simulation.trouble import Trouble
from pytest_quarry.simulation.world import World
from pytest_quarry.storage import Stop

MOST_SEEN = 1000

_seen: dict[Any, tuple[RunView, ...]] = {}


def simulate(schedule: Schedule, consumer: Consumer, play: Play | None = None, *, peek: bool = False) -> History:
    """Execute a schedule in a fresh world and say what happened.

    `play` says how much is observed and when a consumer counts as hung. `peek`: also ask how many rows the suite's
    `rows` sees inside the consumer's process.

    Deterministic: the same schedule and consumer give an equal history. Nothing sleeps, nothing touches a network, no
    process is left. Raises ConsumerError where a hook of the suite cannot work.
    """
    world = World(places.base(), layout=consumer.layout, storage=consumer.storage, seed=schedule.seed)
    try:
        with _routed(world):
            return _Simulation(world, schedule, consumer, play or Play()).run(peek)
    finally:
        world.close()


@contextlib.contextmanager
def _routed(world: World) -> Iterator[None]:
    """Hooks that run in the world's process reach this world's AWS, and no other."""
    wanted = (*aws.DUMMY_ENVIRONMENT, *aws.DROPPED_ENVIRONMENT)
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(aws.DUMMY_ENVIRONMENT)
    for name in aws.DROPPED_ENVIRONMENT:
        os.environ.pop(name, None)
    aws.route(world.aws)
    try:
        yield
    finally:
        aws.route(None)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@dataclass
class _Simulation:
    world: World
    schedule: Schedule
    consumer: Consumer
    play: Play

    def __post_init__(self) -> None:
        self.mailbox = Mailbox()
        self.trouble = Trouble()
        self.views: dict[str, RunView] = {}
        self.begun: dict[str, int] = {}
        self.written: list[Write] = []
        self.versions: dict[str, list[bytes]] = {
            step.file: [] for step in self.schedule.steps if isinstance(step, Damage) and step.how == "older"
        }
        self.lasting = any(isinstance(step, Break) and step.lasting for step in self.schedule.steps)
        _prepare(self.consumer, self.world)
        self.recorder = Recorder(self.world, self.consumer, self.mailbox)
        self.drive = Drive(self.world, self.consumer, self.recorder, self.trouble, self.play)

    def run(self, peek: bool) -> History:
        try:
            for number, step in enumerate(self.schedule.steps, 1):
                self.recorder.step = number
                self._do(step)
                if self.drive.hung:
                    break
            self.recorder.step = len(self.schedule.steps) + 1
            if not self.drive.hung:
                self._settle()
            self.trouble.heal(all_of_them=True)
            rows = self.recorder.final_rows()
            peeked = self.drive.peek() if peek else None
            self.drive.stop()
        finally:
            self.drive.kill()
        self._note_unmet()
        return self.recorder.history(
            rows=rows,
            notified={
                message.number: message.run_id
                for message in self.mailbox.messages
                if message.body["event_type"] == EVENT_TYPE
            },
            peeked=peeked,
            output=self.drive.output,
            stack=self.drive.stack,
        )

    def _do(self, step: Step) -> None:
        match step:
            case Write():
                self._write(step)
            case Notify():
                self._notify(step)
            case Deliver():
                self.deliver(step.messages, step.crash)
            case Poll():
                self.poll(step.crash)
            case Restart():
                self._restart()
            case Wait():
                self.wait(step.seconds)
            case Break():
                self.trouble.begin(step, self.world.bucket_keys() if step.error == faults.LAG else frozenset())
                self.recorder.record("broke", _broken(step))
            case Heal():
                self.trouble.heal()
                self.recorder.record("healed", "what was broken")
            case Damage():
                self._damage(step)
            case Litter():
                self.world.litter(step.key, step.content.encode())
                self.recorder.record("littered", step.key)

    def _write(self, step: Write) -> None:
        plan = self.schedule.run(step.run)
        run = planned.build(plan, self.consumer)
        stop = None if step.window is None else Stop(step.window, step.flush)
        begun = step.run in self.begun
        writer = self.world.writer(self.begun.setdefault(step.run, step.clock))
        if begun:
            writer.resume(run)
        else:
            writer.write(run, stop=stop, flush_twice=plan.stored_twice)
        self.world.advance(1)
        self.written.append(step)
        seen = self._views()
        new = tuple(view for view in seen if self.views.get(view.run_id) != view)
        self.views.update((view.run_id, view) for view in new)
        self.recorder.record("wrote", _written(plan, step, self.views), runs=new)

    def _views(self) -> tuple[RunView, ...]:
        """What a correct reader sees now: the same for every schedule that writes the same."""
        broken = tuple(step.at for step in self.schedule.steps if isinstance(step, Break) and step.lasting)
        key = (self.consumer, self.schedule.runs, tuple(self.written), broken)
        if key not in _seen:
            if len(_seen) > MOST_SEEN:
                _seen.clear()
            views = planned.views(self.world.stored, self.consumer)
            _seen[key] = tuple(planned.unless_broken(view, broken) for view in views)
        return _seen[key]

    def _notify(self, step: Notify) -> None:
        run = planned.build(self.schedule.run(step.run), self.consumer)
        body = messages.body(
            run, step, root_url=self.world.storage_url, layout=self.consumer.layout, now=self.world.now
        )
        attributes = {} if step.form == "bare" else message_attributes(run)
        message = self.mailbox.accept(step.run, body, attributes, self.world.now)
        self.recorder.look(observe=False)
        form = "" if step.form == "full" else f" ({step.form})"
        self.recorder.record("notified", f"{step.run} (#{message.number}){form}", messages=(message.number,))
        self.world.advance(1)

    def deliver(self, numbers: tuple[int, ...], crash: Crash | None) -> None:
        """Give the consumer these messages in one batch."""
        self._keep_versions()
        turn = Turn(crash)
        started = self.drive.start(turn)
        if started is None and self.drive.takes == "lambda":
            self._invoke(numbers, turn)
        elif started is None:
            for number in numbers:
                if not self.drive.running or self.drive.hung:
                    self.mailbox.receive((number,))  # received in the same batch, and lost with the process
                    continue
                self._handle(number, turn)
        else:
            self.mailbox.receive(numbers)
        self._after(turn)

    def _handle(self, number: int, turn: Turn) -> None:
        (message,) = self.mailbox.receive((number,))
        self.recorder.record("delivered", _delivered([message]), messages=(number,))
        outcome = self.drive.do(Call("handle", json.loads(json.dumps(message.body))), turn)
        if outcome.how == "returned":
            self._acknowledge([message])

    def _invoke(self, numbers: tuple[int, ...], turn: Turn) -> None:
        batch = self.mailbox.receive(numbers)
        self.recorder.record("delivered", _delivered(batch), messages=numbers)
        event = messages.event(batch, raw=self.consumer.raw_delivery, now=self.world.now)
        outcome = self.drive.do(Call("handle", event), turn)
        if outcome.how != "returned":
            return
        failed = failed_identifiers(outcome.value, [messages.identifier(message) for message in batch])
        if failed is None:
            self.recorder.record("raised", f"the batch failed: it answered {outcome.value!r}"[:300])
            return
        self._acknowledge([message for message in batch if messages.identifier(message) not in failed])

    def _acknowledge(self, done: list[Message]) -> None:
        new = [message for message in done if message.waiting]
        for message in new:
            message.acknowledged = True
        if new:
            self.recorder.record("acknowledged", _delivered(new), messages=tuple(m.number for m in new))
            self.recorder.look(observe=False)

    def poll(self, crash: Crash | None) -> None:
        """Let the poller take one turn."""
        self._keep_versions()
        turn = Turn(crash)
        started = self.drive.start(turn)
        if started is None:
            self.recorder.record("polled", "polls")
            self.drive.do(Call("poll"), turn)
        self._after(turn)

    def _after(self, turn: Turn) -> None:
        if turn.crash is not None and not turn.reached:
            crash = turn.crash
            self.recorder.unreached.append(f"step {self.recorder.step}: {crash.label} (occurrence {crash.occurrence})")
        self.world.advance(1)

    def _note_unmet(self) -> None:
        for step in self.schedule.steps:
            if isinstance(step, Break) and step not in self.trouble.met:
                self.recorder.unreached.append(f"a boundary to break: {_broken(step)}")

    def _restart(self) -> None:
        if self.drive.running:
            self.recorder.record("killed", "between two turns")
            self.drive.kill()

    def _damage(self, step: Damage) -> None:
        """Damage a file, if that leaves the target whole: only what the consumer notes for itself is damaged."""
        self._restart()
        path = self.world.disk / step.file
        before, content = self.recorder.read_or_none(), path.read_bytes() if path.is_file() else b""
        older = [version for version in self.versions.get(step.file, ()) if version != content]
        done = damage.apply(path, step.how, older[-1] if older else None)
        if done and self.recorder.read_or_none() != before:
            path.write_bytes(content)
            done = False
        self.recorder.expect((f"disk/{step.file}",))
        if done:
            self.recorder.record("damaged", f"{step.file}: {step.how}")
            self.recorder.look()
        else:
            self.recorder.look()
            self.recorder.unreached.append(f"step {self.recorder.step}: {step.file} cannot be damaged ({step.how})")

    def _keep_versions(self) -> None:
        """Keep what files that will be set back hold before a turn."""
        for file, versions in self.versions.items():
            path = self.world.disk / file
            if path.is_file():
                versions.append(path.read_bytes())

    def wait(self, seconds: float) -> None:
        """Let virtual time pass."""
        self.recorder.record("waited", f"{seconds:g} s")
        self.world.advance(seconds)

    def _settle(self) -> None:
        """Faults are over: give the consumer all that the world owes it, then stop."""
        self.trouble.heal()
        self.recorder.record("settling", "no more disturbances")
        (settle.poller if self.consumer.kind == "poller" else settle.handler)(self)
        self.recorder.look()
        if not self.drive.hung:
            self.recorder.record("settled", "nothing more to do")


def _prepare(consumer: Consumer, world: World) -> None:
    try:
        consumer.prepare(world)
    except Exception as error:
        raise ConsumerError(
            f"{consumer.name}.prepare(world) raised {type(error).__name__}: {error}. It runs once per world, before the "
            "first start, in the test's own process."
        ) from error


def _delivered(batch: list[Message]) -> str:
    return ", ".join(f"{message.run_id} (#{message.number})" for message in batch)


def _written(plan: PlannedRun, step: Write, views: dict[str, RunView]) -> str:
    view = views.get(plan.run_id)
    state = view.state if view is not None else "invisible"
    where = "" if step.window is None else f", writer in window {step.window}"
    return f"{plan.run_id} {state}, {plan.items} items{where}"


def _broken(step: Break) -> str:
    often = "for ever" if step.lasting else f"{step.times} times" if step.times else "from then on"
    after = f" after {step.skip}" if step.skip else ""
    return f"{step.at}: {step.error} {often}{after}"
