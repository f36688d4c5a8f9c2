"""A batch of which DynamoDB carries out only a part: status 200, and the rest under `UnprocessedItems` or `UnprocessedKeys`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from pytest_quarry.bus.bus import Bus
from pytest_quarry.bus.calls import AwsAnswer, AwsCall
from pytest_quarry.bus.unprocessed import in_part
from pytest_quarry.simulation.aws_of_test import aws_of_test
from pytest_quarry.storage import VirtualClock

KEY: dict[str, Any] = {
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "BillingMode": "PAY_PER_REQUEST",
}
EACH = pytest.mark.parametrize(
    ("error", "left"), [("entries", ["a1", "a2", "b1"]), ("first-entry", ["a1"]), ("last-entry", ["b1"])]
)


@pytest.fixture
def bus() -> Iterator[Bus]:
    with aws_of_test(VirtualClock()) as aws:
        for name in ("as", "bs"):
            boto3.client("dynamodb").create_table(TableName=name, **KEY)
        yield aws.bus


def put(name: str) -> dict[str, Any]:
    return {"PutRequest": {"Item": {"id": {"S": name}, "text": {"S": f"{name} & naïve"}}}}


def delete(name: str) -> dict[str, Any]:
    return {"DeleteRequest": {"Key": {"id": {"S": name}}}}


def write(requests: dict[str, list[Any]]) -> Any:
    answer = boto3.client("dynamodb").batch_write_item(RequestItems=requests)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    return answer["UnprocessedItems"]


def there() -> list[str]:
    """The texts of all items, whose key they begin with."""
    pages = (boto3.client("dynamodb").scan(TableName=name)["Items"] for name in ("as", "bs"))
    return sorted(item["text"]["S"] for page in pages for item in page)


WANTED = {"as": [put("a1"), put("a2")], "bs": [put("b1")]}


@EACH
def test_what_is_not_written_is_listed(bus: Bus, error: str, left: list[str]) -> None:
    bus.fail("dynamodb.BatchWriteItem", error, times=1)
    unprocessed = write(WANTED)
    assert [each["PutRequest"]["Item"]["id"]["S"] for those in unprocessed.values() for each in those] == left
    assert there() == [f"{name} & naïve" for name in ("a1", "a2", "b1") if name not in left]
    assert write(unprocessed) == {}
    assert there() == ["a1 & naïve", "a2 & naïve", "b1 & naïve"]


@EACH
def test_what_is_not_read_is_listed(bus: Bus, error: str, left: list[str]) -> None:
    write(WANTED)
    bus.fail("dynamodb.BatchGetItem", error, times=1)
    asked = {
        "as": {"Keys": [{"id": {"S": "a1"}}, {"id": {"S": "a2"}}], "ConsistentRead": True},
        "bs": {"Keys": [{"id": {"S": "b1"}}]},
    }
    dynamodb = boto3.client("dynamodb")
    answer = dynamodb.batch_get_item(RequestItems=asked)
    unprocessed = answer["UnprocessedKeys"]
    assert [key["id"]["S"] for table in unprocessed.values() for key in table["Keys"]] == left
    assert all(unprocessed[name] == {**asked[name], "Keys": unprocessed[name]["Keys"]} for name in unprocessed)
    found = [item["id"]["S"] for items in answer["Responses"].values() for item in items]
    assert found == [name for name in ("a1", "a2", "b1") if name not in left]
    rest = dynamodb.batch_get_item(RequestItems=unprocessed)
    assert [item["id"]["S"] for items in rest["Responses"].values() for item in items] == left


@pytest.mark.parametrize("error", ["entries", "first-entry", "last-entry"])
def test_a_batch_of_one(bus: Bus, error: str) -> None:
    bus.fail("dynamodb.", error, times=1)
    assert write({"as": [delete("a1")]}) == {"as": [delete("a1")]}


def test_who_writes_by_a_batch_writer_writes_all(bus: Bus) -> None:
    """boto3's own writes what is left with the next batch."""
    bus.fail("dynamodb.BatchWriteItem", "first-entry", times=2)
    with boto3.resource("dynamodb").Table("as").batch_writer() as batch:
        for number in range(30):
            batch.put_item(Item={"id": f"{number:02}", "text": f"{number:02}"})
    assert there() == [f"{number:02}" for number in range(30)]


def test_a_batch_that_is_refused_as_a_whole_is(bus: Bus) -> None:
    bus.fail("dynamodb.", "first-entry")
    dynamodb = boto3.client("dynamodb")
    with pytest.raises(dynamodb.exceptions.ResourceNotFoundException):
        dynamodb.batch_write_item(RequestItems={"other": [put("a"), put("b")]})


@pytest.mark.parametrize("body", [b"{", b"7", b"{}", b'{"RequestItems": [1]}', b'{"RequestItems": {"as": 7}}'])
def test_what_is_no_batch_is_for_aws_to_refuse(body: bytes) -> None:
    refused = AwsAnswer(400, (), b"{}")
    call = AwsCall("dynamodb.BatchWriteItem", "POST", "https://dynamodb.us-east-1.amazonaws.com/", (), body)
    asked: list[AwsCall] = []
    assert in_part(slice(1), call, lambda each: asked.append(each) or refused) == refused  # type: ignore[func-returns-value]
    assert asked == [call]


@pytest.mark.parametrize("error", ["entries", "first-entry", "last-entry"])
def test_other_calls_are_as_they_were(bus: Bus, error: str) -> None:
    bus.fail("", error)
    boto3.client("dynamodb").put_item(TableName="as", Item={"id": {"S": "a"}, "text": {"S": "a"}})
    assert there() == ["a"]
