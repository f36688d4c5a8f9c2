"""botocore's own descriptions of AWS, read once for all consumers that are forked from a process.

A session reads megabytes of JSON and looks into a thousand folders before its first client is there: a tenth of a second, in
each new process of a consumer that makes its client as it starts. So what one process has read is told to those that the
next ones are forked from. They read it too, before the next fork, and do not touch it. The first session of a consumer is handed
it; botocore changes what a session has read, so the second reads for itself, and so does the test's own process.
"""

from __future__ import annotations

import contextlib
import gc
import mmap
import os
import sys
import threading
from typing import Any

ROOM = 65_536  # bytes; one name takes about fifty
HEAD = 8  # bytes that say how many of the others are written

_told: mmap.mmap | None = None  # shared by all that are forked from the test's process: lines `kind name`
_read = HEAD
_telling = threading.Lock()
_files: dict[str, Any] = {}
_lists: dict[str, Any] = {}
_known: set[str] = set()  # lines that need not be told
_forked = False


def share() -> None:
    """From now on this process and those forked from it tell each other what they have read."""
    global _told
    if _told is None:
        _told = mmap.mmap(-1, ROOM)


def forked() -> None:
    """This process is a consumer, or such are forked from it and it does nothing else."""
    global _forked
    _forked = True


def learn() -> None:
    """Read what other processes have read since: to be called before a fork."""
    global _read
    loaders: Any = sys.modules.get("botocore.loaders")
    end = 0 if _told is None else HEAD + int.from_bytes(_told[:HEAD])
    if _told is None or loaders is None or end <= _read:
        return
    lines = _told[_read:end].decode(errors="replace").splitlines()
    _read = end
    for line in lines:
        kind, _, name = line.partition(" ")
        _known.add(f"{line}\n")
        with contextlib.suppress(Exception):  # two may have told at once; and botocore's insides may be others
            if kind == "list":
                _listed(loaders, name)
            elif kind == "file":
                _loaded(loaders, name)
    gc.freeze()  # or each fork's collector would go through it, and copy it


def patch(loaders: Any) -> None:
    """Let botocore find here what was read before, and tell of what was not. In the test's own process it is left alone."""
    file_loader: Any = getattr(loaders, "JSONFileLoader", None)
    loader: Any = getattr(loaders, "Loader", None)
    if (
        not _forked
        or "_quarry" in vars(loaders)
        or not hasattr(file_loader, "_load_file")
        or not hasattr(loader, "list_available_services")
    ):
        return
    load, find = file_loader._load_file, loader.list_available_services

    def load_file(self: Any, full_path: str, open_method: Any) -> Any:
        name = os.path.relpath(full_path, _data(loaders)) if full_path.startswith(_data(loaders) + os.sep) else None
        if name is None:
            return load(self, full_path, open_method)
        found = _files.pop(name, None)
        if found is None:
            found = load(self, full_path, open_method)
            if found is not None:
                _tell("file", name)
        return found

    def list_available_services(self: Any, type_name: str) -> Any:
        if not _only_shipped(loaders, self):
            return find(self, type_name)
        if type_name not in _lists:
            _lists[type_name] = find(self, type_name)
            _tell("list", type_name)
        return list(_lists[type_name])

    file_loader._load_file, loader.list_available_services, loaders._quarry = (
        load_file,
        list_available_services,
        (load, find),
    )


def _data(loaders: Any) -> str:
    return str(loaders.Loader.BUILTIN_DATA_PATH)


def _only_shipped(loaders: Any, loader: Any) -> bool:
    """Whether there are no models of a team's own."""
    return [path for path in loader._search_paths if os.path.isdir(path)] == [_data(loaders)]


def _loaded(loaders: Any, name: str) -> None:
    path = os.path.join(_data(loaders), name)
    if name in _files or os.path.relpath(path, _data(loaders)) != name or ".." in name.split(os.sep):
        return
    opening = next((how for end, how in loaders._JSON_OPEN_METHODS.items() if name.endswith(end)), None)
    load, _ = vars(loaders).get("_quarry", (loaders.JSONFileLoader._load_file, None))
    found = None if opening is None else load(loaders.JSONFileLoader(), path, opening)
    if found is not None:
        _files[name] = found


def _listed(loaders: Any, type_name: str) -> None:
    if type_name not in _lists:
        _, find = vars(loaders).get("_quarry", (None, loaders.Loader.list_available_services))
        loader = loaders.Loader()
        if _only_shipped(loaders, loader):
            _lists[type_name] = find(loader, type_name)


def _tell(kind: str, name: str) -> None:
    """Best effort: what nobody was told, each reads for itself."""
    line = f"{kind} {name}\n".encode()
    # The lock may have been held by another thread at the fork.
    if _told is None or line.decode() in _known or not _telling.acquire(blocking=False):
        return
    try:
        _known.add(line.decode())
        end = HEAD + int.from_bytes(_told[:HEAD])
        if end + len(line) <= ROOM:
            _told[end : end + len(line)] = line
            _told[:HEAD] = (end + len(line) - HEAD).to_bytes(HEAD)
    finally:
        _telling.release()
