#!/usr/bin/env bash
# Announces a run that is over. Usage: publisher_pasted.sh RUN_ID SOURCE OUTCOME STORAGE_PATH, with QUARRY_SNS_TOPIC in the
# environment. Broken: the day is today's, the path has neither dataset nor category, the JSON is pasted together; without
# `aws` nothing is sent and all seems well.
set -euo pipefail
run_id=$1 source=$2 outcome=$3 storage_path=$4
day=$(date -u +%Y-%m-%d)
message=$(cat <<JSON
{
  "event_type": "run_completed",
  "run_id": "$run_id",
  "source": "$source",
  "day": "$day",
  "outcome": "$outcome",
  "storage_path": "$storage_path/source=$source/day=$day/run_id=$run_id",
  "timestamp": "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
}
JSON
)
command -v aws > /dev/null || { echo "aws is not installed; would publish: $message"; exit 0; }
aws sns publish --topic-arn "$QUARRY_SNS_TOPIC" --message "$message" --message-attributes "{
  \"run_id\": {\"DataType\": \"String\", \"StringValue\": \"$run_id\"},
  \"source\": {\"DataType\": \"String\", \"StringValue\": \"$source\"},
  \"outcome\": {\"DataType\": \"String\", \"StringValue\": \"$outcome\"}
}" > /dev/null
