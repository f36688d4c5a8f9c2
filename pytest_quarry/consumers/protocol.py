"""The messages between a world and the consumer processes it drives.

One socket pair per process. Every message is a named tuple, pickled and prefixed by its length. The child speaks
first and then waits: it never runs while the world thinks.
"""

from __future__ import annotations

import pickle
import re
import socket
import struct
from typing import Any, NamedTuple

from pytest_quarry.bus.calls import AwsCall

LENGTH = struct.Struct("!I")
A_DAY = 86_400  # seconds; an event loop that has nothing to wait for sleeps so long at once


class Sleep(NamedTuple):
    """The consumer wants virtual time to pass. `patient`: it can be told `Later`.

    `unanswered`: it waits for this server too, which had much real time to answer, and has not.
    """

    seconds: float
    patient: bool = False
    unanswered: str = ""


class Blocked(NamedTuple):
    """The consumer waits for a lock that somebody else holds, until this virtual time (µs); None: for ever.

    `detects`: a deadlock is an error to one of those who wait, as POSIX has it of `lockf`. `unseen`: the lock is kept where the
    world does not see it, by a server or a library in C, which may know what to do about a deadlock.
    """

    until: int | None
    detects: bool = False
    unseen: bool = False


class TargetCall(NamedTuple):
    """One operation on the target that the world keeps."""

    operation: str
    arguments: tuple[Any, ...]


class RunCall(NamedTuple):
    """A publisher that wraps a run executes it now."""

    run_id: str


class EndpointCall(NamedTuple):
    """The consumer wants to know where the world's AWS is reached over HTTP."""


class OverHttp(NamedTuple):
    """The AWS call that a boundary announces goes to the endpoint right after it."""


RANDOM = "RANDOM"  # in labels, for what would be another one the next time
DRAWN = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[47][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"  # UUIDs of luck
    r"|(?<![^/ ])\.tmp[0-9A-Za-z]{6}(?![^/ ])"  # Rust's temporary files
    r"|(?<![^/ ])[01]{24}[0-9a-f]{26}(?=\.)"  # Lance's files of data
)
TO_SERVER = "server "  # how the label of a boundary begins at which something is said to a server
ANSWER = 5.0  # real seconds that a server has to answer before virtual time passes: less than the guard has
# What is said of a consumer that real time ended, and nothing else; and of one that may have been about to come back.
UNSEEN = "it did nothing the world could see"
AT_WORK = ", and was at work"


class Said(NamedTuple):
    """What goes to a server that is not the world's: a database, a service.

    `changes`: the server may keep something of it; `clock`: for it, the server looks at a clock that the world does not move.
    """

    words: str
    changes: bool = True
    clock: bool = False


class Boundary(NamedTuple):
    """An operation that could outlive the process is about to happen; the child waits for leave.

    `paths` are the world's files it may change. `size` is the number of bytes of a raw write that may be torn;
    `buffered` says whether more data would have made several writes of it, `synced` whether what it writes, or names, is durable once it returns. What begins with one of `own` changes unseen from
    now on, and the consumer's team says where.
    """

    label: str
    paths: tuple[str, ...] = ()
    size: int | None = None
    buffered: bool = False
    call: AwsCall | Blocked | Sleep | TargetCall | RunCall | EndpointCall | OverHttp | None = None
    own: tuple[str, ...] = ()
    said: Said | None = None
    synced: bool = False

    def as_seen(self) -> Boundary:
        """Seen from outside: what was drawn where the world does not see it, in Rust or from a file, is drawn anew the next time."""
        return self._replace(label=DRAWN.sub(RANDOM, self.label))


class Started(NamedTuple):
    """`start` returned something the kit can drive; `takes` says what a turn gives it, `reconciles` whether it has reconcile().

    `company`: as in `Returned`.
    """

    takes: str  # "notification", "lambda", "queue", "run" or "nothing"
    reconciles: bool
    command: Any = None  # the program that is the consumer, in place of this process
    company: bool = False


class Returned(NamedTuple):
    """The turn is over; `value` is what the consumer returned, where a Lambda's answer matters.

    `busy`: it left threads or tasks at work. `unheld`: it may have spoken to servers, and the kernel does not show it.
    `company`: it has threads or tasks, at work or not.
    """

    value: Any
    busy: bool = False
    unheld: bool = False
    company: bool = False


class Raised(NamedTuple):
    """The consumer raised; the turn is over and the process is still there."""

    summary: str
    stack: str


class Unusable(NamedTuple):
    """A hook of the suite cannot work; the words say which, why and what to do."""

    words: str


class Torn(NamedTuple):
    """Part of the write is on disk; the child waits to be killed."""


class Ended(NamedTuple):
    """The consumer ended its own process (`sys.exit`, `os._exit`): reported by the world, not sent."""

    status: int


class Call(NamedTuple):
    """Do one turn: `handle` a notification or a Lambda event, `poll`, or `publish` a run; virtual time is now `now`."""

    verb: str
    argument: Any = None
    now: int | None = None


class Grant(NamedTuple):
    """Go on; virtual time is now `now` (microseconds since the epoch)."""

    now: int
    value: Any = None


class Later(NamedTuple):
    """Sleep on until virtual time has passed your end: the turn is over, and from what it left to others nothing comes any more."""

    now: int


class Tear(NamedTuple):
    """Write only the first `keep` bytes, then wait to be killed."""

    now: int
    keep: int


class Fail(NamedTuple):
    """Do not do it: raise this error instead."""

    now: int
    error: str
    message: str


def injected(fail: Fail) -> BaseException:
    """The exception an injected failure stands for."""
    if fail.error == "OSError":
        number, _, words = fail.message.partition(" ")
        return OSError(int(number), words)
    if fail.error.startswith("aws-"):
        from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

        return {"aws-reset": ConnectionClosedError, "aws-timeout": ReadTimeoutError}[fail.error](
            endpoint_url=fail.message
        )
    return RuntimeError(fail.message)


class Stop(NamedTuple):
    """End by yourself: save coverage, then exit."""


class Peek(NamedTuple):
    """Call the suite's `rows` inside the child: does it see what the world does not?"""


def send(link: socket.socket, message: Any) -> None:
    """Send one message whole."""
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    link.sendall(LENGTH.pack(len(data)) + data)


def receive(link: socket.socket) -> Any:
    """The next message; EOFError when the other side is gone."""
    (length,) = LENGTH.unpack(_exactly(link, LENGTH.size))
    return pickle.loads(_exactly(link, length))


def _exactly(link: socket.socket, size: int) -> bytes:
    data = link.recv(size)
    if len(data) == size:
        return data
    parts = [data]
    missing = size - len(data)
    while missing:
        if not parts[-1]:
            raise EOFError("the other side of the link is gone")
        parts.append(link.recv(min(missing, 1 << 20)))
        missing -= len(parts[-1])
    return b"".join(parts)
