"""What pytest collects for `quarry-conformance check`: one suite, made of the settings in the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pytest_quarry.checks.catalogue import of_kind
from pytest_quarry.checks.fuzzing import FUZZ
from pytest_quarry.commandline import consumers, own_checks
from pytest_quarry.commandline.pytest_process import SETTINGS
from pytest_quarry.commandline.settings import Settings, UsageError
from pytest_quarry.suites import (
    Conformance,
    EventBusConformance,
    PollerConformance,
    PublisherConformance,
    add_own_checks,
)

SUITES: dict[str, type[Conformance]] = {
    "poller": PollerConformance,
    "worker": EventBusConformance,
    "lambda_": EventBusConformance,
    "handler": EventBusConformance,
    "publisher": PublisherConformance,
}


def made(settings: Settings, folder: Path) -> type[Conformance]:
    """The suite of one consumer. Raises UsageError, ConsumerError."""
    own_checks.load(settings.checks)
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
        "durable_inbox": settings.durable_inbox,
        "ignored_servers": settings.ignored_servers,
        "ignores_server_clock": settings.ignores_server_clock,
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


def check_ids(settings: Settings, suite: type[Conformance]) -> None:
    """Raise UsageError where the settings name a check that the suite has not."""
    known = [check.id for check in (*of_kind(suite.kind), FUZZ) if suite.kind in check.kinds]
    unknown = [each for each in settings.only if each not in known]
    if unknown:
        raise UsageError(f"--only names {', '.join(unknown)}; the checks of this consumer are {', '.join(known)}")
    for failure in settings.known_failures:
        if failure.id not in known:
            raise UsageError(f"known failure {failure.id} is no check of this consumer; they are {', '.join(known)}")


if SETTINGS in os.environ:
    _settings = Settings.from_json(os.environ[SETTINGS])
    _suite = made(_settings, Path.cwd())
    check_ids(_settings, _suite)
    _suite().consumer()
    globals()[_suite.__name__] = _suite
    del _settings, _suite
