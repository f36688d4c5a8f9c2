"""What can be said of a run that is told, at its start."""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict

from pytest_quarry.contract.errors import ContractError

__all__ = ["FIELDS", "RunFields", "seconds_off"]


class RunFields(TypedDict, total=False):
    """What can be said of a run at its start; all as in `Run`. ``clock_off``: its writer's clock, seconds off."""

    source: str
    category: str
    day: str
    dataset: str
    job_id: str | None
    attempt: int
    parent_run_id: str | None
    policy: str
    flush_mode: str
    flush_count: int | None
    flush_interval: float | None
    started_at: datetime
    duration_ms: int
    metrics: bool
    clock_off: float


FIELDS = tuple(RunFields.__annotations__)


def seconds_off(value: object) -> float:
    """By how much a writer's clock is off. Raises ContractError for what is no number of seconds."""
    if type(value) in (int, float) and abs(value) < 1e10:  # type: ignore[arg-type]
        return float(value)  # type: ignore[arg-type]
    raise ContractError(f"clock_off is {value!r}; it must be a number of seconds, negative where the clock is behind")
