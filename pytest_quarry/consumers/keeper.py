"""A small process that outlives the tests' process just long enough to clean up after it.

Should pytest die (SIGKILL, a crash of the interpreter), its consumers and worlds must not stay. The keeper holds the
reading end of a pipe; when every writer is gone it kills the process groups it was told of and removes the
directories, then ends.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal

from pytest_quarry.consumers.marked import marked

END = b"\0"  # of a note: no path has it
ROUNDS = 100  # of killing what starts others meanwhile
_keeper: tuple[int, int, int] | None = None  # owner, writing end, the keeper's process id


def remember_group(group: int) -> None:
    """A process group to be killed should this process die."""
    _tell(f"+{group}")


def forget_group(group: int) -> None:
    """That process group is gone."""
    _tell(f"-{group}")


def remember_directory(path: str) -> None:
    """A directory to be removed should this process die; removing it before is fine."""
    _tell(f"d{path}")


def remember_marker(text: str) -> None:
    """A variable of the environment by which programs, and what they start, are found and killed should this process die."""
    _tell(f"m{text}")


def forget_marker(text: str) -> None:
    """Nobody with that variable is left."""
    _tell(f"n{text}")


def descriptor() -> int | None:
    """The writing end, which every forked child must close."""
    return _keeper[1] if _keeper is not None else None


def _tell(note: str) -> None:
    global _keeper
    if _keeper is None or _keeper[0] != os.getpid():
        _keeper = _start()
    with contextlib.suppress(OSError):
        os.write(_keeper[1], os.fsencode(note) + END)


def _start() -> tuple[int, int, int]:
    reading, writing = os.pipe()
    owner = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            _keep(reading)
        finally:
            os._exit(0)
    os.close(reading)
    return owner, writing, pid


def _keep(reading: int) -> None:
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.closerange(3, reading)
    os.closerange(reading + 1, 4096)
    groups: set[int] = set()
    directories: set[str] = set()
    markers: set[str] = set()
    rest = b""
    while data := os.read(reading, 65536):
        *notes, rest = (rest + data).split(END)
        for note in notes:
            _take(os.fsdecode(note), groups, directories, markers)
    for group in groups:
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)
    for marker in markers:
        for _ in range(ROUNDS):
            for pid in (found := marked(marker)):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            if not found:
                break
    for directory in directories:
        remove_tree(directory)


def remove_tree(directory: str | os.PathLike[str]) -> None:
    """Remove a directory, also where a consumer took permissions away from its owner."""
    shutil.rmtree(directory, ignore_errors=True)
    for folder, inner, _ in os.walk(directory):  # what is left
        for path in (os.path.join(folder, name) for name in inner):
            if not os.path.islink(path):  # what it points to is not ours
                with contextlib.suppress(OSError):
                    os.chmod(path, 0o700)
    shutil.rmtree(directory, ignore_errors=True)


def _take(note: str, groups: set[int], directories: set[str], markers: set[str]) -> None:
    sign, rest = note[:1], note[1:]
    if sign == "d":
        directories.add(rest)
    elif sign == "+":
        groups.add(int(rest))
    elif sign == "-":
        groups.discard(int(rest))
    elif sign == "m":
        markers.add(rest)
    elif sign == "n":
        markers.discard(rest)
