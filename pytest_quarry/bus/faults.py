"""What can go wrong with an AWS call: one value, for calls of the consumer's own process and for calls over HTTP.

A fault lies below a client's retries: each attempt of a call is a call.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from pytest_quarry.bus.batches import ENTRIES, IN_PART, in_part
from pytest_quarry.bus.calls import AwsAnswer, AwsCall
from pytest_quarry.bus.conflicts import CONFLICT, TRANSACTIONS, canceled

# The call has no effect: AWS refuses it, or nothing comes back.
REFUSED = ("503", "500", "404", "throttle", CONFLICT)
UNANSWERED = ("reset", "timeout")
NO_EFFECT = (*REFUSED, *UNANSWERED)
# The call has its effect, and then the connection is silent ("lost") or breaks ("dropped").
ANSWER_LOST = ("lost", "dropped")
# The answer comes, and is not what it would have been.
LAG = "lag"
PIECES = "pieces"
CHANGED = ("cut", "twice", PIECES, LAG, *ENTRIES)
SLOW = "slow"
ERRORS = (*REFUSED, *UNANSWERED, *ANSWER_LOST, *CHANGED)

SLOW_SECONDS = 45  # less than botocore waits for an answer
# Calls of which alone a fault can come: their answers list something, or they are transactions.
ONLY_OF = {
    **dict.fromkeys((LAG, PIECES), ("s3.ListObjects",)),
    **dict.fromkeys(ENTRIES, IN_PART),
    CONFLICT: TRANSACTIONS,
}
SERVICE = re.compile(r"[a-z0-9]+\.[^*]*")
PIECE = 2  # keys on a page of a listing that comes in pieces; S3 promises at most 1,000, and no least number
CODES = {"503": ("503", "ServiceUnavailable"), "500": ("500", "InternalError"), "404": ("404", "NotFound")}
S3_CODES = {"503": ("503", "SlowDown"), "404": ("404", "NoSuchKey"), "throttle": ("503", "SlowDown")}
THROTTLED = ("400", "ThrottlingException")
ENTRY = re.compile(rb"<Contents>.*?</Contents>", re.DOTALL)
KEY = re.compile(rb"<Key>(.*?)</Key>", re.DOTALL)
COMMON = re.compile(rb"<CommonPrefixes>.*?</CommonPrefixes>", re.DOTALL)
PREFIX = re.compile(rb"<Prefix>(.*?)</Prefix>", re.DOTALL)

Apply = Callable[[AwsCall], AwsAnswer]


class Unanswered(Exception):
    """No answer came back: `how` is what the client sees, `applied` whether the call had its effect."""

    def __init__(self, how: Literal["reset", "timeout"], *, applied: bool) -> None:
        super().__init__(how)
        self.how, self.applied = how, applied


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Calls whose label (`sqs.DeleteMessage orders`) contains `at`, with `*` for anything between, go wrong.

    `times` of them (0: all), after the first `skip`; only those whose URL or body contains `containing`, and for which
    `when` holds, where that is given. `listed` are the keys that a listing still shows (for `lag`).
    """

    at: str
    error: str
    times: int = 0
    skip: int = 0
    containing: str = ""
    when: Callable[[AwsCall], bool] | None = None
    listed: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.error not in (*ERRORS, SLOW):
            raise ValueError(f"{self.error!r} is no fault of an AWS call; there are {', '.join((*ERRORS, SLOW))}")
        for name, must, holds in (
            ("at", 'a part of "service.Operation resource"', isinstance(self.at, str)),
            ("containing", "a text", isinstance(self.containing, str)),
            ("when", "a function of a call", self.when is None or callable(self.when)),
        ):
            if not holds:
                raise TypeError(f"{name} is {getattr(self, name)!r}; it must be {must}")

    def matches(self, label: str, call: AwsCall) -> bool:
        """Whether it is about this call."""
        if not matches(self.at, label) or (self.error == CONFLICT and call.operation not in TRANSACTIONS):
            return False
        if self.containing and self.containing not in unquote(call.url) + call.body.decode("utf-8", "replace"):
            return False
        return self.when is None or self.when(call)


