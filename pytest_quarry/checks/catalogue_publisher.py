"""The checks of publishers: wrappers that notify after a run."""

from __future__ import annotations

from pytest_quarry.checks import publisher
from pytest_quarry.checks.check import Check
from pytest_quarry.consumers.consumer import Kind

PUBLISHER: tuple[Kind, ...] = ("publisher",)

PUBLISHER_CHECKS: tuple[Check, ...] = (
    Check(
        id="PB01",
        slug="after-the-boundary",
        states="A run is announced when all of it is visible in storage, and not before.",
        disturbance="looks into storage at every publish; runs of every policy, a failed one, one that could not be run",
        oracles="B",
        severity="critical",
        kinds=PUBLISHER,
        schedules=publisher.after_the_boundary,
        fix="Publish after run.execute() has come back, not beside it and not in a finally clause.",
    ),
    Check(
        id="PB02",
        slug="says-the-truth",
        states="What a notification says of a run is what storage says of it.",
        disturbance="compares each field with storage; runs past midnight, other sources, categories and outcomes, retries",
        oracles="NT",
        severity="critical",
        kinds=PUBLISHER,
        schedules=publisher.says_the_truth,
        fix="Take day, category, outcome and storage_path from the run as Quarry reports it; the day is that of its start.",
    ),
    Check(
        id="PB03",
        slug="valid-json",
        states="The message is JSON, and ids come through unchanged, whatever characters they have.",
        disturbance="publishes runs with quotes, backslashes, newlines and unicode in their ids",
        oracles="NJ",
        severity="critical",
        kinds=PUBLISHER,
        schedules=publisher.valid_json,
        fix="Build the message with a JSON library (json.dumps), never by pasting strings.",
    ),
    Check(
        id="PB04",
        slug="retries",
        states="A run is announced at least once, or the failure to do so is loud.",
        disturbance="throttles, refuses, breaks and loses the answers of publishes, takes a part of a batch: once, for a while, for good; "
        "publishes runs whose ids look alike",
        oracles="N",
        severity="critical",
        kinds=PUBLISHER,
        schedules=publisher.retries,
        fix="Try again while it fails, also what the answer to a batch lists under Failed; in the end raise, or exit with a status "
        "that is not 0, so that somebody hears of it. A deduplication id, or a note of what was announced, needs the whole run id.",
    ),
    Check(
        id="PB05",
        slug="failed-runs",
        states="Runs of every outcome are announced, with their outcome.",
        disturbance="publishes runs of all five outcomes, and the retry of a failed one",
        oracles="NO",
        severity="high",
        kinds=PUBLISHER,
        schedules=publisher.failed_runs,
        fix="Publish whatever the outcome, and name it as Quarry does: consumers decide what to do with a failed run.",
    ),
    Check(
        id="PB06",
        slug="attributes",
        states="The message attributes run_id, source and outcome are there, and say what the message says.",
        disturbance="reads the attributes of each message; runs whose ids, sources and outcomes differ, one id of 174 characters",
        oracles="A",
        severity="medium",
        kinds=PUBLISHER,
        schedules=publisher.attributes,
        fix="Give MessageAttributes run_id, source and outcome, each of DataType String: subscriptions filter by them.",
    ),
)
