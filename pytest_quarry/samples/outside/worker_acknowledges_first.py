"""Receives from a queue and loads each run it is told of (flat layout). Usage: worker_broken.py QUEUE_URL FOLDER.

Broken: it acknowledges before it loads.
"""

import json
import pathlib
import sys

import boto3

queue, folder = sys.argv[1], pathlib.Path(sys.argv[2])
folder.mkdir(exist_ok=True)
sqs = boto3.client("sqs")
while True:
    for message in sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=20).get("Messages", []):
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        told = json.loads(json.loads(message["Body"])["Message"])
        if told["event_type"] == "run_completed" and told["outcome"] == "success":
            base = pathlib.Path(told["storage_path"].removeprefix("file://"))
            text = (base / "event_type=item" / "data.jsonl").read_text(encoding="utf-8")
            rows = [{"run_id": e["run_id"], "item": e["event_id"]} for e in map(json.loads, text.split("\n")[:-1])]
            (folder / f"{told['run_id']}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
