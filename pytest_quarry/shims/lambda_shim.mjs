// Runs a Lambda handler of JavaScript: events come as JSON lines on one descriptor, answers go on another.
// Usage: node lambda_shim.mjs FILE EXPORT, with QUARRY_SHIM=READ,WRITE in the environment. Needs nothing but Node.
import { writeSync } from "node:fs";
import { Socket } from "node:net";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [reading, writing] = process.env.QUARRY_SHIM.split(",").map(Number);
delete process.env.QUARRY_SHIM;
const [file, name] = process.argv.slice(2);

function say(message) {
  const data = Buffer.from(JSON.stringify(message) + "\n");
  for (let at = 0; at < data.length; ) at += writeSync(writing, data, at);
}

function failed(error) {
  const words = error instanceof Error ? `${error.name}: ${error.message}` : `rejected with ${String(error)}`;
  say({ error: words, stack: String(error?.stack ?? "") });
}

function invoke(handler, event, context) {
  if (handler.length < 3) return handler(event, context);
  return new Promise((resolve, reject) => {
    handler(event, context, (error, value) => (error ? reject(error) : resolve(value)));
  });
}

let handler;
try {
  const module = await import(pathToFileURL(file));
  handler = module[name] ?? module.default?.[name];
} catch (error) {
  failed(error);
  process.exit(1);
}
if (typeof handler !== "function") {
  say({ unusable: `${file} exports no function ${JSON.stringify(name)}` });
  process.exit(1);
}
say({ ready: true });
// A pipe read by a thread of Node's would keep process.exit() from returning.
const input = new Socket({ fd: reading, readable: true, writable: false });
for await (const line of createInterface({ input, crlfDelay: Infinity })) {
  const { event, context } = JSON.parse(line);
  const full = { ...context, awsRequestId: context.aws_request_id, getRemainingTimeInMillis: () => 48000 };
  try {
    const value = await invoke(handler, event, full);
    say({ value: value ?? null });
  } catch (error) {
    failed(error);
  }
}
