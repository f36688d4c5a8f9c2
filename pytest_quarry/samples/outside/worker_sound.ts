// Receives from a queue and loads each run it is told of (flat layout). Usage: tsx worker_sound.ts QUEUE_URL FOLDER
// It deletes last, message by message; how a run is loaded, lambda_sound.ts says.
import { lambdaHandler } from "./lambda_sound";

const [queue, folder] = process.argv.slice(2);
process.env.LOADED = folder;

async function sqs(operation: string, wanted: object): Promise<any> {
  const response = await fetch(process.env.AWS_ENDPOINT_URL_SQS!, {
    method: "POST",
    headers: { "X-Amz-Target": `AmazonSQS.${operation}`, "Content-Type": "application/x-amz-json-1.0" },
    body: JSON.stringify({ QueueUrl: queue, ...wanted }),
  });
  if (!response.ok) throw new Error(`${operation}: ${response.status}`);
  return response.json().catch(() => ({}));
}

process.on("SIGTERM", () => process.exit(0));
async function turn(): Promise<void> {
  const { Messages = [] } = await sqs("ReceiveMessage", { WaitTimeSeconds: 20, MaxNumberOfMessages: 10 });
  for (const { MessageId: messageId, Body: body, ReceiptHandle } of Messages) {
    const { batchItemFailures } = await lambdaHandler({ Records: [{ messageId, body }] });
    if (batchItemFailures.length === 0) await sqs("DeleteMessage", { ReceiptHandle });
  }
}

async function work(): Promise<void> {
  for (;;) {
    await turn().catch(async (error) => {
      console.error(String(error));
      await new Promise((resolve) => setTimeout(resolve, 1000));
    });
  }
}

void work();
