// Streams, destinations and pollers by the JavaScript SDK. A part of suite.mjs.

import assert from "node:assert/strict";
import { it } from "node:test";

import { Webhook } from "standardwebhooks";

import { eventually, plain, unique, url } from "./tools.mjs";

export function streams({ svix, Svix, token, v1, version, receiver, path, isRefused }) {
  const { streaming } = svix;
  const eventTypes = streaming.eventType ?? streaming.event_type;
  const put = v1 ? "update" : "upsert";
  const fresh = () => streaming.stream.create({ name: "JavaScript", uid: unique("s") });
  const send = (stream, ...numbers) =>
    streaming.events.create(stream.id, { events: numbers.map((n) => ({ eventType: "user.signup", payload: JSON.stringify({ n }) })) });
  const numbersOf = (events) => events.map((event) => JSON.parse(event.payload).n);
  const batches = (at) => receiver.at(at).map((request) => numbersOf(JSON.parse(request.body)));
  const toPath = (at, options = {}) => ({ type: "http", config: { url: receiver.url(at) }, batchSize: 2, maxWaitSecs: 1, ...options });

  it("streams", async () => {
    const stream = await fresh();
    assert.equal((await streaming.stream.get(stream.uid)).id, stream.id);
    assert.deepEqual((await streaming.stream.patch(stream.id, { metadata: { k: "v" } })).metadata, { k: "v" });
    assert.equal((await streaming.stream[put](stream.id, { name: "put" })).name, "put");
    assert.ok((await streaming.stream.list({ limit: 250, order: "descending" })).data.some((found) => found.id === stream.id));
    await streaming.stream.delete(stream.id);
    await assert.rejects(streaming.stream.get(stream.id), (error) => isRefused(error, 404));
  });

  it("event types of streams", async () => {
    const name = unique("streamed");
    await eventTypes.create({ name, description: "one" });
    assert.equal((await eventTypes.get(name)).description, "one");
    assert.equal((await eventTypes.patch(name, { deprecated: true })).deprecated, true);
    assert.equal((await eventTypes[put](name, { name, description: "two" })).description, "two");
    const listed = async (options) => (await eventTypes.list({ limit: 250, ...options })).data.some((found) => found.name === name);
    assert.equal(await listed(), true);
    await eventTypes.delete(name);
    assert.deepEqual([await listed(), await listed({ includeArchived: true })], [false, true]);
    await eventTypes.delete(name, { expunge: true });
    await assert.rejects(eventTypes.get(name), (error) => isRefused(error, 404));
  });

  it("sinks that are called get every batch, in order, signed", async () => {
    const [stream, at] = [await fresh(), path()];
    let broken = true;
    const sink = await streaming.sink.create(stream.id, toPath(at));
    receiver.url(at, () => (broken ? 500 : 200));
    await send(stream, 0, 1, 2, 3, 4);
    await receiver.wait(at, 2);
    const failing = await eventually(() => streaming.sink.get(stream.id, sink.id), (found) => found.status === "retrying", "a retry");
    assert.ok(failing.nextRetryAt instanceof Date);
    broken = false;
    await eventually(async () => batches(at), (found) => found.length > 0 && found.at(-1).at(-1) === 4, "the last batch");
    const tries = batches(at).filter((batch) => batch[0] === 0).length;
    assert.deepEqual(batches(at), [...Array(tries).fill([0, 1]), [2, 3], [4]]);
    const { key } = await streaming.sink.getSecret(stream.id, sink.id);
    for (const request of receiver.at(at)) new Webhook(key).verify(request.body, request.headers);
    await streaming.sink.rotateSecret(stream.id, sink.id, {});
    assert.notEqual((await streaming.sink.getSecret(stream.id, sink.id)).key, key);
    await streaming.sinkHeadersPatch(stream.id, sink.id, { headers: { "X-One": "1" } });
    assert.deepEqual((await streaming.sinkHeadersGet(stream.id, sink.id)).headers, { "X-One": "1" });
    const patched = await streaming.sink.patch(stream.id, sink.id, { type: "http", config: {}, status: "disabled" });
    assert.deepEqual([patched.status, patched.config.url], ["disabled", receiver.url(at)]);
    assert.equal((await streaming.sink[put](stream.id, sink.id, toPath(at, { batchSize: 7 }))).batchSize, 7);
    assert.deepEqual((await streaming.sink.list(stream.id)).data.map((found) => found.id), [sink.id]);
    await streaming.sink.delete(stream.id, sink.id);
    await assert.rejects(streaming.sink.get(stream.id, sink.id), (error) => isRefused(error, 404));
  });

  it("sinks that ask", async () => {
    const stream = await fresh();
    const sink = await streaming.sink.create(stream.id, { type: "poller" });
    await send(stream, 0, 1, 2);
    const first = await streaming.events.get(stream.id, sink.id, { limit: 2 });
    assert.deepEqual([numbersOf(first.data), first.done], [[0, 1], false]);
    const rest = await streaming.events.get(stream.id, sink.id, { iterator: first.iterator });
    assert.deepEqual([numbersOf(rest.data), rest.done], [[2], true]);
    const { authentication } = svix;
    const made = await authentication.rotateStreamPollerToken(stream.id, sink.id, { oldTokenExpiry: 0 });
    assert.equal((await authentication.getStreamPollerToken(stream.id, sink.id)).token, made.token);
    const consumer = new Svix(made.token, { serverUrl: url });
    assert.equal((await consumer.streaming.events.get(stream.id, sink.id)).data.length, 3);
    await assert.rejects(consumer.streaming.stream.list(), (error) => isRefused(error, 403));
  });

  it("the portal of a stream", async () => {
    const stream = await fresh();
    const enter = async (options = {}) => new Svix((await svix.authentication.streamPortalAccess(stream.id, options)).token, { serverUrl: url });
    const [one, two] = [await enter(), await enter({ sessionId: "two" })];
    assert.equal((await one.streaming.stream.get(stream.id)).id, stream.id);
    await assert.rejects(one.application.list(), (error) => isRefused(error, 403));
    await one.authentication.streamLogout();
    await assert.rejects(one.streaming.stream.get(stream.id), (error) => isRefused(error, 401));
    assert.equal((await two.streaming.stream.get(stream.id)).id, stream.id);
    await svix.authentication.streamExpireAll(stream.id, { expiry: 0 });
    await assert.rejects(two.streaming.stream.get(stream.id), (error) => isRefused(error, 401));
  });

  it("destinations", async () => {
    const [app, at] = [await svix.application.create({ name: "FIFO" }), path()];
    const options = { ...toPath(at), type: "fifoEndpoint" };
    const { destination } = svix;
    const made = destination ? await destination.create(app.id, options) : await plain(token, version, "POST", `/app/${app.id}/destination`, options);
    for (const n of [0, 1, 2]) await svix.message.create(app.id, { eventType: "user.signup", payload: { n } });
    await receiver.wait(at, 2);
    assert.deepEqual(receiver.at(at).map((request) => JSON.parse(request.body).map((event) => event.payload.n)), [[0, 1], [2]]);
    if (!destination) return;
    assert.equal((await destination.get(app.id, made.id)).config.url, receiver.url(at));
    assert.equal((await destination.patch(app.id, made.id, { type: "fifoEndpoint", config: {}, batchSize: 9 })).batchSize, 9);
    assert.equal((await destination.upsert(app.id, made.id, options)).batchSize, 2);
    assert.deepEqual((await destination.list(app.id)).data.map((found) => found.id), [made.id]);
    await destination.delete(app.id, made.id);
    await assert.rejects(destination.get(app.id, made.id), (error) => isRefused(error, 404));
  });

  it("pollers of an application", async () => {
    const app = await svix.application.create({ name: "polled" });
    const sink = (await plain(token, version, "POST", `/app/${app.id}/destination`, { type: "pollingEndpoint" })).id;
    const { poller } = svix.message;
    for (const n of [0, 1, 2]) await svix.message.create(app.id, { eventType: "user.signup", payload: { n } });
    const numbers = (polled) => polled.data.map((message) => message.payload.n);
    const first = await poller.poll(app.id, sink, { limit: 2 });
    assert.deepEqual([numbers(first), first.done], [[0, 1], false]);
    assert.deepEqual(numbers(await poller.poll(app.id, sink, { iterator: first.iterator })), [2]);
    const own = await poller.consumerPoll(app.id, sink, "one", { limit: 2 });
    assert.deepEqual(numbers(own), [0, 1]);
    assert.deepEqual(numbers(await poller.consumerPoll(app.id, sink, "one", { iterator: own.iterator })), [2]);
    await poller.consumerSeek(app.id, sink, "one", { after: new Date(Date.now() - 3_600_000) });
    assert.deepEqual(numbers(await poller.consumerPoll(app.id, sink, "one")), [0, 1, 2]);
  });
}
