"""Two JSON reports, one after the other: what fails now, what is fixed, what became slower."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_quarry.report.machine import VERSION
from pytest_quarry.report.record import Record
from pytest_quarry.report.session import DISTURBING

SLOWER = 1.5  # times as long as before, and
LEAST = 1.0  # seconds longer: less is noise

Key = tuple[str, str]


class DiffError(ValueError):
    """A file that is no report of ours; the words say what is wrong with it."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What changed from one report to the other. `unseen`: checks of the old one that the new one lacks."""

    failing: tuple[Record, ...]
    fixed: tuple[Record, ...]
    slower: tuple[tuple[Record, Record], ...]
    left_out: tuple[Record, ...]
    unseen: tuple[Record, ...]
    still: int

    @property
    def worse(self) -> bool:
        """Whether something fails that did not."""
        return bool(self.failing)


def read(path: Path) -> dict[Key, Record]:
    """The records of a JSON report, by item and check. Raises DiffError."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DiffError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise DiffError(f"{path}: is not whole JSON ({error})") from None
    if not isinstance(data, dict) or "checks" not in data:
        raise DiffError(f"{path}: is no report of pytest-quarry; write one with --quarry-report json:FILE")
    if data.get("schema") != VERSION:
        raise DiffError(f"{path}: is of schema {data.get('schema')!r}; this pytest-quarry reads schema {VERSION}")
    try:
        records = [Record.from_json(check) for check in data["checks"]]
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise DiffError(f"{path}: a check in it cannot be read ({error})") from None
    return {(record.item, record.id): record for record in records}


def difference(old: dict[Key, Record], new: dict[Key, Record]) -> Difference:
    """What changed. A check that is new and fails is newly failing; one that is skipped now is not fixed."""
    both = [(old[key], record) for key, record in new.items() if key in old]
    bad = {key for key, record in old.items() if record.status in (*DISTURBING, "known")}
    return Difference(
        failing=tuple(record for key, record in new.items() if record.status in DISTURBING and not _bad(old.get(key))),
        fixed=tuple(record for key, record in new.items() if key in bad and record.status == "passed"),
        slower=tuple((before, now) for before, now in both if _slower(before, now)),
        left_out=tuple(now for before, now in both if now.status == "skipped" and before.status != "skipped"),
        unseen=tuple(record for key, record in old.items() if key not in new),
        still=sum(_bad(before) and _bad(now) for before, now in both),
    )


def _bad(record: Record | None) -> bool:
    return record is not None and record.status in DISTURBING


def _slower(before: Record, now: Record) -> bool:
    return (
        before.status == now.status == "passed"
        and now.seconds > before.seconds * SLOWER
        and now.seconds > before.seconds + LEAST
    )


def lines(found: Difference) -> Iterator[str]:
    """The difference in words."""
    parts: list[tuple[str, tuple[Record, ...], Callable[[Record], str]]] = [
        ("newly failing", found.failing, lambda record: record.failure.sentence if record.failure else record.reason),
        ("fixed", found.fixed, lambda record: ""),
        ("skipped now", found.left_out, lambda record: record.reason),
        ("not in the new report", found.unseen, lambda record: ""),
    ]
    for title, records, words in parts:
        yield from _part(title, [(record, words(record)) for record in records])
    slower = [(now, f"{before.seconds:.1f} s, now {now.seconds:.1f} s") for before, now in found.slower]
    yield from _part("slower", slower)
    if found.still:
        yield f"{found.still} still failing"
    if not any((found.failing, found.fixed, found.left_out, found.unseen, found.slower, found.still)):
        yield "no difference"


def _part(title: str, records: list[tuple[Record, str]]) -> Iterator[str]:
    if records:
        yield f"{title}: {len(records)}"
        for record, words in records:
            yield f"  {record.title}  {record.consumer}" + (f"\n      {words.splitlines()[0]}" if words else "")


def run(old: str, new: str) -> int:
    """The command `diff`: prints the difference; 0, or 1 where something fails that did not, or 2 for a bad file."""
    import sys

    try:
        found = difference(read(Path(old)), read(Path(new)))
    except DiffError as error:
        print(f"quarry-conformance diff: {error}", file=sys.stderr)
        return 2
    print("\n".join(lines(found)))
    return 1 if found.worse else 0
