"""Polls Quarry's storage (flat layout) and loads each run that is new into SQLite.

Usage: poller_sound.py STORAGE_ROOT DATABASE. The database knows what is loaded; no clock is asked. A run that cannot be read
is tried again at the next poll, after the others, and the exit status tells.
"""

import json
import pathlib
import sqlite3
import sys

root, database = pathlib.Path(sys.argv[1]), sys.argv[2]
connection = sqlite3.connect(database, timeout=60)
with connection:
    connection.execute("CREATE TABLE IF NOT EXISTS rows (run_id TEXT, item TEXT, PRIMARY KEY (run_id, item))")
    connection.execute("CREATE TABLE IF NOT EXISTS loaded (place TEXT PRIMARY KEY)")
loaded = {place for (place,) in connection.execute("SELECT place FROM loaded")}


def events(file: pathlib.Path) -> list[dict[str, str]]:
    """What one file of a run holds."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]


failed = 0
for end in sorted(root.glob("source=*/category=*/day=*/run_id=*/event_type=run_complete/data.jsonl")):
    items = end.parent.parent / "event_type=item" / "data.jsonl"
    place = str(end.relative_to(root))
    if place in loaded:
        continue
    try:
        rows = [(event["run_id"], event["event_id"]) for event in (events(items) if items.exists() else [])]
        assert events(end), "it is empty"
    except (OSError, ValueError, LookupError, AssertionError) as error:
        print(f"{place}: {error}", file=sys.stderr)
        failed = 1
        continue
    with connection:
        connection.executemany("INSERT OR IGNORE INTO rows VALUES (?, ?)", rows)
        connection.execute("INSERT OR IGNORE INTO loaded VALUES (?)", (place,))
sys.exit(failed)
