"""What a correct reader sees of the runs that a schedule has written so far, and so what the consumer must and may load."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pytest_quarry.consumers.consumer import Consumer, ConsumerError
from pytest_quarry.simulation import planned
from pytest_quarry.simulation.history import RunView
from pytest_quarry.simulation.schedule import Break, Litter, Schedule, Write
from pytest_quarry.simulation.world import World
from pytest_quarry.storage import StoredRun

MOST_SEEN = 1000

Seen = tuple[RunView, StoredRun | None]
_seen: dict[Any, tuple[Seen, ...]] = {}


class RunViews:
    """The view of every run, write by write."""

    def __init__(self, world: World, schedule: Schedule, consumer: Consumer) -> None:
        self.now: dict[str, RunView] = {}
        self._world, self._schedule, self._consumer = world, schedule, consumer
        self._broken = tuple(step.at for step in schedule.steps if isinstance(step, Break) and step.lasting)
        self._seen: dict[str, Seen] = {}
        self._replaced: dict[str, set[str]] = {}  # by run, those that take its place

    def wrote(self, name: str, begun: Sequence[str], written: Sequence[Write | Litter]) -> tuple[RunView, ...]:
        """The views that are new once a run was written on. `begun`: the runs that were; `written`: the steps that wrote."""
        seen = self._look(name, begun, written)
        self._seen.update((view.run_id, (view, run)) for view, run in seen)
        changed = {view.run_id for view, _ in seen} | self._replace(seen)
        views = [self._view(run_id) for run_id in self._seen if run_id in changed]
        new = tuple(view for view in views if self.now.get(view.run_id) != view)
        self.now.update((view.run_id, view) for view in new)
        return new

    def _look(self, name: str, begun: Sequence[str], written: Sequence[Write | Litter]) -> tuple[Seen, ...]:
        """The same for every schedule that writes the same.

        It reads all at first, since the suite may have runs there before, and where others put files between the runs.
        """
        alone = bool(self.now) and not any(isinstance(step, Litter) for step in written)
        names = [name] if alone else begun
        steps = tuple(step for step in written if not alone or (isinstance(step, Write) and step.run == name))
        key = (self._consumer, alone, tuple(self._schedule.run(each) for each in names), steps, self._broken)
        if key not in _seen:
            if len(_seen) > MOST_SEEN:
                _seen.clear()
            stored = self._world.stored_of(name) if alone else self._world.stored
            _seen[key] = tuple(self._one(run) for run in stored)
        return _seen[key]

    def _one(self, run: StoredRun) -> Seen:
        view = planned.unless_broken(planned.view(run, self._consumer), self._broken)
        return view, None if self._consumer.replaces is None else run

    def _replace(self, seen: Sequence[Seen]) -> set[str]:
        """Note which runs take the place of which, of those that were seen just now; whose standing may have changed."""
        changed = set[str]()
        known = self._seen.values() if self._consumer.replaces is not None else ()
        for (view, run), (other_view, other) in itertools.product(seen, known):
            if run is not None and other is not None and view.run_id != other_view.run_id:
                for new, old, by in ((run, other, view), (other, run, other_view)):
                    successors = self._replaced.setdefault(old.run_id, set())
                    is_one = by.standing != "forbidden" and self._replaces(new, old)
                    (successors.add if is_one else successors.discard)(new.run_id)
                    changed.add(old.run_id)
        return changed

    def _replaces(self, new: StoredRun, old: StoredRun) -> bool:
        assert self._consumer.replaces is not None
        try:
            return bool(self._consumer.replaces(new, old))
        except Exception as error:
            raise ConsumerError(
                f"{self._consumer.name}.replaces(run, other) raised {type(error).__name__}: {error}. It gets two runs with run_id, "
                "source, category, day, events and items. Return whether the target holds the first in the place of the second."
            ) from error

    def _view(self, run_id: str) -> RunView:
        view, _ = self._seen[run_id]
        others = self._replaced.get(run_id)
        if not others or view.standing == "forbidden":
            return view
        return replace(view, standing="optional", replaced_by=tuple(sorted(others)))
