// Loads the items of a run into $LOADED as JSON lines, once per run (flat layout).
// Broken: it remembers what it has loaded in memory only, and one bad record fails the batch after others took effect.
import { appendFileSync, readFileSync } from "node:fs";

const seen = new Set();

export async function handler(event) {
  for (const record of event.Records) {
    const notification = JSON.parse(JSON.parse(record.body).Message);
    if (notification.event_type !== "run_completed" || notification.outcome !== "success") continue;
    if (seen.has(notification.run_id)) continue;
    const folder = new URL(notification.storage_path).pathname;
    const lines = readFileSync(`${folder}/event_type=item/data.jsonl`, "utf8").trimEnd().split("\n");
    for (const line of lines) {
      const { run_id, event_id } = JSON.parse(line);
      appendFileSync(process.env.LOADED, JSON.stringify({ run_id, item: event_id }) + "\n");
    }
    seen.add(notification.run_id);
  }
}
