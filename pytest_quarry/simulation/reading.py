"""What the target holds, by the suite's `rows`: in the test's process, or, where that would do harm, in forks of it.

Some libraries in Rust and C have threads of their own, and do not work in a fork of a process in which they were used: their threads
are not there, and they wait for them for ever. Consumers are forked from the test's process, so `rows` must not be the one who uses
them there.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import signal
import sqlite3
import sys
import warnings
import weakref
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from pytest_quarry.consumers import frames, keeper
from pytest_quarry.consumers.at_work import threads_of_libraries
from pytest_quarry.consumers.consumer import Consumer, ConsumerError
from pytest_quarry.simulation.history import Row
from pytest_quarry.simulation.world import World

# Modules of such libraries.
NOT_FORKED = ("polars", "deltalake", "lance", "lancedb", "datafusion", "obstore", "daft", "grpc")
# The suites, by id, whose `rows` have read something in a fork and left no such threads there: they may read in this process.
_harmless: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


def rows_of(consumer: Consumer, world: World) -> tuple[Row, ...]:
    """The rows now, in any order. Raises ConsumerError where they are none, and what the hook raises."""
    suite = getattr(consumer.rows, "__self__", consumer.rows)
    if _harmless.get(id(suite)) is suite or not any(name in sys.modules for name in NOT_FORKED):
        with _let_go():
            return tuple(_checked(consumer, world))
    found, threads = _apart(consumer, world)
    if found and not threads:
        with contextlib.suppress(TypeError):  # nothing can refer to it weakly: it is asked in forks on and on
            _harmless[id(suite)] = suite
    return found


@contextlib.contextmanager
def _let_go() -> Iterator[None]:
    """What was opened meanwhile, and not closed, is closed as soon as nothing refers to it.

    sqlite3's connections refer to themselves, in Python 3.11: one that `rows` made is there until the collector comes. Were it
    the last of a database in WAL mode, which its consumer has left, the files would change then, in the middle of something else.
    """
    free = _lowest_free()
    try:
        yield
    except BaseException as error:
        frames.let_go(error)
        raise
    finally:
        for generation in (1, 2):
            if _lowest_free() > free:
                gc.collect(generation)


def _lowest_free() -> int:
    """The number that the next file gets which is opened: a higher one, while one is open that was opened before."""
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.close(descriptor)
    return descriptor


def _apart(consumer: Consumer, world: World) -> tuple[tuple[Row, ...], list[str]]:
    """The rows, and the threads that libraries have begun to find them, in a fork."""
    sys.stdout.flush()
    reading, writing = os.pipe()
    with open(reading, "rb") as told, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork with threads, from Python 3.12 on
        with world.still():
            pid = os.fork()
        if pid == 0:
            _tell(consumer, world, writing)
        os.close(writing)
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        keeper.remember_group(pid)
        try:
            data = told.read()
        finally:
            with contextlib.suppress(OSError):
                os.killpg(pid, signal.SIGKILL)  # what it has started too
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            keeper.forget_group(pid)
    if not data:
        raise RuntimeError(f"its process ended with status {status}")
    rows, threads, error = pickle.loads(data)
    if error is not None:
        raise error
    return rows, threads


def _tell(consumer: Consumer, world: World, writing: int) -> NoReturn:
    """In the fork: read, tell what was read, and end."""
    rows: tuple[Row, ...] = ()
    error: Exception | None = None
    try:
        os.setpgid(0, 0)
        keeper_end = keeper.descriptor()
        if keeper_end is not None:
            os.close(keeper_end)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        try:
            rows = tuple(_checked(consumer, world))
        except BaseException as raised:
            error = _portable(raised)
        sys.stdout.flush()
        with open(writing, "wb") as pipe:
            pickle.dump((rows, threads_of_libraries(), error), pipe)
    finally:
        os._exit(0)


def _portable(error: BaseException) -> Exception:
    """The same error where it can be told, or one that says as much."""
    if isinstance(error, Exception):
        with contextlib.suppress(Exception):
            if type(pickle.loads(pickle.dumps(error))) is type(error):
                return error
    return RuntimeError(f"{type(error).__name__}: {error}")


def _checked(consumer: Consumer, world: World) -> Iterator[Row]:
    found = consumer.rows(world)
    try:
        iterator = iter(found)
    except TypeError:
        raise ConsumerError(
            f"{consumer.name}.rows(world) returned {type(found).__name__}, which is not a list of rows. Return every row "
            "of the target as a mapping with run_id and, where it can, item."
        ) from None
    for number, found_row in enumerate(iterator, 1):
        # sqlite3.Row has keys, but is no Mapping
        row = dict(found_row) if isinstance(found_row, sqlite3.Row) else found_row
        if not isinstance(row, Mapping):
            raise ConsumerError(
                f"{consumer.name}.rows(world) yielded {row!r} as row {number}, which is not a mapping. Yield mappings with "
                'run_id and, where it can, item: {"run_id": …, "item": …}.'
            )
        if row.get("run_id") is None:
            raise ConsumerError(
                f"{consumer.name}.rows(world) yielded row {number} without run_id: it has {', '.join(map(str, row))}. "
                'Name the run each row belongs to: {"run_id": …, "item": …}.'
            )
        item = row.get("item")
        yield Row(str(row["run_id"]), None if item is None else str(item))
