"""Lock files that are removed once nobody needs them: who waited for one then holds the lock of a file without a name."""

from __future__ import annotations

import fcntl
import os
from typing import IO

from pytest_quarry.samples.handlers import Notification, OneTransaction, SqliteHandlerSuite
from pytest_quarry.samples.sound_together import UNKEYED_TABLES, WaitsItsTurn


class RemovesItsLock(WaitsItsTurn):
    """Removes its lock file before it lets the lock go, and has no look at what it locked."""

    def load(self, run_id: str, notification: Notification) -> None:
        with self.locked():
            try:
                OneTransaction.load(self, run_id, notification)
            finally:
                self.lock.unlink(missing_ok=True)

    def locked(self) -> IO[str]:
        """The lock file, locked."""
        lock = open(self.lock, "w")  # noqa: SIM115
        fcntl.flock(lock, fcntl.LOCK_EX)
        return lock


class RemovesItsLockSuite(SqliteHandlerSuite):
    """A lock file that goes away under those who wait for it."""

    loader = RemovesItsLock
    tables = UNKEYED_TABLES


class LooksAtItsLock(RemovesItsLock):
    """Makes sure that the file it has locked is the one that others would lock, else begins anew."""

    def locked(self) -> IO[str]:
        while True:
            lock = super().locked()
            try:
                if os.path.samestat(os.fstat(lock.fileno()), os.stat(self.lock)):
                    return lock
            except FileNotFoundError:
                pass
            lock.close()


class LooksAtItsLockSuite(RemovesItsLockSuite):
    """A lock file that is looked at once it is locked."""

    loader = LooksAtItsLock
