"""What one process of a session has executed the others need not; none waits for another, and none trusts another consumer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_quarry.checks import shared
from pytest_quarry.checks.catalogue import BY_ID
from pytest_quarry.checks.conduct import Conductor
from pytest_quarry.checks.shared import Shared
from pytest_quarry.checks.stage import Kept, Stage
from pytest_quarry.consumers.consumer import Consumer
from pytest_quarry.samples import SAMPLES
from pytest_quarry.simulation.history import Entry, History
from pytest_quarry.simulation.schedule import Schedule

CONSUMER = Consumer(name="Orders", kind="poller", start=lambda world: None, rows=lambda world: [])


class Process:
    """A process of the session: what it executes, and how that goes."""

    def __init__(
        self, folder: Path, *, whose: str = "test_orders.py::TestOrders[]", label: str = "append ledger"
    ) -> None:
        self.executed: list[str] = []
        self.kept = Kept(folder=folder, whose=whose)
        self.stage = Stage(CONSUMER, 0, self._execute, self.kept)
        self._label = label
        self.kept.share(self._history("A"))

    def _history(self, name: str) -> History:
        return History(entries=(Entry(time=1, what="crossed", text=f"{self._label} {name}"),))

    def _execute(self, schedule: Schedule, **details: Any) -> History:
        self.executed.append(schedule.runs[0].run_id)
        return self._history(schedule.runs[0].run_id)

    def schedule(self, name: str) -> Schedule:
        return self.stage.schedule([self.stage.run(name)], [])

    def history(self, name: str, *, reads: bool = False) -> History:
        return self.stage.history(self.schedule(name), reads=reads)

    def begin(self, name: str) -> None:
        """It is at a schedule, and not through."""
        assert self.kept.shared is not None
        assert self.kept.shared.claim(self.schedule(name), reads=False)


def test_what_one_has_executed_the_other_finds(tmp_path: Path) -> None:
    one, other = Process(tmp_path), Process(tmp_path)
    assert one.history("A") == other.history("A") == one.history("A")
    assert other.history("B") == one.history("B")
    assert (one.executed, other.executed) == (["run-A"], ["run-B"])


def test_with_reads_it_is_another_execution(tmp_path: Path) -> None:
    one, other = Process(tmp_path), Process(tmp_path)
    one.history("A")
    other.history("A", reads=True)
    assert other.executed == ["run-A"]


def test_where_another_is_at_it_the_next_is_executed_meanwhile(tmp_path: Path) -> None:
    one, other = Process(tmp_path), Process(tmp_path)
    one.begin("A")
    one.begin("B")
    other.stage.coming = [other.schedule(name) for name in "BCD"]
    other.history("A")
    # Nobody waits: what is still not there is executed here.
    assert other.executed == ["run-C", "run-A"]
    assert one.history("C") == other.history("C")
    assert one.executed == []
    assert other.executed == ["run-C", "run-A"]


def test_who_died_at_it_is_not_waited_for(tmp_path: Path) -> None:
    one, other = Process(tmp_path), Process(tmp_path)
    one.begin("A")
    other.history("A")
    assert other.executed == ["run-A"]


@pytest.mark.parametrize(
    "different", [{"whose": "test_orders.py::TestOthers[]"}, {"label": "append ledger_gw1"}], ids=str
)
def test_another_consumer_shares_nothing(different: dict[str, str], tmp_path: Path) -> None:
    """Where its labels have the worker's name in them, a crash there would be no crash here."""
    one, other = Process(tmp_path), Process(tmp_path, **different)
    one.history("A")
    other.history("A")
    assert one.executed == other.executed == ["run-A"]


def test_what_is_played_anew_is_played_here(tmp_path: Path) -> None:
    one, other = Process(tmp_path), Process(tmp_path)
    one.history("A")
    other.kept.begin_anew()
    other.kept.share(other.history("A"))
    other.history("A")
    one.history("B")
    other.history("B")
    assert other.executed == ["run-A", "run-B"]


def test_without_the_folder_each_is_on_its_own(tmp_path: Path) -> None:
    one, other = Process(tmp_path / "gone"), Process(tmp_path / "gone")
    one.history("A")
    other.history("A")
    assert one.executed == other.executed == ["run-A"]


def test_fuzzing_for_hours_fills_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "MOST", 3)
    one = Process(tmp_path)
    for number in range(9):
        one.history(f"{number}")
    assert len(one.executed) == 9
    assert len([file for file in tmp_path.iterdir() if not file.suffix]) == 3
    assert len(list(tmp_path.iterdir())) == 6


def test_a_history_of_a_real_consumer_is_the_same_elsewhere(tmp_path: Path) -> None:
    consumer = next(sample for sample in SAMPLES if sample.name == "poller-one-transaction").suite()().consumer()
    kept = Kept(folder=tmp_path, whose="it")
    conductor = Conductor(consumer, kept=kept)
    assert conductor.conduct(BY_ID["PO02"]).status == "passed"
    assert kept.shared is not None
    stage = conductor.stage
    elsewhere = Shared(tmp_path, "it", stage.history(stage.loaded(stage.run("A"))))
    found = {schedule: elsewhere.find(schedule, reads=reads) for schedule, reads in kept.histories}
    shared_ones = {schedule: history for schedule, history in found.items() if history is not None}
    assert len(shared_ones) > 20
    assert all(stage.history(schedule) == history for schedule, history in shared_ones.items())


def test_how_much_room_there_was_makes_no_other_consumer(tmp_path: Path) -> None:
    schedule, history = Schedule(runs=(), steps=()), History(entries=())
    Shared(tmp_path, "TestOrders", replace(history, room=5)).keep(schedule, history, reads=False)
    assert Shared(tmp_path, "TestOrders", replace(history, room=6)).find(schedule, reads=False) == history
