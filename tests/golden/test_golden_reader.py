"""The reader sees in real Quarry's trees what Quarry reported and what Lode's own readers return."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from golden_trees import GOLDEN, REASON, SCENARIOS, WINDOWS, rebuild, report, scenario, view

from pytest_quarry.storage import StoredRun, read_runs

pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason=REASON)

# What the writer's death leaves of the run it was at: state, events, complete partitions, words in the damage.
LEFT: dict[str, tuple[str, int, bool, str]] = {
    "w1": ("uncommitted", 0, True, "no canonical manifest"),
    "w1b": ("uncommitted", 0, True, "no canonical manifest"),
    "w1c": ("uncommitted", 0, True, "no canonical manifest"),
    "w2": ("uncommitted", 0, True, "no canonical manifest"),
    "w3": ("uncommitted", 0, True, "no canonical manifest"),
    "w4": ("uncommitted", 0, True, "does not parse"),
    "w4b": ("uncommitted", 0, True, "does not parse"),
    "w5": ("finished", 4, False, "copy is missing or torn"),
    "w6": ("finished", 4, False, "copy is missing or torn"),
    "w6b": ("finished", 4, False, "copy is missing or torn"),
    "w7": ("running", 1, True, "has no .meta.json"),
    "w8": ("running", 1, True, "named by no manifest"),
    "w9": ("finished", 4, True, "no canonical manifest"),
}


def read(root: Path) -> dict[str, StoredRun]:
    return {run.run_id: run for run in read_runs(root)}


def labels(runs: dict[str, StoredRun]) -> Counter[str]:
    """What was read, in the words of reader-view.json; chunks are not among them, artifacts were put together."""
    seen: Counter[str] = Counter()
    for run in runs.values():
        for event in run.events:
            kind = "artifact_event" if event.type == "artifact" else "event"
            seen[f"{kind}/{event.type}#{event.seq}"] += 1
        seen["metrics/metrics#<nil>"] += run.metrics is not None
    return +seen


def expected(shown: dict[str, Any]) -> Counter[str]:
    return Counter(
        record
        for snapshot in shown["Snapshots"]
        for record in snapshot["records"]
        if not record.startswith("artifact_chunk/")
    )


@pytest.mark.parametrize("name", SCENARIOS)
def test_reads_what_quarry_reported(name: str) -> None:
    runs = read(scenario(name) / "root")
    said = {entry["run_id"]: entry for entry in report(scenario(name))}
    assert set(runs) == set(said)
    for run_id, run in runs.items():
        sent = said[run_id]["webhook_event_that_quarry_would_post"]
        assert run.outcome == sent["outcome"]
        assert len(run.events) == said[run_id]["policy_stats"]["EventsPersisted"]
        assert (run.source, run.category, run.day) == (sent["source"], sent["category"], sent["day"])
        assert (run.job_id, run.attempt or 1) == (sent.get("job_id"), sent["attempt"])
        assert run.damage == ()
        assert run.complete_partitions


@pytest.mark.parametrize("name", [*SCENARIOS, *(one for one in WINDOWS if one not in ("w4", "w4b"))])
def test_sees_the_records_lode_sees(name: str) -> None:
    folder = scenario(name)
    assert labels(read(folder / "root")) == expected(view(folder))


@pytest.mark.parametrize("name", ["w4", "w4b"])
def test_reads_on_where_lode_stops(name: str) -> None:
    folder = scenario(name)
    assert view(folder)["Snapshots"] is None
    runs = read(folder / "root")
    assert [event.type for event in runs["run-base"].events] == ["item", "run_complete"]
    assert runs["run-base"].damage == ()


@pytest.mark.parametrize("name", SCENARIOS)
def test_contents_are_those_of_the_records(name: str) -> None:
    folder = scenario(name)
    runs = read(folder / "root")
    for run in rebuild(folder / "root", report(folder)):
        stored = runs[run.run_id]
        assert stored.dataset == run.dataset
        assert [(one.event_id, one.seq, one.type, one.ts) for one in stored.events] == [
            (one.event_id, one.seq, one.type, one.ts) for one in run.events
        ]
        assert [one.payload for one in stored.events] == [one.payload for one in run.events]
        assert {one.name: one.data for one in stored.sidecars} == {one.name: one.data for one in run.sidecars}
        committed = {one.payload["artifact_id"] for one in run.events if one.type == "artifact" and one.payload}
        assert {one.artifact_id: one.data for one in stored.artifacts} == {
            one.artifact_id: one.data for one in run.artifacts if one.artifact_id in committed
        }


def test_artifacts_are_put_together_and_orphans_left_out() -> None:
    for name in ("06a-artifacts-strict", "06b-artifacts-buffered", "06c-artifacts-float-size"):
        (run,) = read(scenario(name) / "root").values()
        found = {one.name: one for one in run.artifacts}
        assert found["page.html"].data == b"<html><body>hello</body></html>\n"
        assert found["blob.bin"].data == bytes(range(256))
        assert found["empty.txt"].data == b""
        assert len(found) == 3


@pytest.mark.parametrize("window", WINDOWS)
def test_crash_windows(window: str) -> None:
    folder = scenario(window)
    state, events, complete, words = LEFT[window]
    runs = read(folder / "root")
    run = runs[report(folder)[0]["run_id"]]
    assert (run.state, len(run.events), run.complete_partitions) == (state, events, complete)
    assert any(words in one for one in run.damage)
    assert (runs["run-base"].state, runs["run-base"].damage) == ("finished", ())


@pytest.mark.parametrize("window", [window for window in WINDOWS if window != "w9"])
def test_the_next_run_is_read_whole(window: str) -> None:
    runs = read(scenario(window) / "root-after-next-run")
    assert (runs["run-next"].state, runs["run-next"].outcome) == ("finished", "success")
    assert [one.data for one in runs["run-next"].items] == [{"n": 9}]
    assert runs["run-crashed"].state == LEFT[window][0]
