"""The catalogue of checks. An id is for ever: never reused, never renumbered."""

from __future__ import annotations

from pytest_quarry.checks.catalogue_event_bus import EVENT_BUS_CHECKS
from pytest_quarry.checks.catalogue_poller import POLLER_CHECKS
from pytest_quarry.checks.catalogue_publisher import PUBLISHER_CHECKS
from pytest_quarry.checks.catalogue_reading import READING_CHECKS
from pytest_quarry.checks.check import Check as Check
from pytest_quarry.consumers.consumer import Kind

# Goes up when a check is added, split or retired, or judges otherwise than before.
CATALOGUE_VERSION = 1

CATALOGUE: tuple[Check, ...] = (*EVENT_BUS_CHECKS, *POLLER_CHECKS, *READING_CHECKS, *PUBLISHER_CHECKS)

BY_ID = {check.id: check for check in CATALOGUE}


# A team's own checks, by id, as the decorator `check` registers them.
OWN: dict[str, Check] = {}


def by_id() -> dict[str, Check]:
    """The checks of the catalogue and a team's own, in that order."""
    return {**BY_ID, **OWN}


def of_kind(kind: Kind) -> tuple[Check, ...]:
    """The checks that apply to a kind of consumer, in the catalogue's order, a team's own at the end."""
    return tuple(check for check in by_id().values() if kind in check.kinds)


def listing() -> str:
    """All checks as a table for people: id, slug, severity, kinds, what it states."""
    checks = by_id().values()
    ids, slugs = max(len(check.id) for check in checks), max(len(check.slug) for check in checks)
    return "\n".join(
        f"{check.id:<{ids}}  {check.slug:<{slugs}}  {check.severity:<8}  {' '.join(check.kinds):<16}  {check.states}"
        for check in checks
    )
