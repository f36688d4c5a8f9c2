"""What files are called: by the system, while they are open, and by people, in labels."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

real_readlink = os.readlink
# How Linux shows an open file whose own name is gone: without another one it dies with the process.
UNLINKED = " (deleted)"
F_GETPATH = 50  # macOS: fcntl.F_GETPATH, from <sys/fcntl.h>


def path_of_descriptor(descriptor: int) -> str | None:
    """The path an open descriptor has now, or None where the system cannot tell."""
    try:
        return real_readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        pass
    try:
        import fcntl

        return fcntl.fcntl(descriptor, F_GETPATH, bytes(1024)).rstrip(b"\0").decode()
    except (OSError, ImportError):
        return None


def path_now(found: str, opened: str, folders: Iterable[str]) -> str:
    """A path of an open file, which is `opened` in /proc and has the path `found` there. Where that name is gone it may have
    another one in one of the folders, as one that was made without a name and linked since; nothing where it has none."""
    if not found.endswith(UNLINKED) or os.path.exists(found):
        return found
    with contextlib.suppress(OSError):  # what is in the folders may go meanwhile
        file = os.stat(opened)
        if file.st_nlink:
            there = (os.path.join(at, one) for top in folders for at, _, names in os.walk(top) for one in names)
            return min((path for path in there if os.path.samestat(os.lstat(path), file)), default="")
    return ""


def shown(name: str) -> str:
    """A world's name of a path as people read it in labels: what is on the consumer's own disk needs no prefix."""
    return name.removeprefix("disk/")
