"""The kit's end of a Lambda shim: one JSON line per event on one pipe, one per answer on another; the process stays warm."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable
from typing import Any

from pytest_quarry.consumers.protocol import Raised, Returned, Started, Unusable

VARIABLE = "QUARRY_SHIM"  # the two descriptors the shim reads from and writes to


class Shim:
    """The two pipes to a shim."""

    def __init__(self, hear: Callable[[Any], None]) -> None:
        self._hear = hear
        self._read_events, self._write_events = os.pipe()
        self._read_answers, self._write_answers = os.pipe()
        self.theirs = (self._read_events, self._write_answers)
        self._invocations = 0
        self._thread = threading.Thread(target=self._listen, name="quarry shim", daemon=True)

    def environment(self) -> dict[str, str]:
        """What tells the shim where to look."""
        return {VARIABLE: f"{self._read_events},{self._write_answers}"}

    def started(self) -> None:
        """The other side has its ends."""
        for descriptor in self.theirs:
            os.close(descriptor)
        self._thread.start()

    def _listen(self) -> None:
        with open(self._read_answers, "rb") as answers:
            for line in answers:
                self._hear(line)

    def invoke(self, event: Any) -> None:
        """Hand over an event."""
        self._invocations += 1
        context = {"aws_request_id": f"00000000-0000-0000-0000-{self._invocations:012d}"}
        line = json.dumps({"event": event, "context": context}) + "\n"
        with contextlib.suppress(BrokenPipeError), open(self._write_events, "wb", closefd=False) as events:
            events.write(line.encode())

    def understood(self, line: bytes) -> Any:
        """A line of the shim as a message to the world."""
        said = json.loads(line)
        if "ready" in said:
            return Started("lambda", False)
        if "unusable" in said:
            return Unusable(said["unusable"])
        if "error" in said:
            return Raised(str(said["error"]).splitlines()[0][:300], str(said.get("stack", "")))
        return Returned(said.get("value"))

    def close(self) -> None:
        """The process is gone."""
        os.close(self._write_events)
        self._thread.join()
