"""Operational webhooks by one Python SDK: their endpoints, and that every event reaches them. Run as a part of python_suite.py."""

from __future__ import annotations

import json
from typing import Any

import published
import svix.api as sdk
import svix.models as models
from python_base import SdkTest, V1, event_types, long_ago, method, model, ok, unique, verified
from harness import suite
from harness.receiver import always, first_fail
from wire_shapes import WEBHOOKS

#: Ten tries within half a second.
QUICKLY = {"retrySchedule": [{"secs": 0, "nanos": 50_000_000}] * 9}


class Operational(SdkTest):
    """Of a tenant of its own each: what happens to the others is not to be heard here."""

    own_tenant = True

    def setUp(self) -> None:
        super().setUp()
        self.heard = f"/operational/{unique('at')}"

    def listen(self, *names: str, **options: Any) -> Any:
        if names:
            options |= event_types(list(names))
        url = self.receiver.url(self.heard, always(200))
        return self.svix.operational_webhook.endpoint.create(models.OperationalWebhookEndpointIn(url=url, **options))

    def events(self, count: int) -> list[Any]:
        """The payloads that came, each of its published form. (Some events are ours alone.)"""
        payloads = [json.loads(request.body) for request in (self.receiver.wait(self.heard, count) if count else self.receiver.at(self.heard))]
        for payload in payloads:
            if payload["type"] in WEBHOOKS:
                self.assertEqual(published.problems(WEBHOOKS[payload["type"]], payload), [])
        return payloads

    def event(self, name: str) -> Any:
        """The data of the first event of a name."""
        named = lambda: [payload for payload in self.events(0) if payload["type"] == name]  # noqa: E731
        return suite.eventually(named, what=name)[0]["data"]


class OperationalEndpoints(Operational):
    def test_life_of_an_endpoint(self) -> None:
        api, uid = self.svix.operational_webhook.endpoint, unique("op")
        created = self.listen("endpoint.created", uid=uid, description="first", throttle_rate=50, metadata={"k": "v"})
        self.assertEqual((created.uid, created.description, created.throttle_rate, created.metadata), (uid, "first", 50, {"k": "v"}))
        self.assertEqual(created.filter_types if V1 else created.event_types, ["endpoint.created"])
        self.assertEqual((api.get(uid), api.get(created.id)), (created, created))
        self.refused(409, api.create, models.OperationalWebhookEndpointIn(url=created.url, uid=uid))
        url = self.receiver.url(f"{self.heard}/other", always(200))
        put_in = model("OperationalWebhookEndpointUpsertIn", "OperationalWebhookEndpointUpdate")(url=url)
        put = method(api, "upsert", "update")(created.id, put_in)
        self.assertEqual((put.id, put.url, put.uid, put.description, put.throttle_rate, put.metadata), (created.id, url, None, "", None, {}))
        self.assertIsNone(api.delete(created.id))
        self.assertEqual(self.refused(404, api.get, created.id).code, "not_found")

    def test_lists(self) -> None:
        api = self.svix.operational_webhook.endpoint
        ids = [self.listen().id for _ in range(3)]
        listed = sdk.OperationalWebhookEndpointListOptions
        first = api.list(listed(limit=2, order="ascending"))
        rest = api.list(listed(limit=2, order="ascending", iterator=first.iterator))
        self.assertEqual([endpoint.id for endpoint in first.data + rest.data], ids)
        self.assertEqual((first.done, rest.done), (False, True))
        self.assertEqual([endpoint.id for endpoint in api.list(listed(order="descending")).data], ids[::-1])
        # They are no application of the tenant, and nobody else's.
        self.assertEqual([app.id for app in self.svix.application.list().data], [self.app.id])

    def test_headers(self) -> None:
        api, endpoint = self.svix.operational_webhook.endpoint, self.listen("endpoint.created")
        headers = models.OperationalWebhookEndpointHeadersIn(headers={"X-Kept": "1", "Authorization": "Bearer hidden"})
        self.assertIsNone(method(api, "set_headers", "update_headers")(endpoint.id, headers))
        read = api.get_headers(endpoint.id)
        self.assertEqual((read.headers, [name.lower() for name in read.sensitive]), ({"X-Kept": "1"}, ["authorization"]))
        self.endpoint()
        sent = self.receiver.wait(self.heard, 1)[0].headers
        self.assertEqual((sent["x-kept"], sent["authorization"]), ("1", "Bearer hidden"))

    def test_secret_and_rotation(self) -> None:
        api, endpoint = self.svix.operational_webhook.endpoint, self.listen("endpoint.created")
        before = api.get_secret(endpoint.id).key
        self.assertIsNone(api.rotate_secret(endpoint.id, models.OperationalWebhookEndpointSecretIn()))
        after = api.get_secret(endpoint.id).key
        self.assertNotEqual(before, after)
        given = "whsec_" + "A" * 32
        api.rotate_secret(endpoint.id, models.OperationalWebhookEndpointSecretIn(key=given))
        self.assertEqual(api.get_secret(endpoint.id).key, given)
        self.endpoint()
        request = self.receiver.wait(self.heard, 1)[0]
        for secret in (before, after, given):
            self.assertEqual(verified(secret, request)["type"], "endpoint.created")


