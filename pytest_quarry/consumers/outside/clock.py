"""The clock of a program: libfaketime makes it the world's, where it is installed."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import itertools
import os
import struct
import sys
import time
from pathlib import Path

from pytest_quarry.consumers import keeper

PLACES = (
    "/usr/lib/*/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/local/lib/faketime/libfaketimeMT.so.1",
    "/opt/homebrew/lib/faketime/libfaketimeMT.1.dylib",
    "/usr/local/lib/faketime/libfaketimeMT.1.dylib",
)
MISSING = "its clock: libfaketime is not installed (apt-get install libfaketime), so it has the real time"
WITHOUT = "its clock: libfaketime cannot reach a program that is linked statically, so it has the real time"
REAL_TIME = frozenset((MISSING, WITHOUT))
# What these say depends on how much time passes for the consumer.
CHECKS = frozenset(("PO05", "PO06", "EB07", "EB09"))
SHARED_MEMORY = Path("/dev/shm")
# What libfaketime keeps there (struct ft_shared_s, whose size depends on the version), when nobody has started yet.
NOT_STARTED = struct.pack("=QQ", 0, 0) + struct.pack("=qq", 0, -1) * 8
_numbers = itertools.count()


@functools.cache
def library() -> str | None:
    """Where libfaketime is, or None."""
    for place in PLACES:
        found = sorted(Path("/").glob(place.removeprefix("/")))
        if found:
            return str(found[0])
    return None


def offset(now: int) -> str:
    """How far virtual time (µs) is from real time, in seconds, as libfaketime reads it."""
    return f"{now / 1e6 - time.time():+.3f}"


class Shared:
    """What libfaketime's processes share, made here: left to them it stays behind when they are killed, and is taken away
    from those that live on when the first one ends."""

    def __init__(self) -> None:
        self._name = f"quarry-{os.getpid()}-{next(_numbers)}"
        self._files = (SHARED_MEMORY / f"sem.{self._name}", SHARED_MEMORY / self._name)
        self.works = self._make() if library() is not None and sys.platform == "linux" else False

    def _make(self) -> bool:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.sem_open.restype, libc.sem_close.argtypes = ctypes.c_void_p, (ctypes.c_void_p,)
        for file in self._files:
            keeper.remember_file(str(file))
        made = libc.sem_open(f"/{self._name}".encode(), os.O_CREAT | os.O_EXCL, 0o600, 1)
        if not made:  # 0 is SEM_FAILED
            return False
        libc.sem_close(made)
        self._files[1].write_bytes(NOT_STARTED)
        return True

    def environment(self) -> dict[str, str]:
        """What leads libfaketime to it."""
        return {"FAKETIME_SHARED": f"/{self._name} /{self._name}"} if self.works else {}

    def close(self) -> None:
        """Nobody uses it any more."""
        if self.works:
            for file in self._files:
                with contextlib.suppress(OSError):
                    file.unlink()
                keeper.forget_file(str(file))


def environment(file: Path) -> dict[str, str]:
    """What gives a program, and all it starts, the time by the offset that stands in a file."""
    found = library()
    if found is None:
        return {}
    preload = (
        {"DYLD_INSERT_LIBRARIES": found, "DYLD_FORCE_FLAT_NAMESPACE": "1"}
        if sys.platform == "darwin"
        else {"LD_PRELOAD": found}
    )
    return {
        **preload,
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # timers of event loops go by it
        "DONT_FAKE_MONOTONIC": "1",  # its older name
        "NO_FAKE_STAT": "1",  # the world dates its files itself
    }


def reaches(process: int) -> bool:
    """Whether libfaketime is in a process; True where nobody can tell."""
    found = library()
    try:
        return found is None or os.path.basename(found) in Path(f"/proc/{process}/maps").read_text("utf-8", "replace")
    except OSError:
        return True
