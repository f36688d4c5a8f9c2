"""Where worlds live: one private directory per test process, in memory where the system has such a place, and room there."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from pytest_quarry.consumers import keeper

MEMORY = Path("/dev/shm")
MB = 1_000_000
NEEDED = (
    512 * MB
)  # free; a container has 64 MB there unless told otherwise, and the largest runs of a check take half of that
_base: tuple[int, Path] | None = None


def base() -> Path:
    """This process's directory for worlds; made at first use, removed at exit, also after a kill."""
    global _base
    if _base is None or _base[0] != os.getpid():
        parent = MEMORY if os.access(MEMORY, os.W_OK | os.X_OK) and free(MEMORY) >= NEEDED else None
        path = Path(tempfile.mkdtemp(prefix="quarry-", dir=parent)).resolve()
        _base = (os.getpid(), path)
        keeper.remember_directory(str(path))
        atexit.register(_remove, os.getpid(), path)
    return _base[1]


def free(path: Path) -> int:
    """The bytes that are left where a path is."""
    return shutil.disk_usage(path).free


def _remove(owner: int, path: Path) -> None:
    if os.getpid() == owner:
        keeper.remove_tree(path)
