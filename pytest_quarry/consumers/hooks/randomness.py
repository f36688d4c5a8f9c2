"""The child's randomness is seeded per incarnation, and its process id is the world's.

The same seed twice would give a restarted consumer the same uuids and hide bugs; no seed would make histories differ.
"""

from __future__ import annotations

import multiprocessing.process
import os
import random
import sys
import uuid
from pathlib import Path
from typing import Any

from pytest_quarry.consumers.link import Link

# Above the largest process id Linux and macOS give out, so that it never names a real process.
FIRST_VIRTUAL_PID = 5_000_000
# For uuid1, which would ask this machine for its network address, with programs of its own.
NODE = 0x02_00_00_00_00_01


class Randomness:
    """What one process draws from, and the process id that it has."""

    def __init__(self, link: Link) -> None:
        self._link, self._source = link, random.Random(0)
        self._real_seed = random.Random.seed
        self._real_getpid, self._real_urandom, self._real_kill = os.getpid, os.urandom, os.kill
        self._pid = self._virtual_pid = 0
        self._processes = Path()

    def install(self) -> dict[int, Any]:
        """Install it in this process; the replacements of functions that others may hold by name."""
        link, source, real_urandom, real_kill, real_seed = (
            self._link,
            self._source,
            self._real_urandom,
            self._real_kill,
            self._real_seed,
        )

        def urandom(size: int, /) -> bytes:
            return real_urandom(size) if link.inside else source.randbytes(size)

        def getpid() -> int:
            return self._virtual_pid if link.enabled else self._real_getpid()

        def kill(pid: int, signal: int, /) -> None:
            real_kill(self._real_pid(pid), signal)

        def seed(self: random.Random, a: Any = None, version: int = 2) -> None:
            real_seed(self, source.getrandbits(64) if a is None else a, version)

        replacements: dict[int, Any] = {id(os.urandom): urandom, id(os.getpid): getpid, id(os.kill): kill}
        os.urandom, os.getpid, os.kill = urandom, getpid, kill
        random.Random.seed = seed  # type: ignore[method-assign]
        uuid._node = NODE  # type: ignore[attr-defined]
        return replacements

    def begin(self, seed: int, incarnation: int, processes: Path) -> None:
        """A start of the consumer begins in this process. `processes`: a folder in which a world's processes tell who they are."""
        self._pid, self._virtual_pid = self._real_getpid(), FIRST_VIRTUAL_PID + incarnation
        self._processes = processes
        os.symlink(str(self._pid), self._told(self._virtual_pid))
        # Names of semaphores are drawn too, for the whole machine: those that another process drew from this seed must not meet.
        multiprocessing.process.current_process()._config["semprefix"] = f"/mp-{self._pid}"  # type: ignore[attr-defined]
        self._real_seed(self._source, seed)
        random.seed(self._source.getrandbits(64))
        numpy = sys.modules.get("numpy")
        if numpy is not None and hasattr(numpy, "random"):
            numpy.random.seed(self._source.getrandbits(32))

    def _real_pid(self, pid: int) -> int:
        """That of this process, and of another of its world: who asks whether it lives is to be told."""
        if pid <= FIRST_VIRTUAL_PID:
            return pid
        try:
            return int(os.readlink(self._told(pid)))
        except FileNotFoundError:  # none of ours
            return pid

    def _told(self, pid: int) -> Path:
        return self._processes / f"{pid}.process"
