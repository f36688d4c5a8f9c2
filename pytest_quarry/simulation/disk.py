"""Watches the directories that survive a crash: what changed, and was it explained by a boundary?"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from pytest_quarry.consumers.file_times import give, is_of_a_change, real_seconds

# SQLite's shared-memory index is rebuilt from the WAL by whoever comes next: not durable state.
NOT_DURABLE = ("-shm",)
Signature = tuple[int, int, int, int, int]
SPECIAL = b"special"
UNKNOWN: Signature = (-1, -1, -1, -1, -1)
ATTRIBUTES = "user."  # the extended attributes that are the consumer's; others are the system's


class DiskWatch:
    """Compares directories with what they held at the last look: contents, modes, extended attributes, and the times that were
    set by hand to files. Other times are those of changes, and no state."""

    def __init__(self, directories: dict[str, Path]) -> None:
        self._directories = {name: os.fspath(path) for name, path in directories.items()}
        self._signatures: dict[str, Signature] = {}
        self._contents: dict[str, bytes] = {}
        self._doubtful: set[str] = set()
        self._timed: set[str] = set()
        self._by_hand: set[tuple[int, int]] = set()  # inodes, with the times that the consumer gave them
        self._real = real_seconds()  # as of this look

    @property
    def names(self) -> frozenset[str]:
        """What exists, as of the last look."""
        return frozenset(self._contents)

    @property
    def fingerprint(self) -> int:
        """A number that is equal for equal contents, within this process."""
        return hash(frozenset(self._contents.items()))

    def is_special(self, name: str) -> bool:
        """Whether it is a socket or a pipe: a way to other processes, which holds nothing."""
        return self._contents.get(name) == SPECIAL

    def are_one(self, name: str, other: str) -> bool:
        """Whether two names are hard links to one file, as of the last look."""
        first, second = self._signatures.get(name, UNKNOWN), self._signatures.get(other, UNKNOWN)
        return first[2] == second[2] > 0

    def look_at_metadata(self, names: Iterable[str], *, times: bool) -> None:
        """The next look looks at these whatever the file system says of them; with `times`, theirs are being set by hand."""
        self._doubtful.update(names)
        if times:
            self._timed.update(names)

    def look(self, now: int, *, thorough: bool = False) -> set[str]:
        """The names that appeared, vanished or changed since the last look; their mtimes become `now` (µs), as do those of
        folders in which something appeared or vanished.

        `thorough`: also those whose time is what it was. What is written through a memory map need not change it.
        """
        if thorough:
            self._signatures = dict.fromkeys(self._signatures, UNKNOWN)
        seen: dict[str, Signature] = {}
        changed: set[str] = set()
        self._real = real_seconds()
        for name, directory in self._directories.items():
            self._look_in(directory, name, seen, changed, now)
            with contextlib.suppress(FileNotFoundError):
                self._stamp(directory, os.stat(directory), now)
        for name in self._signatures.keys() - seen.keys():
            changed.add(name)
            del self._contents[name]
        self._signatures = seen
        self._doubtful.clear()
        self._timed.clear()
        return changed

    def _look_in(self, directory: str, name: str, seen: dict[str, Signature], changed: set[str], now: int) -> None:
        try:
            entries = os.scandir(directory)
        except FileNotFoundError:  # the consumer removed it
            return
        except PermissionError:  # the consumer closed it, to itself and to us
            self._note(name, b"closed", seen, changed)
            return
        with entries:
            for entry in entries:
                if not entry.name.endswith(NOT_DURABLE):
                    with contextlib.suppress(FileNotFoundError):
                        self._look_at(entry, f"{name}/{entry.name}", seen, changed, now)

    def _look_at(
        self, entry: os.DirEntry[str], name: str, seen: dict[str, Signature], changed: set[str], now: int
    ) -> None:
        stat = entry.stat(follow_symlinks=False)
        if entry.is_dir(follow_symlinks=False):
            self._note(name, b"directory %o" % stat.st_mode, seen, changed)
            self._look_in(entry.path, name, seen, changed, now)
            self._stamp(entry.path, stat, now)
            return
        signature = _signature(stat)
        if self._signatures.get(name) == signature and name not in self._doubtful:
            seen[name] = signature
            return
        if name in self._timed and not is_of_a_change(stat, self._real):
            self._by_hand.add((stat.st_ino, stat.st_mtime_ns))
        self._note(name, self._content(entry, stat), seen, changed)
        seen[name] = _signature(self._stamp(entry.path, stat, now))

    def _stamp(self, path: str, stat: os.stat_result, now: int) -> os.stat_result:
        """Give what was changed the world's time; what is noted of it by then."""
        if not is_of_a_change(stat, self._real):
            return stat
        with contextlib.suppress(PermissionError):
            give(path, now, follow_symlinks=False)
            return os.stat(path, follow_symlinks=False)
        return stat

    def _content(self, entry: os.DirEntry[str], stat: os.stat_result) -> bytes:
        """What a file holds, and what of its metadata is state."""
        held = _digest(entry)
        if held == SPECIAL or entry.is_symlink():
            return held
        time_set = stat.st_mtime_ns if (stat.st_ino, stat.st_mtime_ns) in self._by_hand else 0
        return held + b" %o %d " % (stat.st_mode, time_set) + _attributes(entry.path)

    def _note(self, name: str, content: bytes, seen: dict[str, Signature], changed: set[str]) -> None:
        seen[name] = (0, 0, 0, 0, 0)
        if self._contents.get(name) != content:
            self._contents[name] = content
            changed.add(name)


def _signature(stat: os.stat_result) -> Signature:
    return stat.st_size, stat.st_mtime_ns, stat.st_ino, stat.st_mode, stat.st_ctime_ns


def _attributes(path: str) -> bytes:
    """The extended attributes that a consumer may have set, where this system has such."""
    if sys.platform != "linux":
        return b""
    with contextlib.suppress(OSError):
        names = sorted(name for name in os.listxattr(path) if name.startswith(ATTRIBUTES))
        return repr([(name, os.getxattr(path, name)) for name in names]).encode() if names else b""
    return b""


def _digest(entry: os.DirEntry[str]) -> bytes:
    if entry.is_symlink():
        return os.readlink(entry.path).encode()
    if not entry.is_file():
        return SPECIAL
    try:
        with open(entry.path, "rb") as file:
            return hashlib.file_digest(file, "blake2b").digest()[:16]
    except PermissionError:
        return b"closed"
