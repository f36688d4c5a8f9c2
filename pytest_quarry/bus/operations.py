"""Which operation of which service an HTTP request is, by botocore's own models of the services."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

# Services that sign with a name that is not theirs alone.
SIGNED = {
    "dynamodb": ("dynamodb", "dynamodbstreams"),
    "s3": ("s3", "s3control"),
    "ses": ("ses", "sesv2"),
    "monitoring": ("cloudwatch",),
    "states": ("stepfunctions",),
}
# Requests without a signature say less: these are asked whether the operation is theirs.
UNSIGNED = ("sqs", "sns", "sts")
SCOPE = re.compile(r"(?:Credential=)?[^/,\s]+/\d{8}/(?P<region>[^/]*)/(?P<service>[^/]+)/aws4_request")
AWS_HOST = re.compile(r"(?P<service>[\w-]+)\.(?:(?P<region>[\w-]+)\.)?amazonaws\.com")
PARAMETER = re.compile(r"\{(\w+)(\+?)\}")


class Unknown(LookupError):
    """A request that belongs to no service; the words say which."""


class Request(NamedTuple):
    """An HTTP request as it arrived; `target` is the path with its query, as it was on the wire."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str:
        """The value of a header, or nothing."""
        return next((value for found, value in self.headers if found.lower() == name), "")

    @property
    def path(self) -> str:
        """The path as it was on the wire."""
        return urlsplit(self.target).path if self.target.startswith("http") else self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters; the first of each name."""
        pairs = parse_qsl(self.target.partition("?")[2], keep_blank_values=True)
        return dict(reversed(pairs))

    @property
    def form(self) -> dict[str, str]:
        """The parameters of a form in the body, where it is one."""
        if "x-www-form-urlencoded" not in self.header("content-type") and not self.body.startswith(b"Action="):
            return {}
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))


@dataclass(frozen=True)
class Found:
    """The operation of a request: its service's endpoint prefix, as labels name it, and the service's own host."""

    service: str
    operation: str
    host: str


def find(request: Request) -> Found:
    """What a request asks for. Raises Unknown where that is nothing of AWS."""
    signed = SCOPE.search(request.header("authorization")) or SCOPE.search(request.query.get("X-Amz-Credential", ""))
    signed = signed or AWS_HOST.search(request.header("host"))
    region = (signed and signed["region"]) or "us-east-1"
    target, action = _named_operation(request)
    candidates = (signed["service"].lower(),) if signed else UNSIGNED if action else ("s3",)
    models = [model for name in candidates for model in _models(name)]
    if not models:
        raise Unknown(
            f"{request.method} {request.target}: AWS has no service {candidates[0]!r}, which the request is signed for"
        )
    for model in models:
        operation = _operation(model, request, target, action)
        if operation:
            return Found(model.endpoint_prefix, operation, _host(model.endpoint_prefix, region))
    if action and signed:  # newer than the model: moto may have it
        return Found(models[0].endpoint_prefix, action, _host(models[0].endpoint_prefix, region))
    raise Unknown(f"{request.method} {request.target}: no operation of {', '.join(m.service_name for m in models)}")


def _named_operation(request: Request) -> tuple[str, str]:
    """The target (a service's prefix) and the operation, where the protocol names them."""
    target = request.header("x-amz-target")
    if target:
        prefix, _, operation = target.rpartition(".")
        return prefix, operation
    if "/operation/" in request.path:  # smithy-rpc-v2
        return "", request.path.rsplit("/", 1)[-1]
    return "", request.form.get("Action") or request.query.get("Action", "")


def _operation(model: Any, request: Request, target: str, action: str) -> str:
    """The name of the operation in this service, or nothing."""
    if target and model.metadata.get("targetPrefix") != target:
        return ""
    if action:
        return action if action in model.operation_names else ""
    routes = [route for route in _routes(model.service_name) if route.matches(request)]
    return max(routes, key=lambda route: route.weight(), default=_NOWHERE).name


@functools.cache
def _session() -> Any:
    import botocore.session

    return botocore.session.Session()


@functools.cache
def _models(signing_name: str) -> tuple[Any, ...]:
    """The services that sign with this name."""
    session = _session()
    known = session.get_available_services()
    names = SIGNED.get(signing_name, (signing_name,))
    return tuple(session.get_service_model(name) for name in names if name in known)


@functools.cache
def _resolver() -> Any:
    from botocore.regions import EndpointResolver

    return EndpointResolver(_session().get_data("endpoints"))


@functools.cache
def _host(prefix: str, region: str) -> str:
    found = _resolver().construct_endpoint(prefix, region)
    return str(found["hostname"]) if found else f"{prefix}.{region}.amazonaws.com"


@dataclass(frozen=True)
class _Route:
    """One operation of a REST service: the requests that mean it."""

    name: str
    method: str
    path: re.Pattern[str]
    literal: int
    query: tuple[tuple[str, str], ...]
    needed: tuple[tuple[str, str], ...]

    def matches(self, request: Request) -> bool:
        if request.method != self.method or not self.path.fullmatch(unquote(request.path)):
            return False
        query = request.query
        if any(name not in query or (value and query[name] != value) for name, value in self.query):
            return False
        return all(name in query if where == "querystring" else request.header(name) for where, name in self.needed)

    def weight(self) -> tuple[int, int, int]:
        """Of two operations that a request can mean, it means the one that asks for more; else the plainer one."""
        return len(self.query) + len(self.needed), self.literal, -len(self.name)


_NOWHERE = _Route("", "", re.compile(""), 0, (), ())


@functools.cache
def _routes(service: str) -> tuple[_Route, ...]:
    model = _session().get_service_model(service)
    return tuple(_route(model.operation_model(name)) for name in model.operation_names)


def _route(operation: Any) -> _Route:
    path, _, query = operation.http.get("requestUri", "/").partition("?")
    parts = PARAMETER.split(path)
    pattern = "".join(
        re.escape(part) if number % 3 == 0 else (".+" if parts[number + 1] else "[^/]+")
        for number, part in enumerate(parts)
        if number % 3 != 2
    )
    shape = operation.input_shape
    needed = [] if shape is None else [shape.members[name].serialization for name in shape.required_members]
    return _Route(
        name=operation.name,
        method=operation.http.get("method", "POST"),
        path=re.compile(pattern + "/?", re.DOTALL),
        literal=len(PARAMETER.sub("", path)),
        query=tuple(parse_qsl(query, keep_blank_values=True)),
        needed=tuple(
            (one["location"], one["name"].lower() if one["location"] == "header" else one["name"])
            for one in needed
            if one.get("location") in ("querystring", "header")
        ),
    )
