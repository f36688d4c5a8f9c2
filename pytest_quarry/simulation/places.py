"""Where worlds live: one private directory per test process, in memory where the system has such a place."""

from __future__ import annotations

import atexit
import os
import tempfile
from pathlib import Path

from pytest_quarry.consumers import keeper

MEMORY = Path("/dev/shm")
_base: tuple[int, Path] | None = None


def base() -> Path:
    """This process's directory for worlds; made at first use, removed at exit, also after a kill."""
    global _base
    if _base is None or _base[0] != os.getpid():
        parent = MEMORY if os.access(MEMORY, os.W_OK | os.X_OK) else None
        path = Path(tempfile.mkdtemp(prefix="quarry-", dir=parent)).resolve()
        _base = (os.getpid(), path)
        keeper.remember_directory(str(path))
        atexit.register(_remove, os.getpid(), path)
    return _base[1]


def _remove(owner: int, path: Path) -> None:
    if os.getpid() == owner:
        keeper.remove_tree(path)
