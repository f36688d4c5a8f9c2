#!/usr/bin/env bash
# Polls Quarry's storage (flat layout) and prints each run that is new. Usage: poller_checkpoint_in_place.sh STORAGE_PATH
# Broken: the checkpoint is rewritten once, at the end of the cycle, in place; an empty one makes nothing new; nobody else is
# kept out; run ids are pasted into programs of jq.
set -euo pipefail
shopt -s nullglob
storage=${1:?usage: $0 STORAGE_PATH}
checkpoint=$storage/.quarry-checkpoint

[ -f "$checkpoint" ] || echo '{"last_poll": "1970-01-01T00:00:00Z", "processed_runs": []}' > "$checkpoint"
new=()
for end in "$storage"/source=*/category=*/day=*/run_id=*/event_type=run_complete/data.jsonl; do
    run=${end%/event_type=run_complete/data.jsonl}
    run_id=${run##*/run_id=}
    [ "$(jq ".processed_runs | index(\"$run_id\") == null" "$checkpoint")" = true ] || continue
    echo "Processing run: $run_id"
    new+=("$run_id")
done
now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
updated=$(jq --arg now "$now" '.last_poll = $now | .processed_runs += $ARGS.positional' "$checkpoint" --args "${new[@]}")
echo "$updated" > "$checkpoint"
