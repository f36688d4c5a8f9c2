"""Polls Quarry's storage on S3 (flat layout) and loads each run that is new into SQLite.

Usage: poller_bucket_sound.py BUCKET PREFIX DATABASE. The database knows what is loaded; no clock is asked. A run that
cannot be read is tried again at the next poll, after the others, and the exit status tells.
"""

import json
import re
import sqlite3
import sys

import boto3
from botocore.exceptions import BotoCoreError, ClientError

bucket, prefix, database = sys.argv[1:]
END = re.compile(
    re.escape(prefix) + "/source=[^/]+/category=[^/]*/day=[^/]+/run_id=[^/]+/event_type=run_complete/data.jsonl"
)
s3 = boto3.client("s3")


def events(key: str) -> list[dict[str, str]]:
    """What one file of a run holds."""
    lines = s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode("utf-8").split("\n")
    return [json.loads(line) for line in lines if line]


def load(end: str, items: str | None) -> None:
    """A run and its mark, in one transaction."""
    last = events(end)[-1]
    rows = [(event["run_id"], event["event_id"]) for event in (events(items) if items else [])]
    with connection:
        connection.executemany("INSERT OR IGNORE INTO rows VALUES (?, ?)", rows)
        connection.execute("INSERT OR IGNORE INTO loaded VALUES (?, ?)", (end, last["run_id"]))


connection = sqlite3.connect(database, timeout=60)
with connection:
    connection.execute("CREATE TABLE IF NOT EXISTS rows (run_id TEXT, item TEXT, PRIMARY KEY (run_id, item))")
    connection.execute("CREATE TABLE IF NOT EXISTS loaded (place TEXT PRIMARY KEY, run_id TEXT)")
loaded = {place for (place,) in connection.execute("SELECT place FROM loaded")}
pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/source=")
keys = {entry["Key"] for page in pages for entry in page.get("Contents", [])}
failed = 0
for end in sorted(keys - loaded):
    if END.fullmatch(end):
        items = end.replace("/event_type=run_complete/", "/event_type=item/")
        try:
            load(end, items if items in keys else None)
        except (BotoCoreError, ClientError, ValueError, LookupError) as error:
            print(f"{end}: {error}", file=sys.stderr)
            failed = 1
sys.exit(failed)
