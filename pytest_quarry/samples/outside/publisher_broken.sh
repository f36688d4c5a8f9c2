#!/usr/bin/env bash
# Announces a run that is over. Usage: publisher_broken.sh RUN_ID SOURCE OUTCOME STORAGE_PATH, with TOPIC in the environment.
# Broken: the day is today's, the JSON is pasted together.
set -euo pipefail
run_id=$1 source=$2 outcome=$3 storage_path=$4
day=$(date -u +%F)
message="{\"event_type\": \"run_completed\", \"run_id\": \"$run_id\", \"source\": \"$source\", \"day\": \"$day\",
 \"outcome\": \"$outcome\", \"storage_path\": \"$storage_path\", \"timestamp\": \"$(date -u +%FT%TZ)\"}"
curl --fail --silent --show-error --retry 3 --output /dev/null "$AWS_ENDPOINT_URL_SNS/" \
    --data-urlencode Action=Publish --data-urlencode "TopicArn=$TOPIC" --data-urlencode "Message=$message"
