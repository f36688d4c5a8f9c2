"""Consumers that want the runs of one source, or of one category, and say so in their suite."""

from __future__ import annotations

from urllib.parse import unquote

from pytest_quarry.samples.handlers import Notification, OneTransaction, SqliteHandlerSuite
from pytest_quarry.samples.pollers import SqlitePollerSuite
from pytest_quarry.samples.reading import FinishedRun, Storage


def value_in(folder: str, name: str) -> str:
    """The value of a partition of a run's folder, as its notification has it."""
    return unquote(folder.partition(f"/{name}=")[2].partition("/")[0])


class OneSource(OneTransaction):
    """Loads the runs of one source."""

    def wants(self, notification: Notification) -> bool:
        return super().wants(notification) and notification["source"] == "shop"


class OneSourceSuite(SqliteHandlerSuite):
    """Wants one source."""

    sources = ("shop",)
    loader = OneSource


class SourcesOfOneName(OneTransaction):
    """Loads the runs of each source whose name begins like that of the one it wants."""

    def wants(self, notification: Notification) -> bool:
        return super().wants(notification) and notification["source"].startswith("shop")


class SourcesOfOneNameSuite(SqliteHandlerSuite):
    """Wants the source `shop` and takes `shop2` too."""

    sources = ("shop",)
    loader = SourcesOfOneName


class EveryCategorySuite(SqliteHandlerSuite):
    """Wants one category, and asks no notification for its own: the topic had no other yet."""

    categories = ("products",)
    loader = OneTransaction


class OneCategory(Storage):
    """Finds the runs of one category, whatever their source."""

    def finished_runs(self) -> list[FinishedRun]:
        return [run for run in super().finished_runs() if value_in(run.folder, "category") == "products"]


class OneCategoryPollerSuite(SqlitePollerSuite):
    """Wants one category of all sources."""

    categories = ("products",)
    reader = OneCategory


class CategoriesOfOneName(Storage):
    """Finds the runs whose category ends like the one it wants."""

    def finished_runs(self) -> list[FinishedRun]:
        return [run for run in super().finished_runs() if value_in(run.folder, "category").endswith("products")]


class CategoriesOfOneNamePollerSuite(SqlitePollerSuite):
    """Wants the category `products` and takes `xproducts` too."""

    categories = ("products",)
    reader = CategoriesOfOneName
