"""Runs that look alike meet all at once; what is reported is the pair of them that shows it, if a pair does."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_quarry import EventBusConformance, World, read_runs
from pytest_quarry.checks import alike
from pytest_quarry.checks.catalogue import BY_ID
from pytest_quarry.checks.conduct import Conductor, Result
from pytest_quarry.samples import SAMPLES

MANY = 3  # fewer than the runs that look alike


class Loader:
    """Sound: a file for each run, and in it the ids of its items. How it names the file is up to its sisters."""

    def __init__(self, world: World) -> None:
        self.root, self.folder = world.storage_root, world.disk

    def handle(self, notification: dict[str, Any]) -> None:
        if notification["event_type"] != "run_completed" or notification["outcome"] != "success":
            return
        run = next((run for run in read_runs(self.root) if run.run_id == notification["run_id"]), None)
        if run is None or run.state != "finished":
            raise LookupError("it is not there yet")
        content = json.dumps([run.run_id, [item.event_id for item in run.items]])
        temporary = self.folder / "being-written"
        temporary.write_text(content, encoding="utf-8")
        temporary.rename(self.folder / f"{self.name(run.run_id)}.json")

    def name(self, run_id: str) -> str:
        return run_id.encode().hex()


class ByItsEnd(Loader):
    """Takes two runs for one whose ids end alike."""

    def name(self, run_id: str) -> str:
        return run_id[-12:].encode().hex()


class NoMoreThan(Loader):
    """Takes so many runs and no more, and says nothing of it: no two of them are too many."""

    def handle(self, notification: dict[str, Any]) -> None:
        if len(list(self.folder.glob("*.json"))) < MANY:
            super().handle(notification)


def conducted(loader: type[Loader]) -> Result:
    """EB14 of a suite of such a consumer."""

    class Suite(EventBusConformance):
        workers = 1

        def start(self, world: World) -> Loader:
            return loader(world)

        def rows(self, world: World) -> list[dict[str, str]]:
            found = [json.loads(file.read_text(encoding="utf-8")) for file in world.disk.glob("*.json")]
            return [{"run_id": run_id, "item": item} for run_id, items in found for item in items]

    return Conductor(Suite().consumer()).conduct(BY_ID["EB14"])


def test_a_sound_one_needs_two_schedules() -> None:
    result = conducted(Loader)
    assert (result.status, result.schedules) == ("passed", 2)


def test_two_that_are_taken_for_one_are_what_is_reported() -> None:
    result = conducted(ByItsEnd)
    assert result.status == "failed"
    assert result.schedule is not None
    assert len(result.schedule.runs) == 2
    one, other = (run.run_id for run in result.schedule.runs)
    assert one[-12:] == other[-12:]


def test_what_only_many_show_is_reported_too() -> None:
    result = conducted(NoMoreThan)
    assert result.status == "failed"
    assert result.schedule is not None
    assert len(result.schedule.runs) > MANY


@pytest.mark.parametrize("check_id", ["EB14", "PO11", "PB04"])
def test_the_checks_of_all_kinds_have_them(check_id: str) -> None:
    name = {"EB14": "one-transaction", "PO11": "poller-one-transaction", "PB04": "publisher"}[check_id]
    suite = next(sample for sample in SAMPLES if sample.name == name).suite()
    conductor = Conductor(suite().consumer())
    wanted = {run.run_id for pair in alike.pairs_of_runs(conductor.stage) for run in pair}
    together = [
        each for each in BY_ID[check_id].schedules(conductor.stage) if wanted <= {run.run_id for run in each.runs}
    ]
    assert len(together) == 2
    assert together[0].runs != together[1].runs
