"""`--quarry-report KIND:FILE`: which reports are wanted, and where."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_quarry.report.session import Session


def _html(session: Session, file: Path) -> str:
    from pytest_quarry.report import html

    return html.page(session)


def _json(session: Session, file: Path) -> str:
    from pytest_quarry.report import machine

    return machine.text(session)


def _sarif(session: Session, file: Path) -> str:
    from pytest_quarry.report import sarif

    return sarif.text(session)


def _badge(session: Session, file: Path) -> str:
    from pytest_quarry.report import badge

    return badge.svg(session) if file.suffix == ".svg" else badge.endpoint(session)


# Imported when they are asked for: most sessions want none.
KINDS: dict[str, Callable[[Session, Path], str]] = {"html": _html, "json": _json, "sarif": _sarif, "badge": _badge}


@dataclass(frozen=True)
class Target:
    """One report that is wanted: its kind, its file, and how it was asked for."""

    kind: str
    file: Path
    given: str

    def write(self, session: Session) -> None:
        """Write the report; its folder is made where it is not there. Raises OSError."""
        text = KINDS[self.kind](session, self.file)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(text, encoding="utf-8", newline="\n")


def targets(options: Sequence[str], folder: Path) -> list[Target]:
    """What `--quarry-report` asks for; raises UsageError naming what is wrong, and what would do."""
    found: list[Target] = []
    for given in options:
        kind, colon, name = given.partition(":")
        if kind not in KINDS or not colon:
            raise _bad(given, f"is not KIND:FILE, where KIND is one of {', '.join(KINDS)}: html:quarry.html")
        if not name.strip():
            raise _bad(given, f"names no file: {kind}:quarry.{'svg' if kind == 'badge' else kind}")
        target = Target(kind, Path(os.path.abspath(folder / name)), given)
        _check_file(target)
        if any(other.file == target.file for other in found):
            raise _bad(given, "names the same file as another --quarry-report; give each a file of its own")
        found.append(target)
    return found


def _check_file(target: Target) -> None:
    if target.kind == "badge" and target.file.suffix not in (".svg", ".json"):
        raise _bad(target.given, "must end with .svg (an image) or .json (an endpoint for shields.io)")
    if target.file.is_dir():
        raise _bad(target.given, f"is a folder; name a file in it: {target.given.rstrip('/')}/quarry.{target.kind}")
    above = next(folder for folder in target.file.parents if folder.exists())
    if not above.is_dir():
        raise _bad(target.given, f"cannot be made: {above} is no folder")
    if not os.access(target.file if target.file.exists() else above, os.W_OK):
        raise _bad(
            target.given, f"cannot be written: no permission at {target.file if target.file.exists() else above}"
        )


def _bad(given: str, words: str) -> pytest.UsageError:
    return pytest.UsageError(f"--quarry-report {given}: {words}")
