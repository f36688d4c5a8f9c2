"""Words about a program: how it ended, what it said last, what of it could not be tried."""

from __future__ import annotations

import errno
import signal
from pathlib import Path
from typing import Any

from pytest_quarry.bus.calls import AwsAnswer
from pytest_quarry.consumers.protocol import Boundary, Grant

BLIND = (
    "its operations on files: the system does not let us see them (Linux 5.5 or newer is needed, and leave to use seccomp); "
    "it was killed at requests to the endpoint only, no file failed to be read, no write was cut"
)
MOST_OUTPUT = 40_000
MOST_LINE = 200


def last_line(errors: Path) -> str:
    """The last line it wrote to its standard error."""
    lines = [line.strip() for line in tail(errors).splitlines() if line.strip()]
    return lines[-1][:MOST_LINE] if lines else ""


def size(file: Path) -> int:
    """How many bytes are in a file."""
    return file.stat().st_size if file.exists() else 0


def tail(file: Path, start: int = 0) -> str:
    """The end of a file as text, from a place on, whatever bytes are in it."""
    try:
        with open(file, "rb") as opened:
            opened.seek(max(start, file.stat().st_size - MOST_OUTPUT))
            return opened.read().decode("utf-8", "backslashreplace")
    except OSError:
        return ""


def exit_words(status: int, said: str) -> str:
    """How it ended, in a line."""
    if status >= 0:
        words = f"exit status {status}"
    else:
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = f"signal {-status}"
        words = f"ended by {name}"
        if name == "SIGXFSZ":
            words += ": it wrote more than 256 MiB to one file"
    return f"{words}: {said}" if said else words


def hint(error: OSError) -> str:
    """What to do about a program that the system would not start."""
    if error.errno == errno.ENOEXEC:
        return ". Its first line does not say what runs it: begin it with #!, or name what runs it: 'bash …'"
    if error.errno == errno.ENOENT:
        return ". Is what its #! line names there?"
    return ""


def is_receive(boundary: Boundary) -> bool:
    """Whether a request asks a queue for messages."""
    return boundary.label.startswith("sqs.ReceiveMessage")


def found_messages(message: Any) -> bool:
    """Whether the answer to such a request has any."""
    if not isinstance(message, Grant) or not isinstance(message.value, AwsAnswer):
        return False
    return b'"Messages"' in message.value.body or b"<Message>" in message.value.body
