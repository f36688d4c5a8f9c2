"""What users write with the public names: both type checkers have nothing to say, and see these types. Never run."""

import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, assert_type

from hypothesis import given
from hypothesis import strategies as st

from pytest_quarry import (
    Command,
    ConsumerError,
    Duplicates,
    EventBusConformance,
    PollerConformance,
    PublisherConformance,
    Storage,
    World,
    __version__,
    read_runs,
)
from pytest_quarry.strategies import deliveries, runs

assert_type(__version__, str)


class Loader:
    def __init__(self, database: Path) -> None:
        self.connection = sqlite3.connect(database)

    def handle(self, notification: Mapping[str, Any]) -> None:
        self.connection.execute("INSERT INTO orders VALUES (?)", [notification["run_id"]])


class TestLoader(EventBusConformance):
    storage = "s3"
    sources = ("shop",)
    workers = 1
    filter_policy = {"source": ["shop"]}  # noqa: RUF012 - as users write it
    known_failures = {"EB05": "until March"}  # noqa: RUF012

    def prepare(self, world: World) -> None:
        assert_type(world.disk, Path)
        assert_type(world.topic_arn, str)
        assert_type(world.storage, Storage)

    def start(self, world: World) -> Loader:
        return Loader(world.disk / "orders.sqlite")

    def rows(self, world: World) -> list[dict[str, str]]:
        return [{"run_id": "run-1", "item": "e1"}]

    def item_data(self, n: int) -> dict[str, int]:
        return {"n": n}


class TestPoller(PollerConformance):
    layout = "flat"
    command = Command(argv="bash poll.sh {storage_root}")

    def rows(self, world: World) -> Iterable[Mapping[str, Any]]:
        return world.target.rows()


class TestPublisher(PublisherConformance):
    wraps_run = True

    def start(self, world: World) -> Any:
        raise ConsumerError("no topic")


def test_fixtures(quarry_storage: Storage, quarry_duplicates: Duplicates) -> None:
    story = quarry_storage.run("run-1", source="shop", category="products")
    story.item({"sku": "A-1"})
    run = story.complete()
    for stored in read_runs(quarry_storage.root):
        assert_type(stored.run_id, str)
    message = quarry_storage.notification(run)
    assert_type(message, dict[str, Any])
    assert_type(quarry_duplicates.of(message), list[dict[str, Any]])
    assert_type(quarry_duplicates.later([message]), list[dict[str, Any]])


@given(run=runs(ids="hostile", max_items=2), data=st.data())
def test_strategies(run: Any, data: st.DataObject) -> None:
    batches = data.draw(deliveries(["a", "b"]))
    assert_type(batches, list[list[str]])
