"""Where requests over HTTP are let through: a gate gets a label, the call, and what applies it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Protocol

from pytest_quarry.bus.calls import AwsAnswer, AwsCall
from pytest_quarry.bus.faults import Apply

Gate = Callable[[str, AwsCall, Apply], AwsAnswer]
Peer = tuple[str, int]


class Guest(Protocol):
    """Whose requests do not go straight to the server's own gate."""

    def asking(self) -> contextlib.AbstractContextManager[None]:
        """While a request of its own is read, carried out and answered."""
        ...

    def before(self, gate: Gate) -> Gate:
        """What is before that gate."""
        ...
