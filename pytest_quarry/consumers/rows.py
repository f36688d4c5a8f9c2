"""What a target holds, read from outside: from what a program printed, from SQLite, from files of JSON lines, from a command.

Each function gives a `rows(world)` for a suite.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pytest_quarry.consumers import keeper
from pytest_quarry.consumers.command import Command, check_places, fill
from pytest_quarry.consumers.consumer import ConsumerError, RowsError

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
        found = [match.groupdict() for match in compiled.finditer(text)]
        return [{name: value for name, value in row.items() if value is not None} for row in found]

    return rows


def from_sqlite(place: str) -> Rows:
    """The rows of a query, `FILE:QUERY`; FILE is under the world's disk. It selects run_id and, where it can, item."""
    name, _, query = place.partition(":")
    if not name or not query.strip():
        raise ConsumerError(
            f"rows from sqlite: {place!r} is not FILE:QUERY. For example 'orders.sqlite:SELECT run_id, item FROM orders'"
        )
    check_places(name)

    def rows(world: Any) -> list[Row]:
        file = _path(name, world)
        with tempfile.TemporaryDirectory(prefix="rows-", dir=world.root) as folder:
            # A copy: the consumer may stand still inside a transaction, with the file locked, or have died in one and left
            # a journal that is its own to roll back. What was not committed is not in the copy either.
            try:
                copied = _copied(file, Path(folder))
            except OSError as error:
                raise RowsError(f"rows from sqlite: {place!r} cannot be read: {error}") from None
            return [] if copied is None else _selected(copied, query, place)

    return rows


def _copied(file: Path, folder: Path) -> Path | None:
    """A database with its journals; None where there is no such file."""
    for ending in ("-wal", "-journal", ""):  # the database last: it may only be newer than its journal
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            shutil.copyfile(f"{file}{ending}", folder / f"rows.sqlite{ending}")
    copied = folder / "rows.sqlite"
    return copied if copied.exists() else None


def _selected(file: Path, query: str, place: str) -> list[Row]:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in connection.execute(query)]
        except (sqlite3.Error, sqlite3.Warning) as error:
            if "no such table" in str(error):  # it may still be made
                return []
            raise RowsError(f"rows from sqlite: {place!r} cannot be read: {error}") from None


def from_jsonl(pattern: str) -> Rows:
    """A row for each whole line of the files that match, under the world's disk; objects with run_id and, where they can, item."""
    check_places(pattern)

    def rows(world: Any) -> list[Row]:
        found = sorted(glob.glob(str(_path(pattern, world)), recursive=True, include_hidden=True))
        return [row for file in found if os.path.isfile(file) for row in _of_file(Path(file), world)]

    return rows


def from_command(command: str | Sequence[str]) -> Rows:
    """A row for each line that a command prints; JSON objects with run_id and, where they can, item."""
    program = Command(argv=command)
    shown = f"rows from command: {program.shown!r}"

    def rows(world: Any) -> list[Row]:
        from pytest_quarry.bus.server import EndpointServer
        from pytest_quarry.consumers.outside import surroundings

        server = EndpointServer(world.aws, lambda label, call, apply: apply(call))
        try:
            places = surroundings.values(world, server.endpoint)
            words = [fill(word, places) for word in program.words]
            environment = {**os.environ, **server.endpoint.environment()}
            status, said, errors = _output(words, environment, world.disk, shown)
        finally:
            server.close()
        if status:
            last = errors.decode("utf-8", "replace").strip().splitlines() or ["and said nothing"]
            raise RowsError(
                f"{shown} ended with status {status}: {last[-1]}. Where there is no target yet, print nothing"
            )
        return [_row_of(line, shown) for line in said.splitlines() if line.strip()]

    return rows


def _output(words: list[str], environment: dict[str, str], folder: Path, shown: str) -> tuple[int, bytes, bytes]:
    """Exit status, output and errors of a command, of which no process is left. Raises ConsumerError."""
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(
            words, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, process_group=0
        )
    except OSError as error:
        why = f"there is no program {words[0]!r}" if isinstance(error, FileNotFoundError) else error.strerror
        raise ConsumerError(f"{shown} cannot be run: {why}") from None
    keeper.remember_group(process.pid)
    try:
        said, errors = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise ConsumerError(f"{shown} did not end within {SECONDS:g} s. It must print the rows and end") from None
    finally:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        keeper.forget_group(process.pid)
    return process.returncode, said, errors


def _row_of(line: bytes, shown: str) -> Row:
    """A line that a command printed as a row."""
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    if not isinstance(row, dict):
        raise RowsError(f"{shown} printed {line[:80]!r}, which is no JSON object. Print one per line, with run_id")
    return row


def _path(name: str, world: Any) -> Path:
    places = {"disk": str(world.disk), "storage_root": str(world.storage_root)}
    return Path(world.disk, fill(name, places))


def _of_file(file: Path, world: Any) -> list[Row]:
    """The objects of whole lines. A line that a crash cut is no row; where nothing is JSON at all, that is an error."""
    found: list[Row] = []
    *lines, _ = file.read_bytes().split(b"\n")
    lines = [line for line in lines if line.strip()]
    for line in lines:
        with contextlib.suppress(ValueError):
            row = json.loads(line)
            if isinstance(row, dict):
                found.append(row)
    if lines and not found:
        name = file.relative_to(world.disk) if file.is_relative_to(world.disk) else file
        raise RowsError(
            f"rows from jsonl: {str(name)!r} has {len(lines)} lines, and none is a JSON object: {lines[0][:80]!r}"
        )
    return found
