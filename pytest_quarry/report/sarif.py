"""The session as SARIF 2.1.0, for code scanning: a rule for each check, a result for each that did not pass."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pytest_quarry.checks.production import in_short
from pytest_quarry.report.record import Record, plain
from pytest_quarry.report.session import Session, file_of
from pytest_quarry.report.shown import shown, shown_lines

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS = {"critical": "error", "high": "error", "medium": "warning", "advice": "note"}


def text(session: Session) -> str:
    """The text of the file."""
    return json.dumps(document(session), indent=1, ensure_ascii=False) + "\n"


def document(session: Session) -> dict[str, Any]:
    """The log, as plain data."""
    rules = {record.id: record for record in session.records}
    places = {check_id: place for place, check_id in enumerate(rules)}
    driver = {
        "name": "pytest-quarry",
        "version": session.version,
        "semanticVersion": session.version,
        "rules": [_rule(record) for record in rules.values()],
    }
    results = [
        _result(record, places[record.id], session.below)
        for record in session.records
        if record.status not in ("passed", "skipped")
    ]
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": results,
        "properties": {"profile": session.profile, "catalogue": session.catalogue, "seed": session.seed},
    }
    found: dict[str, Any] = plain({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]})
    return found


def _rule(record: Record) -> dict[str, Any]:
    return {
        "id": record.id,
        "name": "".join(part.capitalize() for part in record.slug.split("-")),
        "shortDescription": {"text": record.states},
        "help": {"text": in_short(record.id) or record.states},
        "defaultConfiguration": {"level": LEVELS[record.severity]},
        "properties": {"tags": ["quarry", record.severity], "docs": record.docs},
    }


def _result(record: Record, rule: int, below: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "ruleId": record.id,
        "ruleIndex": rule,
        "level": LEVELS[record.severity] if record.status == "failed" else "warning",
        "message": {"text": "\n".join(_words(record)) or record.states},
        "locations": [_location(record, below)],
        "partialFingerprints": {"quarryCheckAndItem/v1": f"{record.id} {record.item}"},
        "properties": {"status": record.status, "severity": record.severity},
    }
    if record.status == "known":
        found["suppressions"] = [{"kind": "inSource", "justification": record.reason}]
    return found


def _words(record: Record) -> Iterator[str]:
    failure = record.failure
    if failure is not None:
        yield from (shown_lines(part) for part in (failure.sentence, failure.why, failure.fix) if part)
        if failure.replay:
            yield "replay: " + shown(failure.replay)
    elif record.reason:
        yield shown_lines(record.reason)


def _location(record: Record, below: str) -> dict[str, Any]:
    from urllib.parse import quote

    uri = quote(plain(file_of(record, below)), safe="/~+=@")
    return {
        "physicalLocation": {"artifactLocation": {"uri": uri}, "region": {"startLine": 1}},
        "logicalLocations": [{"fullyQualifiedName": record.item, "kind": "function"}],
    }
