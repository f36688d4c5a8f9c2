// Polls Quarry's storage (flat layout) and loads each run that is new. Usage: tsx poller_sound.ts STORAGE_ROOT FOLDER
// A run is one file of rows, renamed into place: what is loaded is what is there.
import { createHash } from "node:crypto";
import * as fs from "node:fs";

const [root, folder] = process.argv.slice(2);
fs.mkdirSync(folder, { recursive: true });

function events(file: string): { run_id: string; event_id: string }[] {
  return fs.readFileSync(file, "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line));
}

for (const place of (fs.readdirSync(root, { recursive: true }) as string[]).sort()) {
  if (!/^source=[^/]+\/category=[^/]*\/day=[^/]+\/run_id=[^/]+\/event_type=run_complete$/.test(place)) continue;
  const run = `${root}/${place.slice(0, place.lastIndexOf("/"))}`;
  const target = `${folder}/${createHash("sha256").update(place).digest("hex")}`;
  if (fs.existsSync(`${target}.jsonl`)) continue;
  try {
    if (events(`${run}/event_type=run_complete/data.jsonl`).length === 0) throw new Error("no terminal event");
    const items = fs.existsSync(`${run}/event_type=item`) ? events(`${run}/event_type=item/data.jsonl`) : [];
    const rows = new Map(items.map(({ run_id, event_id }) => [event_id, JSON.stringify({ run_id, item: event_id }) + "\n"]));
    const part = `${target}.part-${process.pid}`;
    const file = fs.openSync(part, "w");
    fs.writeFileSync(file, [...rows.values()].join(""));
    fs.fsyncSync(file);
    fs.closeSync(file);
    fs.renameSync(part, `${target}.jsonl`);
  } catch (error) {
    console.error(`${place}: ${(error as Error).message}`);
    process.exitCode = 1; // the others first; it is tried again at the next poll
  }
}
