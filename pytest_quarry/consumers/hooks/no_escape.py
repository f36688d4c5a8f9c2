"""No way out: while a world is open, no AWS call leaves this process, and no real credential is in sight.

botocore is routed to the world (`aws.route`). This is the rest: aiobotocore, whatever environment and configuration a
machine has, and, for everything else in Python that opens a socket, an audit hook that refuses the names of AWS. Other
hosts stay reachable: a team's database server is none of our business.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

from pytest_quarry.bus.calls import DUMMY_ENVIRONMENT
from pytest_quarry.consumers.hooks import aws, servers
from pytest_quarry.consumers.hooks.aio import REMEDY, AwsEscape

__all__ = ["AwsEscape", "closed", "hide_environment", "shut"]

SUFFIXES = (
    "amazonaws.com",
    "amazonaws.com.cn",
    "amazonaws.eu",
    "api.aws",
    "on.aws",
    "awsapps.com",
    "api.amazonwebservices.com.cn",
)
AWS_NAME = re.compile(rf"(?:^|\.)(?:{'|'.join(map(re.escape, SUFFIXES))})\.?$", re.IGNORECASE)
FOR_PROXY = re.compile(rb"[A-Z]+ https?://")
HOST_HEADER = re.compile(rb"\r\nHost: *([^\r\n:]+)", re.IGNORECASE)
# Where EC2, ECS and EKS hand out the credentials of the machine (AWS docs: "Instance metadata", "Task IAM role", "Pod identity").
METADATA = frozenset(
    map(
        ipaddress.ip_address,
        ("169.254.169.254", "fd00:ec2::254", "169.254.170.2", "169.254.170.23", "fd00:ec2::23"),
    )
)
# AWS_LAMBDA_FUNCTION_NAME, AWS_XRAY_…, AWS_MAX_ATTEMPTS and the like lead nowhere: they stay.
LEADS_OUT = re.compile(
    r"(AWS_(DEFAULT_PROFILE|PROFILE|ENDPOINT_URL.*|CONTAINER_.*|WEB_IDENTITY_TOKEN_FILE|ROLE_.*|SSO_.*|LOGIN_.*"
    r"|EC2_METADATA_SERVICE_.*|CREDENTIAL_.*|BEARER_TOKEN_.*|ACCOUNT_ID.*|CA_BUNDLE|USE_.*_ENDPOINT"
    r"|IGNORE_CONFIGURED_ENDPOINT_URLS))",
    re.IGNORECASE,
)
PROXIES = ("http_proxy", "https_proxy", "all_proxy")

_closed = 0
_watching = False


@contextlib.contextmanager
def closed(transport: aws.Transport | None, *, moto: bool = False) -> Iterator[None]:
    """Send the AWS calls of this process through `transport` meanwhile, and nothing of AWS out of it.

    A test's own `mock_aws` steps aside, or its calls would not reach the world; unless `moto` says that it is wanted.
    """
    global _closed
    environment = dict(os.environ)
    hide_environment()
    stubber = None if moto else _stubber()
    enabled = stubber is not None and stubber.enabled
    if stubber is not None:
        stubber.enabled = False
    _watch()
    _closed += 1
    before = aws.route(transport)
    try:
        yield
    finally:
        aws.route(before)
        _closed -= 1
        if stubber is not None:
            stubber.enabled = enabled
        _restore(environment)


def shut() -> None:
    """For the rest of this process's life: it is a consumer's."""
    global _closed
    hide_environment()
    _watch()
    _closed += 1


def hide_environment() -> None:
    """Dummy credentials, no configuration files, and no variable that leads to real ones or to another endpoint."""
    for name in [name for name in os.environ if LEADS_OUT.fullmatch(name)]:
        del os.environ[name]
    os.environ.update(DUMMY_ENVIRONMENT)
    if any(os.environ.get(form) for name in PROXIES for form in (name, name.upper())):
        # Through a proxy, the name of the host would never be looked up here, and so never be seen.
        direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
        if direct.strip() != "*":
            metadata = [str(address) for address in sorted(METADATA, key=str)]
            os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(filter(None, [direct, *SUFFIXES, *metadata]))


def _restore(environment: dict[str, str]) -> None:
    """Put back what `hide_environment` touches, and leave alone what a hook of the suite set otherwise."""
    touched = {*DUMMY_ENVIRONMENT, "no_proxy", "NO_PROXY"}
    touched |= {name for name in (*environment, *os.environ) if LEADS_OUT.fullmatch(name)}
    for name in touched:
        if name in environment:
            os.environ[name] = environment[name]
        else:
            os.environ.pop(name, None)


def _stubber() -> Any:
    """moto's own way into botocore, where somebody imported it."""
    models = sys.modules.get("moto.core.models")
    return getattr(models, "botocore_stubber", None)


