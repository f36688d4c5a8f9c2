"""What a target holds, read from outside: from what a program printed, from SQLite, from files of JSON lines, from a command.

Each function gives a `rows(world)` for a suite.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import re
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_quarry.consumers.command import Command, fill
from pytest_quarry.consumers.consumer import ConsumerError

Row = dict[str, Any]
Rows = Callable[[Any], list[Row]]
PRINTED = "stdout"  # in world.printed
SECONDS = 60.0  # that a command which shows rows may take


def from_stdout(pattern: str) -> Rows:
    """A row for each match in all that a command with `prints=True` has printed: groups `run_id` and, where there is one, `item`."""
    try:
        compiled = re.compile(pattern, re.MULTILINE)
    except re.error as error:
        raise ConsumerError(f"rows from stdout: {pattern!r} is no regular expression: {error}") from None
    if "run_id" not in compiled.groupindex:
        has = ", ".join(compiled.groupindex) or "no named group"
        raise ConsumerError(
            f"rows from stdout: {pattern!r} has no group run_id (it has {has}). Name what is the run's id: "
            "'Processing run: (?P<run_id>.+)'"
        )

    def rows(world: Any) -> list[Row]:
        file = world.printed / PRINTED
        text = file.read_bytes().decode("utf-8", "backslashreplace") if file.exists() else ""
        return [match.groupdict() for match in compiled.finditer(text)]

    return rows


def from_sqlite(place: str) -> Rows:
    """The rows of a query, `FILE:QUERY`; FILE is under the world's disk. It selects run_id and, where it can, item."""
    name, _, query = place.partition(":")
    if not name or not query.strip():
        raise ConsumerError(
            f"rows from sqlite: {place!r} is not FILE:QUERY. For example 'orders.sqlite:SELECT run_id, item FROM orders'"
        )

    def rows(world: Any) -> list[Row]:
        file = _path(name, world)
        if not file.exists():
            return []
        with contextlib.closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            try:
                return [dict(row) for row in connection.execute(query)]
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):  # it may still be made
                    return []
                raise

    return rows


def from_jsonl(pattern: str) -> Rows:
    """A row for each whole line of the files that match, under the world's disk; objects with run_id and, where they can, item."""

    def rows(world: Any) -> list[Row]:
        found = sorted(glob.glob(str(_path(pattern, world)), recursive=True))
        return [row for file in found for row in _of_lines(Path(file).read_bytes(), file)]

    return rows


def from_command(command: str) -> Rows:
    """A row for each line that a command prints; JSON objects with run_id and, where they can, item."""
    program = Command(argv=command)

    def rows(world: Any) -> list[Row]:
        from pytest_quarry.bus.server import EndpointServer
        from pytest_quarry.consumers.outside import surroundings

        server = EndpointServer(world.aws, lambda label, call, apply: apply(call))
        places = surroundings.values(world, server.endpoint)
        words = [fill(word, places) for word in program.words]
        try:
            environment = {**os.environ, **server.endpoint.environment()}
            done = subprocess.run(
                words, env=environment, cwd=world.disk, capture_output=True, timeout=SECONDS, check=False
            )
        except FileNotFoundError:
            raise ConsumerError(
                f"rows from command: {program.shown!r} cannot be run: there is no program {words[0]!r}"
            ) from None
        except subprocess.TimeoutExpired:
            raise ConsumerError(
                f"rows from command: {program.shown!r} did not end within {SECONDS:g} s. It must print the rows and end"
            ) from None
        finally:
            server.close()
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["and said nothing"]
            raise RuntimeError(f"{program.shown!r} ended with status {done.returncode}: {said[-1]}")
        return _of_lines(done.stdout, f"the output of {program.shown!r}")

    return rows


def _path(name: str, world: Any) -> Path:
    places = {"disk": str(world.disk), "storage_root": str(world.storage_root)}
    return Path(world.disk, fill(name, places))


def _of_lines(data: bytes, where: str) -> list[Row]:
    """The objects of whole lines. A line that a crash cut is no row; where nothing is JSON at all, that is an error."""
    found: list[Row] = []
    *lines, _ = data.split(b"\n")
    lines = [line for line in lines if line.strip()]
    for line in lines:
        with contextlib.suppress(ValueError):
            row = json.loads(line)
            if isinstance(row, dict):
                found.append(row)
    if lines and not found:
        raise ValueError(f"{where} has {len(lines)} lines, and none is a JSON object: {lines[0][:80]!r}")
    return found
