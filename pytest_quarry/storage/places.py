"""The storage of one ordinary test: in a folder, in a fake file system, in mocked S3, in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

import pytest

from pytest_quarry.storage.clock import VirtualClock
from pytest_quarry.storage.story import Storage

__all__ = ["BUCKET", "PLACES", "storage_of_test", "wanted_place"]

PLACES = ("fs", "fakefs", "s3", "memory")
BUCKET = "quarry-storage"
_MARKER = ("id", "severity", "storage")


def wanted_place(request: pytest.FixtureRequest) -> str:
    """Where this test wants its storage: the nearest marker that says so, else the option."""
    for marker in request.node.iter_markers("quarry"):
        unknown = sorted(set(marker.kwargs) - set(_MARKER))
        if marker.args or unknown:
            given = ", ".join([*map(repr, marker.args), *unknown])
            pytest.fail(f"@pytest.mark.quarry: {given} unknown; it takes {', '.join(_MARKER)}, by name", pytrace=False)
        place = marker.kwargs.get("storage")
        if place is not None:
            if place not in PLACES:
                pytest.fail(f"@pytest.mark.quarry(storage={place!r}): there are {', '.join(PLACES)}", pytrace=False)
            return str(place)
    return str(request.config.getoption("--quarry-storage"))


@contextmanager
def storage_of_test(request: pytest.FixtureRequest, clock: VirtualClock) -> Iterator[Storage]:
    """The storage this test wants, for as long as it runs."""
    place = wanted_place(request)
    if place == "memory":
        yield Storage.in_memory(clock=clock)
    elif place == "fs":
        folder: Path = request.getfixturevalue("tmp_path")
        yield Storage.on_disk(folder / "quarry-storage", clock=clock)
    elif place == "fakefs":
        _fake_file_system(request)
        yield Storage.on_disk(Path("/quarry-storage"), clock=clock)
    else:
        with mocked_bucket():
            yield Storage.in_moto(BUCKET, clock=clock)


def _fake_file_system(request: pytest.FixtureRequest) -> None:
    try:
        request.getfixturevalue("fs")
    except pytest.FixtureLookupError:
        pytest.fail(
            'storage="fakefs" uses the fixture fs of pyfakefs, which is not there: its pytest plugin is off',
            pytrace=False,
        )


@contextmanager
def mocked_bucket() -> Iterator[None]:
    """Mocked AWS with an empty bucket, moto's dummy credentials, and no way to the network for boto3 clients."""
    from moto import mock_aws
    from moto.s3.models import s3_backends

    environment = {
        "AWS_DEFAULT_REGION": os.environ.get("AWS_DEFAULT_REGION", "us-east-1"),
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with ExitStack() as stack:
        stack.enter_context(mock.patch.dict(os.environ, environment))
        for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
            os.environ.pop(name, None)
        stack.enter_context(mock_aws())
        stack.enter_context(mock.patch("botocore.endpoint.Endpoint._send", _refuse))
        backend = s3_backends["123456789012"]["aws"]
        if BUCKET not in backend.buckets:
            backend.create_bucket(BUCKET, "us-east-1")
        yield


def _refuse(endpoint: object, request: object) -> object:
    raise RuntimeError(
        f"{getattr(request, 'method', '?')} {getattr(request, 'url', '?')}: a boto3 client that is not mocked; its session is "
        "older than moto. Make the client (or boto3.Session) inside the test or a fixture"
    )
