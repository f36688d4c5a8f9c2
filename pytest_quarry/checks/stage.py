"""What a check has to work with: a cast of runs, executions of schedules, and the consumer's declarations."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_quarry.bus import names
from pytest_quarry.checks.shared import Shared
from pytest_quarry.checks.turns import Turns
from pytest_quarry.checks.verdict import Verdict
from pytest_quarry.consumers.consumer import Consumer
from pytest_quarry.simulation import explore
from pytest_quarry.simulation.history import History
from pytest_quarry.simulation.schedule import Deliver, Notify, PlannedRun, Poll, Publish, Schedule, Step, Write

MANY_ITEMS = 101  # of a run that fits into no one batch: DynamoDB takes 25 at once, or 100 in a transaction
# Runs loaded since, which a small table of the last marks does not hold. A hundred would take a sixth of the critical checks' time.
MANY_SINCE = 50
BATCH = 10  # messages, the most that SQS hands over at once
MOST_KEPT = 1_000  # histories: what the checks of one consumer share; two crash checks of a program have 460 each


class NotApplicable(Exception):
    """Raised by a check's schedules: it says nothing of this consumer. The words say why, and what would let it."""


@dataclass
class Kept:
    """What was executed of one consumer, for all its checks: histories, the latest of them; `again` is the undisturbed
    execution a second time. `as_it_is`: its processes are forked from the test's, as that is at each start. Where the session
    has several processes, `folder` is theirs, and what is `shared` there is under the name of `whose` consumer it is. `closer`:
    what it does to files without Python, and says to servers, is seen too."""

    folder: Path | None = None
    whose: str = ""
    shared: Shared | None = None
    histories: OrderedDict[tuple[Schedule, bool], History] = field(default_factory=OrderedDict)
    again: History | None = None
    as_it_is: bool = False
    closer: bool = False
    turns: Turns = field(default_factory=lambda: Turns(None))

    def begin_anew(self) -> None:
        """Forget it: a zygote may have missed what the test's process did for the consumer."""
        self._forget()
        self.as_it_is = True

    def look_closer(self) -> None:
        """Forget it: a file changed, and nothing that was seen had changed it."""
        self._forget()
        self.closer = True

    def _forget(self) -> None:
        self.histories.clear()
        self.again = self.folder = self.shared = None

    def share(self, undisturbed: History) -> None:
        """From now on with the other processes of the session, as far as their consumer does the same undisturbed."""
        if self.folder is not None and self.shared is None:
            self.shared = Shared(self.folder, self.whose, undisturbed)


