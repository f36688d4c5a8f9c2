"""`simulate`: executes a schedule against a consumer in a fresh world. The only loop that moves a world."""

from __future__ import annotations

import contextlib
import copy
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pytest_quarry.bus import names
from pytest_quarry.bus.delivery import Mailbox, Message, failed_identifiers
from pytest_quarry.consumers.consumer import Consumer, ConsumerError
from pytest_quarry.consumers.hooks import aws
from pytest_quarry.consumers.protocol import Call
from pytest_quarry.contract import Layout, lambda_event, lambda_record, message_attributes, sns_envelope
from pytest_quarry.contract.notification import EVENT_TYPE, minimal, run_completed
from pytest_quarry.simulation import places, planned
from pytest_quarry.simulation.drive import Drive, Limits, Turn
from pytest_quarry.simulation.history import History, RunView
from pytest_quarry.simulation.recorder import Recorder
from pytest_quarry.simulation.schedule import (
    Crash,
    Deliver,
    Notify,
    PlannedRun,
    Poll,
    Restart,
    Schedule,
    Step,
    Wait,
    Write,
)
from pytest_quarry.simulation.world import SECOND, World
from pytest_quarry.storage import Stop

# What the world owes before it accuses: time for visibility timeouts, then for claims of any sane length.
PATIENCE = (31, 31, 31, 60, 300, 900, 3_600, 21_600, 86_400, 86_400)
POLL_EVERY = 60
IDLE_POLLS = 3
MOST_POLLS = 16
BATCH = 10  # SQS's largest
MOST_SEEN = 1000

_seen: dict[Any, tuple[RunView, ...]] = {}


