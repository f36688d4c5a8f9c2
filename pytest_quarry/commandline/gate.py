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


def pytest_runtest_logreport(report: Any) -> None:
    """One line of JSON per check."""
    record = getattr(report, "quarry", None)
    if record is not None and "PYTEST_XDIST_WORKER" not in os.environ:
        kept = {name: record.get(name) for name in ("id", "slug", "severity", "status", "reason", "not_exercised")}
        kept["unusable"] = record["status"] == "inconclusive" and record.get("failure") is None
        with open(os.environ[RESULTS], "a", encoding="utf-8") as file:
            file.write(json.dumps(kept) + "\n")
