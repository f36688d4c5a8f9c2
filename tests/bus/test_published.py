"""What counts as published: what botocore really sends, and what SNS took of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_quarry.bus import names
from pytest_quarry.bus.aws import MockedAws
from pytest_quarry.bus.calls import DUMMY_ENVIRONMENT, AwsAnswer, AwsCall
from pytest_quarry.bus.published import Attribute, Published, published
from pytest_quarry.consumers.hooks import aws

NOW = 1_770_019_200_000_000
TEXT = '{"run_id": "say \\"hi\\" & naïve\\n+1%"}'


@pytest.fixture
def sns(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, list[Published]]]:
    """A client of the mocked SNS, and what was published through it."""
    import boto3

    for name, value in DUMMY_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    assert os.environ["AWS_DEFAULT_REGION"] == names.REGION
    mocked, found = MockedAws(seed=0, now=NOW), []

    def transport(call: AwsCall) -> AwsAnswer:
        answer, _ = mocked.apply(call, NOW)
        found.extend(published(call, answer))
        return answer

    aws.route(transport)
    yield boto3.session.Session().client("sns"), found
    aws.route(None)
    mocked.close()


def test_a_message_and_its_attributes(sns: tuple[Any, list[Published]]) -> None:
    client, found = sns
    attributes = {
        "run_id": {"DataType": "String", "StringValue": "a b&c"},
        "raw": {"DataType": "Binary", "BinaryValue": b"x"},
    }
    client.publish(TopicArn=names.TOPIC_ARN, Message=TEXT, MessageAttributes=attributes)
    expected = {Attribute("run_id", "String", "a b&c"), Attribute("raw", "Binary", "eA==")}
    assert [(one.topic, one.text, set(one.attributes)) for one in found] == [(names.TOPIC_ARN, TEXT, expected)]


def test_target_arn_and_a_message_that_differs_by_protocol(sns: tuple[Any, list[Published]]) -> None:
    client, found = sns
    client.publish(TargetArn=names.TOPIC_ARN, Message='{"default": "a", "sqs": "b"}', MessageStructure="json")
    client.publish(TargetArn=names.TOPIC_ARN, Message='{"default": "a"}', MessageStructure="json")
    assert [one.text for one in found] == ["b", "a"]


def test_of_a_batch_only_what_the_topic_took(sns: tuple[Any, list[Published]]) -> None:
    client, found = sns
    named = {"run_id": {"DataType": "String", "StringValue": "r"}}
    entries = [{"Id": str(number), "Message": f"m{number}", "MessageAttributes": named} for number in range(10)]
    entries[3] = {"Id": "3", "Message": "no JSON", "MessageStructure": "json"}
    answer = client.publish_batch(TopicArn=names.TOPIC_ARN, PublishBatchRequestEntries=entries)
    assert [failed["Id"] for failed in answer["Failed"]] == ["3"]
    assert [one.text for one in found] == [f"m{number}" for number in range(10) if number != 3]
    assert {one.attributes for one in found} == {(Attribute("run_id", "String", "r"),)}


def test_a_call_that_failed_published_nothing(sns: tuple[Any, list[Published]]) -> None:
    client, found = sns
    with pytest.raises(client.exceptions.NotFoundException):
        client.publish(TopicArn=f"{names.TOPIC_ARN}-else", Message="m")
    client.list_topics()
    assert found == []


def test_an_answer_that_cannot_be_read() -> None:
    call = AwsCall("sns.PublishBatch", "POST", "https://sns/", (), b"PublishBatchRequestEntries.member.1.Id=1")
    assert published(call, AwsAnswer(200, (), b"<half")) == ()
