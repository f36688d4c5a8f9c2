"""What a program is given in the kernel's place: the world's time, and random bytes that are the same in each execution.

Libraries and runtimes read the clock without a system call, through what the kernel maps into each process, its vDSO; and
some, Go's among them, draw all their randomness from 16 bytes that the kernel leaves on the stack. Both are found through
the auxiliary vector (getauxval(3)), which is put right here before a program's first instruction: the vDSO is not there,
and the bytes are seeded. Then every look at the clock is a system call, which waits for its answer.
"""

from __future__ import annotations

import contextlib
import os
import random
import struct
import time
from collections import Counter

from pytest_quarry.consumers.kernel import memory, tracing
from pytest_quarry.consumers.kernel.seccomp import Called, Listener
from pytest_quarry.consumers.outside.clock import SECOND, ProgramClock

AT_NULL, AT_IGNORE, AT_RANDOM, AT_SYSINFO_EHDR = 0, 1, 25, 33  # linux/auxvec.h
ENTRY = struct.Struct("=QQ")
MOST_STACK = 1 << 20  # bytes, for the addresses of a hundred thousand words and variables
MOST_RANDOM = 1 << 20


class Given:
    """Answers the calls of one program that ask for time or luck, and puts right whatever it starts."""

    def __init__(self, listener: Listener, clock: ProgramClock, *, seed: int) -> None:
        self._listener, self._clock, self._seed = listener, clock, seed
        self._luck = random.Random(seed)
        self._started: Counter[bytes] = Counter()
        self.real_time = False  # something of it could not be given the world's time

    def answers(self, called: Called) -> bool:
        """Whether it was such a call; it is over then."""
        giver = getattr(self, f"_{GIVERS.get(called.name, 'nothing')}")
        try:
            value = giver(called)
        except (OSError, ValueError, struct.error):  # it is gone, or names no memory of its own: the kernel says so
            value = GO_ON
        if value == NOT_OURS:
            return False
        if value == GO_ON:
            self._listener.go_on(called)
        elif value != ANSWERED:
            self._listener.answer(called, value)
        return True

    def _nothing(self, called: Called) -> int:
        return NOT_OURS

    def _luck_of(self, called: Called) -> int:
        address, size, _ = called.arguments[:3]
        data = self._luck.randbytes(min(size, MOST_RANDOM))
        memory.write(called.tid, address, data)
        return len(data)

    def _time(self, called: Called) -> int:
        now = self._clock.read(called.tid)
        if called.name == "time":
            if called.arguments[0]:
                memory.write(called.tid, called.arguments[0], struct.pack("=q", now // SECOND))
            return now // SECOND
        address, unit = (called.arguments[0], 1_000) if called.name == "gettimeofday" else (called.arguments[1], 1)
        if called.name == "gettimeofday" and called.arguments[1]:
            memory.write(called.tid, called.arguments[1], bytes(8))  # the time zone is UTC
        if address:
            memory.write(called.tid, address, ENTRY.pack(now // SECOND, now % SECOND // unit))
        return 0

    def _wait(self, called: Called) -> int:
        """A wait up to a moment of the wall clock: the same wait by the kernel's. What has been translated already, or
        was never of this clock, is nearer to the kernel's."""
        moment = memory.seconds(called.tid, called.arguments[3]) if called.arguments[3] else 0
        ours, real = self._clock.until(moment), moment - time.time()
        if moment and abs(ours) < abs(real):
            until = time.time_ns() + int(ours * SECOND)
            memory.write(called.tid, called.arguments[3], ENTRY.pack(until // SECOND, until % SECOND))
        return GO_ON

    def _start(self, called: Called) -> int:
        folder, path = (memory.AT_FDCWD, 0) if called.name == "execve" else called.arguments[:2]
        if called.name == "execve" and not os.path.exists(memory.path_at(called.tid, folder, called.arguments[path])):
            return GO_ON  # a shell looks for it, folder by folder
        if memory.process_of(called.tid) != called.tid:
            self.real_time = True  # it takes the number of another thread that way
            return GO_ON
        with tracing.seized(called.tid) as seized:
            self._listener.go_on(called)
            if not seized or (tracing.starts(called.tid) and not self._put_right(called.tid)):
                self.real_time = True
        return ANSWERED

    def _put_right(self, process: int) -> bool:
        with contextlib.suppress(OSError, ValueError, struct.error):
            words = memory.words(process)
            self._started[words] += 1
            luck = random.Random(f"{self._seed}/{words.hex()}/{self._started[words]}")
            for address, kind, value in auxiliary(process):
                if kind == AT_RANDOM:
                    memory.write(process, value, luck.randbytes(16))
                elif kind == AT_SYSINFO_EHDR:
                    memory.write(process, address, ENTRY.pack(AT_IGNORE, 0))
            return True
        return False


NOT_OURS, GO_ON, ANSWERED = -1, -2, -3
GIVERS = {
    **dict.fromkeys(("clock_gettime", "gettimeofday", "time"), "time"),
    **dict.fromkeys(("execve", "execveat"), "start"),
    "getrandom": "luck_of",
    "futex": "wait",
}


def auxiliary(process: int) -> list[tuple[int, int, int]]:
    """The auxiliary vector of a process that is about to begin: the address of each entry, its type and its value."""
    top = memory.top_of_stack(process)
    with open(f"/proc/{process}/auxv", "rb") as vector:
        known = vector.read()
    # The kernel shows the whole vector, but not where it is: behind the number of words, the words, and the environment.
    stack = memory.read(process, top, MOST_STACK)
    at = 8 * (struct.unpack_from("=Q", stack)[0] + 2)
    at = stack.index(bytes(8), at)
    while at % 8:
        at = stack.index(bytes(8), at + 1)
    found = []
    for place in range(at + 8, len(stack) - ENTRY.size, ENTRY.size):
        kind, value = ENTRY.unpack_from(stack, place)
        if kind == AT_NULL:
            break
        found.append((top + place, kind, value))
    if b"".join(ENTRY.pack(kind, value) for _, kind, value in found) != known[: ENTRY.size * len(found)]:
        raise ValueError(f"the auxiliary vector of process {process} is not where it should be")
    return found
