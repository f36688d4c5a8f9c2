"""Where a world's topic, queues and bucket are: the same in every world, so that nothing depends on luck."""

from __future__ import annotations

ACCOUNT = "123456789012"
REGION = "us-east-1"
TOPIC = "quarry-runs"
QUEUE = "quarry-runs-consumer"
DEAD_LETTER_QUEUE = "quarry-runs-consumer-dead"
BUCKET = "quarry-storage"
PREFIX = "lake/raw"
TOPIC_ARN = f"arn:aws:sns:{REGION}:{ACCOUNT}:{TOPIC}"
QUEUE_ARN = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{QUEUE}"
DEAD_LETTER_ARN = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{DEAD_LETTER_QUEUE}"
QUEUE_URL = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{QUEUE}"
