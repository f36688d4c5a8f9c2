"""The options of `quarry-conformance check`: the same names as in TOML."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pytest_quarry.commandline import settings
from pytest_quarry.commandline.settings import CHOICES, ROWS, Settings, UsageError, option

HELP = {
    "poller": "a consumer that finds runs by itself: a command that is run once per poll, or a Python reference",
    "worker": "a consumer that receives from {queue_url} itself: a command that goes on, or a Python reference",
    "publisher": "what announces runs: a command that is run once per run, with {run_id} {source} {outcome} {storage_path}",
    "lambda_": "a Lambda function: file.mjs:handler, file.ts:handler, file.py:handler, or module:handler in Python",
    "handler": "a function or class of Python that handles one notification: module:name",
    "rows_from_stdout": "a regular expression with the group run_id and, where it can, item, for what the command prints",
    "rows_from_sqlite": "a query of a SQLite file under {disk} that gives run_id and, where it can, item",
    "rows_from_jsonl": "files of JSON lines under {disk}",
    "rows_from_command": "a command that prints JSON lines",
    "rows": "a function of Python that is called with the world: module:name",
    "layout": "where a run's files are (lode)",
    "storage": "where Quarry's storage is (fs)",
    "failed_runs": "whether runs that ended in an error are wanted (skip)",
    "sources": "the sources it wants, with commas",
    "categories": "the categories it wants, with commas",
    "workers": "1: it never runs twice at once",
    "batch_size": "the most messages of one Lambda event (10)",
    "fifo": "a FIFO topic and queue",
    "raw_delivery": "SNS raw message delivery",
    "reconciles": "it finds runs nobody notified it of",
    "durable_inbox": "it acknowledges what it has written into an inbox of its own, and loads it later",
    "ignored_servers": "servers whose traffic is nobody's business, as host:port, with commas",
    "ignores_server_clock": "nothing that it decides depends on the clock of a database server",
    "sample_run": "a storage root with a real run in it, whose items' data is used",
    "working_directory": "where a command runs; without it, an empty folder of the world's",
    "timeout": "real seconds without a sign of life that count as hung",
    "stop_signal": "what ends a worker (SIGTERM)",
    "network": "it may reach other machines",
    "checks": "modules with checks of your own, with commas",
    "only": "these checks and no other, with commas",
    "fail_on": "the least severity that fails (advice)",
}


METAVARS = {
    "handler": "REF",
    "lambda_": "FILE:EXPORT",
    "rows_from_stdout": "REGEX",
    "rows_from_sqlite": "FILE:QUERY",
    "rows_from_jsonl": "GLOB",
    "rows_from_command": "COMMAND",
    "rows": "REF",
    "sources": "NAMES",
    "categories": "NAMES",
    "workers": "N",
    "batch_size": "N",
    "ignored_servers": "ADDRESSES",
    "sample_run": "PATH",
    "working_directory": "PATH",
    "timeout": "SECONDS",
    "stop_signal": "SIGNAL",
    "checks": "MODULES",
    "only": "IDS",
}


def add(parser: argparse.ArgumentParser) -> None:
    """The options that say what is checked."""
    group = parser.add_argument_group("the consumer, one of")
    for name in settings.CONSUMERS:
        group.add_argument(option(name), dest=name, metavar=METAVARS.get(name, "COMMAND"), help=HELP[name])
    group = parser.add_argument_group("what its target holds, one of")
    for name in ROWS:
        group.add_argument(option(name), dest=name, metavar=METAVARS[name], help=HELP[name])
    group = parser.add_argument_group("what it declares")
    defaults = Settings()
    for name in HELP:
        default = getattr(defaults, name)
        if name in (*settings.CONSUMERS, *ROWS):
            continue
        if isinstance(default, bool):
            group.add_argument(option(name), dest=name, action="store_true", default=None, help=HELP[name])
        else:
            group.add_argument(option(name), dest=name, help=HELP[name], **_taken(name, default))
    group.add_argument("--env", action="append", metavar="NAME=VALUE", help="a variable of a command's environment")
    group.add_argument(
        "--known-failure",
        action="append",
        nargs=3,
        metavar=("ID", "REASON", "EXPIRES"),
        help="a check that may fail until a date: EB05 'ticket 12' 2026-12-31",
    )
    parser.add_argument("--config", metavar="FILE", help=f"a TOML file in place of {' or '.join(settings.FILES)}")


def _taken(name: str, default: Any) -> dict[str, Any]:
    """How argparse takes an option's value."""
    choices = CHOICES.get(name)
    if isinstance(default, tuple):
        return {"type": names, "metavar": METAVARS[name], "action": "extend"}
    kind = type(default)
    return {"type": kind, "choices": choices} if choices else {"type": kind, "metavar": METAVARS[name]}


def names(text: str) -> tuple[str, ...]:
    """The names in a text with commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def chosen(arguments: argparse.Namespace, found: Settings) -> Settings:
    """Settings, and over them those of the command line. Raises UsageError."""
    given = {name: getattr(arguments, name) for name in HELP if getattr(arguments, name) is not None}
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    given = {name: settings.checked(name, value, option(name)) for name, value in given.items()}
    for several in (settings.CONSUMERS, ROWS):
        if any(name in given for name in several):  # another consumer than the file's
            given = {**dict.fromkeys(several, ""), **given}
    if given.get("publisher"):  # which has no target
        given = {**dict.fromkeys(ROWS, ""), **given}
    found = replace(found, **given)
    if arguments.env:
        found = replace(found, environment=(*found.environment, *_variables(arguments.env)))
    if arguments.known_failure:
        entries = [{"id": name, "reason": why, "expires": day} for name, why, day in arguments.known_failure]
        known = tuple(settings.known_failure(each, "--known-failure") for each in entries)
        found = replace(found, known_failures=(*found.known_failures, *known))
    return found


def _variables(pairs: Sequence[str]) -> tuple[tuple[str, str], ...]:
    for pair in pairs:
        if "=" not in pair or pair.startswith("="):
            raise UsageError(f"--env {pair!r} is not NAME=VALUE")
    return tuple((name, value) for name, _, value in (pair.partition("=") for pair in pairs))
