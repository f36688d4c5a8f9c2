"""Where a world's topic, queues and bucket are: the same in every world, so that nothing depends on luck."""

from __future__ import annotations

ACCOUNT = "123456789012"
REGION = "us-east-1"
TOPIC = "quarry-runs"
QUEUE = "quarry-runs-consumer"
DEAD_LETTER_QUEUE = "quarry-runs-consumer-dead"
BUCKET = "quarry-storage"
PREFIX = "lake/raw"


def arn(service: str, name: str) -> str:
    """The ARN of a topic or queue."""
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{name}"


def queue_url(name: str) -> str:
    """The URL of a queue."""
    return f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{name}"


TOPIC_ARN = arn("sns", TOPIC)
QUEUE_ARN = arn("sqs", QUEUE)
DEAD_LETTER_ARN = arn("sqs", DEAD_LETTER_QUEUE)
QUEUE_URL = queue_url(QUEUE)
DEDUPLICATED = 300_000  # milliseconds for which a FIFO queue, or topic, remembers a deduplication id
