"""Clients of a world's endpoint, as other programs are."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import textwrap
from typing import Any

import boto3
from botocore.config import Config

from pytest_quarry.bus.endpoint import Endpoint
from pytest_quarry.simulation.world import World

ONCE = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})


def client(world: World, service: str, config: Config = ONCE) -> Any:
    """A boto3 client of the endpoint; each call is tried once, unless `config` says otherwise."""
    return boto3.client(
        service,  # type: ignore[call-overload]
        endpoint_url=world.endpoint.url,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=config,
    )


def program(endpoint: Endpoint, code: str) -> Any:
    """What another Python program, which knows nothing of us, printed as JSON."""
    text = "import boto3, json\n" + textwrap.dedent(code)
    environment = {"PATH": os.environ["PATH"], **endpoint.environment()}
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def raw(endpoint: Endpoint, request: str | bytes) -> bytes:
    """What comes back for bytes on the wire, until the server closes."""
    host, port = endpoint.url.removeprefix("http://").split(":")
    data = request.encode() if isinstance(request, str) else request
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(data)
        found = b""
        while part := connection.recv(65536):
            found += part
        return found


def is_refused(endpoint: Endpoint) -> bool:
    """Whether nobody listens there."""
    host, port = endpoint.url.removeprefix("http://").split(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False
