"""Where worlds live: one private directory per test process, in memory where the system has such a place, and room there."""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pytest_quarry.consumers import keeper
from pytest_quarry.consumers.consumer import ConsumerError

MEMORY = Path("/dev/shm")
MB = 1_000_000
NEEDED = (
    512 * MB
)  # free; a container has 64 MB there unless told otherwise, and the largest runs of a check take half of that
HOW_TO_HAVE_ROOM = (
    f"Worlds are in {MEMORY} where that has {NEEDED // MB} MB to spare, else in the temporary folder: give that more, by TMPDIR for one, or run "
    "fewer processes at once."
)
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
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


@contextlib.contextmanager
def room() -> Iterator[None]:
    """What the kit itself writes to a world meanwhile may find no room. Raises ConsumerError, which says so."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise ConsumerError(
            f"The kit could not write to its world, in {error.filename or tempfile.gettempdir()}: {error.strerror}. {HOW_TO_HAVE_ROOM}"
        ) from None


def _remove(owner: int, path: Path) -> None:
    if os.getpid() == owner:
        keeper.remove_tree(path)
