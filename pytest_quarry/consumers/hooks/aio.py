"""AWS calls of aiobotocore: it has an endpoint of its own, which our hook at botocore's does not see.

What goes to this machine (`world.endpoint.url`) passes, each call announced first; what goes anywhere else is refused.
Importing this module adds to what `aws.route` patches.
"""

from __future__ import annotations

import contextlib
import ipaddress
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any
from urllib.parse import urlsplit

from pytest_quarry.bus.calls import AwsCall
from pytest_quarry.consumers.arriving import is_waiting
from pytest_quarry.consumers.hooks import aws

REMEDY = "give its client endpoint_url=world.endpoint.url, which is answered by this world's mocked AWS"

_operation: ContextVar[str] = ContextVar("operation", default="aws.Call")


class AwsEscape(RuntimeError):
    """An AWS call that would have left this process while a world is open; the words say which, and what to do."""


class Answers:
    """What the calls of this process to this machine still wait for. In a consumer's process waiting takes no time,
    and so no time may pass as long as an answer is on its way."""

    def __init__(self) -> None:
        self.announce: Callable[[AwsCall], None] = lambda call: None
        self.place = 0  # where it is seen whether a call that was not announced waits
        self._asked = 0
        self._bodies: weakref.WeakSet[Any] = weakref.WeakSet()

    def __bool__(self) -> bool:
        """Whether one is on its way."""
        return self._asked > 0 or any(not _is_closed(body) for body in self._bodies) or is_waiting(self.place)

    async def of(self, call: AwsCall, send: Any, endpoint: Any, request: Any) -> Any:
        """Send a request, and wait for the head of its answer."""
        self.announce(call)
        self._asked += 1
        try:
            answer = await send(endpoint, request)
        finally:
            self._asked -= 1
        with contextlib.suppress(TypeError):
            self._bodies.add(answer.raw)
        return answer


answers = Answers()


def is_loopback(url: str) -> bool:
    """Whether a URL is on this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_closed(body: Any) -> bool:
    return bool(getattr(body, "closed", getattr(body, "is_closed", True)))


def _patch_endpoint(module: Any) -> None:
    endpoint = module.AioEndpoint
    if "_quarry" in vars(endpoint):
        return
    real_get_response, real_send = endpoint._get_response, endpoint._send

    async def get_response(self: Any, request: Any, operation_model: Any, context: Any) -> Any:
        _operation.set(f"{operation_model.service_model.endpoint_prefix}.{operation_model.name}")
        return await real_get_response(self, request, operation_model, context)

    async def send(self: Any, request: Any) -> Any:
        if not aws.routed():
            return await real_send(self, request)
        body = request.body if isinstance(request.body, (bytes, bytearray)) else str(request.body or "").encode()
        call = AwsCall(_operation.get(), request.method, request.url, (), bytes(body))
        if not is_loopback(call.url):
            raise AwsEscape(
                f"{call.operation}, {call.method} {call.url}: a call of aiobotocore, which is not mocked in the process; "
                f"{REMEDY}"
            )
        return await answers.of(call, real_send, self, request)

    endpoint._get_response, endpoint._send, endpoint._quarry = get_response, send, True


def _patch_signers(module: Any) -> None:
    signer = module.AioRequestSigner
    if "_quarry" in vars(signer):
        return
    real_get_auth_instance = signer.get_auth_instance

    async def get_auth_instance(self: Any, *arguments: Any, **keywords: Any) -> Any:
        if aws.routed():
            from aiobotocore.credentials import AioCredentials

            keywords["request_credentials"] = AioCredentials("testing", "testing", "testing")
        return await real_get_auth_instance(self, *arguments, **keywords)

    signer.get_auth_instance, signer._quarry = get_auth_instance, True


aws.PATCHES.update({"aiobotocore.endpoint": _patch_endpoint, "aiobotocore.signers": _patch_signers})
