"""Inside the pytest that `check` and `replay` run: chooses the checks, and writes down what became of each."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pytest_quarry import marking
from pytest_quarry.checks.conduct import TOO_LATE
from pytest_quarry.commandline.pytest_process import COMMAND_LINE, REFUSED, RESULTS, SETTINGS
from pytest_quarry.commandline.settings import Settings, UsageError
from pytest_quarry.consumers.consumer import ConsumerError

SUITE = Path(__file__).with_name("suite.py")
NAME = "quarry-conformance"
# What is found in an undisturbed execution, with which every check begins.
AT_ONCE = (
    "did nothing where something was due",
    "The rows are of no run that exists",
    "Nothing was due where something should be",
    "Rows and suite name items differently",
    "is not deterministic: two executions of one schedule",
)
KEPT = ("id", "slug", "severity", "status", "reason", "not_exercised")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Make the suite before anything runs; where it cannot be made, write down why, and end."""
    if SETTINGS not in os.environ or hasattr(config, "workerinput"):
        return None
    try:
        from pytest_quarry.commandline import suite  # noqa: F401  # the import makes it
    except (UsageError, ConsumerError) as error:
        Path(os.environ[RESULTS]).write_text(json.dumps({REFUSED: str(error)}) + "\n", encoding="utf-8")
        return int(pytest.ExitCode.USAGE_ERROR)
    return None


def pytest_configure(config: pytest.Config) -> None:
    """A saved schedule says with which options it was found; xdist's workers write nothing down."""
    if COMMAND_LINE in os.environ:
        config._quarry_command_line = json.loads(os.environ[COMMAND_LINE])  # type: ignore[attr-defined]
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Results(os.environ[RESULTS]), "quarry-results")


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Items are named after the command, wherever it is installed."""
    if SETTINGS not in os.environ or module_path != SUITE:
        return None
    module: pytest.Module = pytest.Module.from_parent(parent, path=module_path, nodeid=NAME)
    return module


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep those of `--only`."""
    only = Settings.from_json(os.environ[SETTINGS]).only if SETTINGS in os.environ else ()
    if only:
        left_out = [item for item in items if marking.check_id(item) not in only]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


class Results:
    """Writes one line of JSON per check, in the process that hears of all of them."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._session: pytest.Session | None = None

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self._session = session

    def pytest_runtest_logreport(self, report: Any) -> None:
        record = getattr(report, "quarry", None)
        if record is None:
            return
        kept = {name: record.get(name) for name in KEPT}
        kept["place"] = report.quarry_place
        kept["unusable"] = record["status"] == "inconclusive" and record.get("failure") is None
        kept["cut_short"] = any(name == "quarry_budget" for name, _ in report.user_properties)
        kept["too_late"] = record["status"] == "skipped" and str(record.get("reason")).startswith(TOO_LATE)
        with open(self._file, "a", encoding="utf-8") as file:
            file.write(json.dumps(kept) + "\n")
        if self._session is not None and _says_it_all(record):
            self._session.shouldstop = "each of the other checks would say the same"


def _says_it_all(record: Any) -> bool:
    """Whether a check could not begin, for a reason that is every check's."""
    if record["status"] != "inconclusive":
        return False
    failure = record.get("failure")
    return failure is None or any(words in failure["sentence"] for words in AT_ONCE)
