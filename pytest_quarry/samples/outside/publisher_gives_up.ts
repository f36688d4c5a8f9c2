// Announces a run that is over. Usage: tsx publisher_gives_up.ts RUN_ID SOURCE CATEGORY DAY OUTCOME STORAGE_PATH, with
// QUARRY_SNS_TOPIC in the environment. Broken: one attempt, nobody looks at what came of it, and there are no attributes.
const [run_id, source, category, day, outcome, storage_path] = process.argv.slice(2);
const told = { event_type: "run_completed", run_id, source, category, day, outcome, storage_path };
const Message = JSON.stringify({ ...told, timestamp: new Date().toISOString() });
const body = new URLSearchParams({ Action: "Publish", TopicArn: process.env.QUARRY_SNS_TOPIC!, Message });
void fetch(process.env.AWS_ENDPOINT_URL_SNS!, { method: "POST", body }).catch(() => console.error("SNS is away"));
