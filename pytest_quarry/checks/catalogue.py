"""The catalogue of checks. An id is for ever: never reused, never renumbered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from pytest_quarry.checks import crashes, event_bus, poller, reading
from pytest_quarry.checks.stage import Stage
from pytest_quarry.consumers.consumer import Kind
from pytest_quarry.simulation.schedule import Schedule

Severity = Literal["critical", "high", "medium", "advice"]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check: what it states, what the world does, which oracles judge, and the usual fix."""

    id: str
    slug: str
    states: str
    disturbance: str
    oracles: str
    severity: Severity
    kinds: tuple[Kind, ...]
    schedules: Callable[[Stage], Iterator[Schedule]]
    fix: str

    @property
    def test_name(self) -> str:
        """The name of its pytest item."""
        return "test_" + self.slug.replace("-", "_")

    @property
    def title(self) -> str:
        """Its id and slug, as reports name it."""
        return f"{self.id} {self.slug}"


BUS: tuple[Kind, ...] = ("event-bus",)
POLLER: tuple[Kind, ...] = ("poller",)
EVERY: tuple[Kind, ...] = ("event-bus", "poller")

CATALOGUE: tuple[Check, ...] = (
    Check(
        id="EB01",
        slug="redelivery",
        states="A notification delivered again loads nothing again.",
        disturbance="delivers the same message again, later and inside the same batch",
        oracles="DL",
        severity="critical",
        kinds=BUS,
        schedules=event_bus.redelivery,
        fix="Remember durably which runs are loaded, or upsert by (run_id, event_id).",
    ),
    Check(
        id="EB03",
        slug="restart",
        states="What was loaded before a restart is not loaded again after it.",
        disturbance="restarts the consumer, then delivers again",
        oracles="DL",
        severity="critical",
        kinds=BUS,
        schedules=event_bus.restart,
        fix="A set in memory forgets at every restart: keep the processed run ids where the rows are.",
    ),
    Check(
        id="EB04",
        slug="crash-loses-nothing",
        states="A crash at any point loses no run.",
        disturbance="kills it before and after every boundary, and delivers again",
        oracles="LVC",
        severity="critical",
        kinds=BUS,
        schedules=crashes.everywhere,
        fix="Mark a run as processed after its rows are durable, never before; best in the same transaction.",
    ),
    Check(
        id="EB05",
        slug="crash-duplicates-nothing",
        states="A crash at any point loads nothing twice.",
        disturbance="kills it before and after every boundary, and delivers again",
        oracles="D",
        severity="critical",
        kinds=BUS,
        schedules=crashes.everywhere,
        fix="Load and mark in one transaction, or upsert by (run_id, event_id).",
    ),
    Check(
        id="EB13",
        slug="any-order",
        states="The order of notifications makes no difference.",
        disturbance="delivers three runs in every order",
        oracles="LD",
        severity="high",
        kinds=BUS,
        schedules=event_bus.any_order,
        fix="Decide on the run itself, not on what came before it: no high-water mark over times or ids.",
    ),
    Check(
        id="EB14",
        slug="runs-stay-apart",
        states="Runs that look alike stay apart.",
        disturbance="delivers pairs of runs with ids alike but for a part, equal event ids, one day, source and job",
        oracles="LD",
        severity="critical",
        kinds=BUS,
        schedules=event_bus.runs_apart,
        fix="Use the whole run_id as the idempotency key, compare it exactly, and key items by (run_id, event_id): "
        "event ids are unique within their run only.",
    ),
    Check(
        id="EB16",
        slug="envelope-variants",
        states="Every legal form of a notification is understood; other events are ignored.",
        disturbance="sends the minimal payload, unknown fields, other key orders, no attributes, another event type",
        oracles="LP",
        severity="high",
        kinds=BUS,
        schedules=event_bus.envelopes,
        fix="Require run_id, outcome and storage_path only; ignore unknown fields; skip every other event_type.",
    ),
    Check(
        id="EB17",
        slug="outcomes",
        states="Only successful runs are loaded, and a retry is a run of its own.",
        disturbance="announces runs of all five outcomes, and a failed attempt with its retry",
        oracles="PL",
        severity="high",
        kinds=BUS,
        schedules=event_bus.outcomes,
        fix='Load when outcome == "success" and at no other value; deduplicate by run_id, not by job_id.',
    ),
    Check(
        id="PO01",
        slug="poll-again",
        states="Polling again loads nothing again.",
        disturbance="polls several times, with nothing new and with something new",
        oracles="D",
        severity="critical",
        kinds=POLLER,
        schedules=poller.poll_again,
        fix="Keep a durable set of loaded runs and skip what is in it.",
    ),
    Check(
        id="PO02",
        slug="crash-loses-nothing",
        states="A crash at any point loses no run.",
        disturbance="kills it before and after every boundary, and polls again",
        oracles="LVC",
        severity="critical",
        kinds=POLLER,
        schedules=crashes.everywhere,
        fix="Write the checkpoint after the rows, to a temporary file that is renamed over it: in place it can be cut.",
    ),
    Check(
        id="PO03",
        slug="crash-duplicates-nothing",
        states="A crash at any point loads nothing twice.",
        disturbance="kills it before and after every boundary, and polls again",
        oracles="D",
        severity="critical",
        kinds=POLLER,
        schedules=crashes.everywhere,
        fix="Commit rows and checkpoint in one transaction, or upsert by (run_id, event_id).",
    ),
    Check(
        id="PO05",
        slug="downtime",
        states="What finished while the poller was down is loaded when it is back.",
        disturbance="is down for longer than any look-back window",
        oracles="L",
        severity="critical",
        kinds=POLLER,
        schedules=poller.downtime,
        fix="Compare all runs with the set of loaded ones; a look-back window may only order the work.",
    ),
    Check(
        id="PO06",
        slug="late-and-tied",
        states="Runs that appear late, or at the same instant as others, are loaded.",
        disturbance="writes runs for an old day, with equal timestamps, with clocks that are off, slow long runs",
        oracles="LD",
        severity="high",
        kinds=POLLER,
        schedules=poller.late_and_tied,
        fix="A timestamp high-water mark loses them: keep the set of loaded runs, not a time.",
    ),
    Check(
        id="PO07",
        slug="committed-only",
        states="Only committed, finished runs are loaded; each is loaded once it is.",
        disturbance="leaves runs unfinished, in every window of the commit protocol, for good and in passing",
        oracles="PL",
        severity="critical",
        kinds=POLLER,
        schedules=poller.committed_only,
        fix="A snapshot counts when its canonical manifest exists and parses; a run is finished when its terminal event is "
        "in such a snapshot.",
    ),
    Check(
        id="RD01",
        slug="stored-duplicates",
        states="An event that storage holds twice is loaded once.",
        disturbance="stores each event of a run in two snapshots, as a retried flush does",
        oracles="D",
        severity="high",
        kinds=EVERY,
        schedules=reading.stored_twice,
        fix="Deduplicate by event_id within the run while reading, or upsert by (run_id, event_id).",
    ),
    Check(
        id="RD02",
        slug="all-segments",
        states="All snapshots of a run are read, whatever its policy.",
        disturbance="writes strict, buffered and streaming runs, also past midnight",
        oracles="L",
        severity="high",
        kinds=EVERY,
        schedules=reading.all_segments,
        fix="List every segment of the partition; do not stop at the first, the newest or `latest`.",
    ),
    Check(
        id="RD05",
        slug="policy-blind",
        states="One run gives the same rows under every policy.",
        disturbance="writes the same items under each policy",
        oracles="LD",
        severity="high",
        kinds=EVERY,
        schedules=reading.policy_blind,
        fix="Read events, not files: the number of files and lines in them is the policy's business.",
    ),
)

BY_ID = {check.id: check for check in CATALOGUE}


def of_kind(kind: Kind) -> tuple[Check, ...]:
    """The checks that apply to a kind of consumer, in the catalogue's order."""
    return tuple(check for check in CATALOGUE if kind in check.kinds)


def listing() -> str:
    """The catalogue as a table for people: id, slug, severity, kinds, what it states."""
    width = max(len(check.slug) for check in CATALOGUE)
    return "\n".join(
        f"{check.id}  {check.slug:<{width}}  {check.severity:<8}  {' '.join(check.kinds):<16}  {check.states}"
        for check in CATALOGUE
    )
