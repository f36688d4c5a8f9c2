"""Operations that fail: which of the consumer's boundaries meet an error, and what that error looks like to it.

Faults of AWS calls are the bus's; here are those of files and databases, and the list of what is in force.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass

from pytest_quarry.bus.batches import ENTRIES, IN_PART
from pytest_quarry.bus.calls import AwsCall
from pytest_quarry.bus.faults import NO_EFFECT, SLOW, SLOW_SECONDS, Fault, FaultPlan, matches
from pytest_quarry.consumers.protocol import Blocked, Boundary, Sleep
from pytest_quarry.simulation.schedule import FILE_ERRORS, Break


@dataclass
class _Active:
    step: Break
    seen: int = 0
    met: int = 0


class Trouble:
    """The breaks of a world that are in force."""

    def __init__(self, plan: FaultPlan) -> None:
        self._active: list[_Active] = []
        self._plan = plan
        self._faults: list[tuple[Fault, Break]] = []  # two may be equal
        self._begun: list[tuple[Fault, Break]] = []
        self._met: set[Break] = set()

    @property
    def met(self) -> set[Break]:
        """What a boundary met, or a call at the world's endpoint."""
        return self._met | {step for fault, step in self._begun if fault in self._plan.met}

    def begin(self, step: Break, listed: frozenset[str] = frozenset()) -> None:
        """From now on the matching boundaries fail; a listing that lags shows the keys `listed`."""
        if step.error in FILE_ERRORS:
            self._active.append(_Active(step))
            return
        if step.error == SLOW:
            self._active.append(_Active(step))
        fault = Fault(
            at=step.at, error=step.error, times=step.times, skip=step.skip, containing=step.containing, listed=listed
        )
        self._faults.append((fault, step))
        self._begun.append((fault, step))
        self._plan.begin(fault)

    def heal(self, *, all_of_them: bool = False) -> None:
        """What is broken works again; what is broken for ever does only at the end of the world."""
        self._active = [active for active in self._active if active.step.lasting and not all_of_them]
        for fault, step in self._faults:
            if all_of_them or not step.lasting:
                self._plan.end(fault)
        self._faults = [(fault, step) for fault, step in self._faults if step.lasting and not all_of_them]

    def of_call(self, boundary: Boundary) -> Fault | None:
        """The fault this AWS call meets, if any."""
        if not isinstance(boundary.call, AwsCall):
            return None
        return self._plan.meet(boundary.label, boundary.call)

    def at(self, boundary: Boundary) -> int | None:
        """The number of the error (errno) that this operation on files, a database or a server meets, if any."""
        # A database whose connection breaks rolls back by itself; to sleep, to wait and to pass a named place never fails.
        if isinstance(boundary.call, (AwsCall, Sleep, Blocked)) or "ROLLBACK" in boundary.label:
            return None
        if boundary.label.startswith("boundary "):
            return None
        for active in self._active:
            if active.step.error != SLOW and self._meets(active, boundary):
                # What goes to a server fails as its connection does.
                number: int = errno.ECONNRESET if boundary.said is not None else getattr(errno, active.step.error)
                return number
        return None

    def delay(self, boundary: Boundary) -> int:
        """The virtual seconds by which an operation that is no AWS call takes longer."""
        if isinstance(boundary.call, AwsCall):
            return 0
        return SLOW_SECONDS * any(
            active.step.error == SLOW and self._meets(active, boundary) for active in self._active
        )

    def _meets(self, active: _Active, boundary: Boundary) -> bool:
        step = active.step
        if not matches(step.at, boundary.label):
            return False
        active.seen += 1
        if active.seen <= step.skip or (step.times and active.met >= step.times):
            return False
        active.met += 1
        self._met.add(step)
        return True


def has_no_effect(fault: Fault) -> bool:
    """Whether a call that meets this fault never reached its service."""
    return fault.error in NO_EFFECT


def has_failed_entries(fault: Fault, call: AwsCall) -> bool:
    """Whether the answer to a call that meets this fault says that entries of a batch were not taken."""
    return fault.error in ENTRIES and call.operation in IN_PART
