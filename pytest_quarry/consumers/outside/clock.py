"""The clock of a program: libfaketime makes it the world's, where it is installed."""

from __future__ import annotations

import functools
import sys
import time
from pathlib import Path

PLACES = (
    "/usr/lib/*/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/local/lib/faketime/libfaketimeMT.so.1",
    "/opt/homebrew/lib/faketime/libfaketimeMT.1.dylib",
    "/usr/local/lib/faketime/libfaketimeMT.1.dylib",
)
MISSING = "its clock: libfaketime is not installed (apt-get install libfaketime), so it has the real time"
# What these say depends on how much time passes for the consumer.
CHECKS = frozenset(("PO05", "PO06", "EB07", "EB09"))


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
