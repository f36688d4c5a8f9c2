"""How many schedules a check has, as far as that can be known before they are played."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from pytest_quarry.simulation.schedule import Schedule

MOST_AHEAD = 1_000  # schedules: one that draws them until its time is over has no last one


class Ahead:
    """A check's schedules, taken from their source as soon as that costs nothing.

    A source that must execute something to go on, or has yielded a thousand, is asked for more when that is wanted.
    """

    def __init__(self, source: Iterator[Schedule], executions: Callable[[], int]) -> None:
        self._source, self._executions = source, executions
        self.waiting: deque[Schedule] = deque()  # known and not yet taken
        self._error: Exception | None = None
        self.planned = 0  # schedules that are known so far
        self.all_known = False  # there will be no more

    def __iter__(self) -> Ahead:
        return self

    def __next__(self) -> Schedule:
        if not self.waiting:
            self._look()
        if self.waiting:
            return self.waiting.popleft()
        error, self._error = self._error, None
        raise error or StopIteration

    def _look(self) -> None:
        before = self._executions()
        while self._executions() == before and not self.all_known and len(self.waiting) < MOST_AHEAD:
            try:
                self.waiting.append(next(self._source))
            except StopIteration:
                self.all_known = True
            except Exception as error:  # its turn comes after the schedules before it
                self._error, self.all_known = error, True
            else:
                self.planned += 1
