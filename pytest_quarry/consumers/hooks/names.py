"""Functions that modules hold by name (`from time import sleep`): found once in the world, swapped in the child."""

from __future__ import annotations

import builtins
import fcntl
import os
import select
import sqlite3
import sys
import time
from collections.abc import Iterator
from types import ModuleType
from typing import Any

# These wait for real processes and real clocks, or are the kit's own: they keep the real functions.
KEEP_REAL = (
    "subprocess",
    "multiprocessing",
    "pytest_quarry.",
    "_pytest",
    "coverage",
    "execnet",
    "xdist",
    "time_machine",
)

_found: tuple[int, list[tuple[dict[str, Any], str, Any]]] = (0, [])


def originals() -> dict[int, Any]:
    """The functions a child replaces, by identity."""
    names: tuple[tuple[ModuleType, tuple[str, ...]], ...] = (
        (time, ("sleep", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns")),
        (os, (*WRITES, "fsync", "fdatasync", "open", "utime", "urandom", "getpid", "kill", "lockf")),
        (builtins, ("open",)),
        (sqlite3, ("connect",)),
        (fcntl, ("flock", "lockf")),
        (select, ("select", "poll", "epoll")),
    )
    found = {}
    for module, attributes in names:
        for attribute in attributes:
            function = getattr(module, attribute, None)
            if function is not None:
                found[id(function)] = function
    return found


WRITES = ("write", "pwrite", "writev", "pwritev", "sendfile", "copy_file_range", "ftruncate")


def holders() -> list[tuple[dict[str, Any], str, Any]]:
    """Every module-level name bound to one of the originals; scanned again only when modules were added."""
    global _found
    if _found[0] != len(sys.modules):
        _found = (len(sys.modules), list(_scan(originals())))
    return _found[1]


def _scan(wanted: dict[int, Any]) -> Iterator[tuple[dict[str, Any], str, Any]]:
    for name, module in list(sys.modules.items()):
        if name.startswith(KEEP_REAL) or not isinstance(module, ModuleType):
            continue
        namespace = vars(module)
        for attribute, value in list(namespace.items()):
            if id(value) in wanted and wanted[id(value)] is value:
                yield namespace, attribute, value


def swap(replacements: dict[int, Any]) -> None:
    """In the child: put the replacements wherever the originals were held by name."""
    for namespace, attribute, original in _found[1]:  # found in the parent: scanning takes longer than all the rest
        replacement = replacements.get(id(original))
        if replacement is not None:
            namespace[attribute] = replacement
