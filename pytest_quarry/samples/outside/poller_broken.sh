#!/usr/bin/env bash
# Polls Quarry's storage (flat layout) and prints each run that is new. Usage: poller_broken.sh STORAGE_ROOT CHECKPOINT
# Broken: the checkpoint is rewritten once, at the end, in place; an empty one makes nothing new; nobody else is kept out.
set -euo pipefail
shopt -s nullglob
root=$1 checkpoint=$2

[ -f "$checkpoint" ] || echo '{"last_poll": null, "processed_runs": []}' > "$checkpoint"
new=()
for data in "$root"/source=*/category=*/day=*/run_id=*/event_type=run_complete/data.jsonl; do
    run_id=$(jq -r 'select(.type == "run_complete") | .run_id' "$data")
    if [ "$(jq --arg id "$run_id" '.processed_runs | index($id) == null' "$checkpoint")" = true ]; then
        echo "Processing run: $run_id"
        new+=("$run_id")
    fi
done
now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
updated=$(jq --arg now "$now" '.last_poll = $now | .processed_runs += $ARGS.positional' "$checkpoint" --args "${new[@]}")
printf '%s\n' "$updated" > "$checkpoint"
