#!/usr/bin/env bash
# Receives from a queue and loads each run it is told of (flat layout). Usage: worker_sound.sh QUEUE_URL FOLDER
# It deletes last; a run is one file, renamed into place. What cannot be loaded stays in the queue.
set -euo pipefail
queue=$1 folder=$2
mkdir -p "$folder"

sqs() {
    curl --fail --silent --show-error --retry 2 --header "X-Amz-Target: AmazonSQS.$1" \
        --header 'Content-Type: application/x-amz-json-1.0' --data "$2" "$AWS_ENDPOINT_URL_SQS/"
}

# The values of a path are escaped as Go's url.PathEscape does; in `storage_path` they are raw.
PLACE='def escaped: {"!": "%21", "\u0027": "%27", "(": "%28", ")": "%29", "*": "%2A"} as $marks
        | split("") | map($marks[.] // if test("[$&+:=@]") then . else @uri end) | join("");
    .storage_path | capture("^file://(?<root>.*)/source=(?<source>.*)/category=(?<category>.*)/day=(?<day>.*)/run_id=(?<run>.*)$"; "s")
    | "\(.root)/source=\(.source | escaped)/category=\(.category | escaped)/day=\(.day | escaped)/run_id=\(.run | escaped)"'

load() { # no `set -e` in here: it is called where a failure is expected
    local run name part items
    run=$(jq -er "$PLACE" <<< "$1") || return 1
    name=$(jq -j .run_id <<< "$1" | sha256sum | cut -c1-32)
    part=$folder/$name.part-$$
    items=$run/event_type=item/data.jsonl
    [ -e "$items" ] || items=/dev/null
    jq -e . "$run/event_type=run_complete/data.jsonl" > /dev/null || return 1
    jq -sc 'unique_by(.event_id)[] | {run_id, item: .event_id}' "$items" > "$part" || return 1
    sync "$part" && mv "$part" "$folder/$name.jsonl"
}

handle() {
    local told
    told=$(jq -ec '.Body | fromjson | .Message | fromjson | select(.run_id and .event_type and .outcome)' <<< "$1") || return 1
    if jq -e '.event_type == "run_completed" and .outcome == "success"' <<< "$told" > /dev/null; then
        load "$told" || return 1
    fi
    sqs DeleteMessage "$(jq -c --arg queue "$queue" '{QueueUrl: $queue, ReceiptHandle}' <<< "$1")" > /dev/null
}

wanted=$(jq -nc --arg queue "$queue" '{QueueUrl: $queue, WaitTimeSeconds: 20, MaxNumberOfMessages: 10}')
while true; do
    received=$(sqs ReceiveMessage "$wanted") || { sleep 1; continue; }
    while IFS= read -r message; do
        handle "$message" || echo "left in the queue: $(jq -r .MessageId <<< "$message")" >&2
    done < <(jq -c '.Messages[]?' <<< "$received")
done
