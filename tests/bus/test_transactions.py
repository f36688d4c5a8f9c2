"""A transaction of DynamoDB with a client's token has its effect once, for ten minutes; moto alone applies it again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from clients import client
from moto import mock_aws

from pytest_quarry.bus.bus import Bus
from pytest_quarry.bus.faults import Fault
from pytest_quarry.simulation.aws_of_test import aws_of_test
from pytest_quarry.simulation.world import World
from pytest_quarry.storage import VirtualClock

TRIES = Config(retries={"mode": "standard"})
ONE = {"Statement": "UPDATE counts SET n = ? WHERE id = ?", "Parameters": [{"N": "1"}, {"S": "a"}]}
TEN_MINUTES = 600


@pytest.fixture
def bus() -> Iterator[Bus]:
    with aws_of_test(VirtualClock()) as aws:
        yield aws.bus


def counting(dynamodb: Any) -> Any:
    """The client, with a table to count in."""
    dynamodb.create_table(
        TableName="counts",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    dynamodb.put_item(TableName="counts", Item={"id": {"S": "a"}, "n": {"N": "0"}})
    return dynamodb


def add(dynamodb: Any, by: int = 1, condition: str = "attribute_exists(id)", **token: str) -> Any:
    update = {
        "TableName": "counts",
        "Key": {"id": {"S": "a"}},
        "UpdateExpression": "ADD n :by",
        "ExpressionAttributeValues": {":by": {"N": str(by)}},
        "ConditionExpression": condition,
    }
    return dynamodb.transact_write_items(TransactItems=[{"Update": update}], **token)


def counted(dynamodb: Any) -> int:
    item = dynamodb.get_item(TableName="counts", Key={"id": {"S": "a"}}, ConsistentRead=True)["Item"]
    return int(item["n"]["N"])


@pytest.mark.parametrize("error", ["lost", "dropped", "cut", "twice"])
def test_the_clients_own_retry_adds_nothing(bus: Bus, error: str) -> None:
    """boto3 gives each call a token of its own, the same for all its attempts."""
    dynamodb = counting(boto3.client("dynamodb", config=TRIES))
    bus.fail("dynamodb.TransactWriteItems", error, times=1)
    add(dynamodb)
    assert counted(dynamodb) == 1
    add(dynamodb)
    assert counted(dynamodb) == 2


def test_a_token_is_known_for_ten_minutes(bus: Bus) -> None:
    dynamodb = counting(boto3.client("dynamodb"))
    first = add(dynamodb, ClientRequestToken="mine")
    bus.advance(TEN_MINUTES - 1)
    again = add(dynamodb, ClientRequestToken="mine")
    assert counted(dynamodb) == 1
    assert {name: first[name] for name in first if name != "ResponseMetadata"} == {
        name: again[name] for name in again if name != "ResponseMetadata"
    }
    bus.advance(1)
    add(dynamodb, ClientRequestToken="mine")
    assert counted(dynamodb) == 2


def test_a_token_is_for_one_transaction(bus: Bus) -> None:
    dynamodb = counting(boto3.client("dynamodb"))
    add(dynamodb, ClientRequestToken="mine")
    with pytest.raises(dynamodb.exceptions.IdempotentParameterMismatchException) as refused:
        add(dynamodb, by=2, ClientRequestToken="mine")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    add(dynamodb, by=2, ClientRequestToken="another")
    assert counted(dynamodb) == 3


def test_a_transaction_that_was_cancelled_may_come_again(bus: Bus) -> None:
    dynamodb = counting(boto3.client("dynamodb"))
    with pytest.raises(dynamodb.exceptions.TransactionCanceledException):
        add(dynamodb, condition="n > :by", ClientRequestToken="mine")
    dynamodb.put_item(TableName="counts", Item={"id": {"S": "a"}, "n": {"N": "7"}})
    add(dynamodb, condition="n > :by", ClientRequestToken="mine")
    assert counted(dynamodb) == 8


def test_each_region_has_its_own(bus: Bus) -> None:
    for region in ("us-east-1", "eu-west-1"):
        dynamodb = counting(boto3.client("dynamodb", region_name=region))
        add(dynamodb, ClientRequestToken="mine")
        assert counted(dynamodb) == 1


def test_statements_too(bus: Bus) -> None:
    dynamodb = counting(boto3.client("dynamodb"))
    transaction: Any = {"TransactStatements": [ONE], "ClientRequestToken": "mine"}
    dynamodb.execute_transaction(**transaction)
    add(dynamodb)
    dynamodb.execute_transaction(**transaction)
    assert counted(dynamodb) == 2


def test_over_http_too(tmp_path: Path) -> None:
    """Also between two clients: a token is known to the world, not to who sent it."""
    world = World(tmp_path)
    try:
        dynamodb = counting(client(world, "dynamodb", TRIES))
        world.faults.begin(Fault(at="dynamodb.TransactWriteItems", error="dropped", times=1))
        add(dynamodb)
        add(dynamodb, ClientRequestToken="mine")
        add(client(world, "dynamodb", TRIES), ClientRequestToken="mine")
        with pytest.raises(ClientError, match="IdempotentParameterMismatch"):
            add(dynamodb, by=2, ClientRequestToken="mine")
        assert counted(dynamodb) == 2
    finally:
        world.close()


def test_another_test_knows_nothing_of_it() -> None:
    for _ in range(2):
        with aws_of_test(VirtualClock()):
            dynamodb = counting(boto3.client("dynamodb"))
            add(dynamodb, ClientRequestToken="mine")
            assert counted(dynamodb) == 1


def test_moto_alone_applies_it_again() -> None:
    with mock_aws():
        dynamodb = counting(boto3.client("dynamodb", region_name="us-east-1"))
        add(dynamodb, ClientRequestToken="mine")
        add(dynamodb, ClientRequestToken="mine")
        assert counted(dynamodb) == 2
