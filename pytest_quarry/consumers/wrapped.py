"""What a publisher is given: a run, as a wrapper around `quarry run` knows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pytest_quarry.consumers.consumer import ConsumerError
from pytest_quarry.consumers.protocol import Boundary, RunCall

FIELDS = (
    "run_id", "source", "category", "day", "job_id", "attempt", "parent_run_id", "storage_path", "storage_root",
)  # fmt: skip
# Known when the run is over.
RESULTS = ("outcome", "event_count", "duration_ms")


class RunArgument(NamedTuple):
    """A run on its way to `publish`: plain values, and whether it is still to be executed."""

    values: Mapping[str, Any]
    executes: bool


class WrappedRun:
    """A run: `run_id`, `source`, `category`, `day`, `job_id`, `attempt`, `parent_run_id`, where it is stored
    (`storage_path`, as notifications name it, in `storage_root`, a URL), and what became of it (`outcome`, `event_count`,
    `duration_ms`).

    In a suite with `wraps_run = True` the last three are None until `execute()` has come back.
    """

    run_id: str
    source: str
    category: str
    day: str
    job_id: str | None
    attempt: int
    parent_run_id: str | None
    storage_path: str
    storage_root: str
    outcome: str | None
    event_count: int | None
    duration_ms: int | None

    def __init__(self, argument: RunArgument, boundary: Callable[[Boundary], Any]) -> None:
        self._boundary, self._executes = boundary, argument.executes
        for name in FIELDS:
            setattr(self, name, argument.values[name])
        for name in RESULTS:
            setattr(self, name, argument.values.get(name))

    def execute(self) -> str:
        """Run it, as a wrapper calls `quarry run`: it comes back when all is stored, and returns the run's outcome.

        Raises OSError where it could not be run at all.
        """
        if not self._executes:
            raise ConsumerError(
                "publish(run) called run.execute(), but the run is over: declare wraps_run = True on the suite if the "
                "publisher runs Quarry itself."
            )
        results = self._boundary(Boundary(f"quarry run {self.run_id}", ("storage",), call=RunCall(self.run_id)))
        for name in RESULTS:
            setattr(self, name, results[name])
        return str(results["outcome"])

    def __repr__(self) -> str:
        return f"<run {self.run_id} of {self.source}, {self.outcome or 'not executed'}>"
