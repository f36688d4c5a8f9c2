"""Notifications and what they travel in."""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_quarry.contract import (
    ContractError,
    Outcome,
    Run,
    lambda_event,
    lambda_record,
    message_attributes,
    minimal,
    number_events,
    parse_lambda_event,
    parse_notification,
    parse_sns,
    run_completed,
    sns_envelope,
)

START = datetime(2026, 2, 1, tzinfo=UTC)
TOPIC = "arn:aws:sns:eu-west-1:123456789012:quarry"
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:runs"


def run(run_id: str = "r", **fields: Any) -> Run:
    job = fields.get("job_id")
    events = number_events(run_id, [("run_complete", {})], started_at=START, job_id=job)
    return Run(**{"run_id": run_id, "source": "s", "day": "2026-02-01", "events": events, **fields})


def message(**fields: Any) -> dict[str, Any]:
    made = run_completed(run(job_id="j"), root_url="s3://b/p", timestamp="2026-02-01T00:00:02Z")
    return {name: value for name, value in {**made, **fields}.items() if value is not ...}


def test_the_full_payload() -> None:
    assert list(message()) == [
        "contract_version", "event_type", "run_id", "source", "category", "day", "outcome", "storage_path",
        "timestamp", "job_id", "attempt", "event_count", "duration_ms",
    ]  # fmt: skip
    assert message()["event_count"] == 1
    assert run_completed(run(), root_url="file:///x", timestamp=START, event_count=7)["event_count"] == 7
    assert run_completed(run(), root_url="file:///x", timestamp=START)["timestamp"] == "2026-02-01T00:00:00Z"
    with pytest.raises(ContractError, match="time zone"):
        run_completed(run(), root_url="file:///x", timestamp=START.replace(tzinfo=None))


def test_the_minimal_payload_lacks_what_the_guide_lacks() -> None:
    small = minimal(run(), root_url="file:///x", timestamp=START)
    assert set(message()) - set(small) == {
        "contract_version", "category", "job_id", "attempt", "event_count", "duration_ms",
    }  # fmt: skip
    parsed = parse_notification(small)
    assert (parsed.category, parsed.attempt, parsed.contract_version) == (None, None, None)


@given(
    run_id=st.text(min_size=1),
    category=st.text(),
    outcome=st.sampled_from([Outcome.SUCCESS, Outcome.POLICY_FAILURE]),
)
@settings(deadline=None)
def test_what_is_sent_parses_back(run_id: str, category: str, outcome: Outcome) -> None:
    sent = run(run_id, category=category, outcome=outcome)
    body = json.dumps(run_completed(sent, root_url="file:///x", timestamp=START))
    parsed = parse_notification(body)
    assert (parsed.run_id, parsed.category, parsed.outcome) == (run_id, category, outcome)
    assert parsed.extra == {}


def test_unknown_fields_are_kept() -> None:
    parsed = parse_notification(message(colour="red", contract_version="9.9.9"))
    assert parsed.extra == {"colour": "red"}
    assert parsed.contract_version == "9.9.9"


@pytest.mark.parametrize("outcome", [*Outcome, "error"])
def test_known_outcomes(outcome: str) -> None:
    assert parse_notification(message(outcome=str(outcome))).outcome == outcome


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        *[({name: ...}, f"^{name} is missing") for name in ("run_id", "source", "day", "outcome", "storage_path")],
        ({"timestamp": None}, "^timestamp is missing"),
        ({"event_type": "run_started"}, "^event_type is 'run_started'"),
        ({"event_type": ...}, "^event_type is None"),
        ({"run_id": 7}, "^run_id is 7"),
        ({"source": ""}, "^source is ''"),
        ({"category": 1}, "^category is 1"),
        ({"day": "tomorrow"}, "^day is 'tomorrow'"),
        ({"day": "20260201"}, "^day is"),
        ({"day": "2026-W05-1"}, "^day is"),
        ({"outcome": "fine"}, "^outcome is 'fine'"),
        ({"storage_path": "/srv/x"}, "^storage_path is"),
        ({"timestamp": "now"}, "^timestamp is 'now'"),
        ({"timestamp": "2026-02-01T00:00:00"}, "^timestamp is"),
        ({"timestamp": "2026-02-01T00:00:00+01:00"}, "^timestamp is"),
        ({"attempt": 0}, "^attempt is 0"),
        ({"attempt": True}, "^attempt is True"),
        ({"event_count": "3"}, "^event_count is '3'"),
        ({"duration_ms": -1}, "^duration_ms is -1"),
    ],
)
def test_an_invalid_message_is_refused_by_field(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ContractError, match=words):
        parse_notification(message(**fields))


