"""A circuit breaker before the target: one that refuses messages while it is open, one that acknowledges them."""

from __future__ import annotations

import time
from pathlib import Path

from pytest_quarry.samples.handlers import Notification, OneTransaction, SqliteHandlerSuite
from pytest_quarry.samples.reading import Storage

FAILURES, PAUSE = 3, 60.0  # in a row, after which it leaves the target alone; seconds


class CircuitOpen(Exception):
    """The target is left alone for a while: this message is to come again."""


class RefusesWhileOpen(OneTransaction):
    """After three failures in a row it refuses every run for a minute: SQS keeps them."""

    def __init__(self, database: Path, storage: Storage) -> None:
        super().__init__(database, storage)
        self.failures, self.closed_at = 0, 0.0

    def load(self, run_id: str, notification: Notification) -> None:
        if time.monotonic() < self.closed_at:
            self.while_open(run_id)
            return
        try:
            super().load(run_id, notification)
        except Exception:
            self.failures += 1
            if self.failures >= FAILURES:
                self.failures, self.closed_at = 0, time.monotonic() + PAUSE
            raise
        self.failures = 0

    def while_open(self, run_id: str) -> None:
        """What becomes of a run that comes meanwhile."""
        raise CircuitOpen(run_id)


class RefusesWhileOpenSuite(SqliteHandlerSuite):
    """A circuit breaker that raises while it is open."""

    loader = RefusesWhileOpen


class AcknowledgesWhileOpen(RefusesWhileOpen):
    """Skips what comes while the circuit is open, which acknowledges it."""

    def while_open(self, run_id: str) -> None:
        pass


class AcknowledgesWhileOpenSuite(SqliteHandlerSuite):
    """A circuit breaker that returns while it is open."""

    loader = AcknowledgesWhileOpen
