"""The storage of one ordinary test: in a folder, in a fake file system, in mocked S3, in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest

from pytest_quarry.storage.clock import VirtualClock
from pytest_quarry.storage.story import Storage

PlaceOfWorld = Literal["fs", "s3"]
__all__ = ["PLACES", "storage_of_test", "wanted_place", "wanted_place_of_world"]

PLACES = ("fs", "fakefs", "s3", "memory")
PLACES_OF_WORLDS: tuple[PlaceOfWorld, ...] = ("fs", "s3")
_MARKER = ("id", "severity", "storage")


def wanted_place(request: pytest.FixtureRequest) -> str:
    """Where this test wants its storage: the nearest marker that says so, else the option."""
    return _marked(request) or str(request.config.getoption("--quarry-storage"))


def wanted_place_of_world(request: pytest.FixtureRequest) -> PlaceOfWorld:
    """The same of a world, which a consumer reaches on disk or in S3: an option that asks for more is not meant for it."""
    marked = _marked(request)
    for place in PLACES_OF_WORLDS:
        if place == (marked or request.config.getoption("--quarry-storage")):
            return place
    if marked:
        pytest.fail(
            f"@pytest.mark.quarry(storage={marked!r}): quarry_world has its storage in fs or s3; for {marked} use "
            "quarry_storage alone",
            pytrace=False,
        )
    return "fs"


def _marked(request: pytest.FixtureRequest) -> str | None:
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
    return None


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
        aws = request.getfixturevalue("_quarry_aws")
        yield Storage.in_moto(aws.bucket, clock=clock)


def _fake_file_system(request: pytest.FixtureRequest) -> None:
    try:
        request.getfixturevalue("fs")
    except pytest.FixtureLookupError:
        pytest.fail(
            'storage="fakefs" uses the fixture fs of pyfakefs, which is not there: its pytest plugin is off',
            pytrace=False,
        )
