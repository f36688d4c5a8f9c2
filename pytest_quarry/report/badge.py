"""A badge that promises no more than was tried: profile, version of the catalogue, and how much was left out."""

from __future__ import annotations

import json
from html import escape

from pytest_quarry.report.session import Session

LABEL = "quarry"
COLOURS = {"good": "#2e7d4f", "partly": "#8a6d00", "bad": "#b3261e", "nothing": "#5f6670"}
# Widths of Verdana at 11 px, roughly, by kind of character: a badge needs no more.
NARROW, WIDE = frozenset("fijlrtI.,:;|()[]'! "), frozenset("mwMW%@")


def message(session: Session) -> str:
    """`full 1: conforms, 2 skipped`."""
    if not session.records:
        return "no checks ran"
    words = "conforms" if session.conforms else "does not conform"
    beside = [(session.counts["known"], "known"), (session.counts["skipped"], "skipped")]
    short = "".join(f", {count} {what}" for count, what in beside if count)
    short += f", {session.not_run} not run" if session.not_run else ""
    cut = ", budget ended" if any(record.status == "passed" and record.reason for record in session.records) else ""
    return f"{session.profile} {session.catalogue}: {words}{short}{cut}"


def colour(session: Session) -> str:
    """Green where everything was tried and held."""
    if not session.records:
        return COLOURS["nothing"]
    if not session.conforms:
        return COLOURS["bad"]
    whole = (
        not session.counts["known"]
        and not session.not_run
        and not any(r.reason for r in session.records if r.status == "passed")
    )
    return COLOURS["good" if whole else "partly"]


def endpoint(session: Session) -> str:
    """What shields.io's endpoint badge reads."""
    data = {
        "schemaVersion": 1,
        "label": LABEL,
        "message": message(session),
        "color": colour(session),
        "isError": not session.conforms,
    }
    return json.dumps(data) + "\n"


def svg(session: Session) -> str:
    """The badge as an image."""
    words = message(session)
    left, right = _width(LABEL), _width(words)
    title = escape(f"{LABEL}: {words}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" aria-label="{title}">\n'
        f"<title>{title}</title>\n"
        f'<rect width="{left + right}" height="20" rx="3" fill="#3d444d"/>\n'
        f'<path d="M{left} 0h{right - 3}a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3h-{right - 3}z" fill="{colour(session)}"/>\n'
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">\n'
        f'<text x="6" y="14" textLength="{left - 12}">{escape(LABEL)}</text>\n'
        f'<text x="{left + 6}" y="14" textLength="{right - 12}">{escape(words)}</text>\n'
        "</g>\n</svg>\n"
    )


def _width(text: str) -> int:
    return 12 + round(sum(4 if c in NARROW else 10 if c in WIDE else 6.8 for c in text))
