"""Notifications, and what they travel in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args

from hypothesis import strategies as st

from pytest_quarry.bus import copies, names
from pytest_quarry.contract import (
    ContractError,
    Layout,
    Run,
    lambda_event,
    minimal,
    parse_notification,
    run_completed,
    sns_envelope,
)
from pytest_quarry.strategies import arguments, values
from pytest_quarry.strategies.making import Of, TextLike, run_of

Form = Literal["full", "minimal", "extra", "reordered"]
"""``full``: as Quarry sends it; ``minimal``: as in its guide; ``extra``: unknown fields; ``reordered``: other key order."""

FORMS: tuple[str, ...] = get_args(Form)
Message = Mapping[str, Any]
OfMessages = Message | Sequence[Message] | st.SearchStrategy[Any] | None

_EXTRA = ("schema_hint", "tags", "trace_id", "priority", "parent_run_id")
_ids = st.integers(0, 100)


def notifications(
    *, of: Of = None, form: Form | None = None, root_url: TextLike = None, layout: Layout | str = "lode"
) -> st.SearchStrategy[dict[str, Any]]:
    """Decoded ``run_completed`` messages, each of them legal.

    ``of``: the run it is about, or a strategy of runs; else any run, of any outcome. ``form``: ``full``, ``minimal`` (no
    category, job, attempt or counts; a failure may be called ``error``, as in Quarry's published examples), ``extra``
    (unknown fields), ``reordered``; else any of them. ``root_url``: the storage root, ``file:///…`` or ``s3://…``, as text
    or strategy; ``layout``: ``lode`` or ``flat``.

    Examples shrink to the full form of ``run-1``. Raises InvalidArgument for what cannot be.
    """
    if form is not None:
        arguments.one_of("notifications", "form", form, FORMS)
    arguments.one_of("notifications", "layout", layout, tuple(Layout))
    if isinstance(root_url, str) and not root_url.startswith(("file:///", "s3://")):
        arguments.refuse("notifications", f"root_url is {root_url!r}; give file:///… or s3://bucket[/prefix]")
    default = st.sampled_from(["s3://lake/raw", "file:///lake"])
    roots = arguments.text("notifications", "root_url", root_url, default)
    forms = FORMS if form is None else (form,)
    return _notifications(run_of("notifications", of), forms, roots, Layout(layout))


@st.composite
def _notifications(
    draw: st.DrawFn, of: st.SearchStrategy[Run], forms: tuple[str, ...], roots: st.SearchStrategy[str], layout: Layout
) -> dict[str, Any]:
    run = draw(of)
    form = draw(st.sampled_from(forms))
    published = run.ended_at + timedelta(seconds=draw(st.integers(0, 900)))
    make = minimal if form == "minimal" else run_completed
    message = make(run, root_url=draw(roots), timestamp=_stamp(published, draw(st.integers(0, 2))), layout=layout)
    if form == "minimal" and run.outcome != "success" and draw(st.booleans()):
        message["outcome"] = "error"
    if form == "extra":
        message |= draw(st.dictionaries(st.sampled_from(_EXTRA), values.json_values, min_size=1, max_size=2))
    if form == "reordered":
        message = {key: message[key] for key in draw(st.permutations(list(message)))}
    return message


def _stamp(moment: datetime, how: int) -> str:
    """A time as JSON has it; every way is ISO 8601 in UTC."""
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds" if how == 1 else "seconds")
    return text if how == 2 else text.replace("+00:00", "Z")


def sns_envelopes(
    *, of: OfMessages = None, attributes: bool | None = None, topic_arn: str = names.TOPIC_ARN
) -> st.SearchStrategy[dict[str, Any]]:
    """What SNS puts around notifications for SQS, decoded: ``Message`` is the notification's JSON.

    ``of``: a notification, several to choose from, or a strategy; else any. ``attributes``: with message attributes
    ``run_id``, ``source``, ``outcome`` or without; else either. Raises InvalidArgument for what cannot be.
    """
    if topic_arn.count(":") != 5:
        arguments.refuse("sns_envelopes", f"topic_arn is {topic_arn!r}; give arn:aws:sns:region:account:name")
    return _sns_envelopes(_one("sns_envelopes", of), attributes, topic_arn)


@st.composite
def _sns_envelopes(
    draw: st.DrawFn, of: st.SearchStrategy[Message], attributes: bool | None, topic_arn: str
) -> dict[str, Any]:
    message = draw(of)
    told = parse_notification(message)
    wanted = {"run_id": told.run_id, "source": told.source, "outcome": told.outcome}
    given = draw(st.sampled_from([True, False])) if attributes is None else attributes
    sent = datetime.fromisoformat(told.timestamp) + timedelta(milliseconds=draw(st.integers(0, 5000)))
    return sns_envelope(
        _text(message, draw(st.sampled_from([True, False]))),
        message_id=copies.identifier(copies.number_of(message) + draw(_ids)),
        topic_arn=topic_arn,
        timestamp=_stamp(sent, 1),
        attributes={name: {"DataType": "String", "StringValue": value} for name, value in wanted.items()}
        if given
        else None,
        subject=draw(st.none() | st.just("run completed")),
    )


def _text(message: Message, plain: bool) -> str:
    return json.dumps(message) if plain else json.dumps(message, ensure_ascii=False, separators=(",", ":"))


def lambda_events(
    *, of: OfMessages = None, min_records: int = 1, max_records: int = 3, raw: bool | None = None
) -> st.SearchStrategy[dict[str, Any]]:
    """What a Lambda function gets from SQS: a batch of records, each with a notification.

    ``of``: a notification, several (all of them, in this order, in one batch), or a strategy; else any. From a strategy
    ``min_records`` to ``max_records`` (10 at most), of different runs, are drawn. ``raw``: raw message delivery, without
    SNS's envelope in the record's body; else either. Message ids are of one batch only: redeliveries of one message
    are what `duplicates` and `deliveries` draw.

    Examples shrink to the fewest records, in envelopes. Raises InvalidArgument for what cannot be.
    """
    arguments.between("lambda_events", "records", min_records, max_records, floor=1)
    arguments.count("lambda_events", "max_records", max_records, least=1, most=10)
    return _lambda_events(_several("lambda_events", of, min_records, max_records), raw)


@st.composite
def _lambda_events(draw: st.DrawFn, of: st.SearchStrategy[Sequence[Message]], raw: bool | None) -> dict[str, Any]:
    bare = draw(st.booleans()) if raw is None else raw
    base = draw(_ids)
    receives = st.integers(1, 9)
    return lambda_event(
        copies.record(message, number=copies.number_of(message) + base + 2 * place, receives=draw(receives), raw=bare)
        for place, message in enumerate(draw(of))
    )


def _one(where: str, of: OfMessages) -> st.SearchStrategy[Message]:
    """A strategy of single notifications."""
    if of is None:
        return notifications()
    if isinstance(of, st.SearchStrategy):
        return of.map(lambda message: _valid(where, message))
    return st.sampled_from(listed(where, of))


def _several(where: str, of: OfMessages, least: int, most: int) -> st.SearchStrategy[Sequence[Message]]:
    """A strategy of batches of notifications."""
    if of is None or isinstance(of, st.SearchStrategy):
        return st.lists(_one(where, of), min_size=least, max_size=most, unique_by=lambda message: message["run_id"])
    found = listed(where, of)
    if len(found) > 10:
        arguments.refuse(where, f"of has {len(found)} notifications; a batch of SQS has ten at most")
    return st.just(found)


def listed(where: str, of: object) -> list[Message]:
    """The notifications given, one or several, each checked."""
    found = (
        [of] if isinstance(of, Mapping) else list(of) if isinstance(of, Sequence) and not isinstance(of, str) else []
    )
    if not found:
        arguments.refuse(where, f"of is {of!r}; give a notification, a list of them, or a strategy as notifications()")
    return [_valid(where, message) for message in found]


def _valid(where: str, message: Any) -> Message:
    try:
        parse_notification(message)
    except ContractError as error:
        arguments.refuse(where, f"of has {message!r}, which is no notification: {error}")
    return dict(message)