class FaultPlan:
    """The faults that are in force, and which of them were met."""

    def __init__(self) -> None:
        self._active: list[list[int]] = []
        self._faults: list[Fault] = []
        self.met: set[Fault] = set()

    def begin(self, fault: Fault) -> None:
        """From now on."""
        self._faults.append(fault)
        self._active.append([0, 0])

    def end(self, fault: Fault | None = None) -> None:
        """This fault, or every one, is over."""
        kept = [at for at, known in enumerate(self._faults) if fault is not None and known is not fault]
        self._faults, self._active = [self._faults[at] for at in kept], [self._active[at] for at in kept]

    def meet(self, label: str, call: AwsCall) -> Fault | None:
        """The fault this call meets: the first that is about it and not used up."""
        for fault, counts in zip(self._faults, self._active, strict=True):
            if not fault.matches(label, call):
                continue
            counts[0] += 1
            if counts[0] <= fault.skip or (fault.times and counts[1] >= fault.times):
                continue
            counts[1] += 1
            self.met.add(fault)
            return fault
        return None


def carry_out(fault: Fault | None, call: AwsCall, apply: Apply) -> AwsAnswer:
    """What comes back of a call that meets this fault. Raises Unanswered where nothing does."""
    if fault is None or fault.error == SLOW:
        return apply(call)
    error = fault.error
    if error == CONFLICT:
        return canceled(call)
    if error in REFUSED:
        return refusal(error, call)
    if error in UNANSWERED:
        raise Unanswered("reset" if error == "reset" else "timeout", applied=False)
    if error == PIECES:
        return apply(_in_pieces(call))
    if error in ENTRIES:
        return in_part(error, call, apply)
    answer = apply(call)
    if error in ANSWER_LOST:
        raise Unanswered("timeout" if error == "lost" else "reset", applied=True)
    if error == "twice":
        return apply(call)
    if error == LAG:
        return _lagging(answer, fault.listed)
    return answer._replace(body=answer.body[: len(answer.body) // 2])


def refusal(error: str, call: AwsCall) -> AwsAnswer:
    """The answer by which the service refuses a call, in the protocol of the call."""
    service = call.operation.split(".", 1)[0]
    status, code = (S3_CODES if service == "s3" else CODES).get(error) or CODES.get(error) or THROTTLED
    words = f"{code}, by schedule"
    if any(name.lower() == "content-type" and "amz-json" in value for name, value in call.headers):
        body = json.dumps({"__type": f"com.amazonaws.{service}#{code}", "message": words})
        return AwsAnswer(int(status), (("Content-Type", "application/x-amz-json-1.0"),), body.encode())
    inner = f"<Error><Code>{code}</Code><Message>{words}</Message></Error>"
    if service != "s3":
        inner = f"<ErrorResponse>{inner}<RequestId>by-schedule</RequestId></ErrorResponse>"
    return AwsAnswer(int(status), (("Content-Type", "application/xml"),), f"<?xml version='1.0'?>{inner}".encode())


def _in_pieces(call: AwsCall) -> AwsCall:
    parts = urlsplit(call.url)
    query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name != "max-keys"]
    return call._replace(url=urlunsplit(parts._replace(query=urlencode([*query, ("max-keys", str(PIECE))]))))


def _lagging(answer: AwsAnswer, listed: frozenset[str]) -> AwsAnswer:
    """The listing without the keys that are new since then: they are there, and can be read."""

    def known(entry: re.Match[bytes]) -> bytes:
        key = _text(KEY.search(entry[0]))
        return entry[0] if key in listed or unquote(key) in listed else b""  # EncodingType=url, or plain

    def begins_a_known_one(entry: re.Match[bytes]) -> bytes:
        prefix = _text(PREFIX.search(entry[0]))
        there = any(key.startswith(beginning) for key in listed for beginning in (prefix, unquote(prefix)))
        return entry[0] if there else b""

    body = COMMON.sub(begins_a_known_one, ENTRY.sub(known, answer.body))
    count = str(len(ENTRY.findall(body)) + len(COMMON.findall(body))).encode()
    return answer._replace(body=re.sub(rb"<KeyCount>\d+</KeyCount>", b"<KeyCount>" + count + b"</KeyCount>", body))


def _text(found: re.Match[bytes] | None) -> str:
    return html.unescape(found[1].decode()) if found else ""


def can_come_of(error: str, at: str) -> bool:
    """Whether a call of whose label `at` is a part can meet this fault; of a part that names no service, it may."""
    named = SERVICE.match(at)
    operations = ONLY_OF.get(error, ())
    return (
        not named or not operations or any(named[0].startswith(one) or one.startswith(named[0]) for one in operations)
    )


def matches(pattern: str, label: str) -> bool:
    """Whether the parts of a pattern, between its asterisks, stand in a label in their order."""
    at = 0
    for part in pattern.split("*"):
        at = label.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return True
