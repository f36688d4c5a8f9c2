"""Receives from a queue and loads each run it is told of (flat layout). Usage: worker_sound.py QUEUE_URL FOLDER.

It acknowledges last; a run is one file, renamed into place. SIGTERM ends it between two messages.
"""

import json
import os
import pathlib
import re
import signal
import sys
import urllib.parse

import boto3

queue, folder = sys.argv[1], pathlib.Path(sys.argv[2])
folder.mkdir(exist_ok=True)
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
sqs = boto3.client("sqs")


def folder_of(storage_path: str) -> pathlib.Path:
    """The folder of a run: its values are raw in `storage_path`, and escaped on disk as Go's url.PathEscape does."""
    match = re.fullmatch("file://(.*)/source=(.*)/category=(.*)/day=(.*)/run_id=(.*)", storage_path, re.DOTALL)
    if match is None:
        raise ValueError(f"{storage_path!r} names no run")
    root, *values = match.groups()
    names = ("source", "category", "day", "run_id")
    parts = [f"{name}={urllib.parse.quote(value, safe='$&+:=@~')}" for name, value in zip(names, values, strict=True)]
    return pathlib.Path(root, *parts)


def load(told: dict[str, str]) -> None:
    """Write the rows of a run beside their place, then put them there."""
    base = folder_of(told["storage_path"])
    end = json.loads((base / "event_type=run_complete" / "data.jsonl").read_text(encoding="utf-8"))
    items = base / "event_type=item" / "data.jsonl"
    lines = items.read_text(encoding="utf-8").splitlines() if items.exists() else []
    rows = {event["event_id"]: event["run_id"] for event in map(json.loads, lines)}
    name = urllib.parse.quote(end["run_id"], safe="")
    part = folder / f"{name}.part-{os.getpid()}"
    with open(part, "w", encoding="utf-8") as file:
        file.writelines(json.dumps({"run_id": run_id, "item": item}) + "\n" for item, run_id in rows.items())
        file.flush()
        os.fsync(file.fileno())
    part.rename(folder / f"{name}.jsonl")


while True:
    for message in sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=20).get("Messages", []):
        try:
            notification = json.loads(json.loads(message["Body"])["Message"])
            if notification["event_type"] == "run_completed" and notification["outcome"] == "success":
                load(notification)
        except (OSError, ValueError, KeyError, TypeError) as error:
            print(f"not loaded, left in the queue: {error!r}", file=sys.stderr)
        else:
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
