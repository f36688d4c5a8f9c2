// Announces a run that is over. Usage: tsx publisher_sound.ts RUN_ID SOURCE CATEGORY DAY OUTCOME STORAGE_PATH, with
// QUARRY_SNS_TOPIC in the environment. It tries again while SNS fails, then ends with status 1.
const [run_id, source, category, day, outcome, storage_path] = process.argv.slice(2);
const told = { event_type: "run_completed", run_id, source, category, day, outcome, storage_path };
const form = new URLSearchParams({
  Action: "Publish",
  TopicArn: process.env.QUARRY_SNS_TOPIC!,
  Message: JSON.stringify({ ...told, timestamp: new Date().toISOString() }),
});
Object.entries({ run_id, source, outcome }).forEach(([name, value], at) => {
  form.set(`MessageAttributes.entry.${at + 1}.Name`, name);
  form.set(`MessageAttributes.entry.${at + 1}.Value.DataType`, "String");
  form.set(`MessageAttributes.entry.${at + 1}.Value.StringValue`, value);
});

async function published(): Promise<boolean> {
  const response = await fetch(process.env.AWS_ENDPOINT_URL_SNS!, { method: "POST", body: form }).catch(() => null);
  return response?.ok ?? false;
}

async function announce(): Promise<void> {
  let attempts = 1;
  while (!(await published())) {
    if (++attempts > 12) {
      console.error(`${run_id} was not announced`);
      process.exit(1);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

void announce();
