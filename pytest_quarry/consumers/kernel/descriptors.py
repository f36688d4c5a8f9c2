"""Open files of a program, for us to write to and lock: the very ones, or where that is not allowed the same files anew."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from pytest_quarry.consumers.kernel import memory
from pytest_quarry.consumers.kernel.seccomp import descriptor_of


class Unreachable(Exception):
    """An open file of the program cannot be ours too: the kernel has to do what is to be done with it."""


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
    number = memory.signed(descriptor)
    with open(f"/proc/{tid}/fdinfo/{number}", encoding="ascii") as lines:
        about = dict(line.rstrip().split(":\t", 1) for line in lines if ":\t" in line)
    found = os.open(f"/proc/{tid}/fd/{number}", os.O_RDWR if int(about["flags"], 8) & os.O_RDWR else os.O_WRONLY)
    try:
        appends = int(about["flags"], 8) & os.O_APPEND
        yield found, os.fstat(found).st_size if appends else int(about["pos"])
    finally:
        os.close(found)
