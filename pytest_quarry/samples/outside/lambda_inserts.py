"""Loads the items of a run into SQLite at $LOADED (flat layout).

Broken: it keeps the runs it has loaded in memory only, and its table has no key.
"""

import json
import os
import pathlib
import sqlite3

loaded: set[str] = set()


def handler(event: dict[str, list[dict[str, str]]], context: object) -> None:
    """The Lambda function."""
    connection = sqlite3.connect(os.environ["LOADED"])
    connection.execute("CREATE TABLE IF NOT EXISTS rows (run_id TEXT, item TEXT)")
    for record in event["Records"]:
        told = json.loads(json.loads(record["body"])["Message"])
        if told["outcome"] == "success" and told["run_id"] not in loaded:
            items = pathlib.Path(told["storage_path"].removeprefix("file://"), "event_type=item", "data.jsonl")
            with connection, items.open(encoding="utf-8") as lines:
                rows = [(event["run_id"], event["event_id"]) for event in map(json.loads, lines)]
                connection.executemany("INSERT INTO rows VALUES (?, ?)", rows)
            loaded.add(told["run_id"])
