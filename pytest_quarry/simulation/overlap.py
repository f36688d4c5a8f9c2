"""Two workers at once: each stands still at every boundary, and the schedule says who goes on.

One process runs at a time, so an interleaving is a list of switches: no threads, no luck. Locks are real: who would
block says so, the other goes on, and it tries again. Who sleeps does not wake before its time while the other gets on;
one that the schedule lets stand for a while does not get on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from pytest_quarry.consumers.protocol import Blocked, Boundary, Sleep
from pytest_quarry.simulation.drive import Drive
from pytest_quarry.simulation.recorder import Recorder
from pytest_quarry.simulation.schedule import ANY, Switch
from pytest_quarry.simulation.turn import Going, Turn
from pytest_quarry.simulation.world import SECOND, World

# Boundaries in a row after which the other worker goes on, as an operating system would have it.
PATIENCE = 200
# Sleeps in a row, with nothing new on the disk, after which a worker counts as one that stands by until the other is gone.
STANDBY = 500
# Sleeps of one worker for which the other stands still: who looks every few milliseconds is not waited for.
MOST_SLEPT_BESIDE = 100

# How often two workers are looked at that wait for each other's locks at a server: it ends a deadlock of its own accord, Postgres after
# a second. One look takes a quarter of that.
LOOKS = 12


@dataclass
class Lane:
    """One worker under way."""

    drive: Drive
    turn: Turn
    going: Going[None]
    crossed: Counter[str] = field(default_factory=Counter)
    waits: Blocked | None = None
    tried: int = -1  # what had happened in all when it last tried to get its lock
    slept: int = 0  # sleeps in a row since anything new was durable
    done: bool = False


class Overlap:
    """Lets two lanes go on, one at a time."""

    def __init__(
        self,
        world: World,
        lanes: tuple[Lane, Lane],
        switches: Sequence[Switch],
        recorder: Recorder,
        stands: int = 0,
    ) -> None:
        self._world, self._lanes, self._switches, self._recorder = world, lanes, list(switches), recorder
        self._stands = stands
        self._standing: Lane | None = None  # the one that a switch left standing
        self._until = 0  # the virtual time (µs) up to which it stands while the other sleeps
        self._slept_beside = 0
        self._happened = 0
        self._in_a_row = 0
        self._now = 0
        self._states = {recorder.state}
        self._looks = LOOKS

    def run(self) -> list[Switch]:
        """Until both have ended; the switches that were never met."""
        while not all(lane.done for lane in self._lanes):
            lane, other = self._lanes[self._now], self._lanes[1 - self._now]
            if lane.done or (self._sleeps(lane) and self._gets_on(other, lane)):
                self._switch()
                continue
            boundary = self._next(lane, other)
            if boundary is None:
                self._switch()
            elif isinstance(boundary.call, Blocked):
                self._wait(lane, other, boundary.label, boundary.call)
            elif isinstance(boundary.call, Sleep) and self._stands_by(lane, other):
                self._end_a_standby(lane)
            elif not other.done and self._is_time(lane, other, boundary):
                self._switch()
        return self._switches

    def _next(self, lane: Lane, other: Lane) -> Boundary | None:
        both = not other.done and other.turn.boundaries > lane.turn.boundaries // 2
        lane.turn.besides = "; the other worker goes on and on too: a livelock" if both else ""
        lane.turn.contended = other.drive.running
        if lane is self._standing:
            self._standing = None
        was_killed = lane.turn.reached
        boundary = self._step(lane)
        if lane.turn.reached and not was_killed:
            lane.waits = None  # who waited is dead
        if lane.waits is not None and boundary is not None and not isinstance(boundary.call, Blocked):
            lane.crossed[boundary.label] += 1  # it announces that it tries again
            boundary = self._step(lane)
        if boundary is None or not isinstance(boundary.call, Blocked):
            lane.waits = None
            self._happened += 1
            self._in_a_row += 1
        if boundary is not None and isinstance(boundary.call, Sleep):
            lane.turn.wakes = self._world.now + round(boundary.call.seconds * SECOND)
        return boundary

    def _step(self, lane: Lane) -> Boundary | None:
        try:
            return next(lane.going)
        except StopIteration:
            lane.done = True
            return None

    def _sleeps(self, lane: Lane) -> bool:
        return lane.turn.wakes is not None and self._world.now < lane.turn.wakes

    def _gets_on(self, lane: Lane, other: Lane) -> bool:
        """Whether this one may do anything before the other, which sleeps, wakes."""
        if lane.done or self._stands_on(lane, other):
            return False
        if lane.waits is not None and lane.tried == self._happened:
            return False
        return not (lane.turn.wakes and other.turn.wakes and lane.turn.wakes >= other.turn.wakes)

    def _stands_on(self, lane: Lane, other: Lane) -> bool:
        """Whether this one stands where a switch left it until the other, which sleeps, has woken."""
        wakes = other.turn.wakes
        return lane is self._standing and wakes is not None and wakes <= self._until

    def _is_time(self, lane: Lane, other: Lane, boundary: Boundary) -> bool:
        """Whether the other goes on now: the schedule says so, this one sleeps, or it has had its share."""
        lane.crossed[boundary.label] += 1
        if self._switches:
            switch = self._switches[0]
            crossed = lane.crossed.total() if switch.label == ANY else lane.crossed[boundary.label]
            if switch.label in (ANY, boundary.label) and switch.occurrence == crossed:
                del self._switches[0]
                self._stand(lane, boundary)
                return True
        if isinstance(boundary.call, Sleep):
            self._slept_beside += 1
            return self._slept_beside > MOST_SLEPT_BESIDE or not self._stands_on(other, lane)
        return self._in_a_row > PATIENCE

    def _stand(self, lane: Lane, boundary: Boundary) -> None:
        self._recorder.record("switched", f"stands before {boundary.label}")
        if self._stands:
            self._standing, self._until = lane, self._world.now + self._stands * SECOND
            self._slept_beside = 0

    def _switch(self) -> None:
        self._now, self._in_a_row = 1 - self._now, 0

    def _wait(self, lane: Lane, other: Lane, label: str, call: Blocked) -> None:
        """It waits for a lock: it tries again after anything happened; where nothing can, its patience ends."""
        if lane.waits is None:
            self._recorder.record("switched", label.replace("wait", "waits", 1))
        lane.tried, lane.waits, lane.turn.retry = self._happened, call, True
        if other.done or (other.waits is not None and other.tried == self._happened):
            self._end_a_wait(lane, other)
        elif call.until is not None and self._sleeps(other) and call.until <= (other.turn.wakes or 0):
            lane.turn.retry = False
        else:
            self._switch()

    def _end_a_wait(self, lane: Lane, other: Lane) -> None:
        """Nobody else will release anything: whose patience ends first gives up; a deadlock, where nobody's ends."""
        ends = [
            (waiting.waits.until, at) for at, waiting in enumerate(self._lanes) if waiting.waits and not waiting.done
        ]
        finite = [(until, at) for until, at in ends if until is not None]
        if finite:
            victim = self._lanes[min(finite)[1]]
            victim.turn.retry = False
            self._now = self._lanes.index(victim)
        elif not other.done and all(each.waits is not None and each.waits.detects for each in self._lanes):
            lane.turn.refused = True
        elif (
            not other.done and self._looks and any(each.waits is not None and each.waits.unseen for each in self._lanes)
        ):
            self._looks -= 1
            self._switch()
        elif not other.done:
            self._recorder.record("gave-up", "each worker waits for a lock that the other holds: a deadlock")
            lane.turn.retry = False
        elif other.drive.running:
            self._end_a_standby(lane)
        else:
            lane.turn.retry = False

    def _stands_by(self, lane: Lane, other: Lane) -> bool:
        if not other.done or not other.drive.running or self._recorder.state not in self._states:
            self._states.add(self._recorder.state)
            lane.slept = 0
        lane.slept += 1
        return lane.slept > STANDBY

    def _end_a_standby(self, lane: Lane) -> None:
        """One keeps for itself what the other waits for, and is not at work: the second is gone, as after any overlap."""
        second = self._lanes[1]
        second.drive.end("the second worker")
        lane.slept, lane.tried = 0, -1
        if lane is second:
            lane.done, lane.waits = True, None
            lane.going.close()
        self._happened += 1
