"""Polls Quarry's storage on S3 (flat layout) for runs that ended within the last hours, and prints each that is new.

Usage: poller_bucket_looks_back.py BUCKET PREFIX [--lookback HOURS] [--checkpoint FILE]. Broken: what ended before the look-back
window is never seen; the checkpoint is rewritten in place, once, at the end.
"""

import argparse
import datetime
import json
import pathlib
import re

import boto3

parser = argparse.ArgumentParser()
parser.add_argument("bucket")
parser.add_argument("prefix")
parser.add_argument("--lookback", type=float, default=1)
parser.add_argument("--checkpoint", type=pathlib.Path, default=pathlib.Path(".quarry-checkpoint"))
chosen = parser.parse_args()
since = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=chosen.lookback)
text = chosen.checkpoint.read_text(encoding="utf-8") if chosen.checkpoint.exists() else ""
processed = json.loads(text)["processed_runs"] if text else []
pages = boto3.client("s3").get_paginator("list_objects_v2").paginate(Bucket=chosen.bucket, Prefix=chosen.prefix)
for found in (entry for page in pages for entry in page.get("Contents", [])):
    run = re.search("/run_id=([^/]+)/event_type=run_complete/", found["Key"])
    if run and found["LastModified"] >= since and run[1] not in processed:
        print(f"Processing run: {run[1]}")
        processed.append(run[1])
now = datetime.datetime.now(datetime.UTC).isoformat()
chosen.checkpoint.write_text(json.dumps({"last_poll": now, "processed_runs": processed}), encoding="utf-8")
