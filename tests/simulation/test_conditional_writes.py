"""Two workers and DynamoDB: each call is a boundary, and a condition is judged at the moment its call goes through."""

from __future__ import annotations

import gc
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from together import Work, consumer, said

from pytest_quarry.simulation.history import History
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.schedule import Crash, Overlap, Schedule, Switch
from pytest_quarry.simulation.world import World

KEY = {"run_id": {"S": "run-1"}}
CONDITION = {"ConditionExpression": "attribute_not_exists(run_id)"}


def prepare(world: World) -> None:
    boto3.client("dynamodb").create_table(
        TableName="marks",
        KeySchema=[{"AttributeName": "run_id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "run_id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


def marks(world: World) -> list[dict[str, Any]]:
    return [{"run_id": item["run_id"]["S"]} for item in boto3.client("dynamodb").scan(TableName="marks")["Items"]]


def puts(world: World, condition: dict[str, str]) -> None:
    boto3.client("dynamodb").put_item(TableName="marks", Item=KEY, **condition)


def transacts(world: World, condition: dict[str, str]) -> None:
    put = {"Put": {"TableName": "marks", "Item": KEY, **condition}}
    boto3.client("dynamodb").transact_write_items(TransactItems=[put])


def looks_and(write: Any, condition: dict[str, str]) -> Work:
    """Reads consistently, and writes where there was nothing."""

    def work(world: World) -> None:
        if "Item" in boto3.client("dynamodb").get_item(TableName="marks", Key=KEY, ConsistentRead=True):
            world.boundary("too late")
            return
        try:
            write(world, condition)
        except ClientError as error:
            world.boundary(error.response["Error"]["Code"])
        else:
            world.boundary("first")

    return work


def at_once(work: Work, *switches: Switch, crash: Crash | None = None) -> History:
    overlap = Overlap(switches=switches, crash=crash)
    return simulate(Schedule(runs=(), steps=(overlap,)), consumer(work, prepare=prepare, rows=marks))


WRITES = [
    pytest.param(puts, "dynamodb.PutItem marks", "ConditionalCheckFailedException", id="put"),
    pytest.param(transacts, "dynamodb.TransactWriteItems", "TransactionCanceledException", id="transaction"),
]


@pytest.mark.parametrize(("write", "label", "refused"), WRITES)
def test_one_of_two_wins(write: Any, label: str, refused: str) -> None:
    work = looks_and(write, CONDITION)
    assert said(at_once(work)) == ["1 first", "2 too late"]
    history = at_once(work, Switch(label))
    assert said(history) == ["2 first", f"1 {refused}"]
    assert [row.run_id for row in history.rows] == ["run-1"]


@pytest.mark.parametrize(("write", "label", "refused"), WRITES)
def test_without_a_condition_both_do(write: Any, label: str, refused: str) -> None:
    assert said(at_once(looks_and(write, {}), Switch(label))) == ["2 first", "1 first"]


@pytest.mark.parametrize(("write", "label", "refused"), WRITES)
def test_who_is_killed_before_the_call_has_written_nothing(write: Any, label: str, refused: str) -> None:
    history = at_once(looks_and(write, CONDITION), Switch(label), crash=Crash(label))
    assert said(history) == ["2 first"]


def test_worlds_that_are_gone_leave_nothing_of_their_tables_behind() -> None:
    def left() -> int:
        gc.collect()
        return sum(str(type(found).__module__).startswith("moto.dynamodb.models.") for found in gc.get_objects())

    found = []
    for _ in range(6):
        at_once(looks_and(puts, CONDITION))
        found.append(left())
    assert found[1] == found[-1], found
