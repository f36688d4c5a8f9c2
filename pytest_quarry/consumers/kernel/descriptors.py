"""Open files of a program, for us to write to and lock: the very ones, or where that is not allowed the same files anew."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from pytest_quarry.consumers.kernel import memory
from pytest_quarry.consumers.kernel.seccomp import descriptor_of


class Unreachable(Exception):
    """An open file of the program cannot be ours too: the kernel has to do what is to be done with it."""


def opened(tid: int, descriptor: int) -> tuple[int, int]:
    """With which flags the caller has a file open, and its position in it."""
    with open(f"/proc/{tid}/fdinfo/{memory.signed(descriptor)}", encoding="ascii") as lines:
        about = dict(line.rstrip().split(":\t", 1) for line in lines if ":\t" in line)
    return int(about["flags"], 8), int(about["pos"])


@contextlib.contextmanager
def duplicate(tid: int, descriptor: int) -> Iterator[int]:
    """The caller's open file, position and locks included. Raises Unreachable, as in containers without SYS_PTRACE."""
    try:
        found = descriptor_of(memory.process_of(tid), memory.signed(descriptor))
    except OSError as error:
        raise Unreachable from error
    try:
        yield found
    finally:
        os.close(found)


@contextlib.contextmanager
def reopened(tid: int, descriptor: int) -> Iterator[tuple[int, int]]:
    """The same file opened once more, and the caller's position in it."""
    flags, position = opened(tid, descriptor)
    path = f"/proc/{tid}/fd/{memory.signed(descriptor)}"
    found = os.open(path, os.O_RDWR if flags & os.O_RDWR else os.O_WRONLY)
    try:
        yield found, os.fstat(found).st_size if flags & os.O_APPEND else position
    finally:
        os.close(found)
