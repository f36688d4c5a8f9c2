"""Mistakes that both type checkers find: each line that ends in `# wrong`, and no other. Never run."""

from pathlib import Path

from pytest_quarry import Duplicates, EventBusConformance, PollerConformance, Storage, World
from pytest_quarry import Suite as Suite  # wrong
from pytest_quarry.strategies import runs


class TestDeclarations(EventBusConformance):
    storage = "gcs"  # wrong
    layout = "parquet"  # wrong
    workers = "two"  # wrong
    sources = "shop"  # wrong
    reconciles = None  # wrong


class TestHooks(PollerConformance):
    def rows(self, world: World) -> int:  # wrong
        return len(str(world.disk))

    def item_data(self, n: str) -> dict[str, str]:  # wrong
        return {"sku": n}


def test_calls(quarry_storage: Storage, quarry_duplicates: Duplicates, tmp_path: Path) -> None:
    quarry_storage.run(42)  # wrong
    quarry_storage.run("run-1", sauce="shop")  # wrong
    quarry_storage.run("run-1", attempt="second")  # wrong
    quarry_storage.no_such_method()  # wrong
    quarry_duplicates.in_one_batch({}, copies="three")  # wrong
    Storage.on_disk(7)  # wrong
    runs(ids="weird", min_items="one")  # wrong
