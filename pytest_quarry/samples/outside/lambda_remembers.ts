// Loads the items of a run into $LOADED as JSON lines, once per run (flat layout). As lambda_remembers.mjs, in TypeScript.
// Broken: it remembers what it has loaded in memory only, and one bad record fails the batch after others took effect.
import { appendFileSync, readFileSync } from "node:fs";

export interface RunCompleted {
  event_type: string;
  run_id: string;
  source: string;
  outcome: "success" | "error" | (string & {});
  storage_path: string;
}

export interface SqsEvent {
  Records: { messageId: string; body: string }[];
}

export const processed = new Set<string>();

export async function handleRunCompleted(event: RunCompleted): Promise<void> {
  if (processed.has(event.run_id) || event.outcome !== "success") return;
  console.log(`Processing run: ${event.run_id}`);
  const folder = new URL(event.storage_path).pathname;
  const lines = readFileSync(`${folder}/event_type=item/data.jsonl`, "utf8").trimEnd().split("\n");
  for (const line of lines) {
    const { run_id, event_id } = JSON.parse(line) as { run_id: string; event_id: string };
    appendFileSync(process.env.LOADED!, JSON.stringify({ run_id, item: event_id }) + "\n");
  }
  processed.add(event.run_id);
}

export async function lambdaHandler(event: SqsEvent): Promise<void> {
  for (const record of event.Records) {
    const envelope = JSON.parse(record.body) as { Message: string };
    const notification = JSON.parse(envelope.Message) as RunCompleted;
    if (notification.event_type === "run_completed") await handleRunCompleted(notification);
  }
}
