"""A transaction that DynamoDB cancels because another one, or a write, is at one of its items just then.

"A TransactWriteItems operation … that conflicts with an ongoing transaction … is rejected with a TransactionCanceledException",
and its CancellationReasons say TransactionConflict, where a condition that does not hold says ConditionalCheckFailed (Amazon
DynamoDB Developer Guide, *Managing complex workflows with DynamoDB transactions*). SDKs do not try such a call again.
"""

from __future__ import annotations

import json

from pytest_quarry.bus.calls import AwsAnswer, AwsCall

CONFLICT = "conflict"
TRANSACTIONS = ("dynamodb.TransactWriteItems", "dynamodb.ExecuteTransaction")
CODE = "TransactionCanceledException"


def canceled(call: AwsCall) -> AwsAnswer:
    """The answer to a transaction whose first item somebody else is at; nothing of it is done."""
    reasons = [{"Code": "None"}] * _items(call)
    reasons[:1] = [{"Code": "TransactionConflict", "Message": "Transaction is ongoing for the item"}]
    codes = ", ".join(reason["Code"] for reason in reasons)
    body = {
        "__type": f"com.amazonaws.dynamodb.v20120810#{CODE}",
        "Message": f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]",
        "CancellationReasons": reasons,
    }
    return AwsAnswer(400, (("Content-Type", "application/x-amz-json-1.0"),), json.dumps(body).encode())


def _items(call: AwsCall) -> int:
    try:
        asked = json.loads(call.body)
        return len(asked.get("TransactItems") or asked["TransactStatements"])
    except (ValueError, LookupError, TypeError, AttributeError):
        return 1
