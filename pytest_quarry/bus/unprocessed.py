"""A batch of which DynamoDB carries out only a part: it answers with status 200, and lists the rest as unprocessed.

"If any requested operations fail because the table's provisioned throughput is exceeded or an internal processing failure
occurs, the failed operations are returned in the UnprocessedItems response parameter" (DynamoDB API Reference,
BatchWriteItem; UnprocessedKeys of BatchGetItem likewise)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from pytest_quarry.bus.calls import AwsAnswer, AwsCall, answered_with, with_body

WRITE_BATCH, READ_BATCH = "dynamodb.BatchWriteItem", "dynamodb.BatchGetItem"
# Under which name an answer lists what is left of a batch, and what an answer without more is.
UNPROCESSED = {WRITE_BATCH: "UnprocessedItems", READ_BATCH: "UnprocessedKeys"}
NOTHING_DONE: dict[str, dict[str, Any]] = {WRITE_BATCH: {}, READ_BATCH: {"Responses": {}}}
JSON = ("Content-Type", "application/x-amz-json-1.0")


def in_part(which: slice, call: AwsCall, apply: Callable[[AwsCall], AwsAnswer]) -> AwsAnswer:
    """What comes back of a batch that is carried out without these of its entries."""
    try:
        asked = json.loads(call.body)
        tables: dict[str, Any] = asked["RequestItems"]
        entries = [(table, at) for table, wanted in tables.items() for at in range(len(_listed(wanted)))]
    except (ValueError, LookupError, TypeError, AttributeError):
        return apply(call)  # which is no batch: AWS says what is wrong with it
    left = entries[which]
    done = [entry for entry in entries if entry not in left]
    answer = AwsAnswer(200, (JSON,), json.dumps(NOTHING_DONE[call.operation]).encode())
    if done or not entries:
        body = json.dumps({**asked, "RequestItems": _only(tables, done)}).encode()
        answer = apply(with_body(call, body))
    if answer.status != 200:
        return answer
    told = json.loads(answer.body)
    left_over = {**told.get(UNPROCESSED[call.operation], {}), **_only(tables, left)}
    return answered_with(answer, json.dumps({**told, UNPROCESSED[call.operation]: left_over}).encode())


def _listed(wanted: Any) -> list[Any]:
    """What a batch wants of one table: a list of writes, or the keys of what is to be read."""
    found: list[Any] = wanted["Keys"] if isinstance(wanted, dict) else wanted
    return found


def _only(tables: dict[str, Any], entries: Iterable[tuple[str, int]]) -> dict[str, Any]:
    """What a batch wants of its tables, without other entries."""
    kept: dict[str, list[Any]] = {}
    for table, at in entries:
        kept.setdefault(table, []).append(_listed(tables[table])[at])
    return {
        table: {**tables[table], "Keys": those} if isinstance(tables[table], dict) else those
        for table, those in kept.items()
    }
