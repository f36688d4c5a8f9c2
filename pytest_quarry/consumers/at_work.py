"""Whether this process's child processes and other threads are at work, as the kernel sees it (Linux; elsewhere nobody is).

CPU time alone does not tell: on a busy machine who is at work may have to wait for a processor.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Collection, Iterable, Iterator, Set

AT_WORK = (b"R", b"D", b"t")  # running or ready to run; waiting for a disk; held for a moment while it starts a program
ENDED = (b"Z", b"X", b"")  # waiting to be reaped, and gone
UTIME, STIME = 11, 12  # of what follows the name in a stat, counted from 0: proc(5)
TICKS = os.sysconf("SC_CLK_TCK")


def children_at_work() -> bool:
    """Whether a child process, or one of its own, is at work."""
    return any(_is_at_work(f"/proc/{pid}/stat") for pid in descendants("self"))


def children_alive() -> bool:
    """Whether a child process, or one of its own, has not ended."""
    return any(_state(f"/proc/{pid}/stat") not in ENDED for pid in descendants("self"))


def children_wait_in(calls: Collection[int]) -> bool:
    """Whether a child process, or one of its own, waits in one of these system calls, by their numbers."""
    told = (_read(f"/proc/{pid}/syscall").partition(b" ")[0] for pid in descendants("self"))
    return any(number.isdigit() and int(number) in calls for number in told)


def threads_at_work(but: Collection[int] = ()) -> bool:
    """Whether a thread of this process is at work, the calling one and some others left out."""
    left_out = {threading.get_native_id(), *but}
    with contextlib.suppress(OSError):
        others = (tid for tid in os.listdir("/proc/self/task") if int(tid) not in left_out)
        return any(_is_at_work(f"/proc/self/task/{tid}/stat") for tid in others)
    return False


def threads() -> set[int]:
    """The threads of this process."""
    with contextlib.suppress(OSError):
        return set(map(int, os.listdir("/proc/self/task")))
    return set()


def waits_of_threads(those: Iterable[int]) -> dict[int, bytes] | None:
    """How often each of these threads of this process has waited; None where one is at work. It has got on where that changes."""
    found: dict[int, bytes] = {}
    for tid in those:
        told = _read(f"/proc/self/task/{tid}/status")
        if told.partition(b"\nState:\t")[2][:1] in AT_WORK:
            return None
        found[tid] = told[told.find(b"\nvoluntary") :]
    return found


def threads_of_libraries() -> list[str]:
    """The names of threads of this process that libraries in C or Rust began, as far as they name them."""
    known = {thread.native_id for thread in threading.enumerate()}
    found: list[str] = []
    with contextlib.suppress(OSError):
        own = _read("/proc/self/comm")
        for tid in os.listdir("/proc/self/task"):
            name = _read(f"/proc/self/task/{tid}/comm")
            if int(tid) not in known and name not in (own, b""):
                found.append(name.decode("utf-8", "replace").strip())
    return sorted(set(found))


def group_at_work(pid: int, but: Set[int] = frozenset()) -> bool:
    """Whether a thread of another process, or of one that it started, is at work.

    Of a process that has threads which wait for the world (`but`), only those count: one that was killed meanwhile is ready to run.
    """
    for each in (pid, *descendants(pid)):
        with contextlib.suppress(OSError):
            tids = set(map(int, os.listdir(f"/proc/{each}/task")))
            if any(_is_at_work(f"/proc/{each}/task/{tid}/stat") for tid in but & tids or tids):
                return True
    return False


def has_children(pid: int) -> bool:
    """Whether another process has started one that it has not seen the end of."""
    return any(True for _ in descendants(pid))


def has_ended(pid: int) -> bool:
    """Whether another process is over, though its parent may not know yet."""
    return _state(f"/proc/{pid}/stat") in ENDED


def group_computed(pid: int) -> float:
    """The processor's seconds that another process has had, and those that it started and are alive."""
    found = 0
    for each in (pid, *descendants(pid)):
        fields = _read(f"/proc/{each}/stat").rpartition(b")")[2].split()
        found += sum(map(int, fields[UTIME : STIME + 1]))
    return found / TICKS


def thread_at_work(native_id: int) -> bool:
    """Whether one thread of this process is at work."""
    return _is_at_work(f"/proc/self/task/{native_id}/stat")


def descendants(pid: int | str) -> Iterator[int]:
    """The living children of a process, and theirs, each after its parent."""
    with contextlib.suppress(OSError):
        for tid in os.listdir(f"/proc/{pid}/task"):
            for child in _read(f"/proc/{pid}/task/{tid}/children").decode().split():
                yield int(child)
                yield from descendants(child)


def _is_at_work(stat: str) -> bool:
    return _state(stat) in AT_WORK


def _state(stat: str) -> bytes:
    found = _read(stat).rpartition(b")")[2].split()
    return found[0] if found else b""


def _read(path: str) -> bytes:
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            return os.read(descriptor, 4096)
        finally:
            os.close(descriptor)
    return b""
