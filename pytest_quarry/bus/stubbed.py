"""One AWS call, carried out by moto on the backends of this process."""

from __future__ import annotations

import contextlib
import functools
import io
import marshal
import os
import string
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import moto.backend_index
import moto.core.botocore_stubber
import moto.core.responses
import moto.sqs.models
from botocore.awsrequest import AWSPreparedRequest
from botocore.compat import HTTPHeaders
from moto.core.botocore_stubber import BotocoreStubber
from moto.core.utils import camelcase_to_underscores as _camelcase_to_underscores
from moto.core.utils import get_equivalent_url_in_aws_domain
from moto.moto_api._internal import mock_random

from pytest_quarry.bus import arrivals
from pytest_quarry.bus.calls import AwsAnswer, AwsCall

NOT_IMPLEMENTED = (404, "Not yet implemented")  # moto, of services that it does not have

_stubber = BotocoreStubber()


def by_moto(call: AwsCall) -> AwsAnswer:
    """What AWS would have answered, wherever the call was addressed. Raises LookupError for what moto does not know."""
    answer = _asked(arrivals.at_its_resource(call))
    if answer is None:
        elsewhere = arrivals.at_its_service(call)
        answer = None if elsewhere is None else _asked(arrivals.at_its_resource(elsewhere))
    if answer is None:
        raise LookupError(
            f"{call.operation}: {call.method} {call.url} is nothing the mocked AWS knows; no call leaves this process. Use a "
            "service that moto has, or give the code under test a client of your own in place of this one"
        )
    return answer


def _asked(call: AwsCall) -> AwsAnswer | None:
    """moto's answer; None where it has none."""
    headers = HTTPHeaders()
    for name, value in call.headers:
        headers[name] = value
    request = AWSPreparedRequest(call.method, call.url, headers, call.body, stream_output=False)
    with _swift(call.url):
        answer = _stubber.process_request(request)
    if answer is None or (answer[0], answer[2]) == NOT_IMPLEMENTED:
        return None
    status, found, body = answer
    data = body.encode() if isinstance(body, str) else bytes(body)
    return AwsAnswer(status, tuple((str(name), str(value)) for name, value in dict(found).items()), data)


def _parsed(text: Any) -> Any:
    """As botocore's, which takes a third of a millisecond for each time of a listing."""
    return _parsed_text(text) if isinstance(text, str) else _botocore_parsed(text)


@functools.lru_cache(maxsize=1024)
def _parsed_text(text: str) -> Any:
    return _botocore_parsed(text)


def _listed(action: Any, context: Any) -> Any:
    """As moto's, which takes a third of a millisecond for each object of a listing: what is listed again is as it was.

    Moto tells a page's next marker more often than S3 does.
    """
    result = action.result
    if type(result) is not dict or "Contents" not in result:
        return _moto_result(action, context)
    if "NextMarker" in result and "Delimiter" not in result:
        # S3 tells it "only if you have the delimiter request parameter specified"; without, the last key is where to go on.
        action = type(action)({name: value for name, value in result.items() if name != "NextMarker"})
        result = action.result
    try:
        text = marshal.dumps(result, 2)  # which tells apart all that it takes
    except ValueError:
        return _moto_result(action, context)
    key = (
        context.serializer_class,
        type(context.response),
        context.service_model.service_name,
        context.operation_model.name,
        text,
    )
    if key not in _listings:
        if len(_listings) == MOST_LISTINGS:
            del _listings[next(iter(_listings))]
        _listings[key] = _moto_result(action, context)
    status, headers, body = _listings[key]
    return status, dict(headers), body


def _urls(backend: Any) -> Any:
    """As moto's, which reads them again for each call: they depend on two settings."""
    key = type(backend), *(os.environ.get(name) for name in ("MOTO_S3_CUSTOM_ENDPOINTS", "MOTO_ENABLE_ISO_REGIONS"))
    if key not in _urls_of:
        _urls_of[key] = _moto_urls.fget(backend)
    return _urls_of[key]


_Backend: Any = getattr(sys.modules.get("moto.core.base_backend"), "BaseBackend", None)
_moto_urls: Any = getattr(_Backend, "urls", None)
_urls_of: dict[Any, Any] = {}
MOST_LISTINGS = 64
_listings: dict[Any, Any] = {}
_moto_result: Any = getattr(getattr(moto.core.responses, "ActionResult", None), "execute_result", None)
_serialize: Any = sys.modules.get("moto.core.serialize")
_botocore_parsed: Any = getattr(_serialize, "parse_to_aware_datetime", None)
_index: Any = moto.backend_index
_responses: Any = moto.core.responses
_sqs: Any = moto.sqs.models
_Random: Any = type(mock_random)
_all_patterns = _index.backend_url_patterns


