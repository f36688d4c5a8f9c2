"""Transactions of DynamoDB as AWS documents them: one that carries a client's token has its effect once.

"multiple identical calls have the same effect as one single call" (API TransactWriteItems); every SDK gives each call a token,
the same for all its attempts. moto applies each of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from pytest_quarry.bus.calls import AwsAnswer, AwsCall
from pytest_quarry.bus.conflicts import TRANSACTIONS
from pytest_quarry.bus.faults import Apply
from pytest_quarry.bus.operations import SCOPE

VALID = 600_000_000  # microseconds, from the first call that succeeded: 10 minutes
MISMATCH = {
    "__type": "com.amazonaws.dynamodb.v20120810#IdempotentParameterMismatchException",
    "Message": "DynamoDB rejected the request because you retried a request with a different payload but with an idempotent "
    "token that was already used.",
}


class Token(NamedTuple):
    """A client's token: each region has its own tables, and its own tokens."""

    region: str
    operation: str
    text: str


class Done(NamedTuple):
    """What a token was used for: when (µs), for what request, with what answer."""

    at: int
    request: Mapping[str, Any]
    answer: AwsAnswer


class Transactions:
    """The transactions of one mocked AWS whose tokens are still valid."""

    def __init__(self) -> None:
        self._done: dict[Token, Done] = {}

    def carry_out(self, call: AwsCall, now: int, apply: Apply) -> AwsAnswer:
        """What comes back of a call at `now` (µs): a transaction that had its effect is answered as it was, and has none."""
        request = _request(call)
        token = request.get("ClientRequestToken")
        if not isinstance(token, str):
            return apply(call)
        key = Token(_region(call), call.operation, token)
        done = self._done.get(key)
        if done is not None and now - done.at < VALID:
            return done.answer if done.request == request else _mismatch()
        answer = apply(call)
        if answer.status == 200:  # what was cancelled had no effect, and may come again
            self._done[key] = Done(now, request, answer)
        return answer


def _request(call: AwsCall) -> Mapping[str, Any]:
    """The parameters of a transaction; none of what is another call."""
    if call.operation not in TRANSACTIONS:
        return {}
    try:
        found = json.loads(call.body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _region(call: AwsCall) -> str:
    signed = next((SCOPE.search(value) for name, value in call.headers if name.lower() == "authorization"), None)
    return signed["region"] if signed else ""


def _mismatch() -> AwsAnswer:
    headers = (("Content-Type", "application/x-amz-json-1.0"),)
    return AwsAnswer(400, headers, json.dumps(MISMATCH).encode())
