"""AWS calls as values: what botocore would have put on the wire, and what came back."""

from __future__ import annotations

import json
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

# What every client in a world has for credentials and configuration.
DUMMY_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_SESSION_TOKEN": "testing",
    "AWS_SECURITY_TOKEN": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class AwsCall(NamedTuple):
    """One prepared AWS request, as botocore would have put it on the wire."""

    operation: str
    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


class AwsAnswer(NamedTuple):
    """What the mocked AWS answered: HTTP status, headers, body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


# Headers that say of a body what is not so of another.
MEASURES = ("content-length", "x-amz-crc32")


def with_body(call: AwsCall, body: bytes) -> AwsCall:
    """The call with another body, its length told."""
    return call._replace(headers=(*_unmeasured(call.headers), ("Content-Length", str(len(body)))), body=body)


def answered_with(answer: AwsAnswer, body: bytes) -> AwsAnswer:
    """The answer with another body."""
    return answer._replace(headers=_unmeasured(answer.headers), body=body)


def _unmeasured(headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return tuple(pair for pair in headers if pair[0].lower() not in MEASURES)


def describe(call: AwsCall) -> str:
    """`sqs.SendMessage orders`: the operation and what it works on, without its data."""
    service = call.operation.split(".", 1)[0]
    path = unquote(urlsplit(call.url).path).strip("/")
    if service == "s3":
        host = urlsplit(call.url).netloc.split(".s3", 1)
        return f"{call.operation} {'/'.join(filter(None, [host[0] if len(host) > 1 else '', path]))}".strip()
    of_path = path.rsplit("/", 1)[-1] if service == "sqs" else ""  # the older protocol names the queue there
    return f"{call.operation} {resource(call).rsplit('/', 1)[-1].rsplit(':', 1)[-1] or of_path}".strip()


def resource(call: AwsCall) -> str:
    """What a call works on, as it names it: the URL of a queue, the ARN of a topic, the name of a table; or nothing."""
    try:
        values = json.loads(call.body)
    except ValueError:
        values = {name: found[0] for name, found in parse_qs(call.body.decode("utf-8", "replace")).items()}
    if not isinstance(values, dict):
        return ""
    for name in ("QueueUrl", "TopicArn", "TableName", "FunctionName", "SecretId", "Name"):
        value = values.get(name)
        if isinstance(value, str):
            return value
    return ""
