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

# The order in which a suite plays them: what convicts most of the samples that those before it let pass, for the seconds it takes,
# comes first. Computed by benchmarks/order.py.
SOONEST: dict[Kind, str] = {
    "event-bus": "EB06 EB03 EB14 EB07 EB04 EB05 EB18 EB15 EB21 EB11 EB12 EB16 EB19 RD02 EB13 RD07 EB08 EB20 EB10 RD03 EB09 EB17 RD04 "
    "EB22 RD01 RD05 RD06 RD08 EB02 EB01",
    "poller": "PO05 PO11 RD01 RD05 PO01 PO08 PO02 PO03 PO06 RD08 PO07 PO04 RD07 PO13 PO12 PO10 PO09 RD03 RD02 RD06 RD04",
    "publisher": "PB06 PB02 PB05 PB03 PB04 PB01",
}

# A team's own checks, by id, as the decorator `check` registers them.
OWN: dict[str, Check] = {}


def by_id() -> dict[str, Check]:
    """The checks of the catalogue and a team's own, in that order."""
    return {**BY_ID, **OWN}


def of_kind(kind: Kind) -> tuple[Check, ...]:
    """The checks that apply to a kind of consumer, in the catalogue's order, a team's own at the end."""
    return tuple(check for check in by_id().values() if kind in check.kinds)


def soonest_first(kind: Kind) -> tuple[Check, ...]:
    """The same in the order in which a suite plays them, so that what is wrong is found early; a team's own at the end."""
    places = {check: place for place, check in enumerate(SOONEST[kind].split())}
    return tuple(sorted(of_kind(kind), key=lambda check: places.get(check.id, len(places))))


def listing() -> str:
    """All checks as a table for people: id, slug, severity, kinds, what it states."""
    checks = by_id().values()
    ids, slugs = max(len(check.id) for check in checks), max(len(check.slug) for check in checks)
    return "\n".join(
        f"{check.id:<{ids}}  {check.slug:<{slugs}}  {check.severity:<8}  {' '.join(check.kinds):<16}  {check.states}"
        for check in checks
    )
