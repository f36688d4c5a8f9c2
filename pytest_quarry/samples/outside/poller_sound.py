"""Polls Quarry's storage (flat layout) and loads each run that is new into SQLite.

Usage: poller_sound.py STORAGE_ROOT DATABASE. The database knows what is loaded; no clock is asked.
"""

import json
import pathlib
import sqlite3
import sys

root, database = pathlib.Path(sys.argv[1]), sys.argv[2]
connection = sqlite3.connect(database)
connection.execute("CREATE TABLE IF NOT EXISTS rows (run_id TEXT, item TEXT, PRIMARY KEY (run_id, item))")
for end in sorted(root.glob("source=*/category=*/day=*/run_id=*/event_type=run_complete/data.jsonl")):
    items = end.parent.parent / "event_type=item" / "data.jsonl"
    lines = items.read_text(encoding="utf-8").splitlines() if items.exists() else []
    found = [json.loads(line) for line in lines]
    with connection:
        connection.executemany(
            "INSERT OR IGNORE INTO rows VALUES (?, ?)", [(e["run_id"], e["event_id"]) for e in found]
        )
