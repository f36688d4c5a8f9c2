"""Connections to servers that are not the world's, as the consumer's process sees them: their answers come in real time."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
import sys
from collections.abc import Callable, Iterable
from typing import Any

from pytest_quarry.bus import endpoint

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
ANSWER = 1.0  # real seconds that a server has to answer
MOST_IN_VAIN = 5
_reached, _in_vain = False, 0


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


def are_waited_for(descriptors: Iterable[int]) -> bool:
    """Whether one of these leads to a server that has not answered yet. Who watches one alone has asked it; an event loop
    watches all that are open."""
    found = list(descriptors)
    return _in_vain < MOST_IN_VAIN and any(_is_due(descriptor, alone=len(found) == 1) for descriptor in found)


def answer(look: Callable[[float], Any]) -> Any:
    """Wait for one in real time; `look` waits so many seconds. One that never comes is not waited for again and again."""
    global _in_vain
    found = look(ANSWER)
    _in_vain = 0 if found else _in_vain + 1
    return found


def _is_due(descriptor: int, *, alone: bool) -> bool:
    with contextlib.suppress(OSError, struct.error):
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return False
        with socket.socket(fileno=os.dup(descriptor)) as connection:
            if connection.type != socket.SOCK_STREAM:
                return False
            if connection.family == socket.AF_UNIX:
                return bool(connection.getpeername())
            if connection.family not in (socket.AF_INET, socket.AF_INET6):
                return False
            return _port(connection) not in endpoint.OPEN_PORTS and (alone or _has_asked(connection))
    return False


def _port(connection: socket.socket) -> int:
    try:
        return int(connection.getpeername()[1])
    except OSError:  # it is not connected yet
        return 0


def _has_asked(connection: socket.socket) -> bool:
    """Whether the last that was sent is younger than what was received; also where nobody can tell."""
    if not TCP_INFO:
        return True
    told = connection.getsockopt(socket.IPPROTO_TCP, TCP_INFO, LAST_RECEIVED + 4)
    return bool(struct.unpack_from("=I", told, LAST_SENT)[0] <= struct.unpack_from("=I", told, LAST_RECEIVED)[0])
