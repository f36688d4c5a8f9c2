"""Inside the pytest that `check` runs: chooses the checks, and writes down what became of each."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from pytest_quarry.commandline.settings import Settings
from pytest_quarry.commandline.suite import VARIABLE

RESULTS = "QUARRY_CONFORMANCE_RESULTS"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep those of `--only`."""
    only = Settings.from_json(os.environ[VARIABLE]).only
    if only:
        left_out = [item for item in items if _id(item) not in only]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _id(item: pytest.Item) -> str:
    marker = item.get_closest_marker("quarry")
    return str(marker.kwargs.get("id")) if marker is not None else ""


def pytest_configure(config: pytest.Config) -> None:
    """Reports are written down where they come together, and not by pytest-xdist's workers."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Results(os.environ[RESULTS]))


class Results:
    """Writes one line of JSON per check."""

    def __init__(self, file: str) -> None:
        self._file = file

    def pytest_runtest_logreport(self, report: Any) -> None:
        record = getattr(report, "quarry", None)
        if record is None:
            return
        kept = {name: record.get(name) for name in ("id", "slug", "severity", "status", "reason", "not_exercised")}
        kept["unusable"] = record["status"] == "inconclusive" and record.get("failure") is None
        with open(self._file, "a", encoding="utf-8") as file:
            file.write(json.dumps(kept) + "\n")
