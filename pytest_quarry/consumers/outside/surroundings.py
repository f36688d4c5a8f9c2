"""What a program finds: its environment, its words, its folders. Nothing of the developer's but PATH and the language."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import Any

from pytest_quarry.bus.endpoint import Endpoint
from pytest_quarry.consumers.command import Command, fill
from pytest_quarry.consumers.consumer import ConsumerError

KEPT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "VIRTUAL_ENV", "NODE_PATH", "JAVA_HOME", "GOROOT", "SSL_CERT_FILE")
# SDKs ask for the address of one service first; some know no other way.
SERVICES = ("S3", "SQS", "SNS", "DYNAMODB", "STS", "LAMBDA", "SSM", "SECRETSMANAGER", "EVENTBRIDGE", "KINESIS")


def values(world: Any, endpoint: Endpoint) -> dict[str, str]:
    """What the places of a command stand for in a world."""
    found = {
        "bucket": world.bucket,
        "prefix": world.prefix,
        "queue_url": endpoint.queue_url(world.queue_url),
        "topic_arn": world.topic_arn,
        "disk": str(world.disk),
        "endpoint": endpoint.url,
    }
    if world.storage_url.startswith("file:"):
        found["storage_root"] = str(world.storage_root)
    return found


def of_run(fields: Mapping[str, Any]) -> dict[str, str]:
    """What the places of a publisher's command stand for: what is known of its run."""
    return {name: "" if value is None else str(value) for name, value in fields.items()}


def environment(
    command: Command, places: Mapping[str, str], world: Any, endpoint: Endpoint, *, seed: int
) -> dict[str, str]:
    """The environment of the program."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    services = {f"AWS_ENDPOINT_URL_{service}": endpoint.url for service in SERVICES}
    private = {
        "HOME": str(world.disk),
        "TMPDIR": str(world.tmp),
        "TZ": "UTC",
        "PYTHONUNBUFFERED": "1",  # what a program says it has done it says then
        "PYTHONHASHSEED": str(seed % 4_294_967_295),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TSX_DISABLE_CACHE": "1",  # nobody's checkpoint, and written whenever a thread gets to it
    }
    wanted = {name: fill(value, places) for name, value in command.variables}
    return {**kept, **endpoint.environment(), **services, **private, **wanted}


def program(command: Command, words: tuple[str, ...], found: Mapping[str, str], folder: str) -> str:
    """The file that is run. Raises ConsumerError where there is none, or it cannot be run."""
    name = words[0]
    if "/" in name:
        path = os.path.join(folder, name)
        if not os.path.exists(path):
            raise ConsumerError(f"the command {command.shown!r} cannot be run: there is no {path}")
        if os.path.isdir(path) or not os.access(path, os.X_OK):
            raise ConsumerError(
                f"the command {command.shown!r} cannot be run: {path} is not executable. chmod +x it, or name what runs it: "
                f"'bash {name}'"
            )
        return path
    path_found = shutil.which(name, path=found.get("PATH"))
    if path_found is None:
        raise ConsumerError(f"the command {command.shown!r} cannot be run: there is no program {name!r} on the PATH")
    return path_found
