"""The checks of reading Quarry's storage, for consumers of both kinds."""

from __future__ import annotations

from pytest_quarry.checks import reading
from pytest_quarry.checks.check import Check
from pytest_quarry.consumers.consumer import Kind

EVERY: tuple[Kind, ...] = ("event-bus", "poller")
READING_CHECKS: tuple[Check, ...] = (
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
        disturbance="writes strict, buffered and streaming runs, also past midnight; on S3 listings come in short pages",
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
        states="A read that fails loses nothing, and loads nothing twice.",
        disturbance="fails reads of storage from the n-th on, until the turn is over, and one alone; a listed data file is not there",
        oracles="LPD",
        severity="high",
        kinds=EVERY,
        schedules=reading.failed_read,
        fix="Let errors of reading end the turn: only a manifest that is not there means uncommitted. Who reads again takes back first "
        "what it has made of the first half.",
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
        states="Many items, long lines, unknown fields, unknown event types and null payloads are no obstacle.",
        disturbance="writes 101 items, a line of 16 MiB, unknown fields and types, a null payload, a gap in seq",
        oracles="LV",
        severity="medium",
        kinds=EVERY,
        schedules=reading.big_and_odd,
        fix="Load all items, batch by batch; read lines without a limit, pick the fields you know, skip the types you do not.",
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
