"""What botocore reads of its own is read once for all that are forked from a process, and is the same."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import botocore.loaders
import botocore.session
import pytest
from first_turn import SCHEDULE, consumer, tell

from pytest_quarry.consumers.hooks import models
from pytest_quarry.consumers.zygote import Nursery
from pytest_quarry.simulation.play import Play
from pytest_quarry.simulation.run import simulate
from pytest_quarry.simulation.world import World

DATA = Path(botocore.loaders.Loader.BUILTIN_DATA_PATH)


@pytest.fixture(autouse=True)
def nothing_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where no consumer has run yet."""
    monkeypatch.setattr(models, "_told", None)
    monkeypatch.setattr(models, "_read", models.HEAD)
    monkeypatch.setattr(models, "_files", {})
    monkeypatch.setattr(models, "_lists", {})
    monkeypatch.setattr(models, "_known", set())


@pytest.fixture(params=["here", "zygote"])
def play(request: pytest.FixtureRequest) -> Iterator[Play]:
    with contextlib.closing(Nursery()) as nursery:
        yield Play(nursery=nursery) if request.param == "zygote" else Play()


def counted(name: str) -> int:
    """In the consumer: how many files a new session reads for a client of this service."""
    read: list[str] = []

    def loads(text: str, **options: Any) -> Any:
        read.append(text)
        return json.loads(text, **options)

    loaders: Any = botocore.loaders
    loaders.json = SimpleNamespace(loads=loads)
    client = boto3.Session().client(name, region_name="eu-central-1")  # type: ignore[call-overload]
    operations = {method: client.can_paginate(method) for method in dir(client) if method.startswith("list_")}
    assert operations
    return len(read)


def told(play: Play, work: Any) -> list[Any]:
    history = simulate(SCHEDULE, consumer(lambda world: tell(world, work(world))), play)
    assert not [entry for entry in history.entries if entry.what in ("raised", "hung")], history.stack
    return [json.loads(row.item or "") for row in history.rows if row.run_id == "told"]


def test_the_next_start_finds_what_the_last_one_read(play: Play) -> None:
    (first,) = told(play, lambda world: counted("sqs"))
    assert first > 3
    assert told(play, lambda world: counted("sqs")) == [0]
    (other,) = told(play, lambda world: counted("sns"))
    assert 0 < other < first
    assert told(play, lambda world: counted("sns")) == [0]


def test_what_is_found_is_what_the_file_says(play: Play) -> None:
    def work(world: World) -> list[Any]:
        client = boto3.Session().client("s3", region_name="eu-central-1")
        loader = botocore.session.get_session().get_component("data_loader")
        services = loader.list_available_services("service-2")
        services.append("mine")  # a list of one's own
        return [
            sorted(client.meta.service_model.operation_names),
            loader.load_service_model("s3", "paginators-1"),
            loader.list_available_services(type_name="service-2"),
            botocore.session.get_session().get_available_services(),
        ]

    first, again = (told(play, work) for _ in range(2))
    assert first == again
    ((operations, paginators, services, available),) = first
    model = next(DATA.glob("s3/*/service-2.json*"))
    opened = botocore.loaders._JSON_OPEN_METHODS["".join(model.suffixes)]  # type: ignore[attr-defined]
    with opened(model, "rb") as file:
        assert operations == sorted(json.loads(file.read())["operations"])
    assert {"ListObjectsV2", "ListObjects"} <= paginators["pagination"].keys()
    assert services == available == sorted({path.parent.parent.name for path in DATA.glob("*/*/service-2.json*")})


def test_botocore_changes_a_model_for_its_own_session_only(play: Play) -> None:
    """It takes the bucket out of the paths of S3's operations, in what it has read."""

    def work(world: World) -> list[str]:
        return [path_of_listing(), path_of_listing()]

    def path_of_listing() -> str:
        pristine = botocore.session.get_session().get_service_model("s3").operation_model("ListObjectsV2").http
        path: str = pristine["requestUri"]
        boto3.Session().client("s3", region_name="eu-central-1").list_buckets()
        return path

    assert [told(play, work) for _ in range(2)] == [[["/{Bucket}?list-type=2"] * 2]] * 2
    assert "_quarry" not in vars(botocore.loaders)
    assert path_of_model() == "/{Bucket}?list-type=2"


def path_of_model() -> str:
    """In the test's own process, after another session has made a client."""
    boto3.Session().client("s3", region_name="eu-central-1")
    model = botocore.session.get_session().get_service_model("s3")
    return str(model.operation_model("ListObjectsV2").http["requestUri"])


def test_models_of_ones_own_are_read_each_time(play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "house" / "2026-01-01"
    folder.mkdir(parents=True)
    model = {
        "version": "2.0",
        "metadata": {"apiVersion": "2026-01-01", "protocol": "json"},
        "operations": {},
        "shapes": {},
    }
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path))

    def work(world: World) -> list[Any]:
        loader = boto3.Session()._session.get_component("data_loader")
        assert "sqs" in loader.list_available_services("service-2")
        name = "house" in loader.list_available_services("service-2")
        return [name, loader.load_service_model("house", "service-2")["metadata"]["serviceId"]]

    for number in ("one", "two"):
        content = {**model, "metadata": {**model["metadata"], "serviceId": number}}  # type: ignore[dict-item]
        (folder / "service-2.json").write_text(json.dumps(content))
        assert told(play, work) == [[True, number]]


def test_room_that_is_used_up_and_nonsense_do_no_harm(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "ROOM", 4096)
    models.share()
    nonsense = [
        "file ../../x",
        "file",
        "",
        "list nothing",
        "file sqs/none.json",
        "\xff",
        "other endpoints.json",
        "file /etc/passwd",
    ]
    models._tell("file", "\n".join(nonsense))
    for number in range(models.ROOM):
        models._tell("none", str(number))
    assert told(play, lambda world: counted("sqs")) > [0]
    assert told(play, lambda world: counted("sqs")) > [0]  # nobody could be told
    assert not models._files


def test_without_what_is_patched_botocore_works_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_forked", True)
    for loaders in (SimpleNamespace(), SimpleNamespace(JSONFileLoader=object, Loader=object)):
        before = dict(vars(loaders))
        models.patch(loaders)
        assert vars(loaders) == before
