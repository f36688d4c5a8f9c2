#!/usr/bin/env bash
# Receives from a queue and loads each run it is told of (flat layout). Usage: worker_deletes_all.sh QUEUE_URL FILE
# Broken: rows are appended to one file, and a message is deleted whether its run was loaded or not.
set -uo pipefail
queue=$1 file=$2

sqs() {
    curl --fail --silent --header "X-Amz-Target: AmazonSQS.$1" --header 'Content-Type: application/x-amz-json-1.0' \
        --data "$2" "$AWS_ENDPOINT_URL_SQS/"
}

while true; do
    received=$(sqs ReceiveMessage "{\"QueueUrl\": \"$queue\", \"WaitTimeSeconds\": 20}") || { sleep 1; continue; }
    while IFS= read -r message; do
        told=$(jq -c '.Body | fromjson | .Message | fromjson | select(.outcome == "success")' <<< "$message")
        run=$(jq -r '.storage_path | ltrimstr("file://")' <<< "$told")
        jq -c '{run_id, item: .event_id}' "$run/event_type=item/data.jsonl" >> "$file"
        sqs DeleteMessage "$(jq -c --arg queue "$queue" '{QueueUrl: $queue, ReceiptHandle}' <<< "$message")"
    done < <(jq -c '.Messages[]?' <<< "$received")
done
