// As lambda_sound.mjs, in TypeScript: loads the items of a run into a file of its own in $LOADED (flat layout): a run that comes again replaces it by itself.
// Each record of a batch succeeds or fails alone.
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";

const RUN = /^file:\/\/(?<root>.*)\/source=(?<source>.*)\/category=(?<category>.*)\/day=(?<day>.*)\/run_id=(?<run>.*)$/s;

// The values of a path are escaped as Go's url.PathEscape does; in `storage_path` they are raw.
function escaped(value: string): string {
  const kept = /%(24|26|2B|3A|3D|40)/g;
  const marks = /[!'()*]/g;
  return encodeURIComponent(value)
    .replace(kept, decodeURIComponent)
    .replace(marks, (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`);
}

function lines(folder: string, type: string): any[] {
  const text = readFileSync(`${folder}/event_type=${type}/data.jsonl`, "utf8");
  return text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
}

interface Notification {
  event_type: string;
  run_id: string;
  outcome: string;
  storage_path: string;
}

function load({ run_id, storage_path }: Notification): void {
  const { root, source, category, day, run } = RUN.exec(storage_path)!.groups!;
  const at = `${root}/source=${escaped(source)}/category=${escaped(category)}/day=${escaped(day)}/run_id=${escaped(run)}`;
  const [end] = lines(at, "run_complete");
  const items = end.payload.summary?.skipped || !existsSync(`${at}/event_type=item`) ? [] : lines(at, "item");
  const rows = new Map<string, string>(items.map((event) => [event.event_id, JSON.stringify({ run_id, item: event.event_id }) + "\n"]));
  const name = `${process.env.LOADED}/${createHash("sha256").update(run_id).digest("hex")}`;
  mkdirSync(process.env.LOADED!, { recursive: true });
  const file = openSync(`${name}.part-${process.pid}`, "w");
  writeFileSync(file, [...rows.values()].join(""));
  fsyncSync(file);
  closeSync(file);
  renameSync(`${name}.part-${process.pid}`, `${name}.jsonl`);
}

export async function lambdaHandler(event: { Records: { messageId: string; body: string }[] }) {
  const batchItemFailures: { itemIdentifier: string }[] = [];
  for (const record of event.Records) {
    try {
      const notification = JSON.parse(JSON.parse(record.body).Message) as Notification;
      if (notification.event_type === "run_completed" && notification.outcome === "success") load(notification);
      else if (!notification.run_id) throw new Error("it names no run");
    } catch (error) {
      console.error(`${record.messageId}: ${(error as Error).message}`);
      batchItemFailures.push({ itemIdentifier: record.messageId });
    }
  }
  return { batchItemFailures };
}
