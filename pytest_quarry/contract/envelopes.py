"""What a notification travels in: the SNS envelope and the Lambda event of an SQS queue."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_quarry.contract.errors import ContractError
from pytest_quarry.contract.run import Run

__all__ = [
    "LambdaRecord",
    "SnsEnvelope",
    "lambda_event",
    "lambda_record",
    "message_attributes",
    "parse_lambda_event",
    "parse_sns",
    "sns_envelope",
]

Attributes = Mapping[str, Mapping[str, str]]


def message_attributes(run: Run) -> dict[str, dict[str, str]]:
    """The message attributes a publisher sets: ``run_id``, ``source``, ``outcome``, in the shape boto3 takes."""
    values = {"run_id": run.run_id, "source": run.source, "outcome": str(run.outcome)}
    return {name: {"DataType": "String", "StringValue": value} for name, value in values.items()}


def sns_envelope(
    body: str,
    *,
    message_id: str,
    topic_arn: str,
    timestamp: str,
    attributes: Attributes | None = None,
    subject: str | None = None,
) -> dict[str, Any]:
    """What SNS puts around a message for SQS unless raw delivery is on; the signature is a dummy.

    ``attributes`` are in boto3's shape (``DataType``, ``StringValue``), ``timestamp`` ISO 8601 with milliseconds.
    """
    region = topic_arn.split(":")[3] if topic_arn.count(":") >= 5 else "us-east-1"
    host = f"https://sns.{region}.amazonaws.com"
    envelope: dict[str, Any] = {"Type": "Notification", "MessageId": message_id, "TopicArn": topic_arn}
    if subject is not None:
        envelope["Subject"] = subject
    envelope |= {
        "Message": body,
        "Timestamp": timestamp,
        "SignatureVersion": "1",
        "Signature": "EXAMPLE",
        "SigningCertURL": f"{host}/SimpleNotificationService-0000000000000000000000.pem",
        "UnsubscribeURL": f"{host}/?Action=Unsubscribe&SubscriptionArn={topic_arn}:00000000-0000-0000-0000-000000000000",
    }
    if attributes:
        envelope["MessageAttributes"] = {
            name: {"Type": value["DataType"], "Value": value["StringValue"]} for name, value in attributes.items()
        }
    return envelope


@dataclass(frozen=True, kw_only=True)
class SnsEnvelope:
    """A parsed SNS envelope; ``attributes`` maps names to values."""

    message: str
    message_id: str
    topic_arn: str
    timestamp: str
    subject: str | None
    attributes: Mapping[str, str]


def parse_sns(body: str | Mapping[str, Any]) -> SnsEnvelope:
    """The envelope in an SQS body. Raises ContractError naming the field if it is not one (raw delivery, say)."""
    fields = _loads(body, "SNS envelope")
    if fields.get("Type") != "Notification":
        raise ContractError(f"SNS envelope: Type is {fields.get('Type')!r}, not 'Notification'; raw delivery has none")
    for name in ("Message", "MessageId", "TopicArn", "Timestamp"):
        if not isinstance(fields.get(name), str):
            raise ContractError(f"SNS envelope: {name} is {fields.get(name)!r}; it must be a string")
    attributes = fields.get("MessageAttributes") or {}
    return SnsEnvelope(
        message=fields["Message"],
        message_id=fields["MessageId"],
        topic_arn=fields["TopicArn"],
        timestamp=fields["Timestamp"],
        subject=fields.get("Subject"),
        attributes={name: str(value["Value"]) for name, value in attributes.items()},
    )


def lambda_record(
    body: str,
    *,
    message_id: str,
    receipt_handle: str,
    queue_arn: str,
    receive_count: int = 1,
    sent_ms: int = 0,
    received_ms: int | None = None,
    attributes: Attributes | None = None,
) -> dict[str, Any]:
    """One record of the event a Lambda function gets from SQS, ``md5OfBody`` correct.

    ``sent_ms`` and ``received_ms`` (``sent_ms`` if absent) are milliseconds since 1970; ``attributes``, for raw
    delivery, are in boto3's shape.
    """
    return {
        "messageId": message_id,
        "receiptHandle": receipt_handle,
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": str(receive_count),
            "SentTimestamp": str(sent_ms),
            "SenderId": "AIDAEXAMPLE",
            "ApproximateFirstReceiveTimestamp": str(sent_ms if received_ms is None else received_ms),
        },
        "messageAttributes": {
            name: {
                "stringValue": value["StringValue"],
                "stringListValues": [],
                "binaryListValues": [],
                "dataType": value["DataType"],
            }
            for name, value in (attributes or {}).items()
        },
        "md5OfBody": hashlib.md5(body.encode(), usedforsecurity=False).hexdigest(),
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": queue_arn.split(":")[3] if queue_arn.count(":") >= 5 else "us-east-1",
    }


def lambda_event(records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The event a Lambda function gets for a batch of records made by `lambda_record`."""
    return {"Records": [dict(record) for record in records]}


@dataclass(frozen=True, kw_only=True)
class LambdaRecord:
    """A parsed record of a Lambda event; ``attributes`` maps the message attributes' names to values."""

    body: str
    message_id: str
    receipt_handle: str
    queue_arn: str
    receive_count: int
    attributes: Mapping[str, str]


def parse_lambda_event(event: Mapping[str, Any]) -> tuple[LambdaRecord, ...]:
    """The records of a Lambda event. Raises ContractError naming the record and field, a wrong md5OfBody too."""
    records = event.get("Records")
    if not isinstance(records, list):
        raise ContractError(f"Lambda event: Records is {type(records).__name__}; it must be a list")
    return tuple(_lambda_record(record, f"Records[{n}]") for n, record in enumerate(records))


def _lambda_record(record: Any, where: str) -> LambdaRecord:
    fields = _loads(record, where)
    for name in ("body", "messageId", "receiptHandle", "eventSourceARN"):
        if not isinstance(fields.get(name), str):
            raise ContractError(f"{where}: {name} is {fields.get(name)!r}; it must be a string")
    digest = hashlib.md5(fields["body"].encode(), usedforsecurity=False).hexdigest()
    if fields.get("md5OfBody", digest) != digest:
        raise ContractError(f"{where}: md5OfBody is {fields['md5OfBody']!r}, the body's is {digest!r}")
    count = (fields.get("attributes") or {}).get("ApproximateReceiveCount", "1")
    return LambdaRecord(
        body=fields["body"],
        message_id=fields["messageId"],
        receipt_handle=fields["receiptHandle"],
        queue_arn=fields["eventSourceARN"],
        receive_count=int(count),
        attributes={
            name: str(value.get("stringValue", "")) for name, value in (fields.get("messageAttributes") or {}).items()
        },
    )


def _loads(body: Any, where: str) -> Mapping[str, Any]:
    value = body
    if isinstance(body, str | bytes):
        try:
            value = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise ContractError(f"{where}: not JSON: {error}") from None
    if not isinstance(value, Mapping):
        raise ContractError(f"{where}: a {type(value).__name__}; it must be a JSON object")
    return value
