"""A program's own address: what it asks there waits for the world."""

from __future__ import annotations

from collections.abc import Callable

from pytest_quarry.bus.faults import Apply
from pytest_quarry.bus.server import EndpointServer
from pytest_quarry.consumers.arriving import Request, Waiting


class Address:
    """Where one program reaches the world's AWS, as long as it lives."""

    def __init__(self, apply: Apply, hear: Callable[[Request], None]) -> None:
        self._waiting = Waiting(hear)
        self._server = EndpointServer(apply, self._waiting.gate)
        self.endpoint = self._server.endpoint

    @property
    def busy(self) -> bool:
        """Whether a request is on its way that nobody has heard of yet."""
        return not len(self._waiting) and not self._server.wait_until_idle(0)

    def drop(self) -> None:
        """Who waits is gone, and is answered no more."""
        self._waiting.drop()

    def close(self) -> None:
        """Nobody is answered any more."""
        self._waiting.close()
        self._server.close()