def _watch() -> None:
    """Install the audit hook; it cannot be removed, and does nothing while no world is open."""
    global _watching
    if not _watching:
        _watching = True
        sys.addaudithook(_audit)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _closed and event == "socket.connect":
        servers.note(*arguments)
    if _closed and event in WATCHED:
        for host in WATCHED[event](*arguments):
            refuse(host)


def refuse(host: Any) -> None:
    """Raise AwsEscape for a host that is AWS's."""
    name = host.decode("ascii", "replace") if isinstance(host, (bytes, bytearray)) else host
    if not isinstance(name, str):
        return
    if AWS_NAME.search(name):
        raise AwsEscape(
            f"{name}: a host of AWS, and no AWS call leaves this process while a world is open. boto3 clients are answered "
            f"by the world's mocked AWS; for any other client, {REMEDY}"
        )
    if name[:1].isdigit() or ":" in name:
        with contextlib.suppress(ValueError):
            address = ipaddress.ip_address(name.split("%", 1)[0])
            if (getattr(address, "ipv4_mapped", None) or address) in METADATA:
                raise AwsEscape(
                    f"{name}: where AWS hands out the credentials of this machine, which no consumer under test may have. "
                    "The environment has dummy credentials; let the client take those, or pass "
                    'aws_access_key_id="testing", aws_secret_access_key="testing"'
                )


def _named(host: Any, *_: Any) -> tuple[Any, ...]:
    return (host,)


def _addressed(_socket: Any, address: Any, *_: Any) -> tuple[Any, ...]:
    return address[:1] if isinstance(address, tuple) else ()


def _sent(connection: Any, data: Any, *_: Any) -> tuple[Any, ...]:
    """A connection may be older than the world, or go to a proxy: its requests say whom they are for."""
    host, tunnel = getattr(connection, "host", ""), getattr(connection, "_tunnel_host", None)
    head = bytes(data[:4096]) if isinstance(data, (bytes, bytearray)) else b""
    if host in ("127.0.0.1", "localhost", "::1") and not FOR_PROXY.match(head):
        return (tunnel,)  # a server of this machine is called whatever it likes
    found = HOST_HEADER.search(head)
    return (host, tunnel, found[1] if found else None)


WATCHED: dict[str, Callable[..., tuple[Any, ...]]] = {
    "socket.getaddrinfo": _named,
    "socket.gethostbyname": _named,
    "socket.connect": _addressed,
    "socket.sendto": _addressed,
    "socket.sendmsg": _addressed,
    "http.client.send": _sent,
}


def _patch_resolver(module: Any) -> None:
    """aiohttp asks a C library, where it is there, which no audit hook sees."""
    resolver = module.AsyncResolver
    if "_quarry" in vars(resolver):
        return
    real_resolve = resolver.resolve

    async def resolve(self: Any, host: str, *arguments: Any, **keywords: Any) -> Any:
        if _closed:
            refuse(host)
        return await real_resolve(self, host, *arguments, **keywords)

    resolver.resolve, resolver._quarry = resolve, True


aws.PATCHES["aiohttp.resolver"] = _patch_resolver
