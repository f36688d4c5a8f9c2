"""Memory, moved to large pages: a fork then copies one entry for each of them, and not five hundred.

A process that holds pytest and a team's libraries has some ten thousand pages, or many more; most of what a fork and the end of it
cost is to go through them. To move them costs as much as some twenty forks.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator

LARGE = 2 << 20  # bytes, where pages have 4096
MADV_COLLAPSE = 25  # linux/mman.h, from Linux 6.1 on

_madvise = getattr(ctypes.CDLL(None), "madvise", None) if sys.platform == "linux" else None


def move() -> None:
    """Move what this process has written; where the system has no such pages, or none left, all stays as it is."""
    if _madvise is None:
        return
    for start, end in _written():
        first, last = -(-start // LARGE) * LARGE, end // LARGE * LARGE
        if first < last:
            _madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), MADV_COLLAPSE)


def _written() -> Iterator[tuple[int, int]]:
    """Where memory begins and ends that is this process's own, and no file's."""
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
            lines = maps.read().splitlines()
    except OSError:
        return
    for line in lines:
        place, rights, _, _, inode, *name = line.split(maxsplit=5)
        if rights == "rw-p" and inode == "0" and name in ([], ["[heap]"]):
            start, _, end = place.partition("-")
            yield int(start, 16), int(end, 16)
