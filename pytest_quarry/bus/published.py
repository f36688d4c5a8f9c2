"""What a call to SNS published, if it took effect: read from the request as botocore sends it and from SNS's answer."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl
from xml.etree import ElementTree

from pytest_quarry.bus.batches import BATCH, members
from pytest_quarry.bus.calls import AwsAnswer, AwsCall
from pytest_quarry.bus.topology import FIFO


class Attribute(NamedTuple):
    """A message attribute; of a binary one, `value` is its base64."""

    name: str
    type: str
    value: str


class Published(NamedTuple):
    """A message that a topic took: its text as a queue behind the topic gets it, and of a FIFO topic its deduplication id."""

    topic: str
    text: str
    attributes: tuple[Attribute, ...]
    deduplication_id: str = ""


def published(call: AwsCall, answer: AwsAnswer) -> tuple[Published, ...]:
    """The messages that topics took with this call; none where it failed, or is no Publish."""
    service, _, operation = call.operation.partition(".")
    if service != "sns" or operation not in ("Publish", "PublishBatch") or answer.status != 200:
        return ()
    fields = dict(parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True))
    if operation == "Publish":
        topic = fields.get("TopicArn") or fields.get("TargetArn")
        return () if topic is None else (_message(fields, "", topic),)
    taken = _taken(answer)
    found = []
    for prefix in members(fields, BATCH):
        if fields.get(f"{prefix}Id") in taken:
            found.append(_message(fields, prefix, fields.get("TopicArn", "")))
    return tuple(found)


def _message(fields: Mapping[str, str], prefix: str, topic: str) -> Published:
    text = fields.get(f"{prefix}Message", "")
    if fields.get(f"{prefix}MessageStructure") == "json":
        text = _for_queues(text)
    return Published(topic, text, tuple(_attributes(fields, prefix)), _deduplication_id(fields, prefix, topic))


def _deduplication_id(fields: Mapping[str, str], prefix: str, topic: str) -> str:
    """That of a message to a FIFO topic: where none is given, the topic took it for its content."""
    if not topic.endswith(FIFO):
        return ""
    return fields.get(f"{prefix}MessageDeduplicationId") or id_of_content(fields.get(f"{prefix}Message", ""))


def id_of_content(message: str) -> str:
    """The deduplication id of a topic with ContentBasedDeduplication: attributes and subject do not count."""
    return hashlib.sha256(message.encode()).hexdigest()


def _for_queues(text: str) -> str:
    """Of a message that differs by protocol, what a queue gets."""
    with contextlib.suppress(ValueError):
        by_protocol = json.loads(text)
        if isinstance(by_protocol, dict):
            return str(by_protocol.get("sqs", by_protocol.get("default", "")))
    return text


def _attributes(fields: Mapping[str, str], prefix: str) -> Iterator[Attribute]:
    for entry in members(fields, f"{prefix}MessageAttributes.entry."):
        name, kind = fields.get(f"{entry}Name", ""), fields.get(f"{entry}Value.DataType", "")
        value = fields.get(f"{entry}Value.StringValue", fields.get(f"{entry}Value.BinaryValue", ""))
        yield Attribute(name, kind, value)


def _taken(answer: AwsAnswer) -> set[str]:
    """The ids of a batch's entries that the topic took: an answer of 200 may list others as failed."""
    try:
        root = ElementTree.fromstring(answer.body)
    except ElementTree.ParseError:
        return set()
    return {
        identifier.text or ""
        for successful in root.iter()
        if successful.tag.endswith("Successful")
        for identifier in successful.iter()
        if identifier.tag.endswith("}Id") or identifier.tag == "Id"
    }


def decoded(attribute: Attribute) -> str:
    """An attribute's value as text, also of a binary one."""
    if attribute.type != "Binary":
        return attribute.value
    with contextlib.suppress(ValueError):
        return base64.b64decode(attribute.value).decode("utf-8", "replace")
    return attribute.value