class Stage:
    """Builds schedules for one consumer and executes them; executions are kept by schedule."""

    prefix = names.PREFIX  # of the storage's keys on S3

    def __init__(
        self, consumer: Consumer, seed: int, execute: Callable[..., History], kept: Kept | None = None
    ) -> None:
        self.consumer, self.seed = consumer, seed
        self._execute = execute
        self._kept = kept or Kept()
        self.coming: Iterable[Schedule] = ()  # what will be executed next, as far as that is known
        self.judged: Callable[[History], Verdict | None] = _unjudged  # by the check whose schedules these are

    @property
    def polls(self) -> bool:
        """Whether the consumer finds runs by itself."""
        return self.consumer.kind == "poller"

    @property
    def takes(self) -> str:
        """What a turn gives the consumer: "notification", "lambda", "queue" (it receives by itself), "nothing"."""
        return self.history(self.loaded(self.run("A"))).takes

    def run_id(self, name: str) -> str:
        """A run id: readable for seed 0, another for every other seed, always of one length."""
        if not self.seed:
            return f"run-{name}"
        return f"run-{name}-{hashlib.sha256(f'{self.seed}/{name}'.encode()).hexdigest()[:6]}"

    def run(self, name: str, **details: Any) -> PlannedRun:
        """A planned run in the first source and category the consumer wants, unless told otherwise."""
        details.setdefault("source", self.consumer.sources[0])
        details.setdefault("category", self.consumer.categories[0])
        return PlannedRun(run_id=details.pop("run_id", self.run_id(name)), **details)

    def schedule(self, runs: list[PlannedRun], steps: list[Step]) -> Schedule:
        """A schedule under this stage's seed."""
        return Schedule(runs=tuple(runs), steps=tuple(steps), seed=self.seed)

    def loaded(self, *runs: PlannedRun) -> Schedule:
        """Each run is written, announced and delivered, polled for, or published, in turn: nothing disturbs."""
        steps: list[Step] = []
        if self.consumer.kind == "publisher":
            return self.schedule(list(runs), [step for run in runs for step in self.published(run)])
        for number, run in enumerate(runs, 1):
            steps.append(Write(run.run_id))
            steps += [Poll()] if self.polls else [Notify(run.run_id), Deliver((number,))]
        return self.schedule(list(runs), steps)

    def small_runs(self, count: int) -> list[PlannedRun]:
        """Runs of one item each."""
        return [self.run(f"{number:03}", items=1, policy="buffered") for number in range(count)]

    def after_many(self) -> Schedule:
        """The first message again, after those of many small runs."""
        first, *others = runs = self.small_runs(MANY_SINCE + 1)
        batches = self.delivered(others, BATCH, first=2)
        return self.schedule(runs, [*self.told(first), Deliver((1,)), *self.told(*others), *batches, Deliver((1,))])

    def delivered(self, runs: Sequence[PlannedRun], at_once: int, *, first: int = 1) -> list[Step]:
        """The steps that deliver the messages of runs, so many at once; `first` is the number of the first of them."""
        numbers = range(first, first + len(runs))
        return [Deliver(tuple(numbers[at : at + at_once])) for at in range(0, len(runs), at_once)]

    def told(self, *runs: PlannedRun) -> list[Step]:
        """The steps that write and announce runs; messages are numbered in their order."""
        return [step for run in runs for step in (Write(run.run_id), Notify(run.run_id))]

    def published(self, run: PlannedRun) -> list[Step]:
        """The steps in which a publisher announces a run; one that wraps it writes it too."""
        return [Publish(run.run_id)] if self.consumer.wraps_run else [Write(run.run_id), Publish(run.run_id)]

    def crashes(self, schedule: Schedule) -> Iterator[Schedule]:
        """The schedule with a crash in it, one for each distinct durable state of its undisturbed execution."""
        return explore.crash_points(schedule, self.history(schedule))

    def history(self, schedule: Schedule, *, reads: bool = False) -> History:
        """What happens when a schedule is executed; with `reads` opening a file for reading is an operation too."""
        histories = self._kept.histories
        key = schedule, reads
        if key not in histories:
            self._remember(key, self._found_or_executed(schedule, reads))
        histories.move_to_end(key)
        return histories[key]

    def verdict(self, schedule: Schedule) -> Verdict | None:
        """What the check says once a schedule is executed: one that stands for many then need not be taken apart."""
        return self.judged(self.history(schedule))

    def anew(self, schedule: Schedule) -> History:
        """What happens when it is executed once more, and from now on is kept of it."""
        self._kept.histories.pop((schedule, False), None)
        return self.history(schedule)

    def _remember(self, key: tuple[Schedule, bool], history: History) -> None:
        histories = self._kept.histories
        histories[key] = history
        if len(histories) > MOST_KEPT:
            histories.popitem(last=False)

    def _found_or_executed(self, schedule: Schedule, reads: bool) -> History:
        shared = self._kept.shared
        if shared is None:
            return self._executed(schedule, reads)
        found = shared.find(schedule, reads=reads)
        if found is None and not shared.claim(schedule, reads=reads):  # another process is at it
            self._go_ahead(shared)
            found = shared.find(schedule, reads=reads)
        if found is None:
            found = self._executed(schedule, reads)
            shared.keep(schedule, found, reads=reads)
        return found

    def _go_ahead(self, shared: Shared) -> None:
        """Execute one of the next schedules that no other process is at."""
        for schedule in tuple(self.coming):
            if (schedule, False) not in self._kept.histories and shared.claim(schedule, reads=False):
                found = self._executed(schedule, reads=False)
                shared.keep(schedule, found, reads=False)
                self._remember((schedule, False), found)
                return

    def _executed(self, schedule: Schedule, reads: bool) -> History:
        return self._execute(schedule, reads=True) if reads else self._execute(schedule)


def _unjudged(history: History) -> None:
    """What is said of a history before any check asks for schedules."""


def disturbs(schedule: Schedule) -> bool:
    """Whether anything in a schedule is not as on a good day: ordinary runs, each written, and told of or polled for, once."""
    steps = schedule.steps
    told = [message for step in steps if isinstance(step, Deliver) for message in step.messages]
    polls, writes = (sum(isinstance(step, kind) for step in steps) for kind in (Poll, Write))
    calm = all(_is_calm(step) for step in steps) and len(told) == len(set(told)) and polls <= writes
    return not calm or any(run != PlannedRun(run_id=run.run_id, **_wanted(run)) for run in schedule.runs)


def _is_calm(step: Step) -> bool:
    if isinstance(step, Deliver):
        return step == Deliver(step.messages)
    if isinstance(step, (Write, Notify, Publish)):
        return step == type(step)(step.run)
    return step == Poll()


def _wanted(run: PlannedRun) -> dict[str, Any]:
    """What a consumer wants of runs, and how large they are."""
    return {"source": run.source, "category": run.category, "items": run.items}
