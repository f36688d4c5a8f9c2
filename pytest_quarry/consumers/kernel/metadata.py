"""What a program does to the metadata of a file: its mode, its times, its extended attributes."""

from __future__ import annotations

import os

from pytest_quarry.consumers.kernel import memory
from pytest_quarry.consumers.kernel.seccomp import Called

UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2  # sys/stat.h
AT_SYMLINK_NOFOLLOW = 0x100  # fcntl.h
WITH_FLAGS = ("fchmodat2", "utimensat")  # in their fourth argument
BY_DESCRIPTOR = ("fchmod", "fsetxattr", "fremovexattr")
IN_A_FOLDER = ("fchmodat", "fchmodat2", "futimesat", "utimensat")
TIMES = {"utime": 1, "utimes": 1, "futimesat": 2, "utimensat": 2}  # the number of the argument that says which
CALLS = {
    **dict.fromkeys(("chmod", "fchmod", "fchmodat", "fchmodat2"), "chmod"),
    **dict.fromkeys(("setxattr", "lsetxattr", "fsetxattr"), "setxattr"),
    **dict.fromkeys(("removexattr", "lremovexattr", "fremovexattr"), "removexattr"),
    **dict.fromkeys(TIMES, "utime"),
}


def told(called: Called) -> tuple[str, str]:
    """What a call does, and to which path; no path, where that is its first argument, an open file. Nothing at all, where
    no file is there, and where an open file is given the time that it is: who opened it for that was seen."""
    tid, arguments = called.tid, called.arguments
    verb = "touch" if called.name in TIMES and _is_now(called) else CALLS[called.name]
    if called.name in BY_DESCRIPTOR:
        return verb, ""
    if called.name not in IN_A_FOLDER:
        path = memory.path_at(tid, memory.AT_FDCWD, arguments[0])
    elif arguments[1]:
        path = memory.path_at(tid, arguments[0], arguments[1])
    else:
        return ("", "") if verb == "touch" else (verb, "")
    path = path if _means_links(called) else memory.real(tid, path)
    return (verb, path) if os.path.lexists(path) else ("", "")


def _means_links(called: Called) -> bool:
    """Whether what is changed is a link itself, where the path is one, and not the file that it leads to."""
    flags = called.arguments[3] if called.name in WITH_FLAGS else 0
    return called.name.startswith("l") or bool(flags & AT_SYMLINK_NOFOLLOW)


def _is_now(called: Called) -> bool:
    """Whether the time of the last change becomes the time that it is, or stays."""
    address = called.arguments[TIMES[called.name]]
    if not address:
        return True
    if called.name != "utimensat":
        return False
    parts = int.from_bytes(memory.read(called.tid, address + 24, 8), "little")  # the nanoseconds of the second timespec
    return parts in (UTIME_NOW, UTIME_OMIT)
