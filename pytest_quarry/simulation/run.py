"""`simulate`: executes a schedule against a consumer in a fresh world. The only loop that moves a world."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pytest_quarry.bus import faults
from pytest_quarry.bus.delivery import Mailbox
from pytest_quarry.bus.topology import Topology
from pytest_quarry.consumers import processors
from pytest_quarry.consumers.consumer import Consumer, ConsumerError
from pytest_quarry.consumers.hooks import no_escape
from pytest_quarry.consumers.protocol import Call
from pytest_quarry.consumers.zygote import Here
from pytest_quarry.simulation import afterwards, damage, drive, overlap, places, planned, settle, written
from pytest_quarry.simulation.deliveries import Ack, Deliveries
from pytest_quarry.simulation.drive import Drive
from pytest_quarry.simulation.history import History
from pytest_quarry.simulation.overlap import Lane
from pytest_quarry.simulation.play import Play
from pytest_quarry.simulation.publishing import Publishing
from pytest_quarry.simulation.recorder import Recorder
from pytest_quarry.simulation.run_views import RunViews
from pytest_quarry.simulation.schedule import (
    Break,
    Crash,
    Damage,
    Deliver,
    Heal,
    Litter,
    Notify,
    Overlap,
    Poll,
    Publish,
    Restart,
    Schedule,
    Step,
    Wait,
    Write,
)
from pytest_quarry.simulation.trouble import Trouble
from pytest_quarry.simulation.turn import Going, Turn, finish
from pytest_quarry.simulation.world import World
from pytest_quarry.storage import Stop


def simulate(schedule: Schedule, consumer: Consumer, play: Play | None = None, *, peek: bool = False) -> History:
    """Execute a schedule in a fresh world and say what happened.

    `play` says how much is observed and when a consumer counts as hung. `peek`: also ask how many rows the suite's
    `rows` sees inside the consumer's process.

    Deterministic: the same schedule and consumer give an equal history. Nothing sleeps, nothing touches a network, no
    process is left. Raises ConsumerError where a hook of the suite cannot work, or there is no room for a world.
    """
    with processors.one():
        return _executed(schedule, consumer, play or Play(), peek)


def _executed(schedule: Schedule, consumer: Consumer, play: Play, peek: bool) -> History:
    # Hooks that run in this process reach this world's AWS, and no other.
    with places.room(), contextlib.closing(_world_of(consumer, schedule.seed)) as world, no_escape.closed(world.aws):
        history = _Simulation(world, schedule, consumer, play).run(peek)
    if not play.afterwards:
        return history
    with places.room(), contextlib.closing(_world_of(consumer, schedule.seed)) as other:
        return replace(history, outlived=afterwards.outlived(history, consumer, world, other))


def _world_of(consumer: Consumer, seed: int) -> World:
    return World(
        places.base(),
        layout=consumer.layout,
        storage=consumer.storage,
        seed=seed,
        topology=Topology(raw=consumer.raw_delivery, filter_policy=consumer.filter_policy, fifo=consumer.fifo),
    )


@dataclass
class _Simulation:
    world: World
    schedule: Schedule
    consumer: Consumer
    play: Play

    def __post_init__(self) -> None:
        self.mailbox = Mailbox(self.world.topology.max_receives)
        self.trouble = Trouble(self.world.faults)
        self._run_views = RunViews(self.world, self.schedule, self.consumer)
        self.views = self._run_views.now
        self.begun: dict[str, int] = {}
        self.written: list[Write | Litter] = []
        self.trees: dict[int, frozenset[str]] = {}
        self.versions: dict[str, list[bytes]] = {
            step.file: [] for step in self.schedule.steps if isinstance(step, Damage) and step.how == "older"
        }
        self.lasting = any(isinstance(step, Break) and step.lasting for step in self.schedule.steps)
        _prepare(self.consumer, self.world)
        self.recorder = Recorder(self.world, self.consumer, self.mailbox)
        home = drive.home(self.world, self.consumer, self.play)
        self.parent = Here(home) if self.play.nursery is None else self.play.nursery.of(home)
        self.drive = Drive(self.world, self.parent, self.recorder, self.trouble, self.play)
        self.publishing = Publishing(self)
        self.drive.executes(self.publishing.execute)
        self.deliveries = Deliveries(self.world, self.consumer, self.recorder, self.mailbox, self.drive)

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
            late = len(self.recorder.final_rows()) if peeked and not rows else 0
            truths = self.publishing.truths() if self.consumer.kind == "publisher" else {}
            self.drive.stop()
        finally:
            self.drive.kill()
        self._note_unmet()
        return self.recorder.history(
            rows=rows,
            notified=self.deliveries.notified,
            takes=self.drive.takes or "",
            by_a_program=self.drive.by_a_program,
            closer=self.play.closer,
            peeked=peeked,
            late=late,
            truths=truths,
            trees=self.trees,
            output=self.drive.output,
            stack=self.drive.stack,
        )

    def _do(self, step: Step) -> None:
        match step:
            case Write():
                self.write(step)
            case Notify():
                self.deliveries.notify(planned.build(self.schedule.run(step.run), self.consumer), step)
            case Deliver():
                self.deliver(step.messages, step.crash, step.ack)
            case Poll():
                self.poll(step.crash)
            case Overlap():
                self._overlap(step)
            case Publish():
                self._publish(step)
            case Restart():
                self.restart()
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
                self.written.append(step)
                self.recorder.storage_written()
                self.recorder.record("littered", step.key)
                self._note_tree()

    def write(self, step: Write) -> None:
        """The writer goes on with a run."""
        plan = self.schedule.run(step.run)
        run = planned.build(plan, self.consumer)
        stop = None if step.window is None else Stop(step.window, step.flush)
        begun = step.run in self.begun
        writer = self.world.writer(self.begun.setdefault(step.run, step.clock), step.run)
        if begun:
            writer.resume(run)
        else:
            writer.write(run, stop=stop, flush_twice=plan.stored_twice)
        self.world.advance(1)
        self.written.append(step)
        self.recorder.storage_written()
        new = self._run_views.wrote(step.run, list(self.begun), self.written)
        told = written.told(step, self.schedule, self.begun[step.run], self.views)
        self.recorder.record("wrote", told, runs=new)
        self._note_tree()

    def _note_tree(self) -> None:
        if self.play.trees:
            self.trees[len(self.recorder.entries) - 1] = self.world.storage_keys()

    def deliver(self, numbers: tuple[int, ...], crash: Crash | None, ack: Ack = "kept") -> None:
        """Give the consumer these messages."""
        self._keep_versions()
        turn = Turn(crash)
        finish(self.deliveries.deliver(numbers, turn, ack))
        self._after(turn)

    def work(self) -> None:
        """Let a worker receive whatever is there."""
        turn = Turn()
        finish(self.deliveries.work(turn))
        self._after(turn)

    def reconcile(self) -> None:
        """Let it look for runs nobody told it of: by its reconcile(), or at a start where it has none."""
        turn = Turn()
        if not self.drive.reconciles:
            self.restart()
        if finish(self.drive.start(turn)) is None and self.drive.reconciles:
            self.recorder.record("polled", "reconciles")
            finish(self.drive.do(Call("reconcile"), turn))
        self._after(turn)

    def attend(self) -> None:
        """Let a service do what it does by itself, from its start on where it is not running."""
        turn = Turn()
        if self.drive.takes == "queue" and not self.drive.running:
            finish(self.deliveries.work(turn))
        elif finish(self.drive.start(turn)) is None:
            finish(self.drive.attend(turn))
        self._after(turn)

    def poll(self, crash: Crash | None) -> None:
        """Let the poller take one turn."""
        self._keep_versions()
        turn = Turn(crash)
        finish(self._polling(turn, self.drive))
        self._after(turn)

    def _polling(self, turn: Turn, drive: Drive) -> Going[None]:
        if (yield from drive.start(turn)) is None:
            self.recorder.record("polled", "polls")
            yield from drive.do(Call("poll"), turn)
            yield from drive.linger(turn)

    def _overlap(self, step: Overlap) -> None:
        """Two workers at once; the second is gone afterwards."""
        self._keep_versions()
        extra = Drive(self.world, self.parent, self.recorder, self.trouble, self.play, worker=2)
        self.drive.lane, extra.lane = 1, 2
        crashes = (None, step.crash) if step.crash_second else (step.crash, None)
        turns = Turn(crashes[0]), Turn(crashes[1])
        lanes = (
            Lane(self.drive, turns[0], self._taking_turns((step.first,), turns[0], self.drive)),
            Lane(extra, turns[1], self._taking_turns([(n,) for n in step.second] or [()], turns[1], extra, step.pause)),
        )
        try:
            unmet = overlap.Overlap(self.world, lanes, step.switches, self.recorder, step.stands).run()
        finally:
            self.drive.hung |= extra.hung
            self.drive.stack = self.drive.stack or extra.stack
            self.drive.alone()
            extra.kill()
            self.drive.output += extra.output
        where = f"step {self.recorder.step}"
        self.recorder.unreached += [f"{where}: a switch at {s.label} (occurrence {s.occurrence})" for s in unmet]
        self._after(turns[1] if step.crash_second else turns[0])

    def _taking_turns(
        self, batches: Sequence[tuple[int, ...]], turn: Turn, drive: Drive, pause: int = 0
    ) -> Going[None]:
        for number, batch in enumerate(batches):
            if number:
                self.wait(pause)
            if batch:
                yield from self.deliveries.deliver(batch, turn, drive=drive)
            else:
                yield from self._polling(turn, drive)

    def _publish(self, step: Publish) -> None:
        """Let the publisher announce a run."""
        turn = Turn(step.crash)
        if finish(self.drive.start(turn)) is None:
            if self.consumer.wraps_run and step.run not in self.begun:
                self.schedule = planned.started(self.schedule, step.run, self.world.now)
            self.recorder.record("asked", step.run)
            finish(self.drive.do(Call("publish", self.publishing.argument(step.run)), turn))
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

    def restart(self) -> None:
        """End its process between two turns; the next turn starts it again."""
        finish(self.drive.end_between_turns())

    def _damage(self, step: Damage) -> None:
        """Damage a file, if that leaves the target whole: only what the consumer notes for itself is damaged."""
        self.restart()
        path = self.world.path_of(step.file)
        before, content = self.recorder.read_or_none(), path.read_bytes() if path.is_file() else b""
        older = [version for version in self.versions.get(step.file, ()) if version != content]
        done = damage.apply(path, step.how, older[-1] if older else None)
        if done and self.recorder.read_or_none() != before:
            path.write_bytes(content)
            done = False
        self.recorder.expect((str(path.relative_to(self.world.root)),))
        if done:
            self.recorder.record("damaged", f"{step.file}: {step.how}")
            self.recorder.look()
        else:
            self.recorder.look()
            self.recorder.unreached.append(f"step {self.recorder.step}: {step.file} cannot be damaged ({step.how})")

    def _keep_versions(self) -> None:
        """Keep what files that will be set back hold before a turn."""
        for file, versions in self.versions.items():
            path = self.world.path_of(file)
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
        settle.BY_KIND[self.consumer.kind](self)
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


def _broken(step: Break) -> str:
    times = "once" if step.times == 1 else f"{step.times} times"
    often = "for ever" if step.lasting else times if step.times else "from then on"
    after = f" after {step.skip}" if step.skip else ""
    return f"{step.at or 'every operation'}: {step.error} {often}{after}"
