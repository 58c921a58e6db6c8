// Receives webhooks: verifies, drops what came before, answers at once, works afterwards.

import { createServer } from "node:http";
import { Webhook } from "standardwebhooks";

const bodyBytesMax = 2 << 20;
const idsRememberedMax = 100_000;

const secret = process.env.WEBHOOK_SECRET;
if (!secret) {
  console.error("set WEBHOOK_SECRET to the secret of the endpoint (whsec_…)");
  process.exit(1);
}
const webhook = new Webhook(secret);
const seen = new Set();

/** What the webhook is for. It may take its time: the answer has been given. */
async function work(id, body) {
  console.log("new", id, body);
}

function isNew(id) {
  if (seen.has(id)) return false;
  seen.add(id);
  // A Set keeps the order of insertion: the first is the oldest.
  if (seen.size > idsRememberedMax) seen.delete(seen.values().next().value);
  return true;
}

async function read(request) {
  const chunks = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes > bodyBytesMax) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

const server = createServer(async (request, response) => {
  const body = await read(request).catch(() => undefined);
  if (body === undefined) return response.writeHead(413, { connection: "close" }).end();
  try {
    webhook.verify(body, request.headers);
  } catch (error) {
    console.log("refused", error.message);
    return response.writeHead(401).end();
  }
  response.writeHead(204).end();
  const id = request.headers["webhook-id"];
  if (isNew(id)) work(id, body).catch((error) => console.error("failed", id, error));
  else console.log("again", id);
});

server.listen(Number(process.env.PORT ?? 9000), "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}/`);
});
