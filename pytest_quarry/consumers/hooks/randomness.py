"""The child's randomness is seeded per incarnation, and its process id is the world's.

The same seed twice would give a restarted consumer the same uuids and hide bugs; no seed would make histories differ.
"""

from __future__ import annotations

import multiprocessing.process
import os
import random
import sys
import uuid
from typing import Any

from pytest_quarry.consumers.link import Link

# Above the largest process id Linux and macOS give out, so that it never names a real process.
FIRST_VIRTUAL_PID = 5_000_000
# For uuid1, which would ask this machine for its network address, with programs of its own.
NODE = 0x02_00_00_00_00_01


def install(link: Link, seed: int, incarnation: int) -> dict[int, Any]:
    """Seed this process; the replacements of functions that others may hold by name."""
    source = random.Random(seed)
    real_urandom, real_getpid, real_kill, real_pid = os.urandom, os.getpid, os.kill, os.getpid()
    virtual_pid = FIRST_VIRTUAL_PID + incarnation

    def urandom(size: int, /) -> bytes:
        return real_urandom(size) if link.inside else source.randbytes(size)

    def getpid() -> int:
        return virtual_pid if link.enabled else real_getpid()

    def kill(pid: int, signal: int, /) -> None:
        real_kill(real_pid if pid == virtual_pid else pid, signal)

    replacements: dict[int, Any] = {id(os.urandom): urandom, id(os.getpid): getpid, id(os.kill): kill}
    os.urandom, os.getpid, os.kill = urandom, getpid, kill
    _seed_generators(source)
    # Names of semaphores are drawn too, for the whole machine: those that another process drew from this seed must not meet.
    multiprocessing.process.current_process()._config["semprefix"] = f"/mp-{real_pid}"  # type: ignore[attr-defined]
    return replacements


def _seed_generators(source: random.Random) -> None:
    real_seed = random.Random.seed

    def seed(self: random.Random, a: Any = None, version: int = 2) -> None:
        real_seed(self, source.getrandbits(64) if a is None else a, version)

    random.Random.seed = seed  # type: ignore[method-assign]
    random.seed(source.getrandbits(64))
    uuid._node = NODE  # type: ignore[attr-defined]
    numpy = sys.modules.get("numpy")
    if numpy is not None and hasattr(numpy, "random"):
        numpy.random.seed(source.getrandbits(32))
