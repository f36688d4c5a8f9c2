#!/usr/bin/env bash
# Announces a run that is over. Usage: publisher_sound.sh RUN_ID SOURCE CATEGORY DAY OUTCOME STORAGE_PATH, with TOPIC in the
# environment. All that is said of the run comes from its arguments, and jq makes JSON of it.
set -euo pipefail
message=$(jq -nc '{event_type: "run_completed", run_id: $ARGS.positional[0], source: $ARGS.positional[1],
    category: $ARGS.positional[2], day: $ARGS.positional[3], outcome: $ARGS.positional[4],
    storage_path: $ARGS.positional[5], timestamp: (now | todate)}' --args "$@")
attributes=()
number=0
for pair in "run_id=$1" "source=$2" "outcome=$5"; do
    number=$((number + 1))
    entry=MessageAttributes.entry.$number
    attributes+=(--data-urlencode "$entry.Name=${pair%%=*}" --data-urlencode "$entry.Value.DataType=String")
    attributes+=(--data-urlencode "$entry.Value.StringValue=${pair#*=}")
done
# A failure that lasts ends with curl's exit status: loud.
curl --fail --silent --show-error --retry 8 --retry-all-errors --retry-delay 1 --output /dev/null "$AWS_ENDPOINT_URL_SNS/" \
    --data-urlencode Action=Publish --data-urlencode "TopicArn=$TOPIC" --data-urlencode "Message=$message" "${attributes[@]}"
