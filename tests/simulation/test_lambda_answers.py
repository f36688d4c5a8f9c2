"""What a Lambda function answers, and what becomes of its batch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from pytest_quarry.consumers.consumer import Consumer
from pytest_quarry.simulation.history import Entry, History
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import Crash, Deliver, Notify, PlannedRun, Schedule, Step, Write
from pytest_quarry.simulation.world import World

RUNS = tuple(PlannedRun(run_id=f"run-{name}", items=1) for name in "ABC")
TOLD: tuple[Step, ...] = tuple(step for run in RUNS for step in (Write(run.run_id), Notify(run.run_id)))


def answering(answer: object, *steps: Step, **details: Any) -> History:
    """What happens when a Lambda function gives this answer to each batch."""

    def start(world: World) -> Any:
        def handler(event: Mapping[str, Any], context: object) -> object:
            return answer

        return handler

    return simulate(
        Schedule(runs=RUNS, steps=steps),
        Consumer(name="Function", kind="event-bus", start=start, rows=lambda world: [], **details),
    )


def entries(history: History, what: str) -> list[Entry]:
    """What happened while the schedule delivered, before the world settled."""
    return [entry for entry in history.entries if entry.what == what and entry.step == len(TOLD) + 1]


# What a Lambda function may answer, and whether the batch counts as done: as its answers suggest, with
# ReportBatchItemFailures, without.
ANSWERS: list[tuple[object, bool, bool, bool]] = [
    ("done", True, False, True),
    (None, True, True, True),
    ([], True, False, True),
    (17, True, False, True),
    ({}, True, True, True),
    ({"statusCode": 500}, True, True, True),
    ({"batchItemFailures": []}, True, True, True),
    ({"batchItemFailures": None}, True, True, True),
    ({"batchItemFailures": "all"}, False, False, True),
    ({"batchItemFailures": {"itemIdentifier": "x"}}, False, False, True),
    ({"batchItemFailures": [{"itemIdentifier": "unknown"}]}, False, False, True),
    ({"batchItemFailures": [{"itemIdentifier": None}]}, False, False, True),
    ({"batchItemFailures": [{"itemIdentifier": ""}]}, False, False, True),
    ({"batchItemFailures": [{"messageId": "x"}]}, False, False, True),
    ({"batchItemFailures": [None]}, False, False, True),
    ({"batchItemFailures": ["x"]}, False, False, True),
]


class TestAnswersOfLambdas:
    @pytest.mark.parametrize("reports", [None, True, False], ids=["suggested", "reports", "does-not-report"])
    @pytest.mark.parametrize("row", ANSWERS, ids=lambda row: json.dumps(row[0]))
    def test_all_or_nothing(self, row: tuple[object, bool, bool, bool], reports: bool | None) -> None:
        answer, *done = row
        expected = done[{None: 0, True: 1, False: 2}[reports]]
        history = answering(answer, *TOLD, Deliver((1, 2, 3)), reports_batch_item_failures=reports)
        acknowledged = [entry.messages for entry in entries(history, "acknowledged")]
        assert acknowledged == ([(1, 2, 3)] if expected else [])
        assert bool(entries(history, "raised")) is not expected

    @pytest.mark.parametrize(("reports", "acknowledged"), [(None, (1, 3)), (True, (1, 3)), (False, (1, 2, 3))])
    def test_one_of_three(self, reports: bool | None, acknowledged: tuple[int, ...]) -> None:
        answer = {"batchItemFailures": [{"itemIdentifier": "00000000-0000-4000-8000-000000000002"}] * 2}
        history = answering(answer, *TOLD, Deliver((1, 2, 3)), reports_batch_item_failures=reports)
        assert [entry.messages for entry in entries(history, "acknowledged")] == [acknowledged]

    def test_what_is_no_json_at_all(self) -> None:
        history = answering(object(), *TOLD, Deliver((1,)), reports_batch_item_failures=True)
        assert [entry.text for entry in entries(history, "raised")] == ["the batch failed: it answered '<object>'"]

    @pytest.mark.parametrize("size", [1, 2, 10])
    def test_batches_have_its_size(self, size: int) -> None:
        history = answering(None, *TOLD, Deliver((1, 2, 3)), batch_size=size)
        batches = [entry.messages for entry in entries(history, "delivered")]
        assert batches == [(1, 2, 3)[start : start + size] for start in range(0, 3, size)]

    def test_an_answer_that_is_long_is_cut(self) -> None:
        history = answering({"batchItemFailures": "x" * 999}, *TOLD, Deliver((1,)), reports_batch_item_failures=True)
        (text,) = [entry.text for entry in entries(history, "raised")]
        assert text.startswith("the batch failed: it answered {'batchItemFailures': 'xxx")
        assert len(text) == 300

    def test_batches_after_the_one_it_died_of_are_received_and_lost(self) -> None:
        history = answering(None, *TOLD, Deliver((1, 2, 3), Crash("return", 2)), batch_size=1)
        assert [entry.messages for entry in entries(history, "delivered")] == [(1,), (2,)]
        assert [entry.messages for entry in entries(history, "acknowledged")] == [(1,)]
        assert [entry.messages for entry in history.entries if entry.what == "acknowledged"] == [(1,), (2,), (3,)]
