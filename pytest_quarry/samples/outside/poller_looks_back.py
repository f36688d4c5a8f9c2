"""Polls Quarry's storage (flat layout) for runs that ended within the last hours, and loads them into SQLite.

Usage: poller_looks_back.py STORAGE_ROOT DATABASE [HOURS]. Broken: what ended before the look-back window is never seen.
"""

import json
import pathlib
import sqlite3
import sys
import time

root, database = pathlib.Path(sys.argv[1]), sys.argv[2]
since = time.time() - 3600 * float(sys.argv[3] if len(sys.argv) > 3 else 1)
connection = sqlite3.connect(database)
connection.execute("CREATE TABLE IF NOT EXISTS rows (run_id TEXT, item TEXT, PRIMARY KEY (run_id, item))")
for end in sorted(root.glob("source=*/category=*/day=*/run_id=*/event_type=run_complete/data.jsonl")):
    if end.stat().st_mtime < since:
        continue
    items = end.parent.parent / "event_type=item" / "data.jsonl"
    lines = items.read_text(encoding="utf-8").splitlines() if items.exists() else []
    found = [json.loads(line) for line in lines]
    with connection:
        connection.executemany(
            "INSERT OR IGNORE INTO rows VALUES (?, ?)", [(e["run_id"], e["event_id"]) for e in found]
        )