def simulate(
    schedule: Schedule,
    consumer: Consumer,
    *,
    limits: Limits | None = None,
    peek: bool = False,
    observe: Literal["boundaries", "turns"] = "boundaries",
) -> History:
    """Execute a schedule in a fresh world and say what happened.

    `observe`: whether the target is read at every durable change, or only between turns and after kills. `peek`: also
    ask how many rows the suite's `rows` sees inside the consumer's process.

    Deterministic: the same schedule and consumer give an equal history. Nothing sleeps, nothing touches a network, no
    process is left. Raises ConsumerError where a hook of the suite cannot work.
    """
    world = World(places.base(), layout=consumer.layout, seed=schedule.seed)
    try:
        with _routed(world):
            return _Simulation(world, schedule, consumer, limits or Limits(), observe == "boundaries").run(peek)
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
    limits: Limits
    observe: bool

    def __post_init__(self) -> None:
        self.mailbox = Mailbox()
        self.views: dict[str, RunView] = {}
        self.begun: dict[str, int] = {}
        self.written: list[Write] = []
        _prepare(self.consumer, self.world)
        self.recorder = Recorder(self.world, self.consumer, self.mailbox)
        self.drive = Drive(self.world, self.consumer, self.recorder, self.limits, self.observe)

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
            rows = self.recorder.final_rows()
            peeked = self.drive.peek() if peek else None
            self.drive.stop()
        finally:
            self.drive.kill()
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
                self._deliver(step.messages, step.crash)
            case Poll():
                self._poll(step.crash)
            case Restart():
                self._restart()
            case Wait():
                self._wait(step.seconds)

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
        key = (self.consumer, self.schedule.runs, tuple(self.written))
        if key not in _seen:
            if len(_seen) > MOST_SEEN:
                _seen.clear()
            _seen[key] = planned.views(self.world.storage_root, self.consumer.layout, self.consumer)
        return _seen[key]

    def _notify(self, step: Notify) -> None:
        plan = self.schedule.run(step.run)
        run = planned.build(plan, self.consumer)
        make = minimal if step.form == "minimal" else run_completed
        stamp = _stamp(self.world.now)
        body = make(run, root_url=self.world.storage_url, timestamp=stamp, layout=Layout(self.consumer.layout))
        body = _formed(body, step)
        attributes = {} if step.form == "bare" else message_attributes(run)
        message = self.mailbox.accept(step.run, body, attributes, self.world.now)
        self.recorder.look(observe=False)
        form = "" if step.form == "full" else f" ({step.form})"
        self.recorder.record("notified", f"{step.run} (#{message.number}){form}", messages=(message.number,))
        self.world.advance(1)

    def _deliver(self, numbers: Sequence[int], crash: Crash | None) -> None:
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

    def _invoke(self, numbers: Sequence[int], turn: Turn) -> None:
        messages = self.mailbox.receive(numbers)
        self.recorder.record("delivered", _delivered(messages), messages=tuple(numbers))
        records = [self._record(message) for message in messages]
        outcome = self.drive.do(Call("handle", lambda_event(records)), turn)
        if outcome.how != "returned":
            return
        failed = failed_identifiers(outcome.value, [record["messageId"] for record in records])
        if failed is None:
            self.recorder.record("raised", f"the batch failed: it answered {outcome.value!r}"[:300])
            return
        self._acknowledge([m for m, record in zip(messages, records, strict=True) if record["messageId"] not in failed])

    def _record(self, message: Message) -> dict[str, Any]:
        identifier = f"00000000-0000-4000-8000-{message.number:012d}"
        body = json.dumps(message.body)
        raw = self.consumer.raw_delivery
        if not raw:
            envelope = sns_envelope(
                body,
                message_id=identifier,
                topic_arn=names.TOPIC_ARN,
                timestamp=_stamp(message.sent, "milliseconds"),
                attributes=message.attributes,
            )
            body = json.dumps(envelope)
        return lambda_record(
            body,
            message_id=identifier,
            receipt_handle=f"receipt-{message.number}-{message.receives}",
            queue_arn=names.QUEUE_ARN,
            receive_count=message.receives,
            sent_ms=message.sent // 1000,
            received_ms=self.world.now // 1000,
            attributes=message.attributes if raw else None,
        )

    def _acknowledge(self, messages: Sequence[Message]) -> None:
        new = [message for message in messages if message.waiting]
        for message in new:
            message.acknowledged = True
        if new:
            self.recorder.record("acknowledged", _delivered(new), messages=tuple(m.number for m in new))
            self.recorder.look(observe=False)

    def _poll(self, crash: Crash | None) -> None:
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

    def _restart(self) -> None:
        if self.drive.running:
            self.recorder.record("killed", "between two turns")
            self.drive.kill()

    def _wait(self, seconds: float) -> None:
        self.recorder.record("waited", f"{seconds:g} s")
        self.world.advance(seconds)

    def _settle(self) -> None:
        """Faults are over: give the consumer all that the world owes it, then stop."""
        self.recorder.record("settling", "no more disturbances")
        if self.consumer.kind == "poller":
            self._settle_poller()
        else:
            self._settle_handler()
        self.recorder.look()
        if not self.drive.hung:
            self.recorder.record("settled", "nothing more to do")

    def _settle_handler(self) -> None:
        for seconds in PATIENCE:
            if not self.mailbox.waiting():
                return
            self._wait(seconds)
            for message in self.mailbox.redrive():
                self.recorder.record("dead-lettered", f"#{message.number}", messages=(message.number,))
            waiting = [message.number for message in self.mailbox.waiting()]
            for start in range(0, len(waiting), BATCH):
                self._deliver(waiting[start : start + BATCH], None)
                if self.drive.hung:
                    return
        for message in self.mailbox.waiting():
            self.recorder.record("gave-up", f"#{message.number} is still not acknowledged", messages=(message.number,))

    def _settle_poller(self) -> None:
        idle = 0
        for number in range(MOST_POLLS):
            self._wait(POLL_EVERY if number < IDLE_POLLS else PATIENCE[min(number - IDLE_POLLS, len(PATIENCE) - 1)])
            state, entries = self.recorder.state, len(self.recorder.entries)
            self._poll(None)
            if self.drive.hung:
                return
            failed = any(entry.what in ("raised", "ended") for entry in self.recorder.entries[entries:])
            idle = idle + 1 if self.recorder.state == state and not failed else 0
            if number + 1 >= IDLE_POLLS and idle >= 1 and not self._missing():
                return
        if idle == 0:
            self.recorder.record("gave-up", f"not idle after {MOST_POLLS} polls")

    def _missing(self) -> bool:
        """Whether some due run shows too few rows: then the world still owes time, not a verdict."""
        self.recorder.look()
        loaded = {row.run_id for row in self.recorder.rows}
        return any(view.standing == "due" and view.items and run not in loaded for run, view in self.views.items())


def _prepare(consumer: Consumer, world: World) -> None:
    try:
        consumer.prepare(world)
    except Exception as error:
        raise ConsumerError(
            f"{consumer.name}.prepare(world) raised {type(error).__name__}: {error}. It runs once per world, before the "
            "first start, in the test's own process."
        ) from error


def _stamp(now: int, timespec: str = "seconds") -> str:
    import datetime

    moment = datetime.datetime.fromtimestamp(now / SECOND, datetime.UTC)
    return moment.isoformat(timespec=timespec).replace("+00:00", "Z")


def _formed(body: dict[str, Any], step: Notify) -> dict[str, Any]:
    body = copy.deepcopy(body)
    if step.outcome is not None:
        body["outcome"] = step.outcome
    if step.form == "extra":
        body |= {"schema_hint": {"since": "0.14"}, "tags": ["nightly"], "priority": None}
    elif step.form == "reordered":
        body = dict(reversed(body.items()))
    elif step.form == "other-event":
        body["event_type"] = "run_started"
    return body


def _delivered(messages: Sequence[Message]) -> str:
    return ", ".join(f"{message.run_id} (#{message.number})" for message in messages)


def _written(plan: PlannedRun, step: Write, views: dict[str, RunView]) -> str:
    view = views.get(plan.run_id)
    state = view.state if view is not None else "invisible"
    where = "" if step.window is None else f", writer in window {step.window}"
    return f"{plan.run_id} {state}, {plan.items} items{where}"
