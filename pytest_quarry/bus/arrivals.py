"""A request that arrived over HTTP, as the call that botocore would have made of it in the process; and back again."""

from __future__ import annotations

import contextlib
import json
import re
from urllib.parse import urlsplit

from pytest_quarry.bus import names
from pytest_quarry.bus.calls import AwsAnswer, AwsCall, answered_with, resource
from pytest_quarry.bus.operations import Found, Request, Unknown, find

# They belong to the connection, not to the call (RFC 9110, section 7.6.1), or name the address that was dialled.
OF_CONNECTION = frozenset(
    ("connection", "expect", "host", "keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer")
) | {"transfer-encoding", "upgrade"}
QUEUE_URLS = frozenset(
    ("sqs.CreateQueue", "sqs.GetQueueUrl", "sqs.ListQueues", "sqs.ListDeadLetterSourceQueues"),
)
QUEUE_URL = re.compile(rb"https?://[\w.-]*amazonaws\.com(?:\.cn)?(?=/\d{12}/)")
AWS_REGION = re.compile(r"(?:sqs|sns)\.(?P<region>[\w-]+)\.amazonaws\.com")
NAMED_REGION = re.compile(
    r"https://sqs\.(?P<queue>[\w-]+)\.amazonaws\.com/.*|arn:aws:sns:(?P<topic>[\w-]+):.*", re.DOTALL
)
NO_REGION = re.compile(r"(Credential=[^/,\s]+/\d{8}/)(?=/)")  # as Go's SDK has it where the program names its endpoint
BUCKET_HOST = re.compile(r"(?P<bucket>.+?)\.(?:s3[.-].*|s3|localhost)(?::\d+)?")


def call_of(request: Request) -> AwsCall:
    """The call a request stands for, at its service's own address. Raises Unknown."""
    if request.target.startswith("http"):
        parts = urlsplit(request.target)
        request = request._replace(target=parts.path + (f"?{parts.query}" if parts.query else ""))
    request, found = _with_bucket_in_path(request)
    headers = tuple(
        (name, NO_REGION.sub(rf"\1{names.REGION}", value) if name.lower() == "authorization" else value)
        for name, value in request.headers
        if name.lower() not in OF_CONNECTION
    )
    url = f"https://{found.host}{request.target}"
    return AwsCall(f"{found.service}.{found.operation}", request.method, url, headers, request.body)


def _with_bucket_in_path(request: Request) -> tuple[Request, Found]:
    """S3's other way of naming a bucket is the name of the host."""
    bucket = BUCKET_HOST.fullmatch(request.header("host"))
    if bucket:
        moved = request._replace(target=f"/{bucket['bucket']}{request.target}")
        with contextlib.suppress(Unknown):
            found = find(moved)
            if found.service == "s3":
                return moved, found
    return request, find(request)


def request_of(call: AwsCall) -> Request:
    """The request by which a client in this process would have sent a call to an endpoint."""
    parts = urlsplit(call.url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Request(call.method, target, (*call.headers, ("Host", parts.netloc)), call.body)


def at_its_resource(call: AwsCall) -> AwsCall:
    """A call about a queue or topic in another region than the client's, at the region of that queue or topic.

    AWS would know nothing of it there. But where a world's queue is, the world chose, and not who wrote the client.
    """
    if not call.operation.startswith(("sqs.", "sns.")) or f".{names.REGION}." in call.url:
        return call
    host = urlsplit(call.url).netloc
    own, named = AWS_REGION.fullmatch(host), NAMED_REGION.fullmatch(resource(call))
    if own is None or named is None:
        return call
    here, there = own["region"], named["queue"] or named["topic"]
    # moto goes by the host, or by the scope of the signature.
    headers = tuple(
        (name, value.replace(f"/{here}/", f"/{there}/") if name.lower() == "authorization" else value)
        for name, value in call.headers
    )
    return call._replace(url=call.url.replace(host, host.replace(here, there), 1), headers=headers)


def at_its_service(call: AwsCall) -> AwsCall | None:
    """A call to an address of the client's own choice, LocalStack's or MinIO's, at the address of its service.

    None where that is no operation of AWS.
    """
    request = request_of(call)
    bucket, _, _ = request.header("host").partition(".")  # where the bucket is named by the host, that is how it begins
    for asked in (request, request._replace(target=f"/{bucket}{request.target}")):
        with contextlib.suppress(Unknown):
            found = call_of(asked)
            if found.operation == call.operation:
                return found
    return None


def with_queues_at(url: str, call: AwsCall, answer: AwsAnswer) -> AwsAnswer:
    """The answer, with the URLs of queues at `url`: SDKs send what they do with a queue to its URL."""
    if call.operation not in QUEUE_URLS:
        return answer
    return answered_with(answer, QUEUE_URL.sub(url.encode(), answer.body))


def problem(words: str, headers: tuple[tuple[str, str], ...]) -> AwsAnswer:
    """The answer to a request that cannot be carried out, in a form that SDKs show to people. They do not repeat it."""
    sent = next((value for name, value in headers if name.lower() == "content-type"), "")
    if "amz-json" in sent:
        body = json.dumps({"__type": "NotMocked", "message": words})
        return AwsAnswer(501, (("Content-Type", "application/x-amz-json-1.0"),), body.encode())
    text = words.replace("&", "&amp;").replace("<", "&lt;")
    error = f"<Error><Code>NotMocked</Code><Message>{text}</Message></Error>"
    if "x-www-form-urlencoded" in sent:
        error = f"<ErrorResponse>{error}</ErrorResponse>"
    return AwsAnswer(501, (("Content-Type", "application/xml"),), f"<?xml version='1.0'?>{error}".encode())
