"""Time as storage sees it: a clock that stands still until it is moved."""

import math
import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from pytest_quarry.contract.errors import ContractError

__all__ = ["VirtualClock", "moment", "on_day"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(nanoseconds: int) -> datetime:
    """Nanoseconds since 1970 as a time, UTC."""
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)


def is_frozen() -> bool:
    """Whether freezegun holds the clock of this process: nothing else can move it meanwhile."""
    freezegun = sys.modules.get("freezegun.api")
    return bool(getattr(freezegun, "freeze_factories", None))


def on_day(day: str | None, now: datetime) -> datetime:
    """``now``, or the same time of another day, ``YYYY-MM-DD``. Raises ContractError for what is no day."""
    if day is None:
        return now
    try:
        return datetime.combine(date.fromisoformat(day), now.timetz())
    except (TypeError, ValueError):
        raise ContractError(f"day {day!r}; it must be a date YYYY-MM-DD") from None


class VirtualClock:
    """A clock that stands still but for a microsecond each time it is read; `advance` moves it.

    It begins at ``start`` (UTC), or at the present.
    """

    def __init__(self, start: datetime | None = None) -> None:
        if start is not None and start.utcoffset() is None:
            raise ValueError(f"start {start} has no time zone; give it in UTC")
        now = time.time_ns() if start is None else (start - _EPOCH) // timedelta(microseconds=1) * 1000
        self._now = now // 1000 * 1000
        self._watchers: list[Callable[[], None]] = []

    def __repr__(self) -> str:
        return f"VirtualClock({self.now().isoformat()})"

    def __call__(self) -> int:
        """Nanoseconds since 1970; the next reading is a microsecond later."""
        self._now += 1000
        return self._now

    def now(self) -> datetime:
        """The time, UTC; looking does not move it."""
        return moment(self._now)

    @property
    def microseconds(self) -> int:
        """The time in microseconds since 1970; looking does not move it."""
        return self._now // 1000

    def advance(self, seconds: float) -> None:
        """Move the clock, backwards too; runs in progress flush if their interval is over."""
        if not isinstance(seconds, (int, float)) or not math.isfinite(seconds):
            raise ValueError(f"advance({seconds!r}): a number of seconds, negative to go back")
        self._now += round(seconds * 1_000_000) * 1000
        for watcher in tuple(self._watchers):
            watcher()

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call ``watcher`` after every `advance`."""
        self._watchers.append(watcher)
