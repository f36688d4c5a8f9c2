"""Where functions are held (`from time import sleep`, `timer=time.monotonic`): found once in the world, swapped in the child."""

from __future__ import annotations

import builtins
import fcntl
import functools
import gc
import operator
import os
import queue
import random
import select
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from types import CellType, FunctionType, MemberDescriptorType, ModuleType
from typing import Any

# These wait for real processes and real clocks, or are the kit's own: they keep the real functions.
KEEP_REAL = frozenset(
    ["subprocess", "multiprocessing", "pytest_quarry", "_pytest", "coverage", "execnet", "xdist", "time_machine"]
)
WRITES = ("write", "pwrite", "writev", "pwritev", "sendfile", "copy_file_range", "ftruncate")
# What takes a process's id, and where among the arguments that is.
OF_A_PROCESS = {
    **dict.fromkeys(("kill", "killpg", "getpgid", "getsid", "pidfd_open"), slice(0, 1)),
    **dict.fromkeys(("sched_getscheduler", "sched_setscheduler", "sched_getparam", "sched_setparam"), slice(0, 1)),
    **dict.fromkeys(("sched_rr_get_interval", "sched_getaffinity", "sched_setaffinity"), slice(0, 1)),
    **dict.fromkeys(("getpriority", "setpriority"), slice(1, 2)),
    "setpgid": slice(0, 2),
}
OF_ONE_NAME, OF_TWO_NAMES = ("mkdir", "rmdir", "remove", "unlink"), ("rename", "replace", "link", "symlink")
HEAP_TYPE, IMMUTABLE_TYPE = (
    1 << 9,
    1 << 8,
)  # Py_TPFLAGS_…: a class that is an object like others; one that cannot be changed

# How another function is put where one is held; and the one that is.
Holder = tuple[Callable[[Any], None], Any]

_found: tuple[int, list[Holder]] = (0, [])


