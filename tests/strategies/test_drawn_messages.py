"""notifications(), sns_envelopes(), lambda_events(): the contract's own parsers understand all of them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simplest import calm, drawn, simplest

from pytest_quarry.contract import (
    CONTRACT_VERSION,
    Run,
    number_events,
    parse_lambda_event,
    parse_notification,
    parse_sns,
    storage_path,
)
from pytest_quarry.strategies import lambda_events, notifications, runs, sns_envelopes

RUN: Run = simplest(runs())
FULL = {
    "contract_version": CONTRACT_VERSION,
    "event_type": "run_completed",
    "run_id": "run-1",
    "source": "shop",
    "category": "default",
    "day": "2026-02-01",
    "outcome": "success",
    "storage_path": storage_path(RUN, "s3://lake/raw"),
    "timestamp": "2026-02-01T07:00:01Z",
    "attempt": 1,
    "event_count": 1,
    "duration_ms": 1500,
}
OTHER = {**FULL, "run_id": "run-2"}


@given(message=notifications() | notifications(of=runs(ids="hostile"), layout="flat"))
@calm
def test_every_notification_is_one(message: dict[str, Any]) -> None:
    told = parse_notification(json.dumps(message))
    assert told == parse_notification(message)
    assert told.storage_path.endswith(f"day={told.day}/run_id={told.run_id}")


OF_RUNS = runs().flatmap(
    lambda run: st.tuples(st.just(run), notifications(of=run, form="full", root_url="file:///lake"))
)


@given(drawn_of=OF_RUNS)
@calm
def test_a_notification_is_of_its_run(drawn_of: tuple[Run, dict[str, Any]]) -> None:
    run, message = drawn_of
    told = parse_notification(message)
    assert (told.run_id, told.source, told.category, told.day) == (run.run_id, run.source, run.category, run.day)
    assert (told.outcome, told.event_count, told.attempt) == (run.outcome, run.event_count, run.attempt)
    assert told.storage_path == storage_path(run, "file:///lake")


def test_the_simplest_notification() -> None:
    assert simplest(notifications()) == FULL


def test_each_form() -> None:
    minimal = simplest(notifications(form="minimal"))
    assert minimal == {name: value for name, value in FULL.items() if name in minimal}
    assert "category" not in minimal
    extra = simplest(notifications(form="extra"))
    assert list(extra)[: len(FULL)] == list(FULL)
    assert list(parse_notification(extra).extra) == ["schema_hint"]
    reordered = drawn(notifications(of=RUN, form="reordered"), lambda message: next(iter(message)) == "run_id")
    assert set(reordered) == set(FULL)


@pytest.mark.parametrize("outcome", ["error", "script_error", "policy_failure", "version_mismatch", "executor_crash"])
def test_every_outcome_is_told(outcome: str) -> None:
    assert drawn(notifications(), lambda message: message["outcome"] == outcome)


def test_a_success_is_never_called_an_error() -> None:
    @given(message=notifications(of=RUN))
    @calm
    def check(message: dict[str, Any]) -> None:
        assert message["outcome"] == "success"

    check()


@given(envelope=sns_envelopes(), bare=sns_envelopes(of=FULL, attributes=False))
@calm
def test_an_envelope_holds_a_notification(envelope: dict[str, Any], bare: dict[str, Any]) -> None:
    parsed = parse_sns(json.dumps(envelope))
    told = parse_notification(parsed.message)
    values = {"run_id": told.run_id, "source": told.source, "outcome": told.outcome}
    assert parsed.attributes in ({}, values)
    assert parsed.timestamp >= told.timestamp[:19]
    assert json.loads(bare["Message"]) == FULL
    assert "MessageAttributes" not in bare


def test_the_simplest_envelope() -> None:
    envelope = simplest(sns_envelopes())
    assert json.loads(envelope["Message"]) == FULL
    assert set(envelope["MessageAttributes"]) == {"run_id", "source", "outcome"}
    assert "Subject" not in envelope


def bodies(event: dict[str, Any], raw: bool) -> list[dict[str, Any]]:
    records = parse_lambda_event(event)
    return [json.loads(one.body if raw else parse_sns(one.body).message) for one in records]


@given(event=lambda_events(min_records=2, max_records=4, raw=False), raw=lambda_events(of=[FULL, OTHER], raw=True))
@calm
def test_a_lambda_event_holds_notifications(event: dict[str, Any], raw: dict[str, Any]) -> None:
    found = bodies(event, raw=False)
    assert 2 <= len(found) <= 4
    assert len({parse_notification(one).run_id for one in found}) == len(found)
    assert len({one["messageId"] for one in event["Records"]}) == len(found)
    assert bodies(raw, raw=True) == [FULL, OTHER]
    assert parse_lambda_event(raw)[1].attributes["run_id"] == "run-2"


def test_the_simplest_lambda_event() -> None:
    event = simplest(lambda_events())
    assert bodies(event, raw=False) == [FULL]
    assert parse_lambda_event(event)[0].receive_count == 1


def test_different_messages_have_different_ids() -> None:
    mine, other = simplest(lambda_events(of=FULL)), simplest(lambda_events(of=OTHER))
    assert mine["Records"][0]["messageId"] != other["Records"][0]["messageId"]
    assert simplest(sns_envelopes(of=FULL))["MessageId"] != simplest(sns_envelopes(of=OTHER))["MessageId"]


def test_a_run_of_your_own() -> None:
    run = Run(
        run_id="mine",
        source="s",
        day="2026-02-01",
        events=number_events("mine", [("run_complete", {})], started_at=RUN.begun_at),
    )
    assert (
        simplest(lambda_events(of=notifications(of=run, form="minimal"), raw=True))["Records"][0]["body"].count("mine")
        == 2
    )
