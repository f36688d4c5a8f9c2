"""A batch of which AWS takes only a part: SNS, or DynamoDB, answers with status 200, and lists the rest.

"you should check for batch errors even when the call returns an HTTP status code of 200" (SNS API Reference, PublishBatch)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qsl, urlencode
from xml.sax.saxutils import escape

from pytest_quarry.bus import unprocessed
from pytest_quarry.bus.calls import AwsAnswer, AwsCall, answered_with, with_body

PUBLISH_BATCH = "sns.PublishBatch"
# The query protocol numbers what is in a list from 1 (AWS Query: "MessageAttributes.entry.N.Name").
BATCH = "PublishBatchRequestEntries.member."
# What is not taken of a batch, by the name of the fault.
ENTRIES: dict[str, slice] = {"entries": slice(None), "first-entry": slice(1), "last-entry": slice(-1, None)}
IN_PART = (PUBLISH_BATCH, *unprocessed.UNPROCESSED)
FAILED = re.compile(rb"<Failed\s*/>|</Failed>")
NOTHING_TAKEN = (
    b'<PublishBatchResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishBatchResult><Successful/><Failed/>'
    b"</PublishBatchResult><ResponseMetadata><RequestId>by-schedule</RequestId></ResponseMetadata></PublishBatchResponse>"
)


def in_part(what: str, call: AwsCall, apply: Callable[[AwsCall], AwsAnswer]) -> AwsAnswer:
    """What comes back of a batch that is taken without these entries; of another call, what would have anyway."""
    if call.operation in unprocessed.UNPROCESSED:
        return unprocessed.in_part(ENTRIES[what], call, apply)
    if call.operation == PUBLISH_BATCH:
        return _published(ENTRIES[what], call, apply)
    return apply(call)


def _published(which: slice, call: AwsCall, apply: Callable[[AwsCall], AwsAnswer]) -> AwsAnswer:
    fields = dict(parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True))
    entries = members(fields, BATCH)
    refused = entries[which]
    taken = [entry for entry in entries if entry not in refused]
    answer = AwsAnswer(200, (("Content-Type", "text/xml"),), NOTHING_TAKEN)
    if taken or not entries:
        answer = apply(_with_entries(call, fields, taken))
    return answer if answer.status != 200 else _listing(answer, [fields.get(f"{entry}Id", "") for entry in refused])


def members(fields: Mapping[str, str], prefix: str) -> list[str]:
    """The prefixes of a list's members, in their order."""
    numbers = {name[len(prefix) :].partition(".")[0] for name in fields if name.startswith(prefix)}
    return [f"{prefix}{number}." for number in sorted(numbers, key=int)]


def _with_entries(call: AwsCall, fields: Mapping[str, str], entries: Sequence[str]) -> AwsCall:
    """The call with these of its entries, numbered anew."""
    kept = [(name, value) for name, value in fields.items() if not name.startswith(BATCH)]
    for number, entry in enumerate(entries, 1):
        kept += [
            (f"{BATCH}{number}.{name.removeprefix(entry)}", value)
            for name, value in fields.items()
            if name.startswith(entry)
        ]
    return with_body(call, urlencode(kept).encode())


def _listing(answer: AwsAnswer, failed: Sequence[str]) -> AwsAnswer:
    """The answer, with these entries under Failed too."""
    error = "<Code>InternalError</Code><Message>InternalError, by schedule</Message><SenderFault>false</SenderFault>"
    listed = "".join(f"<member><Id>{escape(entry)}</Id>{error}</member>" for entry in failed).encode()

    def with_them(found: re.Match[bytes]) -> bytes:
        return listed + b"</Failed>" if found[0] == b"</Failed>" else b"<Failed>" + listed + b"</Failed>"

    return answered_with(answer, FAILED.sub(with_them, answer.body))
