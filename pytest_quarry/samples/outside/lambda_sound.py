"""Loads the items of a run into SQLite at $LOADED, in one transaction with its mark (flat layout).

Each record of a batch succeeds or fails alone.
"""

import json
import os
import pathlib
import re
import sqlite3
import urllib.parse


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
    """A run's rows, each once."""
    base = folder_of(told["storage_path"])
    (base / "event_type=run_complete" / "data.jsonl").read_text(encoding="utf-8")
    items = base / "event_type=item" / "data.jsonl"
    lines = items.read_text(encoding="utf-8").split("\n") if items.exists() else []
    rows = [(event["run_id"], event["event_id"]) for event in map(json.loads, filter(None, lines))]
    connection = sqlite3.connect(os.environ["LOADED"], timeout=60)
    try:
        with connection:
            connection.execute("CREATE TABLE IF NOT EXISTS rows (run_id TEXT, item TEXT, PRIMARY KEY (run_id, item))")
            connection.executemany("INSERT OR IGNORE INTO rows VALUES (?, ?)", rows)
    finally:
        connection.close()


def handler(event: dict[str, list[dict[str, str]]], context: object) -> dict[str, list[dict[str, str]]]:
    """The Lambda function."""
    failures = []
    for record in event["Records"]:
        try:
            notification = json.loads(json.loads(record["body"])["Message"])
            if notification["event_type"] == "run_completed" and notification["outcome"] == "success":
                load(notification)
        except (OSError, ValueError, KeyError, TypeError, sqlite3.Error) as error:
            print(f"{record['messageId']}: {error!r}")
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}