@pytest.mark.parametrize("body", ["", "{", "[]", "null", b"\xff"])
def test_what_is_not_an_object_is_refused(body: str | bytes) -> None:
    with pytest.raises(ContractError, match="the message is"):
        parse_notification(body)


def test_the_sns_envelope_goes_both_ways() -> None:
    attributes = message_attributes(run("r <&> é"))
    assert set(attributes) == {"run_id", "source", "outcome"}
    envelope = sns_envelope(
        "body",
        message_id="m-1",
        topic_arn=TOPIC,
        timestamp="2026-02-01T00:00:00.000Z",
        attributes=attributes,
        subject="s",
    )
    parsed = parse_sns(json.dumps(envelope))
    assert (parsed.message, parsed.message_id, parsed.topic_arn, parsed.subject) == ("body", "m-1", TOPIC, "s")
    assert parsed.attributes == {"run_id": "r <&> é", "source": "s", "outcome": "success"}
    bare = sns_envelope("body", message_id="m", topic_arn=TOPIC, timestamp="t")
    assert "MessageAttributes" not in bare
    assert "Subject" not in bare
    assert "eu-west-1" in bare["UnsubscribeURL"]


@pytest.mark.parametrize(
    ("fields", "words"), [({"Type": "SubscriptionConfirmation"}, "Type"), ({"Message": None}, "Message is None")]
)
def test_what_is_no_envelope_is_refused(fields: dict[str, Any], words: str) -> None:
    envelope = sns_envelope("body", message_id="m", topic_arn=TOPIC, timestamp="t")
    with pytest.raises(ContractError, match=words):
        parse_sns({**envelope, **fields})
    with pytest.raises(ContractError, match="not JSON"):
        parse_sns("{")
    with pytest.raises(ContractError, match="raw delivery"):
        parse_sns(json.dumps(message()))


@given(bodies=st.lists(st.text(), max_size=4))
@settings(deadline=None)
def test_the_lambda_event_goes_both_ways(bodies: list[str]) -> None:
    records = [
        lambda_record(body, message_id=f"m{n}", receipt_handle=f"h{n}", queue_arn=QUEUE, receive_count=n + 1)
        for n, body in enumerate(bodies)
    ]
    event = json.loads(json.dumps(lambda_event(records)))
    assert [one["md5OfBody"] for one in event["Records"]] == [hashlib.md5(body.encode()).hexdigest() for body in bodies]
    parsed = parse_lambda_event(event)
    assert [(one.body, one.message_id, one.receipt_handle, one.receive_count) for one in parsed] == [
        (body, f"m{n}", f"h{n}", n + 1) for n, body in enumerate(bodies)
    ]


def test_a_record_has_what_lambda_gives() -> None:
    record = lambda_record(
        "b", message_id="m", receipt_handle="h", queue_arn=QUEUE, sent_ms=5, attributes=message_attributes(run())
    )
    assert set(record) == {
        "messageId", "receiptHandle", "body", "attributes", "messageAttributes", "md5OfBody", "eventSource",
        "eventSourceARN", "awsRegion",
    }  # fmt: skip
    assert (record["awsRegion"], record["eventSource"]) == ("eu-west-1", "aws:sqs")
    assert record["attributes"]["SentTimestamp"] == "5"
    assert parse_lambda_event({"Records": [record]})[0].attributes["outcome"] == "success"


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ({}, "Records is NoneType"),
        ({"Records": [7]}, r"Records\[0\]"),
        ({"Records": [{"body": "b"}]}, "messageId"),
        (
            {
                "Records": [
                    {"body": "b", "messageId": "m", "receiptHandle": "h", "eventSourceARN": QUEUE, "md5OfBody": "0"}
                ]
            },
            "md5OfBody",
        ),
    ],
)
def test_a_malformed_lambda_event_is_refused(event: dict[str, Any], words: str) -> None:
    with pytest.raises(ContractError, match=words):
        parse_lambda_event(event)
