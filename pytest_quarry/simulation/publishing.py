"""The world's side of a publisher: the runs it announces, what is true of them, and what SNS took."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pytest_quarry.bus.calls import AwsAnswer, AwsCall
from pytest_quarry.bus.names import DEDUPLICATED
from pytest_quarry.bus.published import Published, published
from pytest_quarry.consumers.consumer import Consumer
from pytest_quarry.consumers.wrapped import RunArgument
from pytest_quarry.contract import Layout, Run
from pytest_quarry.contract.layout import PartitionKey, flat_path, partition_path, storage_path
from pytest_quarry.simulation import planned
from pytest_quarry.simulation.history import Publication, Truth
from pytest_quarry.simulation.recorder import Recorder
from pytest_quarry.simulation.schedule import PlannedRun, Schedule, Write
from pytest_quarry.simulation.world import World
from pytest_quarry.storage import StoredRun

SHOWN = 40


class Publisher(Protocol):
    """The parts of a simulation that publishing needs."""

    world: World
    schedule: Schedule
    consumer: Consumer
    recorder: Recorder

    def write(self, step: Write) -> None: ...


@dataclass
class Publishing:
    """One publisher in one world; it hears what the world's SNS takes."""

    of: Publisher

    def __post_init__(self) -> None:
        self._executed: set[str] = set()
        self._taken: dict[tuple[str, str], int] = {}  # by topic and deduplication id, when
        if self.of.consumer.kind == "publisher":
            self.of.world.on_aws = self._note

    def argument(self, run_id: str) -> RunArgument:
        """What `publish` is given of a run."""
        plan, run = self._run(run_id)
        values: dict[str, Any] = {
            "run_id": run_id,
            "source": plan.source,
            "category": plan.category,
            "day": plan.day,
            "job_id": plan.job_id,
            "attempt": plan.attempt,
            "parent_run_id": plan.parent_run_id,
            "storage_path": storage_path(run, self.of.world.storage_url, layout=Layout(self.of.consumer.layout)),
            "storage_root": self.of.world.storage_url,
        }
        wraps = self.of.consumer.wraps_run
        return RunArgument(values if wraps else values | _results(run), executes=wraps)

    def execute(self, run_id: str) -> Mapping[str, Any]:
        """Quarry runs: time passes, the run is written; its results."""
        if run_id in self._executed:
            raise RuntimeError(f"{run_id} has been executed already: one run, one execution")
        self._executed.add(run_id)
        _, run = self._run(run_id)
        self.of.world.advance(run.duration_ms / 1000)
        self.of.write(Write(run_id))
        return _results(run)

    def truths(self) -> dict[str, Truth]:
        """What is true of each run: where it is stored and under what names by what an independent reader finds."""
        stored = {found.run_id: found for found in self.of.world.stored}
        return {plan.run_id: self._truth(plan, stored.get(plan.run_id)) for plan in self.of.schedule.runs}

    def _truth(self, plan: PlannedRun, found: StoredRun | None) -> Truth:
        run = planned.build(plan, self.of.consumer)
        at = plan if found is None else found
        return Truth(
            run_id=plan.run_id,
            source=at.source,
            category=at.category,
            day=at.day,
            outcome=plan.outcome,
            job_id=plan.job_id,
            attempt=plan.attempt,
            event_count=run.event_count,
            storage_paths=self._paths(at, run),
            state="nowhere" if found is None else found.state,
        )

    def _paths(self, at: PlannedRun | StoredRun, run: Run) -> tuple[str, ...]:
        """The URLs of its folder: as Quarry announces it, its ids not escaped, and as it really is, escaped."""
        layout, root = Layout(self.of.consumer.layout), self.of.world.storage_url
        key = PartitionKey(source=at.source, category=at.category, day=at.day, run_id=at.run_id, event_type="item")
        if layout == Layout.FLAT:
            escaped = flat_path(key).removesuffix("/event_type=item/data.jsonl")
        else:
            escaped = partition_path(key, dataset=run.dataset).removesuffix("/event_type=item")
        announced = storage_path(run, root, layout=layout)
        return tuple(dict.fromkeys((announced, f"{root}/{escaped}")))

    def _run(self, run_id: str) -> tuple[PlannedRun, Run]:
        plan = self.of.schedule.run(run_id)
        return plan, planned.build(plan, self.of.consumer)

    def _note(self, call: AwsCall, answer: AwsAnswer) -> None:
        """Put what SNS took into the history, with what a reader sees in storage at this moment."""
        for message in published(call, answer):
            swallowed = self._is_swallowed(message)
            states = tuple((found.run_id, found.state) for found in self.of.world.stored)
            publication = Publication(
                topic=message.topic,
                ours=message.topic == self.of.world.topic_arn,
                text=message.text,
                attributes=tuple((found.name, found.type, found.value) for found in message.attributes),
                states=states,
                swallowed=swallowed,
            )
            text = _shown(message.text) + ", swallowed as a duplicate" * swallowed
            self.of.recorder.record("published", text, published=publication)

    def _is_swallowed(self, message: Published) -> bool:
        """Whether a FIFO topic took this, answered 200, and sends it to nobody: it took one of that id minutes ago."""
        if not message.deduplication_id:
            return False
        key, now = (message.topic, message.deduplication_id), self.of.world.now
        if key in self._taken and now - self._taken[key] < DEDUPLICATED * 1000:
            return True
        self._taken[key] = now
        return False


def _results(run: Run) -> dict[str, Any]:
    return {"outcome": str(run.outcome), "event_count": run.event_count, "duration_ms": run.duration_ms}


def _shown(text: str) -> str:
    """A message in a few words: the run and its outcome where it says so, else how it begins."""
    with contextlib.suppress(ValueError):
        fields = json.loads(text)
        if isinstance(fields, dict) and "run_id" in fields:
            return " ".join(str(fields[name]) for name in ("run_id", "outcome") if name in fields)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
