"""Watches the directories that survive a crash: what changed, and was it explained by a boundary?"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from pathlib import Path

# SQLite's shared-memory index is rebuilt from the WAL by whoever comes next: not durable state.
NOT_DURABLE = ("-shm",)
# A file time this near to real time was set by a write, not by the consumer's own hand: it becomes virtual.
JUST_NOW = 3_600
Signature = tuple[int, int, int]
SPECIAL = b"special"
UNKNOWN: Signature = (-1, -1, -1)


class DiskWatch:
    """Compares directories with what they held at the last look; content decides, not metadata."""

    def __init__(self, directories: dict[str, Path]) -> None:
        self._directories = {name: os.fspath(path) for name, path in directories.items()}
        self._signatures: dict[str, Signature] = {}
        self._contents: dict[str, bytes] = {}

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

    def look(self, now: int, *, thorough: bool = False) -> set[str]:
        """The names that appeared, vanished or changed since the last look; their mtimes become `now` (µs).

        `thorough`: also those whose time is what it was. What is written through a memory map need not change it.
        """
        if thorough:
            self._signatures = dict.fromkeys(self._signatures, UNKNOWN)
        seen: dict[str, Signature] = {}
        changed: set[str] = set()
        for name, directory in self._directories.items():
            self._look_in(directory, name, seen, changed, now)
        for name in self._signatures.keys() - seen.keys():
            changed.add(name)
            del self._contents[name]
        self._signatures = seen
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
        if entry.is_dir(follow_symlinks=False):
            self._note(name, b"directory", seen, changed)
            self._look_in(entry.path, name, seen, changed, now)
            return
        stat = entry.stat(follow_symlinks=False)
        signature = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
        if self._signatures.get(name) == signature:
            seen[name] = signature
            return
        self._note(name, _digest(entry), seen, changed)
        if not entry.is_symlink() and abs(stat.st_mtime - time.time()) < JUST_NOW:
            with contextlib.suppress(PermissionError):
                os.utime(entry.path, ns=(now * 1000, now * 1000))
                signature = (stat.st_size, now * 1000, stat.st_ino)
        seen[name] = signature

    def _note(self, name: str, content: bytes, seen: dict[str, Signature], changed: set[str]) -> None:
        seen[name] = (0, 0, 0)
        if self._contents.get(name) != content:
            self._contents[name] = content
            changed.add(name)


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
