"""Connections to servers that are not the world's, as the consumer's process sees them: their answers come in real time."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pytest_quarry.bus import endpoint, own_sockets
from pytest_quarry.consumers.protocol import ANSWER

# In the kernel's struct tcp_info (linux/tcp.h): how long ago data was sent, and received, in milliseconds.
TCP_INFO, LAST_SENT, LAST_RECEIVED = getattr(socket, "TCP_INFO", 0), 44, 52


# Drivers in C, whose connections no hook of Python sees.
DRIVERS = (
    "psycopg2",
    "psycopg_c",
    "psycopg_binary",
    "psycopg.pq.pq_ctypes",
    "MySQLdb",
    "_mysql_connector",
    "pyodbc",
    "pymssql",
    "oracledb.thick_impl",
    "confluent_kafka",
    "grpc._cython.cygrpc",
)
REST = 1.0  # real seconds for what is left of an answer, or where the kernel does not tell when it was asked
MOST_IN_VAIN = 5  # waits for an answer, where it does not tell
_reached, _in_vain = False, 0
_unanswered: list[str] = []  # servers that have not answered, of each wait for which virtual time passes now


def begin() -> None:
    """This process is the consumer from now on: what its parent reached is not its own."""
    global _reached, _in_vain
    _reached, _in_vain = False, 0


def note(connection: Any, address: Any, *_: Any) -> None:
    """Python code connects to an address."""
    global _reached
    if isinstance(address, tuple) and connection.type == socket.SOCK_STREAM and address[1] not in endpoint.OPEN_PORTS:
        _reached = True


def may_have_been_reached() -> bool:
    """Whether this process reached a server, or has a driver that may have, where the kernel shows neither."""
    return _reached or any(name in sys.modules for name in DRIVERS)


def answer(look: Callable[[float], Any], descriptors: Iterable[int]) -> Any:
    """What is ready of these, now or once a server has answered over one of them, in real time; `look` waits so many seconds.

    An event loop watches all connections that are open. One over which nothing has come for long is not waited for again.
    """
    global _in_vain
    ready = look(0)
    if not ready and not _all_sleep():
        seconds = max((_left(descriptor) for descriptor in descriptors), default=0.0)
        if seconds > 0:
            ready = look(seconds)
            _in_vain += 1
    if ready:
        _in_vain = 0
    return ready


@contextlib.contextmanager
def given_up(descriptors: Iterable[int]) -> Iterator[None]:
    """Virtual time passes, though something may be due over these."""
    places = () if _all_sleep() else filter(None, map(_asked_in_vain, descriptors))
    place = next(iter(places), "")
    _unanswered.append(place)
    try:
        yield
    finally:
        _unanswered.remove(place)


def unanswered() -> str:
    """A server that has not answered in all the time that it had, where virtual time passes for who waits for it."""
    return next(filter(None, _unanswered), "")


def _all_sleep() -> bool:
    """Whether whatever this thread's event loop runs sleeps, or waits for others that do: then it waits for no answer."""
    asyncio = sys.modules.get("asyncio")
    loop = asyncio and asyncio._get_running_loop()
    if asyncio is None or loop is None or not hasattr(loop, "_scheduled"):
        return False
    tasks = asyncio.tasks
    # How asyncio.sleep() goes on: by a timer that sets the result of what it waits for.
    slept = {id(timer._args[0]) for timer in loop._scheduled if _wakes_a_sleeper(timer)}
    waits = [getattr(task, "_fut_waiter", None) for task in asyncio.all_tasks(loop)]
    return all(id(wait) in slept or isinstance(wait, (tasks.Task, tasks._GatheringFuture)) for wait in waits)


def _wakes_a_sleeper(timer: Any) -> bool:
    return getattr(timer._callback, "__name__", "") == "_set_result_unless_cancelled" and bool(timer._args)


def _left(descriptor: int) -> float:
    """How long, in real seconds, an answer may still be due over this, or the rest of one."""
    with contextlib.suppress(OSError, struct.error), _to_server(descriptor) as connection:
        if connection is None:
            return 0.0
        ages = _ages(connection)
        if ages is None:
            return REST if _in_vain < MOST_IN_VAIN else 0.0
        sent, received = ages
        return ANSWER - sent if sent <= received else REST - received
    return 0.0


def _asked_in_vain(descriptor: int) -> str:
    """The server to which this leads, where it was asked, and has not answered."""
    with contextlib.suppress(OSError, struct.error), _to_server(descriptor) as connection:
        ages = None if connection is None else _ages(connection)
        if connection is not None and ages is not None and ages[0] <= ages[1]:
            host, port, *_ = connection.getpeername()
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return ""


@contextlib.contextmanager
def _to_server(descriptor: int) -> Iterator[socket.socket | None]:
    """The connection that this is, where it leads to a server that is not the world's."""
    if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        yield None
        return
    with own_sockets.of(os.dup(descriptor)) as connection:
        streams = connection.type == socket.SOCK_STREAM
        if connection.family == socket.AF_UNIX:
            leads_out = bool(connection.getpeername())
        else:
            leads_out = connection.family in (socket.AF_INET, socket.AF_INET6)
            leads_out = leads_out and _port(connection) not in endpoint.OPEN_PORTS
        yield connection if streams and leads_out else None


def _port(connection: socket.socket) -> int:
    try:
        return int(connection.getpeername()[1])
    except OSError:  # it is not connected yet
        return 0


def _ages(connection: socket.socket) -> tuple[float, float] | None:
    """How long ago data was sent, and received, in seconds; None where nobody can tell, or it is not connected yet."""
    if not TCP_INFO or connection.family == socket.AF_UNIX or not _port(connection):
        return None
    told = connection.getsockopt(socket.IPPROTO_TCP, TCP_INFO, LAST_RECEIVED + 4)
    sent, received = (struct.unpack_from("=I", told, at)[0] / 1000 for at in (LAST_SENT, LAST_RECEIVED))
    return sent, received
