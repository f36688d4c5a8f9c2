"""Runs rebuilt from the trees real Quarry wrote, by code that shares nothing with the package's reader."""

import base64
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pytest_quarry.contract import Artifact, Event, FlushMode, Outcome, Policy, Run, Sidecar

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "golden"
REASON = f"the trees real Quarry wrote are not at {GOLDEN}"

SCENARIOS = (
    "01-happy-strict",
    "02-buffered",
    "04-run-error",
    "06a-artifacts-strict",
    "06b-artifacts-buffered",
    "06c-artifacts-float-size",
    "06d-artifact-commit-before-chunks",
    "07-sidecar",
    "07b-sidecar-last-in-metrics",
    "07c-sidecar-buffered",
    "09-retry-lineage",
    "10-special-chars",
    "10b-odd-dataset-and-traversal",
)
WINDOWS = {
    "w1": "w1-data-put-no-cas",
    "w1b": "w1b-first-of-three-data-files",
    "w1c": "w1c-torn-data-file",
    "w2": "w2-cas-tmp-left",
    "w3": "w3-cas-done-no-manifest",
    "w4": "w4-torn-canonical-manifest",
    "w4b": "w4b-empty-canonical-manifest",
    "w5": "w5-canonical-only",
    "w6": "w6-canonical-plus-one-partition",
    "w6b": "w6b-torn-partition-manifest",
    "w7": "w7-sidecar-no-meta",
    "w8": "w8-sidecar-complete-unreferenced",
    "w9": "w9-transient-manifest-failure",
}


def scenario(name: str) -> Path:
    """The folder of a scenario, or of a crash window."""
    return GOLDEN / name if name in SCENARIOS else GOLDEN / "13-crash-windows" / WINDOWS[name]


def report(folder: Path) -> list[dict[str, Any]]:
    """What Quarry itself said of each run."""
    said: list[dict[str, Any]] = json.loads((folder / "report.json").read_text())
    return said


def view(folder: Path) -> dict[str, Any]:
    """What Lode's own readers return."""
    shown: dict[str, Any] = json.loads((folder / "reader-view.json").read_text())
    return shown


@dataclass
class _Record:
    snapshot: int
    dataset: str
    fields: dict[str, Any]


def _records(root: Path, run_id: str | None) -> Iterator[_Record]:
    for path in root.rglob("data"):
        if not path.is_file() or (run_id is not None and f"run_id={run_id}" not in path.parts):
            continue
        parts = path.relative_to(root).parts
        for line in path.read_bytes().splitlines():
            yield _Record(int(parts[-3]), "/".join(parts[1 : parts.index("partitions")]), json.loads(line))


def rebuild(root: Path, said: list[dict[str, Any]], *, run_id: str | None = None) -> list[Run]:
    """The runs whose writing left this tree (or the one of a plain id), in the order they were written."""
    by_run: dict[str, list[_Record]] = defaultdict(list)
    for record in sorted(_records(root, run_id), key=lambda record: record.snapshot):
        by_run[record.fields["run_id"]].append(record)
    words = {entry["run_id"]: entry for entry in said}
    return [_run(root, records, words.get(run_id)) for run_id, records in by_run.items()]


def _run(root: Path, records: list[_Record], said: dict[str, Any] | None) -> Run:
    fields = records[0].fields
    events = _events(records)
    metrics = next((one.fields for one in records if one.fields["record_kind"] == "metrics"), None)
    chunks = [one for one in records if one.fields["record_kind"] == "artifact_chunk"]
    stored = [one for one in records if one.fields["record_kind"] in ("event", "artifact_event")]
    chunks_first = bool(chunks) and chunks[0].snapshot < stored[0].snapshot
    policy = Policy(next(one.fields["policy"] for one in records if "policy" in one.fields))
    outcome = Outcome(said["outcome"] if said else "success")
    first = events[0] if events else None
    return Run(
        run_id=fields["run_id"],
        source=fields["source"],
        category=fields["category"],
        day=fields["day"],
        dataset=records[0].dataset,
        job_id=(metrics or {}).get("job_id"),
        attempt=first.attempt if first else 1,
        parent_run_id=first.parent_run_id if first else None,
        policy=policy,
        flush_mode=FlushMode.CHUNKS_FIRST if chunks_first else FlushMode.AT_LEAST_ONCE,
        outcome=outcome,
        events=events,
        artifacts=_artifacts(chunks, stored, policy),
        sidecars=_sidecars(root, records),
        lost=said["event_count"] - len(events) if said else 0,
        write_failures=metrics["lode_write_failure_total"] if metrics else 0,
        started_at=_start(metrics),
        metrics=metrics is not None or outcome is Outcome.POLICY_FAILURE,
    )


def _start(metrics: dict[str, Any] | None) -> datetime | None:
    # The record keeps whole seconds; every run here took 1.5 of them.
    return None if metrics is None else datetime.fromisoformat(metrics["ts"]) - timedelta(seconds=1)


