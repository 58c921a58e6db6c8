// What the suites of the JavaScript SDK have in common: waiting, a receiver, tenants of one's own, calls that the SDK has no method for.

import { createHmac, randomUUID } from "node:crypto";
import { createServer } from "node:http";

export const url = process.env.HOOKPOST_TEST_URL;

export async function eventually(read, good, what) {
  const deadline = Date.now() + 10_000;
  for (;;) {
    const value = await read();
    if (good(value)) return value;
    if (Date.now() > deadline) throw new Error(`${what} did not come within 10 s; last: ${JSON.stringify(value)}`);
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
}

/** A receiver that remembers; `status(n)` answers the n-th request of a path. */
export class Receiver {
  received = new Map();
  plans = new Map();

  async start() {
    this.server = createServer(async (request, response) => {
      const chunks = [];
      for await (const chunk of request) chunks.push(chunk);
      const list = this.received.get(request.url) ?? [];
      this.received.set(request.url, list);
      list.push({ headers: request.headers, body: Buffer.concat(chunks).toString() });
      response.statusCode = (this.plans.get(request.url) ?? (() => 200))(list.length - 1);
      response.end("ok");
    });
    await new Promise((resolve) => this.server.listen(0, "127.0.0.1", resolve));
  }

  url(path, status) {
    if (status) this.plans.set(path, status);
    return `http://127.0.0.1:${this.server.address().port}${path}`;
  }

  at(path) {
    return this.received.get(path) ?? [];
  }

  wait(path, count) {
    return eventually(async () => this.at(path), (list) => list.length >= count, `${count} requests at ${path}`);
  }

  stop() {
    this.server.close();
    this.server.closeAllConnections?.();
  }
}

export const unique = (prefix = "js") => `${prefix}-${randomUUID()}`;

/** The token of a tenant that nobody else uses. */
export function newTenant() {
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const now = Math.floor(Date.now() / 1000);
  const org = `org_${randomUUID().replaceAll("-", "").slice(0, 27)}`;
  const signed = `${encode({ alg: "HS256", typ: "JWT" })}.${encode({ iat: now - 5, nbf: now - 5, exp: now + 3600, sub: org })}`;
  return `${signed}.${createHmac("sha256", process.env.HOOKPOST_TEST_JWT_SECRET).update(signed).digest("base64url")}`;
}

/** A call as the SDK makes it, for what it has no method for. */
export async function plain(token, version, method, path, body) {
  const headers = { authorization: `Bearer ${token}`, "user-agent": `svix-libs/${version}/javascript`, "svix-req-id": "1" };
  if (method === "POST") headers["idempotency-key"] = `auto_${randomUUID()}`;
  if (body) headers["content-type"] = "application/json";
  const response = await fetch(`${url}/api/v1${path}`, { method, headers, body: body && JSON.stringify(body) });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return text && JSON.parse(text);
}
