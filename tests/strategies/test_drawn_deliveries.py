"""duplicates() and deliveries(): every message at least once, copies that are copies, and simple counterexamples."""

import json
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from simplest import calm, drawn, simplest
from test_drawn_messages import FULL, OTHER, bodies

from pytest_quarry.contract import parse_lambda_event, parse_notification
from pytest_quarry.strategies import deliveries, duplicates, lambda_events, notifications, sns_envelopes


def run_ids(messages: list[dict[str, Any]]) -> list[str]:
    return [parse_notification(message).run_id for message in messages]


@given(messages=duplicates([FULL, OTHER], max_copies=3))
@calm
def test_copies_come_after_their_first(messages: list[dict[str, Any]]) -> None:
    assert 3 <= len(messages) <= 5
    assert list(dict.fromkeys(run_ids(messages))) == ["run-1", "run-2"]
    assert next(one for one in messages if one["run_id"] == "run-1") == FULL
    for message in messages:
        known = {**message, "timestamp": FULL["timestamp"], "run_id": "run-1"}
        assert {name: known[name] for name in FULL} == FULL
        assert message["timestamp"] >= FULL["timestamp"]


@given(messages=duplicates(notifications()), again=duplicates([FULL], kinds=["again"]))
@calm
def test_drawn_messages_are_of_different_runs(messages: list[dict[str, Any]], again: list[dict[str, Any]]) -> None:
    counted = Counter(run_ids(messages))
    assert max(counted.values()) >= 2
    assert all(message == FULL for message in again)


@given(events=duplicates(lambda_events(max_records=2)))
@calm
def test_what_is_received_again_keeps_its_message_id(events: list[dict[str, Any]]) -> None:
    runs_of: dict[str, str] = {}
    counts: dict[str, list[int]] = {}
    receipts: list[str] = []
    for event in events:
        for record in parse_lambda_event(event):
            text = json.loads(record.body)
            run_id = json.loads(text["Message"])["run_id"] if "Message" in text else text["run_id"]
            assert runs_of.setdefault(record.message_id, run_id) == run_id
            counts.setdefault(record.message_id, []).append(record.receive_count)
            receipts.append(record.receipt_handle)
    assert all(found == list(range(found[0], found[0] + len(found))) for found in counts.values())
    assert len(set(receipts)) == len(receipts)


def test_a_new_envelope_is_another_message() -> None:
    events = drawn(
        duplicates(lambda_events(of=FULL, raw=False), kinds=["new-envelope"], max_messages=1, max_copies=1),
        lambda found: set(bodies(found[1], raw=False)[0]) > set(FULL),
    )
    (first,), (second,) = parse_lambda_event(events[0]), parse_lambda_event(events[1])
    assert first.message_id != second.message_id
    envelopes = [json.loads(first.body), json.loads(second.body)]
    assert envelopes[0]["MessageId"] != envelopes[1]["MessageId"]
    assert envelopes[0]["Timestamp"] < envelopes[1]["Timestamp"]


def test_the_simplest_duplicates() -> None:
    assert simplest(duplicates([1, 2, 3])) == [1, 1, 2, 3]
    assert simplest(duplicates(notifications())) == [FULL, FULL]
    assert simplest(duplicates(["a", "b"]), lambda found: found[-1] == "a") == ["a", "b", "a"]
    changed = simplest(duplicates([FULL]), lambda found: found[1] != FULL)
    assert changed == [FULL, {**FULL, "timestamp": "2026-02-01T07:00:02Z"}]
    envelopes = simplest(duplicates(sns_envelopes(of=FULL)))
    assert envelopes == [envelopes[0]] * 2


@given(found=deliveries([1, 2, 3, 4], max_again=3, max_batch=2), ordered=deliveries([1, 2, 3], ordered=True))
@calm
def test_every_message_is_delivered(found: list[list[int]], ordered: list[list[int]]) -> None:
    flat = [message for batch in found for message in batch]
    assert set(flat) == {1, 2, 3, 4}
    assert len(flat) <= 7
    assert all(1 <= len(batch) <= 2 for batch in found)
    assert list(dict.fromkeys(message for batch in ordered for message in batch)) == [1, 2, 3]


def test_every_sort_of_delivery_is_drawn() -> None:
    two = deliveries(["a", "b"])
    assert drawn(two, lambda found: found == [["b"], ["a"]])
    assert drawn(two, lambda found: ["a", "a"] in found)
    assert drawn(two, lambda found: found[0] == ["a", "b"] and ["a"] in found)
    assert drawn(deliveries(st.integers()), lambda found: len(found) == 3)


def test_the_simplest_deliveries() -> None:
    assert simplest(deliveries([1, 2, 3])) == [[1], [2], [3]]
    assert simplest(deliveries([1, 2]), lambda found: len(found) == 3) == [[1], [1], [2]]
    assert simplest(deliveries([1, 2]), lambda found: len(found) == 1) == [[1, 2]]
    assert simplest(deliveries([1, 2]), lambda found: found[0] == [2]) == [[2], [1]]


@given(events=deliveries([FULL, OTHER], envelope="sns", max_again=3))
@calm
def test_lambda_events_count_what_was_received(events: list[dict[str, Any]]) -> None:
    counts: dict[str, list[int]] = {}
    for event in events:
        for body, record in zip(bodies(event, raw=False), parse_lambda_event(event), strict=True):
            assert body in (FULL, OTHER)
            counts.setdefault(record.message_id, []).append(record.receive_count)
    assert len(counts) == 2
    assert all(found == list(range(1, len(found) + 1)) for found in counts.values())


def test_raw_delivery() -> None:
    (event,) = simplest(deliveries([FULL], envelope="raw"))
    assert bodies(event, raw=True) == [FULL]
