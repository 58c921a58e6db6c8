// The JavaScript SDK, in its last version 1 and its newest, through every operation it has. Run by ../run.py.
// The shapes of the answers are checked by the recorder between us and the server.

import assert from "node:assert/strict";
import { randomUUID, webcrypto } from "node:crypto";
import { createRequire } from "node:module";
import { after, before, describe, it } from "node:test";

import { Webhook } from "standardwebhooks";

import { administration } from "./administration.mjs";
import { ingest } from "./ingest.mjs";
import { streams } from "./streams.mjs";
import { eventually, Receiver, url } from "./tools.mjs";

// The SDKs expect it as a global, which it is from Node 20 on.
globalThis.crypto ??= webcrypto;

const token = process.env.HOOKPOST_TEST_TOKEN;
const versions = ["svix-v1", "svix-newest"];

for (const name of versions) {
  const { Svix, ApiException } = await load(name);
  const { version } = await packageOf(name);
  const v1 = version.startsWith("1.");
  const types = (list) => ({ [v1 ? "filterTypes" : "eventTypes"]: list });

  describe(`javascript svix ${version}`, () => {
    const svix = new Svix(token, { serverUrl: url });
    const receiver = new Receiver();
    let app;
    before(async () => {
      await receiver.start();
      app = await svix.application.create({ name: "JavaScript", uid: randomUUID() });
    });
    after(() => receiver.stop());

    // From version 2 on the library asks for no content unless it is told to.
    const withContent = { withContent: true };
    const path = () => `/${randomUUID()}`;
    const endpointAt = (at, status, options = {}) => svix.endpoint.create(app.id, { url: receiver.url(at, status), ...options });
    const freshApp = async () => (app = await svix.application.create({ name: "fresh", uid: randomUUID() }));
    const send = (payload = { a: 1 }, options = {}) => svix.message.create(app.id, { eventType: "user.signup", payload, ...options }, withContent);
    const attempts = (message, count) =>
      eventually(async () => (await svix.messageAttempt.listByMsg(app.id, message.id, withContent)).data, (list) => list.length >= count, `${count} attempts`);
    const finished = (task) =>
      eventually(() => svix.backgroundTask.get(task.id), (found) => found.status === "finished", "the task's end");
    const longAgo = new Date(Date.now() - 86_400_000);

    it("applications", async () => {
      assert.equal((await svix.application.get(app.uid)).id, app.id);
      assert.equal((await svix.application.getOrCreate({ name: "other", uid: app.uid })).id, app.id);
      assert.equal((await svix.application.patch(app.id, { name: "grüß" })).name, "grüß");
      const put = svix.application.upsert ? "upsert" : "update";
      assert.equal((await svix.application[put](app.id, { name: "put", uid: app.uid })).name, "put");
      const page = await svix.application.list({ limit: 1 });
      assert.equal(page.data.length, 1);
      assert.ok(page.data[0].createdAt instanceof Date);
      const other = await svix.application.create({ name: "short" });
      await svix.application.delete(other.id);
      await assert.rejects(svix.application.get(other.id), (error) => error instanceof ApiException && error.code === 404);
      await assert.rejects(svix.application.create({ name: "x", uid: "not a uid" }), (error) => error.code === 422 && error.body.detail[0].loc[1] === "uid");
    });

    it("event types", async () => {
      const eventType = `js.${randomUUID().replaceAll("-", "")}`;
      await svix.eventType.create({ name: eventType, description: "one" });
      assert.equal((await svix.eventType.get(eventType)).description, "one");
      assert.equal((await svix.eventType.patch(eventType, { description: "two" })).description, "two");
      const put = svix.eventType.upsert ? "upsert" : "update";
      assert.equal((await svix.eventType[put](eventType, { description: "three" })).description, "three");
      assert.ok((await svix.eventType.list({ limit: 250 })).data.some((found) => found.name === eventType));
      await svix.eventType.delete(eventType, { expunge: true });
    });

    it("endpoints", async () => {
      await freshApp();
      const at = path();
      const eventType = `js.${randomUUID().replaceAll("-", "")}`;
      await svix.eventType.create({ name: eventType, description: "", schemas: { 1: { type: "object", examples: [{ example: 1 }] } } });
      const endpoint = await endpointAt(at, undefined, { uid: randomUUID(), channels: ["one"] });
      assert.deepEqual((await svix.endpoint.get(app.id, endpoint.uid)).channels, ["one"]);
      assert.equal((await svix.endpoint.list(app.id)).data.length, 1);
      assert.deepEqual((await svix.endpoint.patch(app.id, endpoint.id, { ...types([eventType]) }))[v1 ? "filterTypes" : "eventTypes"], [eventType]);
      const put = svix.endpoint.upsert ? "upsert" : "update";
      assert.equal((await svix.endpoint[put](app.id, endpoint.id, { url: receiver.url(at) })).id, endpoint.id);
      await svix.endpoint[svix.endpoint.setHeaders ? "setHeaders" : "updateHeaders"](app.id, endpoint.id, { headers: { "X-One": "1" } });
      await svix.endpoint.patchHeaders(app.id, endpoint.id, { headers: { "X-Two": "2" } });
      assert.deepEqual((await svix.endpoint.getHeaders(app.id, endpoint.id)).headers, { "X-One": "1", "X-Two": "2" });
      await svix.endpoint.sendExample(app.id, endpoint.id, { eventType });
      assert.deepEqual(JSON.parse((await receiver.wait(at, 1))[0].body), { example: 1 });
      await eventually(() => svix.endpoint.getStats(app.id, endpoint.id), (stats) => stats.success === 1, "a success");
      await svix.endpoint.delete(app.id, endpoint.id);
    });

    it("signatures and rotation", async () => {
      await freshApp();
      const at = path();
      const endpoint = await endpointAt(at);
      const old = (await svix.endpoint.getSecret(app.id, endpoint.id)).key;
      await svix.endpoint.rotateSecret(app.id, endpoint.id, {});
      const { key } = await svix.endpoint.getSecret(app.id, endpoint.id);
      assert.notEqual(key, old);
      await send({ to: "both" });
      const [request] = await receiver.wait(at, 1);
      for (const secret of [old, key]) assert.deepEqual(new Webhook(secret).verify(request.body, request.headers), { to: "both" });
      assert.throws(() => new Webhook(key).verify(`${request.body} `, request.headers));
    });

    it("messages", async () => {
      await freshApp();
      assert.equal((await svix.message.precheck(app.id, { eventType: "user.signup" })).active, false);
      const message = await send({ text: "grüß 🪝" }, { eventId: randomUUID() });
      assert.deepEqual((await svix.message.get(app.id, message.eventId, withContent)).payload, { text: "grüß 🪝" });
      assert.deepEqual((await svix.message.list(app.id)).data.map((found) => found.id), [message.id]);
      await assert.rejects(send({}, { eventId: message.eventId }), (error) => error.code === 409);
      await svix.message.expungeContent(app.id, message.id);
      assert.deepEqual((await svix.message.get(app.id, message.id, withContent)).payload, { expired: true });
    });

    it("attempts and resend", async () => {
      await freshApp();
      const at = path();
      const endpoint = await endpointAt(at, (n) => (n === 0 ? 500 : 200));
      const message = await send();
      const [newest, oldest] = await attempts(message, 2);
      assert.deepEqual([newest.status, oldest.status, oldest.responseStatusCode], [0, 2, 500]);
      assert.equal((await svix.messageAttempt.get(app.id, message.id, oldest.id)).id, oldest.id);
      assert.equal((await svix.messageAttempt.listByEndpoint(app.id, endpoint.id, { status: 2 })).data.length, 1);
      assert.equal((await svix.messageAttempt.listAttemptedMessages(app.id, endpoint.id)).data[0].id, message.id);
      assert.equal((await svix.messageAttempt.listAttemptedDestinations(app.id, message.id)).data[0].id, endpoint.id);
      await svix.messageAttempt.resend(app.id, message.id, endpoint.id);
      assert.equal((await attempts(message, 3))[0].triggerType, 1);
      await svix.messageAttempt.expungeContent(app.id, message.id, oldest.id);
      assert.equal((await svix.messageAttempt.get(app.id, message.id, oldest.id)).response, "EXPUNGED");
    });

    it("recover, replay and tasks", async () => {
      await freshApp();
      const at = path();
      const message = await send();
      const endpoint = await endpointAt(at);
      await finished(await svix.endpoint.replayMissing(app.id, endpoint.id, { since: longAgo }));
      await receiver.wait(at, 1);
      await attempts(message, 1);
      await finished(await svix.endpoint.bulkReplay(app.id, endpoint.id, { since: longAgo }));
      await receiver.wait(at, 2);
      await finished(await svix.endpoint.recover(app.id, endpoint.id, { since: longAgo }));
      assert.ok((await svix.backgroundTask.list({ limit: 250 })).data.length >= 3);
    });

    it("portal tokens", async () => {
      const access = await svix.authentication.appPortalAccess(app.id, {});
      const portal = new Svix(access.token, { serverUrl: url });
      assert.equal((await portal.application.get(app.id)).id, app.id);
      await portal.authentication.logout();
      await assert.rejects(portal.application.get(app.id), (error) => error.code === 401);
      if (svix.authentication.dashboardAccess) assert.ok((await svix.authentication.dashboardAccess(app.id)).token);
      await svix.authentication.expireAll(app.id, { expiry: 0 });
    });

    const isRefused = (error, status) => error instanceof ApiException && error.code === status;
    ingest({ svix, Svix, url, receiver, path, isRefused });
    administration({ Svix, v1, receiver, path, isRefused });
    streams({ svix, Svix, token, v1, version, receiver, path, isRefused });

    it("health", async () => {
      await svix.health.get();
    });
  });
}

async function load(name) {
  return import(name);
}

async function packageOf(name) {
  return createRequire(import.meta.url)(`${name}/package.json`);
}
