"""What strategies are asked for is checked at the call, and the words say what would do."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from test_drawn_messages import FULL, RUN

from pytest_quarry.strategies import (
    deliveries,
    duplicates,
    events,
    lambda_events,
    notifications,
    runs,
    schedules,
    sns_envelopes,
)

WRONG: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], str]] = [
    (runs, (), {"ids": "weird"}, r"runs\(\): ids is 'weird'; there are 'plain', 'hostile'"),
    (runs, (), {"min_items": 4}, r"min_items is 4, max_items is 3; the least must not be above"),
    (runs, (), {"max_items": -1}, r"max_items is -1; it must be a whole number from 0"),
    (runs, (), {"max_others": True}, r"max_others is True; it must be a whole number"),
    (runs, (), {"policies": ["lazy"]}, r"policies has 'lazy'; there are 'strict', 'buffered', 'streaming'"),
    (runs, (), {"policies": "strict"}, r"policies is 'strict'; give a list, of 'strict'"),
    (runs, (), {"outcomes": []}, r"outcomes is empty; give at least one of 'success'"),
    (runs, (), {"run_id": 7}, r"run_id is 7; give a text, a strategy of texts, or leave it out"),
    (runs, (), {"data": {}}, r"data is \{\}; give a strategy of objects"),
    (events, (), {"types": ["metrics"]}, r"events\(\): types has 'metrics'; there are 'item'"),
    (events, (), {"of": "run-1"}, r"of is 'run-1'; give a Run, or a strategy of runs"),
    (events, (), {"of": RUN, "types": ["item"]}, r"run 'run-1' has no event of item; it emitted run_complete"),
    (notifications, (), {"form": "bare"}, r"form is 'bare'; there are 'full', 'minimal', 'extra', 'reordered'"),
    (notifications, (), {"root_url": "/lake"}, r"root_url is '/lake'; give file:///"),
    (notifications, (), {"layout": "hive"}, r"layout is 'hive'; there are 'lode', 'flat'"),
    (sns_envelopes, (), {"of": {}}, r"of has \{\}, which is no notification: event_type is None"),
    (sns_envelopes, (), {"of": []}, r"of is \[\]; give a notification, a list of them, or a strategy"),
    (sns_envelopes, (), {"topic_arn": "runs"}, r"topic_arn is 'runs'; give arn:aws:sns"),
    (lambda_events, (), {"max_records": 11}, r"max_records is 11; it must be a whole number from 1 to 10"),
    (lambda_events, (), {"min_records": 0}, r"min_records is 0; it must be a whole number from 1"),
    (lambda_events, (), {"of": [FULL] * 11}, r"of has 11 notifications; a batch of SQS has ten at most"),
    (duplicates, ([],), {}, r"duplicates\(\): of is \[\]; give a list of messages"),
    (duplicates, ([1],), {"kinds": ["later"]}, r"kinds has 'later'; there are 'again', 'new-envelope'"),
    (duplicates, ([1],), {"max_copies": 0}, r"max_copies is 0; it must be a whole number from 1"),
    (deliveries, ("abc",), {}, r"deliveries\(\): of is 'abc'; give a list of messages"),
    (deliveries, ([1],), {"envelope": "sqs"}, r"envelope is 'sqs'; there are 'sns', 'raw', 'none'"),
    (deliveries, ([1],), {"max_again": 9}, r"max_again is 9; it must be a whole number from 0 to 8"),
    (schedules, (), {"kind": "lambda"}, r"kind is 'lambda'; there are 'event-bus', 'poller'"),
    (schedules, (), {"disturbances": ["fires"]}, r"disturbances has 'fires'; there are 'duplicates', 'order'"),
    (schedules, (), {"max_runs": 0}, r"max_runs is 0; it must be a whole number from 1"),
    (schedules, (), {"crash_at": "return"}, r"crash_at is 'return'; give a list of texts"),
    (schedules, (), {"storage": "gcs"}, r"storage is 'gcs'; there are 'fs', 's3'"),
]


@pytest.mark.parametrize(("strategy", "arguments", "keywords", "words"), WRONG, ids=[one[3][:40] for one in WRONG])
def test_a_wrong_argument_is_refused_at_the_call(
    strategy: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidArgument, match=words):
        strategy(*arguments, **keywords)


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        (notifications(of=st.just(7)), r"notifications\(\): of= drew 7; it must draw runs"),  # type: ignore[arg-type]
        (
            lambda_events(of=st.just({"event_type": "x"})),
            r"lambda_events\(\): of has .* no notification: event_type is 'x'",
        ),
        (deliveries(st.just(1), envelope="sns"), r"deliveries\(\): of has 1, which is no notification"),
    ],
)
def test_a_wrong_strategy_is_refused_when_it_draws(strategy: st.SearchStrategy[Any], words: str) -> None:
    @given(strategy)
    @settings(max_examples=1, database=None)
    def check(value: object) -> None:
        pass

    with pytest.raises(InvalidArgument, match=words):
        check()
