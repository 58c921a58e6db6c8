// The ingest API by the JavaScript SDK: sources of every kind of config, their endpoints. A part of suite.mjs.

import assert from "node:assert/strict";
import { createHmac, randomUUID } from "node:crypto";
import { it } from "node:test";

const whsec = { secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" };
const secret = { secret: "a secret of the provider" };
const publicKey = "iBfzfjZBizgiGM3Rgkvkfnv5z5PD1jTlBJOAab4uwb8=";

const configs = {
  cron: { schedule: "0 0 1 1 *", payload: '{"a": 1}', contentType: "application/json" },
  "adobe-sign": { clientId: "CBJCHBCAABAA" },
  meta: { secret: "app secret", verifyToken: "agreed word" },
  telnyx: { publicKey },
  tailscale: { secret: "tskey-webhook-1", timestampGraceSeconds: 60 },
};
for (const type of "beehiiv brex clerk guesty incident-io lithic nash psi-fi pleo replicate resend safebase sardine stych svix open-ai render".split(" "))
  configs[type] = whsec;
for (const type of "airwallex checkbook docusign easypost github hubspot nango openclaw panda-doc port-io rutter segment shopify slack stripe vapi veriff zoom".split(" "))
  configs[type] = secret;

export function ingest({ svix, Svix, url, receiver, path, isRefused }) {
  const sources = svix.ingest.source;
  const put = sources.upsert ? "upsert" : "update";

  it("sources of every type", async () => {
    const plain = await sources.create({ name: "Door", type: "generic-webhook" });
    assert.equal(plain.type, "generic-webhook");
    assert.ok(plain.createdAt instanceof Date);
    await sources.delete(plain.id);
    for (const [type, config] of Object.entries(configs)) {
      const source = await sources.create({ name: "Door", type, config, metadata: { of: type } });
      assert.deepEqual([source.type, source.metadata], [type, { of: type }]);
      assert.equal((await sources.get(source.id)).type, type);
      assert.equal((await sources[put](source.id, { name: "Other", type, config })).name, "Other");
      await sources.delete(source.id);
    }
    await assert.rejects(sources.create({ name: "Door", type: "vgs", config: secret }), (error) => isRefused(error, 422));
  });

  it("the life of a source", async () => {
    const source = await sources.create({ name: "Door", uid: randomUUID(), type: "github", config: secret });
    assert.ok((await sources.list({ limit: 250 })).data.some((found) => found.id === source.id));
    const rotated = await sources.rotateToken(source.id);
    assert.notEqual(rotated.ingestUrl, source.ingestUrl);
    const access = svix.ingest.authentication
      ? await svix.ingest.authentication.consumerPortalAccess(source.id, {})
      : await svix.ingest.dashboard(source.id, {});
    const portal = new Svix(access.token, { serverUrl: url });
    assert.deepEqual((await portal.ingest.endpoint.list(source.id)).data, []);
    await sources.delete(source.uid);
    await assert.rejects(sources.get(source.id), (error) => isRefused(error, 404));
  });

  it("the endpoints of a source", async () => {
    const source = await sources.create({ name: "Door", type: "github", config: secret });
    const endpoints = svix.ingest.endpoint;
    const at = path();
    const endpoint = await endpoints.create(source.id, { url: receiver.url(at), uid: randomUUID(), description: "first" });
    assert.equal((await endpoints.get(source.id, endpoint.uid)).id, endpoint.id);
    assert.equal((await endpoints.list(source.id)).data.length, 1);
    assert.equal((await endpoints[endpoints.upsert ? "upsert" : "update"](source.id, endpoint.id, { url: receiver.url(at) })).description, "");
    await endpoints[endpoints.setHeaders ? "setHeaders" : "updateHeaders"](source.id, endpoint.id, { headers: { "X-One": "1" } });
    assert.deepEqual((await endpoints.getHeaders(source.id, endpoint.id)).headers, { "X-One": "1" });
    const { key } = await endpoints.getSecret(source.id, endpoint.id);
    await endpoints.rotateSecret(source.id, endpoint.id, {});
    assert.notEqual((await endpoints.getSecret(source.id, endpoint.id)).key, key);
    const read = endpoints.transformation ? () => endpoints.transformation.get(source.id, endpoint.id) : () => endpoints.getTransformation(source.id, endpoint.id);
    assert.equal((await read()).enabled, false);

    const body = '{"ref":  "refs/heads/main"}';
    const signature = createHmac("sha256", secret.secret).update(body).digest("hex");
    const headers = {
      "content-type": "application/json",
      "x-github-event": "push",
      "x-github-delivery": randomUUID(),
      "x-hub-signature-256": `sha256=${signature}`,
    };
    assert.ok((await fetch(source.ingestUrl, { method: "POST", headers, body })).ok);
    assert.equal((await receiver.wait(at, 1))[0].body, body);
    await endpoints.delete(source.id, endpoint.id);
    await sources.delete(source.id);
  });
}
