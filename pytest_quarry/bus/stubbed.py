"""One AWS call, carried out by moto on the backends of this process."""

from __future__ import annotations

from botocore.awsrequest import AWSPreparedRequest
from botocore.compat import HTTPHeaders
from moto.core.botocore_stubber import BotocoreStubber

from pytest_quarry.consumers.protocol import AwsAnswer, AwsCall

NOT_IMPLEMENTED = (404, "Not yet implemented")  # moto, of services that it does not have

_stubber = BotocoreStubber()


def by_moto(call: AwsCall) -> AwsAnswer:
    """What AWS would have answered. Raises LookupError for what moto does not know."""
    headers = HTTPHeaders()
    for name, value in call.headers:
        headers[name] = value
    request = AWSPreparedRequest(call.method, call.url, headers, call.body, stream_output=False)
    answer = _stubber.process_request(request)
    if answer is None or (answer[0], answer[2]) == NOT_IMPLEMENTED:
        raise LookupError(
            f"{call.operation}: {call.method} {call.url} is nothing the mocked AWS knows; no call leaves this process. Use a "
            "service and an address that moto has, or give the code under test a client of your own in place of this one"
        )
    status, found, body = answer
    data = body.encode() if isinstance(body, str) else bytes(body)
    return AwsAnswer(status, tuple((str(name), str(value)) for name, value in dict(found).items()), data)
