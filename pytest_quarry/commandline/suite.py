"""What pytest collects for `quarry-conformance check`: one suite, made of the settings in the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pytest_quarry.checks import own
from pytest_quarry.commandline import consumers
from pytest_quarry.commandline.settings import Settings
from pytest_quarry.suites import (
    Conformance,
    EventBusConformance,
    PollerConformance,
    PublisherConformance,
    add_own_checks,
)

SETTINGS, COMMAND_LINE = "QUARRY_CONFORMANCE_SETTINGS", "QUARRY_CONFORMANCE_COMMAND_LINE"
SUITE = Path(__file__)
SUITES: dict[str, type[Conformance]] = {
    "poller": PollerConformance,
    "worker": EventBusConformance,
    "lambda_": EventBusConformance,
    "handler": EventBusConformance,
    "publisher": PublisherConformance,
}


def made(settings: Settings, folder: Path) -> type[Conformance]:
    """The suite of one consumer. Raises UsageError, ConsumerError, CheckError."""
    own.load(settings.checks)
    add_own_checks()
    given = settings.given
    program = consumers.command(settings, folder)
    rows = consumers.rows_of(settings, program, folder)
    body: dict[str, Any] = {
        "__module__": __name__,
        "layout": settings.layout,
        "storage": settings.storage,
        "failed_runs": settings.failed_runs,
        "workers": settings.workers,
        "batch_size": settings.batch_size,
        "fifo": settings.fifo,
        "raw_delivery": settings.raw_delivery,
        "reconciles": settings.reconciles,
        "known_failures": {known.id: known.reason for known in settings.known_failures if not known.is_over},
        "sample_run": consumers.folder_named(settings, "sample_run", folder),
        "command": program,
    }
    body |= {name: getattr(settings, name) for name in ("sources", "categories") if getattr(settings, name)}
    if rows is not None:
        body["rows"] = lambda self, world: rows(world)
    if program is None:
        start = consumers.start(settings)
        body["start"] = lambda self, world: start(world)
    return type(f"Test{given.rstrip('_').capitalize()}", (SUITES[given],), body)


if SETTINGS in os.environ:
    _suite = made(Settings.from_json(os.environ[SETTINGS]), Path.cwd())
    globals()[_suite.__name__] = _suite
    del _suite
