// What concerns a tenant as a whole, by the JavaScript SDK: operational webhooks, integrations, the environment, statistics, tokens. A part of suite.mjs.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { it } from "node:test";

import { Webhook } from "standardwebhooks";

import { eventually, newTenant, unique, url } from "./tools.mjs";

export function administration({ Svix, v1, receiver, path, isRefused }) {
  const withTenant = () => new Svix(newTenant(), { serverUrl: url });
  const types = (list) => ({ [v1 ? "filterTypes" : "eventTypes"]: list });
  const inAnHour = () => new Date(Date.now() + 3_600_000);
  const anHourAgo = () => new Date(Date.now() - 3_600_000);
  const result = async (svix, task) => {
    const found = await eventually(() => svix.backgroundTask.get(task.id), (one) => one.status !== "running", "the task's end");
    assert.equal(found.status, "finished");
    return found.data;
  };

  it("operational webhooks", async () => {
    const svix = withTenant();
    const endpoints = svix.operationalWebhook.endpoint;
    const at = path();
    const made = await endpoints.create({ url: receiver.url(at), uid: unique("op"), description: "first", ...types(["endpoint.created"]) });
    assert.equal((await endpoints.get(made.uid)).id, made.id);
    assert.deepEqual((await endpoints.list()).data.map((found) => found.id), [made.id]);
    await endpoints[v1 ? "updateHeaders" : "setHeaders"](made.id, { headers: { "X-One": "1" } });
    assert.deepEqual((await endpoints.getHeaders(made.id)).headers, { "X-One": "1" });
    const old = (await endpoints.getSecret(made.id)).key;
    await endpoints.rotateSecret(made.id, {});
    const { key } = await endpoints.getSecret(made.id);
    assert.notEqual(key, old);

    const app = await svix.application.create({ name: "heard", uid: randomUUID() });
    const endpoint = await svix.endpoint.create(app.id, { url: receiver.url(path()) });
    await svix.endpoint.patch(app.id, endpoint.id, { description: "not asked for" });
    const [request] = await receiver.wait(at, 1);
    for (const secret of [old, key]) {
      const event = new Webhook(secret).verify(request.body, request.headers);
      assert.equal(event.type, "endpoint.created");
      assert.deepEqual([event.data.appId, event.data.appUid, event.data.endpointId], [app.id, app.uid, endpoint.id]);
    }
    assert.equal(request.headers["x-one"], "1");
    assert.equal(receiver.at(at).length, 1);
    const put = await endpoints[endpoints.upsert ? "upsert" : "update"](made.id, { url: receiver.url(at), disabled: true });
    assert.deepEqual([put.id, put.disabled, put.description], [made.id, true, ""]);
    await endpoints.delete(made.id);
    await assert.rejects(endpoints.get(made.id), (error) => isRefused(error, 404));
  });

  it("integrations", async () => {
    const svix = withTenant();
    const app = await svix.application.create({ name: "integrated" });
    const integration = await svix.integration.create(app.id, { name: "Zapier" });
    assert.equal((await svix.integration.get(app.id, integration.id)).name, "Zapier");
    assert.equal((await svix.integration.update(app.id, integration.id, { name: "Make" })).name, "Make");
    assert.deepEqual((await svix.integration.list(app.id)).data.map((found) => found.name), ["Make"]);
    const { key } = await svix.integration.rotateKey(app.id, integration.id);
    if (v1) assert.equal((await svix.integration.getKey(app.id, integration.id)).key, key);
    const third = new Svix(key, { serverUrl: url });
    assert.deepEqual((await third.endpoint.list(app.id)).data, []);
    await assert.rejects(third.application.list(), (error) => isRefused(error, 403));
    await svix.integration.delete(app.id, integration.id);
    await assert.rejects(third.endpoint.list(app.id), (error) => isRefused(error, 401));
  });

  it("the environment and event types from documents", async () => {
    const [svix, other] = [withTenant(), withTenant()];
    const post = { description: "an order was paid", requestBody: { content: { "application/json": { schema: { type: "object" } } } }, responses: {} };
    const spec = { openapi: "3.1.0", info: { title: "Orders", version: "1" }, webhooks: { "order.paid": { post } } };
    const dry = await svix.eventType.importOpenapi({ spec, dryRun: true });
    assert.deepEqual(dry.data.toModify.map((found) => found.name), ["order.paid"]);
    assert.deepEqual((await svix.eventType.list()).data, []);
    assert.deepEqual((await svix.eventType.importOpenapi({ spec })).data.modified, ["order.paid"]);
    assert.equal((await svix.eventType.get("order.paid")).description, "an order was paid");

    const exported = await svix.environment.export();
    assert.deepEqual(exported.eventTypes.map((found) => found.name), ["order.paid"]);
    assert.ok(exported.createdAt instanceof Date);
    await other.environment.import({ eventTypes: exported.eventTypes, settings: exported.settings });
    assert.equal((await other.eventType.get("order.paid")).description, "an order was paid");
    assert.deepEqual((await other.environment.export()).settings, exported.settings);
  });

  it("statistics", async () => {
    const svix = withTenant();
    const app = await svix.application.create({ name: "counted", uid: randomUUID() });
    await svix.eventType.create({ name: "order.paid", description: "" });
    await svix.endpoint.create(app.id, { url: receiver.url(path()), ...types(["order.paid"]) });
    for (const n of [1, 2]) await svix.message.create(app.id, { eventType: "order.paid", payload: { n } });
    const usage = async () => {
      const task = await svix.statistics.aggregateAppStats({ since: anHourAgo(), until: inAnHour(), appIds: [app.uid, "nobody"] });
      assert.deepEqual(task.unresolvedAppIds, ["nobody"]);
      return (await result(svix, task)).appStats;
    };
    const expected = [{ appId: app.id, appUid: app.uid, messageDestinations: 2 }];
    await eventually(usage, (found) => JSON.stringify(found?.map((one) => one.messageDestinations)) === "[2]", "the count");
    assert.deepEqual(await usage(), expected);
    const data = await result(svix, await svix.statistics.aggregateEventTypes());
    assert.deepEqual(data.event_types, [{ appId: app.id, explicitlySubscribedEventTypes: ["order.paid"], hasCatchAllEndpoint: false }]);
  });

  it("payloads are removed", async () => {
    const svix = withTenant();
    const app = await svix.application.create({ name: "expunged" });
    const send = (n) => svix.message.create(app.id, { eventType: "a", payload: { n } });
    const payload = async (message) => (await svix.message.get(app.id, message.id, { withContent: true })).payload;
    const messages = [await send(1), await send(2)];
    if (svix.message.bulkExpungeContent) {
      const { results } = await svix.message.bulkExpungeContent(app.id, { ids: [messages[0].id, "nobody"] });
      assert.deepEqual(results, { [messages[0].id]: "expunged", nobody: "not-found" });
      assert.deepEqual([await payload(messages[0]), await payload(messages[1])], [{ expired: true }, { n: 2 }]);
    }
    await result(svix, await svix.message.expungeAllContents(app.id));
    for (const message of messages) assert.deepEqual(await payload(message), { expired: true });
  });

  it("sessions of a portal", async () => {
    const svix = withTenant();
    const app = await svix.application.create({ name: "entered" });
    const enter = async (options) => new Svix((await svix.authentication.appPortalAccess(app.id, options)).token, { serverUrl: url });
    const [one, two, looking] = [await enter({ sessionId: "one" }), await enter({ sessionId: "two" }), await enter({ readOnly: true })];
    await assert.rejects(looking.endpoint.create(app.id, { url: receiver.url(path()) }), (error) => isRefused(error, 403));
    await svix.authentication.expireAll(app.id, { expiry: 0, sessionIds: ["one"] });
    await assert.rejects(one.endpoint.list(app.id), (error) => isRefused(error, 401));
    assert.deepEqual((await two.endpoint.list(app.id)).data, []);
  });
}
