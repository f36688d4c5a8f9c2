"""SQLite: connecting, every statement and every commit become boundaries, and its clock is the world's.

The trace callback of a connection runs before each statement takes effect, whoever executes it (the implicit BEGIN
and COMMIT of the driver, each row of `executemany`, `with connection`, SQLAlchemy).
"""

from __future__ import annotations

import os
import re
import sqlite3
import sqlite3.dbapi2
import weakref
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from pytest_quarry.consumers.hooks.sqlite_locks import opening, patient
from pytest_quarry.consumers.link import Disconnected, Link
from pytest_quarry.consumers.paths import shown
from pytest_quarry.consumers.protocol import Boundary

FAMILY = ("", "-journal", "-wal", "-shm")
# What SQLite's documentation (Date And Time Functions) lists, by number of arguments that means "now".
CLOCK_FUNCTIONS = {
    "current_timestamp": ("datetime", 0),
    "current_date": ("date", 0),
    "current_time": ("time", 0),
    "datetime": ("datetime", -1),
    "date": ("date", -1),
    "time": ("time", -1),
    "julianday": ("julianday", -1),
    "unixepoch": ("unixepoch", -1),
    "strftime": ("strftime", -1),
    **({"timediff": ("timediff", 2)} if sqlite3.sqlite_version_info >= (3, 43) else {}),
}
# Its time values that mean "now", each with the modifiers that it brings along.
NOW: dict[str, tuple[str, ...]] = {"now": (), "subsec": ("subsec",), "subsecond": ("subsec",)}
COMMENTS = re.compile(r"(?:\s+|--[^\n]*|/\*.*?\*/)*", re.DOTALL)
STATEMENT = re.compile(
    r"\s*(?:(BEGIN|COMMIT|ROLLBACK|END|SAVEPOINT|RELEASE|PRAGMA|SELECT|VACUUM|WITH)\b"
    r"|(?:(INSERT|REPLACE)\b.*?\bINTO\s+|(UPDATE)\s+(?:OR\s+\w+\s+)?|(DELETE)\s+FROM\s+"
    r"|(CREATE|DROP|ALTER)\s.*?\b(?:TABLE|INDEX|VIEW|TRIGGER)\s+(?:IF\s+(?:NOT\s+)?EXISTS\s+)?)([\w.\"\[\]`]+))",
    re.IGNORECASE | re.DOTALL,
)


def install(link: Link, clock: Callable[[], float]) -> dict[int, Any]:
    """Replace `sqlite3.connect`; the replacements of functions that others may hold by name."""
    real_connect = sqlite3.connect
    clock_of = _Clock(real_connect, clock)
    below = patient(link, lambda database: _world_name(link, database))
    # Made here for what nearly everybody uses: each start of a consumer would make it again.
    traced: dict[Any, Any] = {sqlite3.Connection: _traced(sqlite3.Connection, below, link, clock_of)}

    def connect(*arguments: Any, **keywords: Any) -> Any:
        if link.inside:
            return real_connect(*arguments, **keywords)
        positional = list(arguments)
        factory = positional.pop(5) if len(positional) > 5 else keywords.get("factory", sqlite3.Connection)
        if factory not in traced:
            traced[factory] = _traced(factory, below, link, clock_of) if isinstance(factory, type) else factory
        if len(arguments) > 5:
            positional.insert(5, traced[factory])
            return real_connect(*positional, **keywords)
        return real_connect(*positional, **{**keywords, "factory": traced[factory]})

    sqlite3.connect = sqlite3.dbapi2.connect = connect
    return {id(real_connect): connect}


