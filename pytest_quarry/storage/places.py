"""The storage of one ordinary test: in a folder, in a fake file system, in mocked S3, in memory."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import pytest

from pytest_quarry.contract.layout import Layout
from pytest_quarry.storage.clock import VirtualClock
from pytest_quarry.storage.story import Storage

PlaceOfWorld = Literal["fs", "s3"]
__all__ = [
    "PLACES",
    "has_fake_disk",
    "on_the_real_disk",
    "storage_of_test",
    "wanted_layout",
    "wanted_place",
    "wanted_place_of_world",
]

PLACES = ("fs", "fakefs", "s3", "memory")
PLACES_OF_WORLDS: tuple[PlaceOfWorld, ...] = ("fs", "s3")
_MARKER = ("id", "severity", "storage", "layout", "prefix")


def wanted_place(request: pytest.FixtureRequest) -> str:
    """Where this test wants its storage: the nearest marker that says so, else the option."""
    return _marked(request, "storage", PLACES) or str(request.config.getoption("--quarry-storage"))


def wanted_place_of_world(request: pytest.FixtureRequest) -> PlaceOfWorld:
    """The same of a world, which a consumer reaches on disk or in S3: an option that asks for more is not meant for it."""
    marked = _marked(request, "storage", PLACES)
    if _marked(request, "prefix") is not None:
        _refuse("prefix", _marked(request, "prefix"), "a quarry_world has a prefix of its own, quarry_world.prefix")
    for place in PLACES_OF_WORLDS:
        if place == (marked or request.config.getoption("--quarry-storage")):
            return place
    if marked:
        _refuse("storage", marked, f"quarry_world has its storage in fs or s3; for {marked} use quarry_storage alone")
    return "fs"


def wanted_layout(request: pytest.FixtureRequest) -> Layout:
    """The layout of the nearest marker that says one, else Lode's."""
    return Layout(_marked(request, "layout", tuple(map(str, Layout))) or Layout.LODE)


def _marked(request: pytest.FixtureRequest, name: str, choices: tuple[str, ...] = ()) -> str | None:
    """What the nearest marker that says it says of `name`."""
    for marker in request.node.iter_markers("quarry"):
        unknown = sorted(set(marker.kwargs) - set(_MARKER))
        if marker.args or unknown:
            given = ", ".join([*map(repr, marker.args), *unknown])
            pytest.fail(f"@pytest.mark.quarry: {given} unknown; it takes {', '.join(_MARKER)}, by name", pytrace=False)
        value = marker.kwargs.get(name)
        if value is not None:
            if not isinstance(value, str) or (choices and value not in choices):
                _refuse(name, value, f"there are {', '.join(choices)}" if choices else "it is a text")
            return str(value)
    return None


def _refuse(name: str, value: Any, why: str) -> None:
    pytest.fail(f"@pytest.mark.quarry({name}={value!r}): {why}", pytrace=False)


@contextmanager
def storage_of_test(request: pytest.FixtureRequest, clock: VirtualClock) -> Iterator[Storage]:
    """The storage this test wants, for as long as it runs."""
    place, layout, prefix = wanted_place(request), wanted_layout(request), _marked(request, "prefix")
    if prefix is not None and place != "s3":
        _refuse("prefix", prefix, f"keys have a prefix in S3 only, and this storage is {place}")
    if place == "memory":
        yield Storage.in_memory(clock=clock, layout=layout)
    elif place == "fs":
        folder: Path = request.getfixturevalue("tmp_path")
        yield Storage.on_disk(folder / "quarry-storage", clock=clock, layout=layout)
    elif place == "fakefs":
        _fake_file_system(request)
        yield Storage.on_disk(Path("/quarry-storage"), clock=clock, layout=layout)
    else:
        aws = request.getfixturevalue("_quarry_aws")
        yield Storage.in_moto(aws.bucket, prefix or "", clock=clock, layout=layout)


def _fake_file_system(request: pytest.FixtureRequest) -> None:
    # boto3 reads the models of a service when a client of it is made, and moto when it is called.
    packages = [
        Path(spec.origin).parent for spec in map(find_spec, ("botocore", "boto3", "moto")) if spec and spec.origin
    ]
    try:
        fake = request.getfixturevalue("fs")
    except pytest.FixtureLookupError:
        pytest.fail(
            'storage="fakefs" uses the fixture fs of pyfakefs, which is not there: its pytest plugin is off',
            pytrace=False,
        )
    for folder in packages:
        if not fake.exists(str(folder)):
            fake.add_mount_point(str(folder))  # of its own: what is read of it fills nobody's disk
            fake.add_real_directory(str(folder))  # read when somebody looks


@contextmanager
def on_the_real_disk() -> Iterator[None]:
    """What is imported meanwhile reads its files from the disk, also where a test has pyfakefs's file system already."""
    patcher = _patcher()
    if patcher is None:
        yield
        return
    patcher.pause()
    try:
        yield
    finally:
        patcher.resume()


def has_fake_disk() -> bool:
    """Whether this process has pyfakefs's file system in the place of the disk."""
    patcher = _patcher()
    return patcher is not None and not getattr(patcher, "_paused", False)


def _patcher() -> Any:
    """What has put pyfakefs's file system in the place of the disk; None where nobody has."""
    module = sys.modules.get("pyfakefs.fake_filesystem_unittest")
    return None if module is None else module.Patcher.PATCHER
