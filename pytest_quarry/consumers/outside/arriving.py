"""Requests of a program at its own address: each is a boundary, and waits in the thread of its connection."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from pytest_quarry.bus.calls import AwsAnswer, AwsCall
from pytest_quarry.bus.faults import Apply, Unanswered
from pytest_quarry.bus.server import EndpointServer
from pytest_quarry.consumers.protocol import Boundary, Fail, Grant


class Request:
    """A request that waits for the world."""

    def __init__(self, boundary: Boundary) -> None:
        self.boundary = boundary
        self._answered = threading.Event()
        self._message: Any = None

    def answer(self, message: Any) -> None:
        """Send what the world says; None where nobody will ever answer."""
        self._message = message
        self._answered.set()

    def wait(self) -> AwsAnswer:
        """What comes back. Raises Unanswered, or what the world could not do."""
        self._answered.wait()
        message = self._message
        if isinstance(message, Grant) and isinstance(message.value, AwsAnswer):
            return message.value
        if isinstance(message, Fail) and message.error not in ("aws-reset", "aws-timeout"):
            raise RuntimeError(message.message)
        raise Unanswered("reset", applied=False)


class Address:
    """Where one program reaches the world's AWS, as long as it lives."""

    def __init__(self, apply: Apply, hear: Callable[[Request], None]) -> None:
        self._hear = hear
        self._waiting: set[Request] = set()
        self._closed = False
        self._lock = threading.Lock()
        self._server = EndpointServer(apply, self._gate)
        self.endpoint = self._server.endpoint

    def _gate(self, label: str, call: AwsCall, apply: Apply) -> AwsAnswer:
        request = Request(Boundary(label, call=call))
        with self._lock:
            if self._closed:
                raise Unanswered("reset", applied=False)
            self._waiting.add(request)
        self._hear(request)
        try:
            return request.wait()
        finally:
            self._waiting.discard(request)

    @property
    def busy(self) -> bool:
        """Whether a request is on its way that nobody has heard of yet."""
        return not self._waiting and not self._server.wait_until_idle(0)

    def drop(self) -> None:
        """Who waits is gone, and is answered no more."""
        for request in list(self._waiting):
            request.answer(None)

    def close(self) -> None:
        """Nobody is answered any more."""
        with self._lock:
            self._closed = True
        self.drop()
        self._server.close()