def _events(records: list[_Record]) -> tuple[Event, ...]:
    found: dict[int, Event] = {}
    for one in records:
        fields = one.fields
        if fields["record_kind"] not in ("event", "artifact_event"):
            continue
        payload = fields.get("payload")
        if fields["record_kind"] == "artifact_event":
            size = fields["size_bytes"]
            payload = {name: fields[name] for name in ("artifact_id", "name", "content_type")}
            payload["size_bytes"] = float(size) if size else 0
        found[fields["seq"]] = Event(
            event_id=fields["event_id"],
            run_id=fields["run_id"],
            seq=fields["seq"],
            type=fields["event_type"],
            ts=fields["ts"],
            payload=payload,
            attempt=fields["attempt"],
            job_id=fields.get("job_id"),
            parent_run_id=fields.get("parent_run_id"),
            contract_version=fields["contract_version"],
        )
    return tuple(found[seq] for seq in sorted(found))


def _artifacts(chunks: list[_Record], stored: list[_Record], policy: Policy) -> tuple[Artifact, ...]:
    found: dict[str, list[_Record]] = defaultdict(list)
    for chunk in chunks:
        found[chunk.fields["artifact_id"]].append(chunk)
    commits: dict[str | None, int] = {one.fields.get("artifact_id"): one.fields["seq"] for one in stored}

    def sent(artifact_id: str) -> int | None:
        if policy is not Policy.STRICT:
            # All in one file: only the order tells, and that is the order of this tuple.
            return min([1, *(seq - 1 for seq in commits.values())])
        before: list[int] = [one.fields["seq"] for one in stored if one.snapshot < found[artifact_id][0].snapshot]
        return max(before, default=0)

    return tuple(
        Artifact(
            artifact_id=artifact_id,
            chunks=tuple(
                base64.b64decode(one.fields["data"]) for one in sorted(parts, key=lambda one: one.fields["seq"])
            ),
            after_seq=sent(artifact_id),
        )
        for artifact_id, parts in found.items()
    )


def _sidecars(root: Path, records: list[_Record]) -> tuple[Sidecar, ...]:
    dataset = root / "datasets" / records[0].dataset
    found: list[Sidecar] = []
    for snapshot in sorted({one.snapshot for one in records}):
        manifest = dataset / "segments" / str(snapshot) / "manifest.json"
        try:
            listed = json.loads(manifest.read_text())["metadata"].get("sidecar_files", [])
        except (OSError, ValueError):
            continue
        seqs = [one.fields["seq"] for one in records if one.snapshot == snapshot and "seq" in one.fields]
        everything = [one.fields["seq"] for one in records if "seq" in one.fields]
        for entry in listed:
            after = min(seqs) - 1 if seqs else max(everything)
            data = (root / entry["path"]).resolve().read_bytes()
            found.append(
                Sidecar(name=entry["filename"], data=data, content_type=entry["content_type"], after_seq=after)
            )
    return tuple(found)


def crashed_run(window: str) -> Run:
    """The run the writer of this crash window was at."""
    folder = scenario(window)
    # Where the tree holds only a part of the run, the first window's holds all of it.
    whole = scenario("w1") if window in ("w1b", "w1c") else folder
    said = report(folder)
    run = rebuild(whole / "root", said, run_id=said[0]["run_id"])[0]
    if window not in ("w7", "w8"):
        return run
    # The event whose write failed is nowhere in the tree; its file is, and is sent before it.
    lost = replace(run.events[0], seq=2, event_id="ev-run-crashed-0002")
    shot = Sidecar(name="shot.png", data=b"png", content_type="image/png", after_seq=1)
    return replace(run, events=(*run.events, lost), lost=0, sidecars=(shot,))


def normal(root: Path) -> dict[str, bytes]:
    """A tree as paths and bytes, with what differs from one writing to the next taken out."""
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    ids = sorted({int(one) for path in files for one in re.findall(r"/segments/(\d+)/", path)})
    names = {str(one): f"S{number}" for number, one in enumerate(ids)}

    def told(text: str) -> str:
        text = re.sub(r"\d{19}", lambda match: names.get(match[0], match[0]), text)
        text = re.sub(r'"created_at": "[^"]*Z"', '"created_at": "T"', text)
        return re.sub(r"\.lode-cas-\d+", ".lode-cas-N", text)

    return {
        told(path): data if "/files/" in path else _size(told(data.decode())).encode() for path, data in files.items()
    }


def _size(text: str) -> str:
    # A torn manifest is cut at half its length, which the length of its time moves.
    try:
        return json.dumps(json.loads(text)) if text.startswith("{\n") else text
    except ValueError:
        return text[:400]


def clock() -> Iterator[int]:
    """Nanoseconds, rising, of the day the trees were written."""
    start = datetime(2026, 11, 23, 8, tzinfo=UTC)
    return iter(range(int(start.timestamp()) * 10**9, 2**62, 347_123))
