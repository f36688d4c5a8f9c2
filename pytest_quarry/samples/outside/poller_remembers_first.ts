// Polls Quarry's storage (flat layout) and loads what is new. Usage: tsx poller_remembers_first.ts STORAGE_ROOT FOLDER
// Broken: the checkpoint is written before the rows are.
import * as fs from "node:fs";

const [root, folder] = process.argv.slice(2);
const checkpoint = `${folder}/checkpoint.json`;
const done: string[] = fs.existsSync(checkpoint) ? JSON.parse(fs.readFileSync(checkpoint, "utf8")) : [];
const places = (fs.readdirSync(root, { recursive: true }) as string[]).filter((place) => place.endsWith("event_type=run_complete"));
const found = places.filter((place) => !done.includes(place)).sort();

fs.writeFileSync(`${checkpoint}.new`, JSON.stringify([...done, ...found]));
fs.renameSync(`${checkpoint}.new`, checkpoint);
for (const place of found) {
  const items = fs.readFileSync(`${root}/${place}/../event_type=item/data.jsonl`, "utf8").split("\n").filter(Boolean);
  const rows = items.map((line) => JSON.parse(line)).map(({ run_id, event_id }) => JSON.stringify({ run_id, item: event_id }));
  fs.appendFileSync(`${folder}/loaded.jsonl`, rows.map((row) => row + "\n").join(""));
}
