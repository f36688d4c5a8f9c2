"""One self-contained page: the summary as plain HTML, each failure drawn by a script when it is opened.

Nothing of a consumer's reaches the page as markup: the summary is escaped here, the rest is JSON that the script puts into
text nodes only. A policy in the page forbids everything that is not in it, so that nothing is fetched whatever it holds.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import MISSING, asdict, fields
from html import escape
from importlib.resources import files as packaged
from typing import Any

from pytest_quarry.report.record import STATUSES, Record, Step, plain
from pytest_quarry.report.session import Session, words_of
from pytest_quarry.report.shown import shown

STEP = tuple(field.name for field in fields(Step))
USUAL = {field.name: field.default for field in fields(Step) if field.default is not MISSING}
OUT_OF_JSON: dict[str, int | str | None] = {
    "<": "\\u003c",
    ">": "\\u003e",
    "&": "\\u0026",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
}


def page(session: Session) -> str:
    """The text of the page."""
    style, script = _asset("page.css"), _asset("page.js")
    policy = f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    values = {
        "policy": policy,
        "style": style,
        "script": script,
        "title": "Quarry conformance",
        "verdict": _verdict(session),
        "tone": "nothing" if not session.records else "good" if session.conforms else "bad",
        "about": _about(session),
        "bar": _bar(session),
        "counts": "".join(_count(session, status) for status in STATUSES),
        "checks": "".join(_consumer(name, records) for name, records in _by_consumer(session)),
        "data": in_script([_story(record) for record in session.records]),
    }
    return re.sub(
        r"\{\{(\w+)\}\}", lambda place: values[place[1]], _asset("page.html")
    )  # in one go: no value is looked into


def in_script(value: Any) -> str:
    """JSON that ends no script element, opens no comment, and is no markup whatever it holds."""
    text = json.dumps(plain(value), ensure_ascii=False, separators=(",", ":"))
    return text.translate(str.maketrans(OUT_OF_JSON))


def _story(record: Record) -> dict[str, Any] | None:
    """What the script draws of a record."""
    if record.failure is None:
        return None
    failure = record.failure
    story = {field.name: getattr(failure, field.name) for field in fields(failure)}
    story["steps"] = [_short(step) for step in failure.steps]
    story["rows"] = [asdict(row) for row in failure.rows]
    return {**story, "check": {"id": record.id, "states": record.states, "docs": record.docs}}


def _short(step: Step) -> dict[str, Any]:
    """A step less what is as always, which the script knows: a page with hundreds of histories stays light."""
    found = {name: value for name in STEP if (value := getattr(step, name)) != USUAL.get(name, MISSING)}
    return found if step.message is None else {**found, "message": asdict(step.message)}


def _asset(name: str) -> str:
    return packaged("pytest_quarry.report").joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _verdict(session: Session) -> str:
    if not session.records:
        return "No check ran"
    return "Conforms" if session.conforms else "Does not conform"


def _about(session: Session) -> str:
    parts = [
        words_of(session.counts),
        f"{session.not_run} not run" if session.not_run else "",
        f"profile {session.profile}",
        f"catalogue {session.catalogue}",
        f"seed {session.seed}",
        f"pytest-quarry {session.version}",
        session.created,
    ]
    return " · ".join(escape(part) for part in parts if part)


def _count(session: Session, status: Any) -> str:
    count = session.counts[status]
    return (
        f'<label class="count {status}"><input type="checkbox" name="status" value="{status}" checked>'
        f"<b>{count}</b> {status}</label>"
        if count
        else ""
    )


def _bar(session: Session) -> str:
    """How many checks ended how, as one bar; the filters below it say the same in words."""
    total, at, parts = len(session.records), 0.0, []
    for status in STATUSES:
        share = 100 * session.counts[status] / total if total else 0
        if share:
            parts.append(f'<rect class="{status}" x="{at:.2f}%" width="{share:.2f}%" height="8"/>')
        at += share
    return f'<svg class="bar" height="8" aria-hidden="true">{"".join(parts)}</svg>' if parts else ""


def _by_consumer(session: Session) -> Iterator[tuple[str, list[tuple[int, Record]]]]:
    found: dict[str, list[tuple[int, Record]]] = {}
    for number, record in enumerate(session.records):
        found.setdefault(record.consumer, []).append((number, record))
    yield from found.items()


def _consumer(name: str, records: list[tuple[int, Record]]) -> str:
    rows = "".join(_row(number, record) for number, record in records)
    return f'<section class="consumer"><h2><bdi>{_text(name)}</bdi></h2><ul class="checks">{rows}</ul></section>'


def _row(number: int, record: Record) -> str:
    """One check: what there is to open is a `details`, which works without a script too."""
    what = record.failure.sentence if record.failure else record.states
    beside = [record.reason] if record.reason else []
    if record.not_exercised:
        beside.append("Not exercised: " + "; ".join(record.not_exercised))
    head = (
        f'<span class="status {record.status}">{record.status}</span>'
        f'<span class="name"><b>{_text(record.id)}</b> {_text(record.name)}</span>'
        f'<span class="what"><bdi>{_text(what)}</bdi>{"".join(f"<small><bdi>{_text(text)}</bdi></small>" for text in beside)}</span>'
        f'<span class="severity">{_text(record.severity)}</span>'
        f'<span class="cost">{record.schedules:,} schedule{"" if record.schedules == 1 else "s"}, {record.seconds:.1f} s</span>'
    )
    if record.failure is None:
        return f'<li class="check" data-status="{record.status}"><div class="head">{head}</div></li>'
    return (
        f'<li class="check" data-status="{record.status}"><details id="check-{number}" data-failure="{number}">'
        f'<summary class="head">{head}</summary><div class="story"><p class="without-script">{_text(record.failure.fix)}</p>'
        "</div></details></li>"
    )


def _text(text: str) -> str:
    return escape(shown(text))
