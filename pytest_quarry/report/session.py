"""A whole session for the reports: its records, and what they were made under."""

from __future__ import annotations

import datetime
import os
import posixpath
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest_quarry
from pytest_quarry.report.record import STATUSES, Record, Status

if TYPE_CHECKING:
    import pytest

DISTURBING: tuple[Status, ...] = ("failed", "inconclusive")


@dataclass(frozen=True, kw_only=True)
class Session:
    """The records of a session. `created` in UTC; `catalogue` is the version of the catalogue of checks.

    `not_run` counts the checks of the profile that its consumers were not given at all: deselected, or not reached. `below`: where
    pytest's root folder is in GitHub's checkout.
    """

    records: tuple[Record, ...]
    profile: str = "full"
    seed: int = 0
    strict: bool = False
    budget: float | None = None
    catalogue: int = 1
    version: str = pytest_quarry.__version__
    created: str = ""
    not_run: int = 0
    below: str = ""

    @property
    def counts(self) -> dict[Status, int]:
        """How many records there are of each status."""
        found = Counter(record.status for record in self.records)
        return {status: found[status] for status in STATUSES}

    @property
    def conforms(self) -> bool:
        """Whether there is something to say, and nothing against it."""
        return bool(self.records) and not any(record.status in DISTURBING for record in self.records)


def session_of(config: pytest.Config, records: Sequence[Record]) -> Session:
    """What pytest's options say of the session."""
    from pytest_quarry.checks.catalogue import CATALOGUE_VERSION

    options: Any = config.option
    return Session(
        records=tuple(records),
        profile=options.quarry_profile,
        seed=options.quarry_seed or 0,
        strict=options.quarry_strict,
        budget=options.quarry_budget,
        catalogue=CATALOGUE_VERSION,
        created=created(),
        not_run=not_run(records, options.quarry_profile),
        below=below_checkout(config.rootpath),
    )


def below_checkout(root: Path) -> str:
    """Where pytest's root folder is in what GitHub has checked out; empty where that is not known, or does not hold it."""
    checkout = os.environ.get("GITHUB_WORKSPACE")
    if not checkout or not root.resolve().is_relative_to(Path(checkout).resolve()):
        return ""
    return root.resolve().relative_to(Path(checkout).resolve()).as_posix()


def file_of(record: Record, below: str) -> str:
    """The file that a record belongs to, as GitHub names it: from its checkout's folder."""
    return posixpath.normpath(posixpath.join(below, record.item.partition("::")[0]))


def not_run(records: Sequence[Record], profile: str) -> int:
    """How many checks of a profile the consumers of these records were not given."""
    from pytest_quarry.checks.production import checks_by_id

    checks = checks_by_id()
    ran: dict[str, set[str]] = {}
    for record in records:
        ran.setdefault(record.consumer, set()).add(record.id)
    found = 0
    for ids in ran.values():
        known = [checks[each] for each in ids if each in checks]
        kinds = set.intersection(*(set(check.kinds) for check in known)) if known else set()
        wanted = [{each.id for each in checks.values() if kind in each.kinds and each.is_in(profile)} for kind in kinds]
        found += min((len(each - ids) for each in wanted), default=0)
    return found


def created() -> str:
    """Now, or SOURCE_DATE_EPOCH, for files that are to be the same byte by byte."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    moment = datetime.datetime.fromtimestamp(int(epoch), datetime.UTC) if epoch.isdecimal() else None
    return (moment or datetime.datetime.now(datetime.UTC)).isoformat(timespec="seconds")


def words_of(counts: dict[Status, int]) -> str:
    """`19 passed, 1 failed, 2 skipped`: what there is of each status."""
    return ", ".join(f"{count} {status}" for status, count in counts.items() if count) or "no checks"
