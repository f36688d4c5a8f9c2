"""A transaction that DynamoDB cancels because another one is at its item: refused as AWS documents it, and nothing is done."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from pytest_quarry.bus.bus import Bus
from pytest_quarry.simulation.aws_of_test import aws_of_test
from pytest_quarry.storage import VirtualClock

KEY: dict[str, Any] = {
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "BillingMode": "PAY_PER_REQUEST",
}


@pytest.fixture
def bus() -> Iterator[Bus]:
    with aws_of_test(VirtualClock()) as aws:
        boto3.client("dynamodb").create_table(TableName="as", **KEY)
        yield aws.bus


def put(*names: str) -> None:
    items = [{"Put": {"TableName": "as", "Item": {"id": {"S": name}}}} for name in names]
    boto3.client("dynamodb").transact_write_items(TransactItems=items)  # type: ignore[arg-type]


def there() -> list[str]:
    return sorted(item["id"]["S"] for item in boto3.client("dynamodb").scan(TableName="as")["Items"])


def test_it_says_why_and_does_nothing_and_is_not_tried_again_by_boto3(bus: Bus) -> None:
    bus.fail("dynamodb.TransactWriteItems", "conflict", times=1)
    with pytest.raises(ClientError) as raised:
        put("a", "b")
    assert raised.value.response["Error"]["Code"] == "TransactionCanceledException"
    assert "[TransactionConflict, None]" in raised.value.response["Error"]["Message"]
    assert [each["Code"] for each in raised.value.response["CancellationReasons"]] == ["TransactionConflict", "None"]  # type: ignore[typeddict-item]
    assert there() == []
    put("a", "b")
    assert there() == ["a", "b"]


def test_a_statement_is_refused_so_too(bus: Bus) -> None:
    bus.fail("dynamodb.", "conflict", times=1)
    with pytest.raises(ClientError, match="TransactionConflict"):
        boto3.client("dynamodb").execute_transaction(
            TransactStatements=[{"Statement": "INSERT INTO \"as\" VALUE {'id': 'a'}"}]
        )


def test_other_calls_do_not_meet_it(bus: Bus) -> None:
    bus.fail("dynamodb.", "conflict", times=1)
    boto3.client("dynamodb").put_item(TableName="as", Item={"id": {"S": "a"}})
    assert there() == ["a"]
    with pytest.raises(ClientError, match="TransactionConflict"):
        put("b")


def test_it_comes_of_transactions_only(bus: Bus) -> None:
    with pytest.raises(
        ValueError, match=r"'conflict' never comes of 'dynamodb\.PutItem', only of dynamodb\.TransactWrite"
    ):
        bus.fail("dynamodb.PutItem", "conflict")
