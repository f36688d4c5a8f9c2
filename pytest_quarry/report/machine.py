"""The session for machines: JSON by the schema that is beside this module."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from pytest_quarry.report.record import plain
from pytest_quarry.report.session import Session

VERSION = 1


def document(session: Session) -> dict[str, Any]:
    """The session as plain data; `schema` is the version of its form."""
    return {
        "schema": VERSION,
        "pytest_quarry": session.version,
        "catalogue": session.catalogue,
        "created": session.created,
        "profile": session.profile,
        "seed": session.seed,
        "strict": session.strict,
        "budget": session.budget,
        "conforms": session.conforms,
        "counts": plain(session.counts),
        "not_run": session.not_run,
        "checks": [record.to_json() for record in session.records],
    }


def text(session: Session) -> str:
    """The document as the text of a file."""
    return json.dumps(document(session), indent=1, ensure_ascii=False) + "\n"


def schema() -> Mapping[str, Any]:
    """The JSON Schema of the document."""
    found: Mapping[str, Any] = json.loads(files("pytest_quarry.report").joinpath("schema.json").read_text("utf-8"))
    return found
