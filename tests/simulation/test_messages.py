"""Notifications in each of their forms, and what they travel in: an SNS envelope in a queue, the event of a Lambda function."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, get_args, get_type_hints

import pytest
from loaders import loader, noting

from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import Deliver, Notify, PlannedRun, Schedule, Step, Wait, Write
from pytest_quarry.simulation.world import World

RUN = PlannedRun(run_id="run-A", items=1, job_id="job-1")
PATH = "/datasets/quarry/partitions/source=shop/category=products/day=2026-02-02/run_id=run-A"
FULL = {
    "contract_version": "0.13.4",
    "event_type": "run_completed",
    "run_id": "run-A",
    "source": "shop",
    "category": "products",
    "day": "2026-02-02",
    "outcome": "success",
    "storage_path": PATH,
    "timestamp": "2026-02-02T08:00:01Z",
    "job_id": "job-1",
    "attempt": 1,
    "event_count": 2,
    "duration_ms": 1500,
}


def told(form: str, outcome: str | None = None, **details: Any) -> Any:
    """What a handler is told of a run, its URL without the root."""

    def start(world: World) -> Callable[[Any], None]:
        def handle(notification: Any) -> None:
            world.target.insert(
                {"run_id": "run-A", "item": json.dumps(notification).replace(world.storage_root.as_uri(), "")}
            )

        return handle

    steps = (Write("run-A"), Notify("run-A", form, outcome), Deliver((1,)))  # type: ignore[arg-type]
    (row,) = simulate(Schedule(runs=(RUN,), steps=steps), loader(start=start, **details)).rows
    return json.loads(row.item or "")


FORMS: dict[str, Any] = {
    "full": FULL,
    "bare": FULL,
    "reordered": dict(reversed(FULL.items())),
    "extra": {**FULL, "schema_hint": {"since": "0.14"}, "tags": ["nightly"], "priority": None},
    "other-event": {**FULL, "event_type": "run_started"},
    "missing-fields": {"event_type": "run_completed", "timestamp": "2026-02-02T08:00:01Z"},
    "wrong-types": {**FULL, "run_id": None, "storage_path": 17, "source": ["shop"], "outcome": {"is": "success"}},
    "no-such-path": {**FULL, "storage_path": PATH.replace("/run_id=", "/gone/run_id=")},
    "minimal": {
        name: FULL[name] for name in ("event_type", "run_id", "source", "day", "outcome", "storage_path", "timestamp")
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form(form: str) -> None:
    found = told(form)
    assert found == FORMS[form]
    assert list(found) == list(FORMS[form])


def test_in_the_flat_layout_it_says_where_the_run_is_there() -> None:
    flat = "/source=shop/category=products/day=2026-02-02/run_id=run-A"
    assert told("full", layout="flat")["storage_path"] == told("minimal", layout="flat")["storage_path"] == flat


def test_one_that_is_no_json() -> None:
    text = told("not-json")
    assert text.startswith('{"contract_version": "0.13.4", "event_type": "run_completed", "run_id": "run-A"')
    assert text.endswith('"attempt": 1, "event_count": 2, ')
    with pytest.raises(ValueError, match="Expecting"):
        json.loads(text)


def test_there_are_no_other_forms() -> None:
    assert {*FORMS, "not-json"} == set(get_args(get_type_hints(Notify)["form"]))


def test_one_that_says_another_outcome() -> None:
    assert told("full", "script_error") == {**FULL, "outcome": "script_error"}


def test_which_of_them_are_sound() -> None:
    forms = [*FORMS, "not-json"]
    steps: list[Step] = [Write("run-A"), *(Notify("run-A", form) for form in forms)]  # type: ignore[arg-type]
    history = simulate(Schedule(runs=(RUN,), steps=tuple(steps)), noting(start=lambda world: lambda told: None))
    sound = ["full", "bare", "reordered", "extra", "no-such-path", "minimal"]
    assert [forms[number - 1] for number in history.notified] == sound
    assert set(history.notified.values()) == {"run-A"}


def test_what_the_subscription_filters_out_is_not_delivered() -> None:
    outcomes = {"run-A": "success", "run-B": "script_error", "run-C": "success"}
    runs = tuple(PlannedRun(run_id=name, outcome=outcome) for name, outcome in outcomes.items())  # type: ignore[arg-type]
    told = [step for name in outcomes for step in (Write(name), Notify(name))]
    consumer = noting(filter_policy=json.dumps({"outcome": ["success"]}))
    history = simulate(Schedule(runs=runs, steps=(*told, Deliver((1, 2, 3)))), consumer)
    delivered = [(entry.step, entry.messages) for entry in history.entries if entry.what == "delivered"]
    assert delivered == [(7, (1,)), (7, (3,))]
    assert history.notified == {1: "run-A", 3: "run-C"}
    notified = [entry.text for entry in history.entries if entry.what == "notified"]
    assert notified == ["run-A (#1)", "run-B (#2), filtered by the subscription's policy", "run-C (#3)"]


def test_a_bare_notification_has_no_attributes_that_a_filter_policy_could_find() -> None:
    history = simulate(
        Schedule(runs=(RUN,), steps=(Write("run-A"), Notify("run-A", "bare"), Notify("run-A"), Deliver((1, 2)))),
        noting(filter_policy=json.dumps({"outcome": ["success"]})),
    )
    notified = [entry.text for entry in history.entries if entry.what == "notified"]
    assert notified == ["run-A (#1) (bare), filtered by the subscription's policy", "run-A (#2)"]
    assert [entry.messages for entry in history.entries if entry.what == "delivered"] == [(2,)]


def events(*steps: Step, **details: Any) -> list[dict[str, Any]]:
    """The records that a Lambda function gets, one batch after another."""

    def start(world: World) -> Callable[[Any, object], None]:
        def function(event: Any, context: object) -> None:
            for record in event["Records"]:
                world.target.insert({"run_id": "run-A", "item": json.dumps(record)})

        return function

    history = simulate(
        Schedule(runs=(RUN,), steps=(Write("run-A"), Notify("run-A"), *steps)), loader(start=start, **details)
    )
    found: list[dict[str, Any]] = []
    for entry in history.entries:
        found += [record for row in entry.rows or () if (record := json.loads(row.item or "")) not in found]
    return found


def test_the_record_of_a_message() -> None:
    (record,) = events(Wait(9), Deliver((1,)))
    body = json.loads(record.pop("body"))
    assert body["Type"] == "Notification"
    assert body["MessageId"] == record["messageId"] == "00000000-0000-4000-8000-000000000001"
    assert body["TopicArn"] == "arn:aws:sns:us-east-1:123456789012:quarry-runs"
    assert body["Timestamp"] == "2026-02-02T08:00:01.000Z"
    assert json.loads(body["Message"])["run_id"] == "run-A"
    assert body["MessageAttributes"]["outcome"] == {"Type": "String", "Value": "success"}
    assert record["receiptHandle"] == "receipt-1-1"
    assert record["eventSourceARN"] == "arn:aws:sqs:us-east-1:123456789012:quarry-runs-consumer"
    assert record["messageAttributes"] == {}
    assert record["attributes"] == {
        "ApproximateReceiveCount": "1",
        "SentTimestamp": "1770019201000",
        "SenderId": "AIDAEXAMPLE",
        "ApproximateFirstReceiveTimestamp": "1770019211000",
    }


def test_the_record_of_a_raw_message() -> None:
    (record,) = events(Deliver((1,)), raw_delivery=True)
    assert json.loads(record["body"])["run_id"] == "run-A"
    assert record["messageAttributes"]["outcome"]["stringValue"] == "success"


def test_a_second_delivery_says_when_the_first_was() -> None:
    first, second = events(Deliver((1,), ack="lost"), Wait(60), Deliver((1,)))
    assert first["messageId"] == second["messageId"]
    assert [one["attributes"]["ApproximateReceiveCount"] for one in (first, second)] == ["1", "2"]
    assert [one["receiptHandle"] for one in (first, second)] == ["receipt-1-1", "receipt-1-2"]
    assert [one["attributes"]["ApproximateFirstReceiveTimestamp"] for one in (first, second)] == ["1770019202000"] * 2


def test_a_fifo_queue_delivers_what_was_published_again_under_another_number() -> None:
    records = events(*[Deliver((1,))] * 3, fifo=True)
    assert [record["attributes"]["SequenceNumber"] for record in records] == [f"{n:020}" for n in (1, 1001, 2001)]
    assert [record["attributes"]["MessageGroupId"] for record in records] == ["runs"] * 3
    ids = [record["messageId"] for record in records]
    assert [record["attributes"]["MessageDeduplicationId"] for record in records] == ids
    assert len(set(ids)) == 3
    assert records[0]["eventSourceARN"].endswith("quarry-runs-consumer.fifo")
    firsts = [record["attributes"]["ApproximateFirstReceiveTimestamp"] for record in records]
    assert firsts == sorted(set(firsts))
