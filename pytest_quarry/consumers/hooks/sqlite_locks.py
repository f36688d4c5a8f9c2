"""SQLite's busy handler, in virtual time: a connection that waits for a lock lets the others go on, and tries again.

The real handler sleeps in C; here a connection never waits by itself. Its own patience (`timeout`, `PRAGMA
busy_timeout`) ends on the world's clock. Both classes stand below a consumer's own, so that its overrides see one call.
"""

from __future__ import annotations

import contextlib
import errno
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pytest_quarry.consumers.hooks.locks import waits
from pytest_quarry.consumers.link import Link
from pytest_quarry.consumers.paths import shown
from pytest_quarry.consumers.protocol import Blocked

BUSY = 5  # sqlite3.h: SQLITE_BUSY
BUSY_SNAPSHOT = 517  # … with an extended code: what it read is out of date, and waiting does not help
BUSY_TIMEOUT = re.compile(r"\s*PRAGMA\s+busy_timeout\s*(?:=\s*|\(\s*)(\d+)", re.IGNORECASE)
# What SQLite says of a disk that fails: (code, name, words).
IOERR = (10, "SQLITE_IOERR", "disk I/O error")
FULL = (13, "SQLITE_FULL", "database or disk is full")
CANTOPEN = (14, "SQLITE_CANTOPEN", "unable to open database file")
BEGINS = re.compile(r"\s*(?:BEGIN|SAVEPOINT)\b", re.IGNORECASE)
COMMITS = re.compile(r"\s*(?:COMMIT|END)\b", re.IGNORECASE)
LEGACY = -1  # sqlite3.LEGACY_TRANSACTION_CONTROL, from Python 3.12 on


def patient(link: Link, name_of: Callable[[Any], str | None]) -> type[sqlite3.Connection]:
    """A connection class that waits in virtual time, where its database is one of the world's (`name_of`)."""
    cursors: dict[Any, Any] = {}

    class Patient(sqlite3.Connection):
        def __init__(self, database: Any, *arguments: Any, **keywords: Any) -> None:
            self._world_name = name_of(database)
            self._patience = float(arguments[0] if arguments else keywords.get("timeout", 5.0))
            self._reads = (
                False  # it holds a lock already: SQLite does not wait for a second one, lest two wait for ever
            )
            self._failed: sqlite3.OperationalError | None = None
            self._commits = False  # … what failed
            super().__init__(database, *arguments, **keywords)
            if self._world_name is not None:
                super().execute("PRAGMA busy_timeout = 0")

        def _patiently(self, work: Callable[[], Any], *, commits: bool = False, begins: bool = False) -> Any:
            waiting: Iterator[None] | None = None
            until = 0
            self._failed = None  # of a statement that was executed past here
            while True:
                try:
                    found = work()
                except sqlite3.OperationalError as error:
                    if self._failed is not None:
                        raise self._failure() from None
                    if link.inside or not _is_busy(error) or (self._reads and not commits):
                        raise
                    if waiting is None:
                        until = link.now + round(self._patience * 1_000_000)
                        waiting = waits(link, shown(self._world_name or ""), Blocked(until))
                    if link.now >= until:
                        raise
                else:
                    self._reads = self.in_transaction and (self._reads or not begins)
                    return found
                next(waiting)

        def fails(self, error: BaseException, statement: str) -> None:
            """What SQLite is about to do fails, as it does where the disk does."""
            if isinstance(error, OSError):
                self._failed = _told(FULL if error.errno == errno.ENOSPC else IOERR)
                self._commits = bool(COMMITS.match(statement))
            self.interrupt()

        def _failure(self) -> sqlite3.OperationalError:
            # SQLite takes back the transaction whose COMMIT meets such an error; one that is interrupted it lets go on.
            failed, self._failed = self._failed, None
            assert failed is not None
            if self._commits and self.in_transaction:
                with link.aside():
                    super().rollback()
            return failed

        def cursor(self, factory: Any = sqlite3.Cursor) -> Any:
            if self._world_name is None:
                return super().cursor(factory)
            if factory not in cursors:
                cursors[factory] = _patient_cursor(factory) if isinstance(factory, type) else factory
            return super().cursor(cursors[factory])

        def execute(self, *arguments: Any) -> Any:
            return Patient.cursor(self).execute(*arguments)

        def executemany(self, *arguments: Any) -> Any:
            return Patient.cursor(self).executemany(*arguments)

        def executescript(self, *arguments: Any) -> Any:
            return Patient.cursor(self).executescript(*arguments)

        def commit(self) -> None:
            if self._world_name is None:
                super().commit()
            else:
                self._patiently(super().commit, commits=True)

        def __exit__(self, kind: Any, error: Any, trace: Any) -> Any:
            if kind is not None:
                return super().__exit__(kind, error, trace)
            try:
                Patient.commit(self)
            except BaseException:
                self.rollback()
                raise
            return False

    return Patient