def _traced(factory: type, below: type, link: Link, clock_of: _Clock) -> type:
    bases = (below,) if issubclass(below, factory) else (factory, below)

    class Connection(*bases):  # type: ignore[misc]
        """A connection that reports its statements; otherwise the one the consumer asked for."""

        def __init__(self, database: Any, *arguments: Any, **keywords: Any) -> None:
            name = _world_name(link, database)
            if name is not None:
                paths = tuple(name + tail for tail in FAMILY)
                with opening():
                    link.boundary(Boundary(f"sqlite connect {shown(name)}", paths))
            super().__init__(database, *arguments, **keywords)
            clock_of.install(self)
            self._consumer_trace: Any = None
            self._reports = name is not None
            if name is not None:
                self._install_trace(name)

        def _install_trace(self, name: str) -> None:
            me = weakref.ref(self)
            paths = tuple(name + tail for tail in FAMILY)
            short = shown(name)

            def trace(statement: str) -> None:
                connection = me()
                if connection is None:
                    return
                if connection._consumer_trace is not None:
                    connection._consumer_trace(statement)
                if link.inside or _is_inner(statement):
                    return
                try:
                    link.boundary(Boundary(f"sqlite {_words(statement)} {short}", paths))
                except (Exception, Disconnected) as error:  # SQLite swallows it
                    connection.fails(error, statement)

            super().set_trace_callback(trace)

        def backup(self, target: Any, **keywords: Any) -> None:
            name = getattr(target, "_world_name", None)
            if name is not None and not link.inside:
                link.boundary(Boundary(f"sqlite BACKUP {shown(name)}", tuple(name + tail for tail in FAMILY)))
            super().backup(target, **keywords)

        def set_trace_callback(self, callback: Any) -> None:
            self._consumer_trace = callback
            if not self._reports:
                super().set_trace_callback(callback)

    Connection.__name__ = Connection.__qualname__ = factory.__name__
    Connection.__module__ = factory.__module__
    return Connection


def _world_name(link: Link, database: Any) -> str | None:
    if isinstance(database, (str, bytes, os.PathLike)):
        path = os.fsdecode(database)
        if path.startswith("file:"):
            path = unquote(path[len("file:") :].split("?")[0])
            path = re.sub(r"^//[^/]*", "", path)
        return None if path in ("", ":memory:") else link.name_of(path)
    return None


def _is_inner(statement: str) -> bool:
    """Whether SQLite runs it for another statement (FTS, VACUUM): those it traces as comments, line by line."""
    return statement.startswith("-- ") and all(line.startswith("-- ") for line in statement.splitlines())


def _words(statement: str) -> str:
    """The statement without its data: `INSERT rows`, `COMMIT`."""
    statement = COMMENTS.sub("", statement, count=1)
    match = STATEMENT.match(statement)
    if match is None:
        return statement.split(None, 1)[0].upper() if statement.strip() else "statement"
    plain, insert, update, delete, define, table = match.groups()
    verb = (plain or insert or update or delete or define).upper()
    return verb if table is None else f"{verb} {table}"


class _Clock:
    """SQLite's own date functions, told what time it is in the world."""

    def __init__(self, real_connect: Callable[..., Any], clock: Callable[[], float]) -> None:
        self._scratch = real_connect(":memory:", check_same_thread=False)
        self._clock = clock
        self._functions = {function: self._evaluate(function) for function, _ in CLOCK_FUNCTIONS.values()}

    def install(self, connection: Any) -> None:
        for name, (function, arguments) in CLOCK_FUNCTIONS.items():
            # Deterministic, or SQLite would refuse them in CHECK constraints and indexes that use a plain date.
            connection.create_function(name, arguments, self._functions[function], deterministic=True)

    def _evaluate(self, function: str) -> Callable[..., Any]:
        at = 1 if function == "strftime" else 0

        def evaluate(*values: Any) -> Any:
            given = list(values)
            if len(given) == at:
                given.append("now")
            means = _means_now(given[at])
            if means is not None:
                given[at : at + 1] = [repr(self._clock()), "unixepoch", *means]
            return self._call(function, given)

        def difference(*values: Any) -> Any:
            return self._call(function, [each if _means_now(each) is None else self._moment() for each in values])

        return difference if function == "timediff" else evaluate

    def _moment(self) -> str:
        """The time that it is, as one value."""
        return str(self._call("strftime", ["%Y-%m-%d %H:%M:%f", repr(self._clock()), "unixepoch"]))

    def _call(self, function: str, given: list[Any]) -> Any:
        marks = ",".join("?" * len(given))
        return self._scratch.execute(f"SELECT {function}({marks})", given).fetchone()[0]


def _means_now(value: Any) -> tuple[str, ...] | None:
    return NOW.get(value.lower()) if isinstance(value, str) else None
