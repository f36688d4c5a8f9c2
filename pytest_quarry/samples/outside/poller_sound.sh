#!/usr/bin/env bash
# Polls Quarry's storage (flat layout) and loads each run that is new. Usage: poller_sound.sh STORAGE_ROOT FOLDER
# A run is one file of rows, renamed into place: loading it again changes nothing. What is loaded is what is there, so the
# checkpoint, for people to look at, decides nothing.
set -euo pipefail
shopt -s nullglob
root=$1 folder=$2
mkdir -p "$folder/loaded"
failed=0
for data in "$root"/source=*/category=*/day=*/run_id=*/event_type=run_complete/data.jsonl; do
    base=${data%/event_type=run_complete/data.jsonl}
    name=$(printf %s "${base#"$root"/}" | sha256sum | cut -c1-32)
    [ -e "$folder/loaded/$name.jsonl" ] && continue
    part=$folder/loaded/$name.part-$$
    items=$base/event_type=item/data.jsonl
    [ -e "$items" ] || items=/dev/null
    if jq -e 'select(.type == "run_complete")' "$data" > /dev/null &&
        jq -sc 'unique_by(.event_id)[] | {run_id, item: .event_id}' "$items" > "$part" && sync "$part"; then
        mv "$part" "$folder/loaded/$name.jsonl"
        echo "Processing run: ${base##*/run_id=}"
    else
        failed=1 # the others first; it is tried again at the next poll
    fi
done
find "$folder/loaded" -name '*.jsonl' | jq -R . | jq -sc '{last_poll: (now | todate), processed_runs: .}' > "$folder/checkpoint.part-$$"
sync "$folder/checkpoint.part-$$"
mv "$folder/checkpoint.part-$$" "$folder/checkpoint.json"
exit $failed
