"""The child's process id is the world's: the same in each execution, whatever the system gives it.

Who asks the system about a process of its world, itself for one, by that id is told of the process that has it.
"""

from __future__ import annotations

import _io
import builtins
import io
import multiprocessing.process
import os
import re
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_quarry.consumers import processors
from pytest_quarry.consumers.hooks.files import real_open
from pytest_quarry.consumers.hooks.names import OF_A_PROCESS, replace
from pytest_quarry.consumers.link import Link

# Above the largest process id Linux and macOS give out, so that it never names a real process.
FIRST = 5_000_000
PLACE = re.compile(r"/proc/(\d+)(/.*)?", re.DOTALL)
# Where a process reads its own id: psutil compares it with the one that it has asked for.
OWN_ID = re.compile(rb"(?m)^(Tgid|Pid):\t\d+$")
# psutil's, in C, which ask the system themselves; older versions have the first two elsewhere.
OF_PSUTIL = (
    "getpriority",
    "setpriority",
    "proc_priority_get",
    "proc_priority_set",
    "proc_ioprio_get",
    "proc_ioprio_set",
)
PSUTIL = ("psutil._psutil_linux", "psutil._psutil_posix")
# What a consumer is told of processors, and chooses of them, is not what the kit has chosen.
PROCESSORS = {processors.real_told: processors.told, processors.real_choose: processors.choose}
OF_A_PATH = ("stat", "lstat", "access", "listdir", "scandir", "readlink")

real_getpid, real_write, real_readlink = os.getpid, os.write, os.readlink


class ProcessIds:
    """Which id one process has, and which processes of its world have which."""

    def __init__(self, link: Link) -> None:
        self._link, self._own = link, 0
        self._processes = Path()

    def install(self) -> dict[int, Any]:
        """Install it in this process, after the hooks of files; the replacements of functions that others may hold by name."""
        replacements: dict[int, Any] = {}
        replace(replacements, os, "getpid", lambda original: lambda: self._own if self._link.enabled else original())
        for name, at in OF_A_PROCESS.items():
            replace(replacements, os, name, self._of_a_process(at))
        replace(replacements, resource, "prlimit", self._of_a_process(slice(0, 1)))
        self._replace_in_psutil(replacements)
        for name in OF_A_PATH:
            replace(replacements, os, name, self._of_a_path)
        opens = self._open(builtins.open)
        builtins.open = io.open = _io.open = opens
        return {**replacements, id(real_open): opens}

    def _replace_in_psutil(self, replacements: dict[int, Any]) -> None:
        for library in filter(None, map(sys.modules.get, PSUTIL)):
            for name in OF_PSUTIL:
                replace(replacements, library, name, self._of_a_process(slice(0, 1)))
            replace(replacements, library, "proc_cpu_affinity_get", lambda _: _affinity)
            replace(replacements, library, "proc_cpu_affinity_set", lambda _: os.sched_setaffinity)

    def begin(self, incarnation: int, processes: Path) -> None:
        """A start of the consumer begins in this process. `processes`: a folder in which a world's processes tell who they are."""
        self._own, self._processes = FIRST + incarnation, processes
        os.symlink(str(real_getpid()), self._told(self._own))
        # Names of semaphores are drawn too, for the whole machine: those that another process drew from this seed must not meet.
        multiprocessing.process.current_process()._config["semprefix"] = f"/mp-{real_getpid()}"  # type: ignore[attr-defined]

    def _told(self, pid: int) -> Path:
        return self._processes / f"{pid}.process"

    def _real(self, pid: Any) -> Any:
        """That of this process, and of another of its world: who asks whether it lives is to be told."""
        if not isinstance(pid, int) or pid <= FIRST:
            return pid
        try:
            return int(real_readlink(self._told(pid)))
        except FileNotFoundError:  # none of ours
            return pid

    def _of_a_process(self, at: slice) -> Callable[[Any], Any]:
        def make(original: Any) -> Any:
            does = PROCESSORS.get(original, original)

            def call(*arguments: Any, **keywords: Any) -> Any:
                given = list(arguments)
                given[at] = map(self._real, given[at])
                return does(*given, **keywords)

            return call

        return make

    def _of_a_path(self, original: Any) -> Any:
        def call(*arguments: Any, **keywords: Any) -> Any:
            if arguments and (found := self._held(arguments[0])):
                arguments = (found[1], *arguments[1:])
            return original(*arguments, **keywords)

        call.__name__ = original.__name__
        return call

    def _held(self, path: Any) -> tuple[str, str] | None:
        """The id that a path asks the system about, and where it tells of the process that has it; None for any other path."""
        name = path if isinstance(path, str) else str(path) if isinstance(path, Path) else ""
        found = PLACE.fullmatch(name) if name.startswith("/proc/") else None
        if found is None or int(found[1]) <= FIRST:
            return None
        return found[1], f"/proc/{self._real(int(found[1]))}{found[2] or ''}"

    def _open(self, original: Any) -> Any:
        def open(file: Any, *arguments: Any, **keywords: Any) -> Any:
            asked, place = self._held(file) or ("", file)
            if asked and place.endswith("/status"):
                place = _status(place, asked)
            return original(place, *arguments, **keywords)

        return open


def _status(place: str, asked: str) -> int:
    """A descriptor of what the system tells of a process, with the id that was asked for."""
    with real_open(place, "rb") as status:
        content = OWN_ID.sub(rb"\1:\t" + asked.encode(), status.read())
    descriptor = os.memfd_create("status")
    real_write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _affinity(pid: int) -> list[int]:
    return sorted(os.sched_getaffinity(pid))
