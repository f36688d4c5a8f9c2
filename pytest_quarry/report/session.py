"""A whole session for the reports: its records, and what they were made under."""

from __future__ import annotations

import datetime
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest_quarry
from pytest_quarry.report.record import STATUSES, Record, Status

if TYPE_CHECKING:
    import pytest

DISTURBING: tuple[Status, ...] = ("failed", "inconclusive")


@dataclass(frozen=True, kw_only=True)
class Session:
    """The records of a session. `created` in UTC; `catalogue` is the version of the catalogue of checks."""

    records: tuple[Record, ...]
    profile: str = "full"
    seed: int = 0
    strict: bool = False
    budget: float | None = None
    catalogue: int = 1
    version: str = pytest_quarry.__version__
    created: str = ""

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
        seed=options.quarry_seed,
        strict=options.quarry_strict,
        budget=options.quarry_budget,
        catalogue=CATALOGUE_VERSION,
        created=created(),
    )


def created() -> str:
    """Now, or SOURCE_DATE_EPOCH, for files that are to be the same byte by byte."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    moment = datetime.datetime.fromtimestamp(int(epoch), datetime.UTC) if epoch.isdecimal() else None
    return (moment or datetime.datetime.now(datetime.UTC)).isoformat(timespec="seconds")


def words_of(counts: dict[Status, int]) -> str:
    """`19 passed, 1 failed, 2 skipped`: what there is of each status."""
    return ", ".join(f"{count} {status}" for status, count in counts.items() if count) or "no checks"
