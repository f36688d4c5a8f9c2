"""Operations that fail: which of the consumer's boundaries meet an error, and what that error looks like to it."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

from pytest_quarry.consumers.protocol import AwsAnswer, AwsCall, Boundary, Fail
from pytest_quarry.simulation.schedule import AWS_ERRORS, FILE_ERRORS, SLOW, Break

SLOW_SECONDS = 45  # less than botocore waits for an answer
CODES = {"503": ("503", "SlowDown"), "404": ("404", "NoSuchKey"), "throttle": ("400", "ThrottlingException")}


@dataclass
class _Active:
    step: Break
    seen: int = 0
    met: int = 0


class Trouble:
    """The breaks of a world that are in force."""

    def __init__(self) -> None:
        self._active: list[_Active] = []
        self.met: set[Break] = set()

    def begin(self, step: Break) -> None:
        """From now on the matching boundaries fail."""
        self._active.append(_Active(step))

    def heal(self, *, all_of_them: bool = False) -> None:
        """What is broken works again; what is broken for ever does only at the end of the world."""
        self._active = [] if all_of_them else [active for active in self._active if active.step.lasting]

    def at(self, boundary: Boundary, now: int) -> Fail | AwsAnswer | None:
        """The error this boundary meets, if any: not `cut`, which needs the true answer, and not `slow`, which is none."""
        for active in self._active:
            if active.step.error not in ("cut", SLOW) and self._meets(active, boundary):
                return _failure(active.step.error, boundary, now)
        return None

    def spoil(self, boundary: Boundary, answer: AwsAnswer) -> AwsAnswer:
        """The answer as it arrives: cut in the middle, where a break says so."""
        for active in self._active:
            if active.step.error == "cut" and self._meets(active, boundary):
                return answer._replace(body=answer.body[: len(answer.body) // 2])
        return answer

    def delay(self, boundary: Boundary) -> int:
        """The virtual seconds by which this boundary takes longer."""
        return SLOW_SECONDS * any(
            active.step.error == SLOW and self._meets(active, boundary) for active in self._active
        )

    def _meets(self, active: _Active, boundary: Boundary) -> bool:
        step = active.step
        if not matches(step.at, boundary.label):
            return False
        if step.error != SLOW and (step.error in AWS_ERRORS) != isinstance(boundary.call, AwsCall):
            return False
        active.seen += 1
        if active.seen <= step.skip or (step.times and active.met >= step.times):
            return False
        active.met += 1
        self.met.add(step)
        return True


def matches(pattern: str, label: str) -> bool:
    """Whether the parts of a pattern, between its asterisks, stand in a label in their order."""
    at = 0
    for part in pattern.split("*"):
        at = label.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return True


def _failure(error: str, boundary: Boundary, now: int) -> Fail | AwsAnswer:
    if error in FILE_ERRORS:
        number = getattr(errno, error)
        return Fail(now, "OSError", f"{number} {os.strerror(number)}")
    if error in ("reset", "timeout"):
        return Fail(now, f"aws-{error}", boundary.label)
    status, code = CODES[error]
    headers = (("Content-Type", "application/xml"),)
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}, by schedule</Message></Error>"
    return AwsAnswer(int(status), headers, body.encode())
