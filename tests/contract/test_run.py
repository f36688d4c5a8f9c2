"""What a run may be, and the rule an impossible one breaks."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from pytest_quarry.contract import (
    Artifact,
    ContractError,
    Event,
    EventType,
    Outcome,
    Policy,
    Run,
    Sidecar,
    artifact_chunks,
    artifact_event,
    event_record,
    metrics_record,
    number_events,
)

START = datetime(2026, 2, 1, 23, 59, 58, tzinfo=UTC)
ITEM = ("item", {"item_type": "p", "data": {}})
LOG = ("log", {"level": "info", "message": "x"})
DONE: tuple[str, Any] = ("run_complete", {})
FAILED = ("run_error", {"error_type": "E", "message": "m"})
COMMIT = ("artifact", {"artifact_id": "a", "name": "n", "content_type": "t", "size_bytes": 3})


def events(*bodies: tuple[str, Any], **fields: Any) -> tuple[Event, ...]:
    return number_events("r", bodies, started_at=START, **fields)


def run(**fields: Any) -> Run:
    return Run(**{"run_id": "r", "source": "s", "day": "2026-02-01", "events": events(ITEM, DONE), **fields})


def without(found: tuple[Event, ...], *seqs: int) -> tuple[Event, ...]:
    return tuple(event for event in found if event.seq not in seqs)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"run_id": ""}, "run_id"),
    ({"run_id": "\ud800"}, "surrogates"),
    ({"source": ""}, "source"),
    ({"attempt": 0}, "count from 1"),
    ({"attempt": 2, "events": events(ITEM, DONE, attempt=2)}, "without parent_run_id"),
    ({"parent_run_id": "p"}, "attempt 1 with parent_run_id"),
    ({"attempt": 2, "parent_run_id": "r", "events": events(DONE, attempt=2, parent_run_id="r")}, "its own parent"),
    ({"day": "2026-2-1"}, "YYYY-MM-DD"),
    ({"day": "2026-02-30"}, "YYYY-MM-DD"),
    ({"day": "2026-02-01\n"}, "YYYY-MM-DD"),
    ({"started_at": START + timedelta(seconds=2)}, "UTC date of the run's start"),
    ({"started_at": START.replace(tzinfo=None)}, "no time zone"),
    ({"duration_ms": -1}, "duration_ms"),
    ({"flush_count": 0}, "flush_count"),
    ({"dataset": "../x"}, "dataset"),
    ({"dataset": "/x"}, "dataset"),
    ({"dataset": "a/partitions/b"}, "dataset"),
    ({"dataset": ""}, "dataset"),
    ({"events": events(ITEM)}, "outcome success with no terminal event"),
    ({"events": events(ITEM, FAILED)}, "outcome success with run_error"),
    ({"outcome": Outcome.SCRIPT_ERROR}, "outcome script_error with run_complete"),
    ({"outcome": Outcome.EXECUTOR_CRASH}, "outcome executor_crash with run_complete"),
    ({"outcome": Outcome.VERSION_MISMATCH}, "outcome version_mismatch with run_complete"),
    ({"events": events(DONE, ITEM)}, "item after the terminal event"),
    ({"events": events(ITEM, DONE, DONE)}, "run_complete after the terminal event"),
    ({"events": events(FAILED, ITEM, DONE)}, "item after the terminal event"),
    ({"events": without(events(ITEM, LOG, DONE), 2)}, "only the buffered policy drops"),
    ({"events": without(events(LOG, ITEM, DONE), 1), "policy": Policy.STREAMING}, "only the buffered policy drops"),
    ({"dropped": {"log": 1}}, "only the buffered policy drops"),
    ({"dropped": {"item": 1}, "policy": Policy.BUFFERED}, "may be dropped"),
    ({"dropped": {"log": 0}, "policy": Policy.BUFFERED}, "may be dropped"),
    ({"dropped": {"log": 2}, "policy": Policy.BUFFERED}, "must agree"),
    ({"lost": 1}, "only a policy failure"),
    ({"lost": -1}, "counts"),
    ({"events": events(ITEM, DONE)[::-1]}, "rises strictly"),
    ({"events": (replace(events(DONE)[0], seq=0),)}, "rises strictly"),
    ({"events": tuple(replace(event, event_id="same") for event in events(ITEM, DONE))}, "unique within a run"),
    ({"events": number_events("other", [DONE], started_at=START)}, "of another run"),
    ({"job_id": "j"}, "job_id None is of another run"),
    ({"events": (replace(events(DONE)[0], ts="2026-02-01 10:00"),)}, "ISO 8601"),
    ({"events": (replace(events(DONE)[0], ts="2026-13-01T10:00:00Z"),)}, "ISO 8601"),
    ({"events": events(("metrics", {}), DONE)}, "kept for the metrics record"),
    ({"events": events(COMMIT, DONE)}, "no chunk was sent"),
    ({"events": events(("artifact", {}), DONE)}, "no artifact_id"),
    ({"events": events(COMMIT, DONE), "artifacts": (Artifact(artifact_id="a", chunks=()),)}, "no chunks"),
    (
        {"events": events(COMMIT, DONE), "artifacts": (Artifact(artifact_id="a", chunks=(b"",), after_seq=1),)},
        "before its chunks",
    ),
    (
        {"events": events(COMMIT, DONE), "artifacts": (Artifact(artifact_id="a", chunks=(b"",), complete=False),)},
        "incomplete",
    ),
    ({"events": events(COMMIT, COMMIT, DONE), "artifacts": (Artifact.of("a", b""),)}, "committed once"),
    ({"artifacts": (Artifact.of("a", b""), Artifact.of("a", b""))}, "unique within a run"),
    ({"artifacts": (Artifact(artifact_id="a", chunks=(b"",), after_seq=2),)}, "after the terminal"),
    ({"sidecars": (Sidecar(name="../x", data=b""),)}, "Quarry refuses"),
    ({"sidecars": (Sidecar(name="a/b", data=b""),)}, "Quarry refuses"),
    ({"sidecars": (Sidecar(name="", data=b""),)}, "non-empty"),
    ({"sidecars": (Sidecar(name=".", data=b""),)}, "taken"),
    ({"sidecars": (Sidecar(name="a.meta.json", data=b""),)}, "taken"),
    ({"sidecars": (Sidecar(name="a", data=b""), Sidecar(name="a", data=b""))}, "unique within a run"),
    ({"sidecars": (Sidecar(name="a", data=b""),), "source": "x/../../../y"}, "leaves the dataset's partitions"),
    ({"sidecars": (Sidecar(name="a", data=b""),), "source": "a\0b"}, "NUL"),
    ({"sidecars": (Sidecar(name="a", data=b"", content_type="\0"),)}, "NUL"),
]


@pytest.mark.parametrize(("fields", "words"), WRONG, ids=[words for _, words in WRONG])
def test_an_impossible_run_is_refused_with_the_rule(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ContractError, match=words):
        run(**fields)


RIGHT: list[dict[str, Any]] = [
    {},
    {"category": ""},
    {"run_id": "x/../../y", "events": number_events("x/../../y", [DONE], started_at=START)},
    {"events": events(DONE)},
    {"events": without(events(LOG, ITEM, LOG, DONE), 1, 3), "policy": Policy.BUFFERED},
    {"events": without(events(LOG, DONE), 1), "policy": Policy.BUFFERED, "dropped": {"enqueue": 1}},
    {"events": (), "outcome": Outcome.VERSION_MISMATCH},
    {"events": events(ITEM), "outcome": Outcome.EXECUTOR_CRASH},
    {"events": events(ITEM, FAILED), "outcome": Outcome.SCRIPT_ERROR},
    {"events": events(ITEM), "outcome": Outcome.POLICY_FAILURE, "lost": 2},
    {"outcome": Outcome.POLICY_FAILURE},
    {"events": events(("brand_new", {}), ("item", None), DONE)},
    {"events": events(ITEM, DONE, attempt=2, parent_run_id="p"), "attempt": 2, "parent_run_id": "p"},
    {"started_at": datetime(2026, 2, 2, 0, 59, 58, tzinfo=timezone(timedelta(hours=1)))},
    {"artifacts": (Artifact(artifact_id="orphan", chunks=(b"x",), complete=False),)},
    {"events": events(COMMIT, DONE), "artifacts": (Artifact.of("a", b"abc"),)},
    {"dataset": "my data/set"},
]


@pytest.mark.parametrize("fields", RIGHT)
def test_a_possible_run_is_built(fields: dict[str, Any]) -> None:
    made = run(**fields)
    for name, value in fields.items():
        assert getattr(made, name) == value


def test_what_a_run_tells() -> None:
    made = run(events=without(events(ITEM, LOG, LOG, ITEM, DONE), 2, 3), policy=Policy.BUFFERED, started_at=START)
    assert [event.seq for event in made.items] == [1, 4]
    assert made.terminal is not None
    assert made.terminal.type == EventType.RUN_COMPLETE
    assert made.dropped_by_type == {"log": 2}
    assert made.event_count == 5
    assert made.ended_at == START + timedelta(milliseconds=1500)
    assert run(events=(), outcome=Outcome.POLICY_FAILURE, lost=1).failed_writes == 1
    assert run(events=(), outcome=Outcome.POLICY_FAILURE, lost=1).event_count == 1
    assert run().begun_at == datetime(2026, 2, 1, tzinfo=UTC)


def test_artifacts_are_cut_into_chunks() -> None:
    assert Artifact.of("a", b"abcde", chunk_bytes=2).chunks == (b"ab", b"cd", b"e")
    assert Artifact.of("a", b"").chunks == (b"",)
    artifact = Artifact(artifact_id="a", chunks=(b"ab", b"c"), checksums=True)
    records = list(artifact_chunks(run(), artifact, first_offset=10))
    assert [(one["seq"], one["offset"], one["length"], one["is_last"]) for one in records] == [
        (1, 10, 2, False),
        (2, 12, 1, True),
    ]
    assert records[0]["data"] == "YWI="
    assert (records[0]["checksum"], records[0]["checksum_algo"]) == ("187ef4436122d1cc2f40dc2b92f0eba0", "md5")


@pytest.mark.parametrize(("size", "stored"), [(3, 0), (3.0, 3), ("3", 0), (None, 0)])
def test_only_a_float_size_is_stored(size: Any, stored: int) -> None:
    made = run(
        events=events(("artifact", {"artifact_id": "a", "name": "n", "content_type": "t", "size_bytes": size}), DONE),
        artifacts=(Artifact.of("a", b"abc"),),
    )
    record = event_record(made, made.events[0])
    assert record["size_bytes"] == stored
    assert "type" not in record
    assert "payload" not in record
    with pytest.raises(ContractError, match="no artifact_event record"):
        artifact_event(made, made.events[1])


@pytest.mark.parametrize(
    ("fields", "counters"),
    [
        ({}, (1, 0, 0, 0)),
        ({"events": events(FAILED), "outcome": Outcome.SCRIPT_ERROR}, (0, 1, 0, 0)),
        ({"events": (), "outcome": Outcome.EXECUTOR_CRASH}, (0, 0, 1, 0)),
        ({"events": (), "outcome": Outcome.VERSION_MISMATCH}, (0, 1, 0, 0)),
        ({"events": (), "outcome": Outcome.POLICY_FAILURE}, (0, 1, 0, 1)),
    ],
)
def test_metrics_tell_the_outcome(fields: dict[str, Any], counters: tuple[int, ...]) -> None:
    record = metrics_record(run(**fields), writes=1)
    names = ("runs_completed_total", "runs_failed_total", "runs_crashed_total", "lode_write_failure_total")
    assert tuple(record[name] for name in names) == counters
    assert "dropped_by_type" not in record
    assert "job_id" not in record


def test_metrics_name_what_was_dropped() -> None:
    made = run(events=without(events(LOG, DONE), 1), policy=Policy.BUFFERED)
    record = metrics_record(made, writes=1)
    assert record["dropped_by_type"] == {"log": 1}
    assert (record["events_received_total"], record["events_persisted_total"]) == (2, 1)