def _receipt_handle() -> str:
    """As moto's, but for 185 calls of `choice`."""
    return "".join(mock_random.choices(string.ascii_lowercase, k=185))


def _random_string(random: Any, length: int = 20, include_digits: bool = True, lower_case: bool = False) -> str:
    """As moto's, but for a call of `choice` for each letter."""
    pool = string.ascii_letters + string.digits * include_digits
    text = "".join(random.choices(pool, k=length))
    return text.lower() if lower_case else text


def _is_retained(backend: Any, queue_name: str, message: Any) -> bool:
    """As moto's, which works out all attributes of the queue, twice, for each message."""
    period = backend.get_queue(queue_name).message_retention_period
    return bool(period + message.sent_timestamp / 1000 > _unix_time())


def _unix_time(dt: Any = None) -> float:
    """As moto's, but for the way over two datetimes."""
    return round(time.time(), 6) if dt is None else _moto_unix_time(dt)


def _unix_time_millis(dt: Any = None) -> float:
    return _unix_time(dt) * 1000.0


def _request(prepared: Any) -> Any:
    """As moto's, but for the detour over werkzeug's builder of test requests: most calls are a POST to /, and that is simple."""
    parts = urlsplit(prepared.url)
    body = prepared.body or b""
    names = [name for name in prepared.headers if "_" in name or name.lower() == "transfer-encoding"]
    if prepared.method != "POST" or parts.path not in ("", "/") or parts.query or names or not isinstance(body, bytes):
        return _moto_request(prepared)
    environ: dict[str, Any] = {
        **_ENVIRON,
        "SERVER_NAME": parts.hostname or "",
        "SERVER_PORT": str(parts.port or {"http": 80}.get(parts.scheme, 443)),
        "HTTP_HOST": parts.netloc,
        "wsgi.url_scheme": parts.scheme,
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "moto.preserved_header_names": {},
    }
    for name, value in prepared.headers.items():
        key = name.upper().replace("-", "_")
        environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
    environ.pop("HTTP_CONTENT_LENGTH", None)
    environ["CONTENT_LENGTH"] = str(len(body))
    return _moto_module.Request(environ)


_ENVIRON = {
    "REQUEST_METHOD": "POST",
    "SCRIPT_NAME": "",
    "PATH_INFO": "/",
    "QUERY_STRING": "",
    "REQUEST_URI": "/",
    "RAW_URI": "/",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "wsgi.version": (1, 0),
    "wsgi.multithread": False,
    "wsgi.multiprocess": False,
    "wsgi.run_once": False,
}
_stubbing: Any = moto.core.botocore_stubber
_moto_module: Any = sys.modules.get("moto.core.request")
_moto_request: Any = getattr(_stubbing, "normalize_request", None)
_moto_unix_time: Any = _sqs.unix_time
# moto's insides: what another version of it does not have, is as slow as it is there.
_KNOWN: tuple[tuple[Any, str, Any], ...] = (
    (_stubbing, "normalize_request", _request),
    (_responses, "camelcase_to_underscores", functools.cache(_camelcase_to_underscores)),
    (_responses, "method_names_from_class", functools.cache(_responses.method_names_from_class)),
    (_serialize, "parse_to_aware_datetime", _parsed),
    (_Backend, "urls", property(_urls)),
    (getattr(_responses, "ActionResult", None), "execute_result", _listed),
    (_sqs, "generate_receipt_handle", _receipt_handle),
    (_sqs, "unix_time", _unix_time),
    (_sqs, "unix_time_millis", _unix_time_millis),
    (_sqs.SQSBackend, "is_message_valid_based_on_retention_period", _is_retained),
    (_Random, "get_random_string", _random_string),
)
_SWIFT = tuple((home, name, quick) for home, name, quick in _KNOWN if hasattr(home, name))
_SLOW = tuple((home, name, getattr(home, name)) for home, name, _ in _SWIFT)


@functools.lru_cache(maxsize=256)
def _patterns(url: str) -> list[Any]:
    """The patterns of services that match a URL; moto tries all it has, 160 of them, at every call."""
    parts, _ = get_equivalent_url_in_aws_domain(url)
    found = f"{parts.scheme}://{parts.netloc}{parts.path}"
    return [(service, pattern) for service, pattern in _all_patterns if pattern.match(found)]


@contextlib.contextmanager
def _swift(url: str) -> Iterator[None]:
    """What takes moto half of a call goes faster for one call; its results are the same, or as random."""
    for home, name, quick in _SWIFT:
        setattr(home, name, quick)
    _index.backend_url_patterns = _patterns(url.partition("?")[0])
    try:
        yield
    finally:
        for home, name, slow in _SLOW:
            setattr(home, name, slow)
        _index.backend_url_patterns = _all_patterns
