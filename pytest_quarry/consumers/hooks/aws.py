"""AWS calls: each prepared request goes to the world, which answers; nothing reaches a network.

Hooked at `botocore.endpoint.Endpoint`, below botocore's retries: clients of any age and sort are seen, also those
made before the kit was imported.
"""

from __future__ import annotations

import datetime
import email.utils
import importlib.abc
import importlib.machinery
import io
import re
import sys
import threading
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from pytest_quarry.bus.calls import AwsAnswer, AwsCall
from pytest_quarry.consumers.hooks import models

Transport = Callable[[AwsCall], AwsAnswer]

_calling = threading.local()
_transport: Transport | None = None


def route(transport: Transport | None) -> Transport | None:
    """Send every AWS call of this process through `transport`, now or once botocore is imported; None undoes it.

    Returns what was there before.
    """
    global _transport
    before, _transport = _transport, transport
    for name, patch in PATCHES.items():
        if name in sys.modules:
            patch(sys.modules[name])
    if not any(isinstance(finder, _WhenImported) for finder in sys.meta_path):
        # Before the one that finds files, and behind others: whoever put himself first may take himself out by that place.
        first = next((at for at, finder in enumerate(sys.meta_path) if finder is importlib.machinery.PathFinder), 0)
        sys.meta_path.insert(first, _WhenImported())
    return before


def routed() -> bool:
    """Whether AWS calls of this process go to a world now."""
    return _transport is not None


def _patch_endpoint(module: Any) -> None:
    endpoint = module.Endpoint
    if "_quarry" in vars(endpoint):
        return
    real_get_response, real_send = endpoint._get_response, endpoint._send

    def get_response(self: Any, request: Any, operation_model: Any, context: Any) -> Any:
        service = operation_model.service_model.endpoint_prefix
        _calling.operation = f"{service}.{operation_model.name}"
        return real_get_response(self, request, operation_model, context)

    def send(self: Any, request: Any) -> Any:
        if _transport is None:
            return real_send(self, request)
        return _answer(request, _transport(_call(request)))

    endpoint._get_response, endpoint._send, endpoint._quarry = get_response, send, True


def _patch_signers(module: Any) -> None:
    """Whatever credentials a client found are never used: it signs with dummies, or could not sign at all."""
    signer = module.RequestSigner
    if "_quarry" in vars(signer):
        return
    real_get_auth_instance = signer.get_auth_instance

    def get_auth_instance(self: Any, *arguments: Any, **keywords: Any) -> Any:
        if _transport is not None:
            from botocore.credentials import Credentials

            keywords["request_credentials"] = Credentials("testing", "testing", "testing")
        return real_get_auth_instance(self, *arguments, **keywords)

    signer.get_auth_instance, signer._quarry = get_auth_instance, True


def _patch_times(module: Any) -> None:
    """What botocore takes a sixth of a millisecond for, for each object of a listing, in the two forms in which AWS says it."""
    real = getattr(module, "_parse_timestamp_with_tzinfo", None)
    if real is None or "_quarry" in vars(module):
        return

    def parse(value: Any, tzinfo: Any) -> Any:
        if type(value) is str:
            if ISO_TIME.fullmatch(value):
                return datetime.datetime.fromisoformat(value[:-1]).replace(tzinfo=module.tzutc())
            if HTTP_TIME.fullmatch(value):
                return email.utils.parsedate_to_datetime(value).replace(tzinfo=module.tzutc())
        return real(value, tzinfo)

    module._parse_timestamp_with_tzinfo, module._quarry = parse, True


ISO_TIME = re.compile(
    r"[12]\d{3}-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])T([01]\d|2[0-3])(:[0-5]\d){2}(\.\d{3}|\.\d{6})?Z", re.ASCII
)
HTTP_TIME = re.compile(
    r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), (0[1-9]|1\d|2[0-8]) (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [12]\d{3} "
    r"([01]\d|2[0-3])(:[0-5]\d){2} GMT",
    re.ASCII,
)
PATCHES: dict[str, Callable[[Any], None]] = {
    "botocore.endpoint": _patch_endpoint,
    "botocore.loaders": models.patch,
    "botocore.signers": _patch_signers,
    "botocore.utils": _patch_times,
}


def _call(request: Any) -> AwsCall:
    body = request.body
    if body is None:
        body = b""
    elif isinstance(body, str):
        body = body.encode()
    elif not isinstance(body, (bytes, bytearray)):
        body = body.read()
    # botocore's headers look each one up again while they are gone through, by names made anew: a fifth of a call.
    found: Any = getattr(request.headers, "_dict", request.headers)
    headers = tuple((_text(name), _text(value)) for name, value in found.items())
    operation = getattr(_calling, "operation", "aws.Call")
    return AwsCall(operation, request.method, request.url, headers, bytes(body))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _answer(request: Any, answer: AwsAnswer) -> Any:
    from botocore.awsrequest import AWSResponse
    from botocore.compat import HTTPHeaders

    headers = HTTPHeaders()
    for name, value in answer.headers:
        headers[name] = value
    return AWSResponse(request.url, answer.status, headers, _Raw(answer.body))


class _Raw(io.BytesIO):
    """A body as urllib3 would hand it over."""

    def stream(self, amt: int = 65536, decode_content: bool | None = None) -> Any:
        while part := self.read(amt):
            yield part


class _WhenImported(importlib.abc.MetaPathFinder):
    """Patches botocore at the moment somebody imports it, so that the kit need not."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in PATCHES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is None or spec.loader is None:
            return None
        spec.loader = _PatchingLoader(spec.loader)
        return spec


class _PatchingLoader(importlib.abc.Loader):
    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        found: ModuleType | None = self._loader.create_module(spec)
        return found

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        PATCHES[module.__name__](module)
