"""The mocked AWS of one ordinary test: what `quarry_bus`, and `quarry_storage` on S3, stand on."""

from __future__ import annotations

import contextlib
import threading
import time
import types
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pytest_quarry.bus import names
from pytest_quarry.bus.aws import MockedAws
from pytest_quarry.bus.bus import CALL_SECONDS, Bus, Place
from pytest_quarry.bus.calls import AwsAnswer, AwsCall, describe
from pytest_quarry.bus.faults import SLOW, SLOW_SECONDS, Apply, FaultPlan, Unanswered, carry_out
from pytest_quarry.bus.topology import Topology, chosen
from pytest_quarry.consumers.hooks.aws import Transport

if TYPE_CHECKING:
    from pytest_quarry.storage import VirtualClock


class AwsOfTest:
    """Mocked AWS on a test's virtual clock; all boto3 clients of the process reach it, and nothing else.

    It joins what a mock of the test itself holds already, and leaves it as it was.
    """

    bucket = names.BUCKET

    def __init__(self, clock: VirtualClock, *, seed: int, topology: Topology | None) -> None:
        self.clock, self.faults, self.topology = clock, FaultPlan(), chosen(topology)
        self._calling = threading.RLock()
        self.mocked = MockedAws(seed=seed, now=self.now, topology=self.topology, joins=True)

    @cached_property
    def bus(self) -> Bus:
        """What `quarry_bus` gives."""
        return Bus(self)

    @property
    def now(self) -> int:
        """Microseconds since the epoch."""
        return self.clock.microseconds

    def advance(self, seconds: float) -> None:
        """Let virtual time pass."""
        self.clock.advance(seconds)

    def call(self, call: AwsCall) -> AwsAnswer:
        """Carry out one call, or let it fail as the faults say; calls of several threads wait for each other."""
        with self._calling:
            return with_faults(self, call, self._apply)

    def _apply(self, call: AwsCall) -> AwsAnswer:
        answer, took = self.mocked.apply(call, self.now)
        self.advance(took / 1_000_000)
        return answer


def with_faults(place: Place, call: AwsCall, apply: Apply) -> AwsAnswer:
    """Carry out a boto3 client's call by `apply`, or let it fail as a place's faults say, in its time."""
    place.advance(CALL_SECONDS)
    fault = place.faults.meet(describe(call), call)
    if fault is not None and fault.error == SLOW:
        place.advance(SLOW_SECONDS)
    try:
        return carry_out(fault, call, apply)
    except Unanswered as lost:
        raise _seen_by_client(lost, call) from None


def _seen_by_client(lost: Unanswered, call: AwsCall) -> Exception:
    from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

    kind = ConnectionClosedError if lost.how == "reset" else ReadTimeoutError
    return kind(endpoint_url=call.url)


@contextlib.contextmanager
def aws_of_test(clock: VirtualClock, *, seed: int = 0, topology: Topology | None = None) -> Iterator[AwsOfTest]:
    """Mocked AWS for as long as a test runs."""
    with mocked():
        aws = AwsOfTest(clock, seed=seed, topology=topology)
        with contextlib.closing(aws.mocked), routed(aws.call, aws.advance):
            yield aws


@contextlib.contextmanager
def mocked() -> Iterator[None]:
    """moto is on, so that no mock of the test itself empties it when it begins."""
    from moto import mock_aws

    with mock_aws():
        yield


@contextlib.contextmanager
def routed(transport: Transport, advance: Callable[[float], None]) -> Iterator[None]:
    """AWS calls of the process take this way; what waits between two attempts of a call waits in virtual time."""
    import botocore.endpoint

    from pytest_quarry.consumers.hooks.no_escape import closed

    module: Any = botocore.endpoint
    before = module.time
    module.time = types.SimpleNamespace(sleep=advance, time=time.time)
    try:
        with closed(transport):
            yield
    finally:
        module.time = before
