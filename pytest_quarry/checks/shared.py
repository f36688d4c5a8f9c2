"""What the processes of one test session share of a consumer: a schedule that one of them executes, the others need not."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pickle
from pathlib import Path

from pytest_quarry.simulation.history import History
from pytest_quarry.simulation.schedule import Schedule

MOST = 1_000  # histories that each process keeps for the others: fuzzing goes on for hours


class Shared:
    """Histories in a folder of the session, by schedule; nobody waits for anybody.

    What is there is of this session, and of a consumer that does undisturbed exactly what it does here: where the name of a
    worker is in those of its files or tables, each process is on its own.
    """

    def __init__(self, folder: Path, whose: str, undisturbed: History) -> None:
        self._folder, self._left = folder, MOST
        self._whose = hashlib.sha256(f"{whose}\n{undisturbed!r}".encode()).hexdigest()

    def find(self, schedule: Schedule, *, reads: bool) -> History | None:
        """What happened where another process executed it, if one has."""
        try:
            found: History = pickle.loads(self._file(schedule, reads).read_bytes())
        except OSError:
            return None
        return found

    def claim(self, schedule: Schedule, *, reads: bool) -> bool:
        """Whether no other process has begun to execute it; from now on this one has."""
        if not self._left:
            return True
        try:
            os.close(os.open(self._file(schedule, reads).with_suffix(".begun"), os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            return False
        except OSError:
            self._left = 0  # the folder is gone, or its disk is full
        return True

    def keep(self, schedule: Schedule, history: History, *, reads: bool) -> None:
        """Let the others find it."""
        if not self._left:
            return
        self._left -= 1
        file = self._file(schedule, reads)
        part = file.with_suffix(f".{os.getpid()}")
        with contextlib.suppress(OSError):
            part.write_bytes(pickle.dumps(history, pickle.HIGHEST_PROTOCOL))
            part.replace(file)

    def _file(self, schedule: Schedule, reads: bool) -> Path:
        key = json.dumps([self._whose, schedule.to_json(), reads], sort_keys=True)
        return self._folder / hashlib.sha256(key.encode()).hexdigest()
