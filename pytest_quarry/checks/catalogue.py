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
        id="EB18",
        slug="data-comes-later",
        states="A run whose data is not visible yet is loaded once it is.",
        disturbance="announces a run before storage holds it, holds all of it, or lists it",
        oracles="L",
        severity="critical",
        kinds=BUS,
        schedules=event_bus.data_comes_later,
        fix="Look for the terminal event before you load; where it is not there, raise, so that the message comes again.",
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
        id="PO04",
        slug="damaged-checkpoint",
        states="A damaged checkpoint costs no run: the poller recovers, or fails loudly and changes nothing.",
        disturbance="loses, empties, cuts, garbles, sets back each file the poller keeps, or makes it unreadable",
        oracles="U",
        severity="critical",
        kinds=POLLER,
        schedules=poller.damaged_checkpoint,
        fix="Take an unreadable checkpoint for what it is: raise, or start from nothing and load again; never for an empty list of news.",
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
        id="PO08",
        slug="failing-run",
        states="A run that cannot be loaded holds up no other, is tried again, and its failure shows.",
        disturbance="makes the files of one run unreadable, for one poll and for ever",
        oracles="LVS",
        severity="high",
        kinds=POLLER,
        schedules=poller.failing_run,
        fix="Load each run by itself: note its failure, go on with the next, raise or report at the end; try again next time.",
    ),
    Check(
        id="PO10",
        slug="listing-faults",
        states="All pages of a listing are read, and an error between them loses nothing.",
        disturbance="writes more than 1,000 files; on S3, lists in short pages, lists late, fails each page of the listing",
        oracles="LD",
        severity="high",
        kinds=POLLER,
        schedules=poller.listing_faults,
        fix="Use a paginator, and let an error end the poll before the checkpoint is moved.",
    ),
    Check(
        id="PO11",
        slug="exact-keys",
        states="Keys are matched exactly: look-alikes, siblings and foreign files make no difference.",
        disturbance="writes run ids and sources alike but for a part, foreign files, decoys",
        oracles="LP",
        severity="high",
        kinds=POLLER,
        schedules=poller.exact_keys,
        fix="Compare whole path segments, not prefixes or substrings, and take names from the records.",
    ),
    Check(
        id="PO13",
        slug="torn-write",
        states="A loss of power loses nothing and loads nothing twice.",
        disturbance="kills the machine at each durable state: what was not fsynced is cut or taken back",
        oracles="LD",
        severity="medium",
        kinds=POLLER,
        schedules=poller.power_loss,
        fix="fsync the temporary file before you rename it over the checkpoint.",
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
        id="RD03",
        slug="orphan-chunks",
        states="Only committed artifacts count, and their size is the sum of their chunks.",
        disturbance="stores chunks without a commit record, and a commit record of 0 bytes",
        oracles="PL",
        severity="medium",
        kinds=EVERY,
        schedules=reading.orphan_chunks,
        fix="Take an artifact when its commit record is there; add up the lengths of its chunks.",
    ),
    Check(
        id="RD04",
        slug="failed-read",
        states="A read that fails loses nothing.",
        disturbance="fails reads of storage from the n-th on, until the turn is over; a listed data file is not there",
        oracles="LP",
        severity="high",
        kinds=EVERY,
        schedules=reading.failed_read,
        fix="Let errors of reading end the turn: only a manifest that is not there means uncommitted.",
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
    Check(
        id="RD06",
        slug="special-ids",
        states="Runs are found whatever characters their ids have.",
        disturbance="writes runs whose escaped path and storage_path differ",
        oracles="L",
        severity="high",
        kinds=EVERY,
        schedules=reading.special_ids,
        fix="Escape each value of storage_path as Go's url.PathEscape does before you use it as a path; compare ids by the records.",
    ),
    Check(
        id="RD07",
        slug="big-and-odd",
        states="Long lines, unknown fields, unknown event types and null payloads are no obstacle.",
        disturbance="writes a line of 16 MiB, unknown fields and types, a null payload",
        oracles="LV",
        severity="medium",
        kinds=EVERY,
        schedules=reading.big_and_odd,
        fix="Read lines without a limit, pick the fields you know, skip the types you do not.",
    ),
    Check(
        id="RD08",
        slug="skipped-run",
        states="Runs without items are done with, and nothing is loaded of them.",
        disturbance="writes a run that skipped itself, and one that found nothing",
        oracles="VPL",
        severity="medium",
        kinds=EVERY,
        schedules=reading.skipped_run,
        fix="Take a run without an item partition as a run with no items, not as an error.",
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
