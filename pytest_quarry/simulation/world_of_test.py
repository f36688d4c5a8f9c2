"""A world for an ordinary test: what the fixture `quarry_world` gives."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from pytest_quarry.bus.aws import MockedAws
from pytest_quarry.bus.calls import AwsAnswer, AwsCall
from pytest_quarry.simulation.aws_of_test import mocked, routed, with_faults
from pytest_quarry.simulation.world import World
from pytest_quarry.storage import Storage, VirtualClock
from pytest_quarry.storage.clock import moment


class WorldOfTest(World):
    """A world without a schedule: the test moves it, and its clients' calls meet the faults of `bus`."""

    def __init__(self, base: Path, **details: Any) -> None:
        self._calling = threading.RLock()
        super().__init__(base, **details)

    @cached_property
    def clock(self) -> VirtualClock:
        """This world's clock as the fixture `quarry_clock` gives it."""
        return _ClockOfWorld(self)

    @cached_property
    def storage(self) -> Storage:
        """This world's storage as the fixture `quarry_storage` gives it; runs in progress flush when their time has come."""
        return Storage(self._store, clock=self.clock, layout=self.layout)

    def advance(self, seconds: float) -> None:
        """Let virtual time pass."""
        super().advance(seconds)
        assert isinstance(self.clock, _ClockOfWorld)
        self.clock.moved()

    def call(self, call: AwsCall) -> AwsAnswer:
        """Carry out a boto3 client's call, or let it fail as the faults say."""
        with self._calling:
            return with_faults(self, call, self.aws)

    def _open_aws(self) -> MockedAws:
        if self._aws is None:
            self._aws = MockedAws(seed=self.seed, now=self.now, topology=self.topology, joins=True)
        return self._aws


class _ClockOfWorld(VirtualClock):
    """A world's time, in the form of storage's clock: one of them cannot be moved without the other."""

    def __init__(self, world: World) -> None:
        super().__init__(moment(world.now * 1000))
        self._world = world

    def __call__(self) -> int:
        self._world.now += 1
        return self._world.now * 1000

    def now(self) -> Any:
        return moment(self._world.now * 1000)

    @property
    def microseconds(self) -> int:
        return self._world.now

    def advance(self, seconds: float) -> None:
        self._world.advance(seconds)

    def moved(self) -> None:
        """Tell who watches it."""
        super().advance(0)


@contextlib.contextmanager
def world_of_test(base: Path, **details: Any) -> Iterator[WorldOfTest]:
    """A world below `base` for as long as a test runs; afterwards nothing is left of it.

    Its AWS joins what a mock of the test itself holds already, and leaves it as it was.
    """
    with mocked():
        world = WorldOfTest(base, **details)
        try:
            with routed(world.call, world.advance):
                yield world
        finally:
            world.close()
            base.rmdir()