class _PatientCursor(sqlite3.Cursor):
    """Its statements wait as its connection does."""

    def execute(self, *arguments: Any) -> Any:
        statement = arguments[0] if arguments and isinstance(arguments[0], str) else ""
        connection: Any = self.connection
        found = BUSY_TIMEOUT.match(statement)
        if found is not None:
            connection._patience = int(found[1]) / 1000
            return super().execute("PRAGMA busy_timeout")
        begins, commits = bool(BEGINS.match(statement)), bool(COMMITS.match(statement))
        return connection._patiently(
            lambda: super(_PatientCursor, self).execute(*arguments), commits=commits, begins=begins
        )

    def executemany(self, statement: str, values: Iterable[Any], /) -> Any:
        given, pending = iter(values), list[Any]()

        def rows() -> Iterator[Any]:
            """The rows from the one that was not done yet."""
            while True:
                if not pending:
                    for value in given:
                        pending.append(value)
                        break
                    else:
                        return
                yield pending[0]
                pending.clear()

        connection: Any = self.connection
        return connection._patiently(lambda: super(_PatientCursor, self).executemany(statement, rows()))

    def executescript(self, script: str, /) -> Any:
        if not isinstance(script, str):
            return super().executescript(script)
        connection: Any = self.connection
        level, legacy = connection.isolation_level, getattr(connection, "autocommit", LEGACY) == LEGACY
        if legacy:
            if connection.in_transaction:
                connection._patiently(lambda: sqlite3.Connection.commit(connection), commits=True)
            connection.isolation_level = None  # a script begins no transaction by itself
        try:
            # One by one: a script that waits in the middle must not begin again.
            for statement in _statements(script):
                single = _PatientCursor(connection)
                single.execute(statement)
                for _ in single:
                    pass
        finally:
            if legacy:
                connection.isolation_level = level
        return self


def _patient_cursor(factory: type) -> type:
    if issubclass(_PatientCursor, factory):
        return _PatientCursor
    return type(factory.__name__, (factory, _PatientCursor), {"__module__": factory.__module__})


@contextlib.contextmanager
def opening() -> Iterator[None]:
    """A disk that fails meanwhile is a database that cannot be opened."""
    try:
        yield
    except OSError:
        raise _told(CANTOPEN) from None


def _told(what: tuple[int, str, str]) -> sqlite3.OperationalError:
    code, name, words = what
    error = sqlite3.OperationalError(words)
    error.sqlite_errorcode, error.sqlite_errorname = code, name
    return error


def _is_busy(error: sqlite3.OperationalError) -> bool:
    code = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF == BUSY and code != BUSY_SNAPSHOT


def _statements(script: str) -> Iterator[str]:
    start = 0
    for found in re.finditer(";", script):
        if sqlite3.complete_statement(script[start : found.end()]):
            yield script[start : found.end()]
            start = found.end()
    if script[start:].strip():
        yield script[start:]