class OperationalEvents(Operational):
    def test_what_happens_to_endpoints(self) -> None:
        secret = self.svix.operational_webhook.endpoint.get_secret(self.listen().id).key
        endpoint = self.endpoint(uid=unique("e"))
        api, app = self.svix.endpoint, self.app
        self.event("endpoint.created")
        api.patch(app.id, endpoint.id, models.EndpointPatch(description="other"))
        self.event("endpoint.updated")
        api.patch(app.id, endpoint.id, models.EndpointPatch(disabled=True))
        disabled = self.event("endpoint.disabled")
        api.patch(app.id, endpoint.id, models.EndpointPatch(disabled=False))
        self.event("endpoint.enabled")
        api.delete(app.id, endpoint.id)
        self.event("endpoint.deleted")
        whose = {"appId": app.id, "appUid": app.uid, "endpointId": endpoint.id, "endpointUid": endpoint.uid}
        for payload in self.events(5):
            self.assertEqual({name: payload["data"].get(name) for name in whose}, whose, payload)
        self.assertEqual(disabled["trigger"], "manual")
        for request in self.receiver.at(self.heard):
            verified(secret, request)

    def test_only_what_was_asked_for(self) -> None:
        self.listen("endpoint.deleted")
        endpoint = self.endpoint()
        self.svix.endpoint.delete(self.app.id, endpoint.id)
        self.event("endpoint.deleted")
        self.assertEqual({payload["type"] for payload in self.events(1)}, {"endpoint.deleted"})

    def test_a_disabled_one_hears_nothing(self) -> None:
        silent, self.heard = self.heard, f"{self.heard}/on"
        off = self.receiver.url(silent, always(200))
        self.svix.operational_webhook.endpoint.create(models.OperationalWebhookEndpointIn(url=off, disabled=True))
        self.listen()
        self.endpoint()
        self.event("endpoint.created")
        self.assertEqual(self.receiver.at(silent), [])

    def test_what_happens_to_deliveries(self) -> None:
        event_type = unique("quick")
        self.svix.event_type.create(models.EventTypeIn(name=event_type, description=""))
        ok(self.plain("PUT", f"/event-type/{event_type}/retry-schedule", QUICKLY))
        self.listen("message.attempt.failing", "message.attempt.recovered", "message.attempt.exhausted")
        endpoint = self.endpoint(first_fail(6, status=500))
        message = self.svix.message.create(self.app.id, models.MessageIn(event_type=event_type, payload={}, event_id=unique("evt")))
        failing, recovered = self.event("message.attempt.failing"), self.event("message.attempt.recovered")
        for data in (failing, recovered):
            self.assertEqual((data["appId"], data["appUid"], data["endpointId"]), (self.app.id, self.app.uid, endpoint.id))
            self.assertEqual((data["msgId"], data["msgEventId"]), (message.id, message.event_id))
        self.assertEqual((failing["lastAttempt"]["responseStatusCode"], recovered["lastAttempt"]["responseStatusCode"]), (500, 200))

        self.receiver.plan(self.path, always(501))
        lost = self.svix.message.create(self.app.id, models.MessageIn(event_type=event_type, payload={}))
        exhausted = self.event("message.attempt.exhausted")
        self.assertEqual((exhausted["msgId"], exhausted["lastAttempt"]["responseStatusCode"]), (lost.id, 501))

    def test_every_attempt_is_told_who_asks_for_it(self) -> None:
        self.listen("message.attempt.log")
        endpoint = self.endpoint(always(204))
        message = self.send()
        entry = self.event("message.attempt.log")[0]
        self.assertEqual((entry["appId"], entry["endpointId"], entry["msgId"]), (self.app.id, endpoint.id, message.id))
        self.assertEqual((entry["responseStatusCode"], entry["attemptCount"]), (204, 1))

    def test_the_end_of_a_task(self) -> None:
        self.listen("background_task.finished")
        endpoint = self.endpoint()
        task = self.svix.endpoint.replay_missing(self.app.id, endpoint.id, models.ReplayIn(since=long_ago()))
        data = self.event("background_task.finished")
        self.assertEqual((data["taskId"], data["task"], data["status"]), (task.id, "endpoint.replay", "finished"))

    def test_they_make_none_of_themselves(self) -> None:
        """A listener that fails is told nobody, or there would be no end."""
        self.listen("endpoint.created")
        self.receiver.plan(self.heard, always(500))
        loud, self.heard = self.heard, f"{self.heard}/all"
        self.listen()
        self.endpoint()
        self.receiver.wait(loud, 4)
        self.send()
        suite.eventually(lambda: [payload["type"] for payload in self.events(1)], what="the events")
        self.assertEqual({payload["type"] for payload in self.events(1)} - {"endpoint.created", "message.attempt.log"}, set())
