"""Announces a run that is over.

Usage: publisher_quiet.py RUN_ID SOURCE CATEGORY DAY OUTCOME STORAGE_PATH, with QUARRY_SNS_TOPIC in the environment. Broken:
failed runs are not announced, and where SNS fails the exit status is 0.
"""

import datetime
import json
import os
import sys

import boto3
from botocore.exceptions import BotoCoreError, ClientError

names = ("run_id", "source", "category", "day", "outcome", "storage_path")
told = dict(zip(names, sys.argv[1:], strict=True))
if told["outcome"] != "success":
    sys.exit(0)
now = datetime.datetime.now(datetime.UTC).isoformat()
attributes = {name: {"DataType": "String", "StringValue": told[name]} for name in ("run_id", "source", "outcome")}
try:
    boto3.client("sns").publish(
        TopicArn=os.environ["QUARRY_SNS_TOPIC"],
        Message=json.dumps({"event_type": "run_completed", **told, "timestamp": now}),
        MessageAttributes=attributes,
    )
except (BotoCoreError, ClientError) as error:
    print(f"not announced: {error}", file=sys.stderr)