def originals() -> dict[int, Any]:
    """The functions a child replaces, by identity."""
    names: tuple[tuple[ModuleType, tuple[str, ...]], ...] = (
        (time, ("sleep", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns")),
        (os, (*WRITES, *OF_ONE_NAME, *OF_TWO_NAMES)),
        (os, ("fsync", "fdatasync", "sync", "open", "utime", "urandom", "getpid", "lockf", *OF_A_PROCESS)),
        (random, ("random", "getrandbits", "seed", "getstate", "setstate")),
        (builtins, ("open",)),
        (sqlite3, ("connect",)),
        (fcntl, ("flock", "lockf")),
        (signal, ("setitimer", "alarm", "pause", "sigtimedwait")),
    )
    return {id(function): function for function in _functions(names)}


def _waits() -> dict[int, Any]:
    """Those that only modules hold for a consumer: the classes of `selectors` and trio, which hold them too, wait otherwise."""
    names = (select, ("select", "poll", "epoll")), (queue, ("SimpleQueue",))
    return {id(function): function for function in _functions(names)}


def _functions(names: Iterable[tuple[ModuleType, tuple[str, ...]]]) -> Iterator[Any]:
    for module, attributes in names:
        yield from (getattr(module, attribute) for attribute in attributes if hasattr(module, attribute))


def holders() -> list[Holder]:
    """Every place where one of the originals is held; searched again only when modules were added."""
    global _found
    if _found[0] != len(sys.modules):
        wanted = originals()
        _found = (0, [])  # what was found before holds them too, and so does what is found first
        elsewhere = _elsewhere(wanted)
        _found = (len(sys.modules), [*_of_modules(wanted | _waits()), *elsewhere])
    return _found[1]


def replace(replacements: dict[int, Any], module: ModuleType, name: str, make: Callable[[Any], Any]) -> None:
    """Put what `make` makes of a function in its place in its module, where it has one; and note it for `swap`."""
    original = getattr(module, name, None)
    if original is None:
        return
    replacements[id(original)] = make(original)
    setattr(module, name, replacements[id(original)])
    for able in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
        if original in able:
            able.add(replacements[id(original)])  # modules imported from now on ask


def swap(replacements: dict[int, Any]) -> None:
    """In the child: put the replacements wherever the originals were held."""
    for put, original in _found[1]:  # found in the parent: searching takes longer than all the rest
        replacement = replacements.get(id(original))
        if replacement is not None:
            put(replacement)


def _is_kept(module: Any) -> bool:
    package = module.partition(".")[0] if isinstance(module, str) else ""
    return package in KEEP_REAL and not module.startswith("pytest_quarry.samples.")


def _of_modules(wanted: dict[int, Any]) -> Iterator[Holder]:
    for name, module in list(sys.modules.items()):
        if not _is_kept(name) and isinstance(module, ModuleType):
            yield from _in_mapping(vars(module), wanted)


def _elsewhere(wanted: dict[int, Any]) -> list[Holder]:
    """Default arguments, attributes of classes and of objects, closures, partial functions, mappings and lists.

    Who refers to whom is the garbage collector's to say, and only of what it keeps track of. `first` refer to the functions,
    `second` to those, and `third` to the closures and the classes' mappings among these.
    """
    modules = {id(vars(module)) for module in list(sys.modules.values()) if isinstance(module, ModuleType)}
    first = _referrers(wanted.values(), {id(wanted), *modules})
    second = _referrers(first, {id(first), *modules})
    third = _referrers([one for one in second if type(one) in (tuple, dict)], {id(first), id(second), *modules})
    owners = [*second, *third]
    kept = {id(held) for owner in owners if _keeps(owner) for held in _held_by(owner)}
    found: list[Holder] = []
    for owner in owners:
        if issubclass(type(owner), type):
            # Its mapping is not to be written to: what Python remembers of its attributes would be wrong.
            kept |= {id(held) for held in gc.get_referents(owner) if type(held) is dict}
            if not _keeps(owner):
                found += _in_class(owner, wanted)
        elif type(owner) is FunctionType and not _keeps(owner):
            found += _in_defaults(owner, wanted)
        elif type(owner) is functools.partial:
            found += _in_arguments(owner, wanted)
    for holder in first:
        if id(holder) not in kept and not _keeps(holder):
            found += _in_holder(holder, wanted)
    return found


def _referrers(those: Iterable[Any], spared: set[int]) -> list[Any]:
    those = list(those)
    # Python's collector goes through all that there is, also where it looks for nobody.
    return [one for one in gc.get_referrers(*those) if id(one) not in spared and one is not those] if those else []


def _keeps(owner: Any) -> bool:
    """Whether it belongs to what keeps the real functions. An object is not asked itself: it may answer for another."""
    of = owner if type(owner) is FunctionType or issubclass(type(owner), type) else type(owner)
    return _is_kept(getattr(of, "__module__", None))


def _held_by(owner: Any) -> Iterator[Any]:
    yield from (held for held in gc.get_referents(owner) if type(held) in (dict, list, tuple))
    if type(owner) is FunctionType:
        yield from owner.__closure__ or ()


def _in_holder(holder: Any, wanted: dict[int, Any]) -> Iterable[Holder]:
    kind = type(holder)
    if kind is dict:
        return _in_mapping(holder, wanted)
    if kind is list:
        places = enumerate(holder)
        return [(functools.partial(operator.setitem, holder, at), one) for at, one in places if _is_one(one, wanted)]
    if kind is CellType:
        return [(functools.partial(setattr, holder, "cell_contents"), holder.cell_contents)]
    if kind is functools.partial:
        return [(functools.partial(_bind, holder), holder.func)] if _is_one(holder.func, wanted) else []
    return _in_object(holder, wanted) if kind.__flags__ & HEAP_TYPE else []


def _in_mapping(mapping: dict[Any, Any], wanted: dict[int, Any]) -> list[Holder]:
    items = list(mapping.items())
    return [(functools.partial(operator.setitem, mapping, key), one) for key, one in items if _is_one(one, wanted)]


def _in_object(holder: Any, wanted: dict[int, Any]) -> Iterator[Holder]:
    """Its attributes, those in slots too, whatever its class makes of getting and setting them."""
    for of in type(holder).__mro__:
        for member in vars(of).values():
            if type(member) is MemberDescriptorType:
                try:
                    one = member.__get__(holder)
                except AttributeError:  # not set
                    continue
                if _is_one(one, wanted):
                    yield functools.partial(member.__set__, holder), one
    try:
        attributes = object.__getattribute__(holder, "__dict__")
    except AttributeError:
        return
    if type(attributes) is dict:
        yield from _in_mapping(attributes, wanted)


def _in_class(owner: type, wanted: dict[int, Any]) -> Iterator[Holder]:
    if owner.__flags__ & (HEAP_TYPE | IMMUTABLE_TYPE) == HEAP_TYPE:
        for name, one in list(vars(owner).items()):
            function = one.__func__ if type(one) is staticmethod else one
            if _is_one(function, wanted):
                yield functools.partial(_set_static, owner, name), function


def _in_defaults(function: FunctionType, wanted: dict[int, Any]) -> Iterator[Holder]:
    for at, one in enumerate(function.__defaults__ or ()):
        if _is_one(one, wanted):
            yield functools.partial(_set_default, function, at), one


def _in_arguments(bound: functools.partial[Any], wanted: dict[int, Any]) -> Iterator[Holder]:
    for at, one in enumerate(bound.args):
        if _is_one(one, wanted):
            yield functools.partial(_set_argument, bound, at), one


def _is_one(value: Any, wanted: dict[int, Any]) -> bool:
    return id(value) in wanted and wanted[id(value)] is value


def _set_default(function: FunctionType, at: int, value: Any) -> None:
    function.__defaults__ = _with(function.__defaults__ or (), at, value)


def _set_argument(bound: functools.partial[Any], at: int, value: Any) -> None:
    bound.__setstate__((bound.func, _with(bound.args, at, value), bound.keywords, bound.__dict__))  # type: ignore[attr-defined]


def _with(those: tuple[Any, ...], at: int, value: Any) -> tuple[Any, ...]:
    return (*those[:at], value, *those[at + 1 :])


def _set_static(owner: type, name: str, value: Any) -> None:
    """A function of Python's would become a method there, which one of C's does not."""
    type.__setattr__(owner, name, staticmethod(value) if type(value) is FunctionType else value)


def _bind(bound: functools.partial[Any], function: Any) -> None:
    bound.__setstate__((function, bound.args, bound.keywords, bound.__dict__))  # type: ignore[attr-defined]
