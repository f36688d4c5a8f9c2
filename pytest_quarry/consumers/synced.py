"""What has reached the disk without an fsync that the world sees: by flags, or of files that have no name yet.

Files without a name (O_TMPFILE) are nothing durable until a link names them, and what is done to them is no boundary.
"""

from __future__ import annotations

import contextlib
import os

OWN = "/proc/self/fd"
SYNCED = os.O_DSYNC | os.O_SYNC  # a write through a file opened so is durable once it returns
SYNCED_ONCE = getattr(os, "RWF_DSYNC", 0) | getattr(os, "RWF_SYNC", 0)  # … and one with such a flag, pwritev2(2)


class Nameless:
    """Files without a name, of one process, or of one and those that it starts; each is told by its path in /proc, while it is open."""

    def __init__(self) -> None:
        self._synced: dict[tuple[int, int], tuple[int, int]] = {}  # by device and inode: size and time of its data then

    def synced(self, path: str) -> None:
        """What is in this file now has reached the disk."""
        with contextlib.suppress(OSError):
            file = os.stat(path)
            if not file.st_nlink:
                self._synced[file.st_dev, file.st_ino] = file.st_size, file.st_mtime_ns

    def all_synced(self, folder: str = OWN) -> None:
        """What is in all files now has; `folder` has those that a process has open."""
        with contextlib.suppress(OSError):
            for number in os.listdir(folder):
                self.synced(f"{folder}/{number}")

    def is_unsynced(self, path: str) -> bool:
        """Whether this is a file without a name that has not reached the disk as it is."""
        try:
            file = os.stat(path)
        except OSError:
            return False
        if file.st_nlink or self._synced.get((file.st_dev, file.st_ino)) == (file.st_size, file.st_mtime_ns):
            return False
        return not _opened_with(path) & SYNCED


def _opened_with(path: str) -> int:
    folder, _, number = path.rpartition("/")
    folder = OWN if folder == "/dev/fd" else folder
    with contextlib.suppress(OSError), open(f"{folder.removesuffix('/fd')}/fdinfo/{number}", encoding="ascii") as lines:
        for line in lines:
            if line.startswith("flags:"):
                return int(line.split()[1], 8)
    return 0
