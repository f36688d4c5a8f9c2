#!/usr/bin/env bash
# Announces a run that is over. Usage: publisher_sound.sh RUN_ID SOURCE CATEGORY DAY OUTCOME STORAGE_PATH, with
# QUARRY_SNS_TOPIC in the environment. All that is said of the run comes from its arguments, and jq makes JSON of it.
set -euo pipefail
message=$(jq -nc '{event_type: "run_completed", run_id: $ARGS.positional[0], source: $ARGS.positional[1],
    category: $ARGS.positional[2], day: $ARGS.positional[3], outcome: $ARGS.positional[4],
    storage_path: $ARGS.positional[5], timestamp: (now | todate)}' --args -- "$@")
attributes=$(jq -nc '[["run_id", $ARGS.positional[0]], ["source", $ARGS.positional[1]], ["outcome", $ARGS.positional[4]]]
    | map({(.[0]): {DataType: "String", StringValue: .[1]}}) | add' --args -- "$@")
# A failure that lasts ends with the exit status of aws: loud.
export AWS_MAX_ATTEMPTS=10
aws sns publish --topic-arn "$QUARRY_SNS_TOPIC" --message="$message" --message-attributes="$attributes" > /dev/null
