"""The processes of a program: started in a group of their own, heard of when they end, gone when they are killed."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from pytest_quarry.consumers import keeper, processors
from pytest_quarry.consumers.at_work import TICKS
from pytest_quarry.consumers.marked import marked

MARKER = "QUARRY_PROGRAM"
MOST_FILE = 256 << 20  # bytes of one file: a program that fills the disk is ended by a signal (SIGXFSZ)
LEAST_SHARE = 0.1
GONE = 1.0  # real seconds that killed processes have to be gone


class Group:
    """One program and all that it starts."""

    def __init__(
        self,
        words: Sequence[str],
        *,
        program: str,
        folder: str,
        environment: Mapping[str, str],
        output: Path,
        errors: Path,
        in_child: Callable[[], None],
        ended: Callable[[int], None],
        descriptors: Sequence[int] = (),
    ) -> None:
        self.marker = f"{os.getpid()}-{time.monotonic_ns()}"
        keeper.remember_marker(f"{MARKER}={self.marker}")

        def prepare() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_FILE, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            processors.leave()
            in_child()

        with open(output, "ab") as out, open(errors, "ab") as err:
            # Between fork and exec only what the kernel does is called: the filter must be there before the program is.
            self._process = subprocess.Popen(
                words,
                executable=program,
                cwd=folder,
                env={**environment, MARKER: self.marker},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                process_group=0,
                pass_fds=descriptors,
                preexec_fn=prepare,  # noqa: PLW1509 - it takes no lock that another thread may hold
            )
        self.pid = self._process.pid
        keeper.remember_group(self.pid)
        self._ended = ended
        self._spent = 0.0  # seconds of processors
        self.at_work = False  # when it was last looked at
        self._waiter = threading.Thread(target=self._wait, name="quarry waiter", daemon=True)
        self._waiter.start()

    def _wait(self) -> None:
        with contextlib.suppress(ChildProcessError):
            found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            while found is not None and found.si_code == os.CLD_TRAPPED:  # held while it starts another program
                time.sleep(0.0005)
                found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            if found is not None:
                self._ended(found.si_status if found.si_code == os.CLD_EXITED else -found.si_status)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program itself."""
        with contextlib.suppress(OSError):
            os.kill(self.pid, number)

    def wait(self, seconds: float) -> bool:
        """Whether it has ended by itself, after so long at most."""
        self._waiter.join(seconds)
        return not self._waiter.is_alive()

    def kill(self, all_gone: Callable[[float], bool]) -> int:
        """SIGKILL to the group and to whatever left it. The number of processes that had left the group, and lived on."""
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)
        self._waiter.join()  # first: it knows who is held from who has ended
        self._process.wait()
        left = 0
        if not all_gone(0.02):  # a daemon, or somebody who takes time to die
            deadline = time.monotonic() + GONE
            while time.monotonic() < deadline:
                found = self.processes()
                left = max(left, len(found))
                for pid in found:
                    with contextlib.suppress(OSError):
                        os.kill(pid, signal.SIGKILL)
                if not found:
                    break
                time.sleep(0.002)
        keeper.forget_group(self.pid)
        keeper.forget_marker(f"{MARKER}={self.marker}")
        return left

    def processes(self) -> list[int]:
        """Those that live."""
        return marked(f"{MARKER}={self.marker}")

    def share(self, seconds: float) -> float:
        """How much of the real seconds since it was last asked it had: 1 where it waited for something, or ran; less where
        it wanted to run and the machine was too busy to let it."""
        spent, wants = 0.0, False
        for pid in self.processes():
            for thread in _threads(pid):
                state, ticks = thread
                spent += ticks / TICKS
                wants |= state in "RD"
        self.at_work = wants
        before, self._spent = self._spent, spent
        return fair_share(spent - before, seconds) if wants else 1.0

    def tree(self) -> str:
        """What runs: each process with its words."""
        lines = []
        for pid in self.processes():
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                lines.append(f"process {pid}: {words.strip()}")
        return "\n".join(lines)


def fair_share(spent: float, seconds: float) -> float:
    """What counts of real seconds in which so much of a processor's time was had; never nothing, so that it ends."""
    return min(1.0, max(LEAST_SHARE, spent / seconds))


def _threads(pid: int) -> Iterator[tuple[str, int]]:
    """Each thread of a process: its state, and the ticks of a processor it had."""
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                fields = (
                    Path(f"/proc/{pid}/task/{thread}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
                )
                yield fields[0], int(fields[11]) + int(fields[12])
