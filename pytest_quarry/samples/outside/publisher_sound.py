"""Announces a run that is over.

Usage: publisher_sound.py RUN_ID SOURCE CATEGORY DAY OUTCOME STORAGE_PATH, with QUARRY_SNS_TOPIC in the environment.
"""

import datetime
import json
import os
import sys

import boto3
from botocore.config import Config

names = ("run_id", "source", "category", "day", "outcome", "storage_path")
told = dict(zip(names, sys.argv[1:], strict=True))
now = datetime.datetime.now(datetime.UTC).isoformat()
message = json.dumps({"event_type": "run_completed", **told, "timestamp": now})
attributes = {name: {"DataType": "String", "StringValue": told[name]} for name in ("run_id", "source", "outcome")}
sns = boto3.client("sns", config=Config(retries={"max_attempts": 10, "mode": "standard"}))
sns.publish(TopicArn=os.environ["QUARRY_SNS_TOPIC"], Message=message, MessageAttributes=attributes)
