"""What can be done with messages beyond sending them, by one Python SDK. Run as a part of python_suite.py."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import Any

import svix.api as sdk
import svix.models as models
from python_base import SdkTest, ok, unique
from harness import suite
from harness.receiver import always

WITH_CONTENT = sdk.MessageGetOptions(with_content=True)
GONE = {"expired": True}


class Expunging(SdkTest):
    def bulk_expunge(self, ids: list[str]) -> dict[str, str]:
        api = self.svix.message
        if hasattr(api, "bulk_expunge_content"):
            return {name: str(result.value) for name, result in api.bulk_expunge_content(self.app.id, models.BulkExpungeContentsIn(ids=ids)).results.items()}
        return ok(self.plain("POST", f"/app/{self.app.id}/msg/bulk-expunge", {"ids": ids}))["results"]

    def payload(self, message: Any) -> Any:
        return self.svix.message.get(self.app.id, message.id, WITH_CONTENT).payload

    def test_some_messages(self) -> None:
        first, second, kept = self.send(), self.send(event_id=unique("evt")), self.send()
        results = self.bulk_expunge([first.id, second.event_id, "nobody"])
        self.assertEqual(results, {first.id: "expunged", second.event_id: "expunged", "nobody": "not-found"})
        self.assertEqual([self.payload(message) for message in (first, second, kept)], [GONE, GONE, {"a": 1}])

    def test_what_is_gone_cannot_be_sent_again(self) -> None:
        endpoint, message = self.endpoint(), self.send()
        self.attempts(message, 1)
        self.bulk_expunge([message.id])
        refused = self.refused(400, self.svix.message_attempt.resend, self.app.id, message.id, endpoint.id)
        self.assertEqual(refused.code, "missing_payload")

    def test_all_messages_of_an_application(self) -> None:
        messages = [self.send({"n": n}) for n in range(3)]
        other = self.svix.application.create(models.ApplicationIn(name="other"))
        elsewhere = self.svix.message.create(other.id, models.MessageIn(event_type="a", payload={"n": 1}))
        task = self.svix.message.expunge_all_contents(self.app.id)
        self.assertEqual(task.task, "application.purge_content")
        self.assertEqual(self.result(task)["messagesPurged"], 3)
        self.assertEqual([self.payload(message) for message in messages], [GONE] * 3)
        self.assertEqual(self.svix.message.get(other.id, elsewhere.id, WITH_CONTENT).payload, {"n": 1})


class Scheduled(SdkTest):
    def test_a_message_waits_for_its_time(self) -> None:
        self.endpoint()
        at = datetime.now(timezone.utc) + timedelta(seconds=1.5)
        started = time.monotonic()
        message = self.send({"n": 1}, deliver_at=at)
        self.assertAlmostEqual(self.shown_time(message), at, delta=timedelta(milliseconds=1))
        self.send({"n": 2})
        soon = self.receiver.wait(self.path, 1)[0]
        self.assertNotEqual(soon.message_id, message.id)
        late = self.receiver.wait(self.path, 2)[1]
        self.assertEqual(late.message_id, message.id)
        self.assertGreaterEqual(late.at - started, 1.4)

    def shown_time(self, message: Any) -> datetime:
        return datetime.fromisoformat(ok(self.plain("GET", f"/app/{self.app.id}/msg/{message.id}"))["deliverAt"].replace("Z", "+00:00"))

    def test_a_time_that_is_too_far_away_is_refused(self) -> None:
        self.refused(422, lambda: self.send(deliver_at=datetime.now(timezone.utc) + timedelta(days=400)))

    def test_retention_in_hours(self) -> None:
        self.send(payload_retention_hours=1)
        for hours in (0, 2161):
            self.assertEqual(self.refused(422, lambda hours=hours: self.send(payload_retention_hours=hours)).detail[0].loc[0], "body")


class Searching(SdkTest):
    def found(self, **query: Any) -> list[str]:
        return [message["id"] for message in self.page(**query)["data"]]

    def page(self, **query: Any) -> Any:
        return ok(self.plain("POST", f"/app/{self.app.id}/msg/search", query))

    def test_search(self) -> None:
        tagged = self.send({"n": 1}, tags=["urgent"], channels=["one"])
        other = self.svix.message.create(self.app.id, models.MessageIn(event_type="user.gone", payload={"n": 2}))
        self.assertEqual(self.found(), [other.id, tagged.id])
        self.assertEqual(self.found(tag="urgent"), [tagged.id])
        self.assertEqual(self.found(channel="one"), [tagged.id])
        self.assertEqual(self.found(event_types=["user.gone"]), [other.id])
        first = self.page(limit=1)
        self.assertEqual(self.found(limit=1, iterator=first["iterator"]), [tagged.id])
        self.assertEqual((first["data"][0]["payload"], self.page(limit=1, with_content=True)["data"][0]["payload"]), ({}, {"n": 2}))
        long_ago = (datetime.now(timezone.utc) - timedelta(days=2)).isoformat()
        self.assertEqual(self.found(before=long_ago), [])

    def test_the_feed_of_an_application(self) -> None:
        sent = [self.send({"n": n}) for n in range(3)]
        at = f"/app/{self.app.id}/events"
        first = ok(self.plain("GET", at, query={"limit": 2}))
        self.assertEqual([(message["id"], message["payload"]) for message in first["data"]], [(m.id, {"n": n}) for n, m in enumerate(sent[:2])])
        rest = ok(self.plain("GET", at, query={"iterator": first["iterator"]}))
        self.assertEqual(([message["id"] for message in rest["data"]], rest["done"]), ([sent[2].id], True))


class OfAll(SdkTest):
    """What goes over all applications of a tenant."""

    own_tenant = True

    def test_broadcast(self) -> None:
        other = self.svix.application.create(models.ApplicationIn(name="other"))
        self.endpoint()
        body = {"eventType": "user.signup", "payload": {"to": "all"}, "eventId": unique("evt")}
        task = ok(self.plain("POST", "/msg/broadcast", body), 202)
        self.assertEqual(task["task"], "message.broadcast")
        finished = self.finished(task["id"])
        self.assertEqual(finished.status, "finished")
        made = {created["appId"]: created["msgId"] for created in finished.data["messagesCreated"]}
        self.assertEqual(set(made), {self.app.id, other.id})
        for app, message in made.items():
            shown = self.svix.message.get(app, message, WITH_CONTENT)
            self.assertEqual((shown.payload, shown.event_id), ({"to": "all"}, body["eventId"]))
        self.assertEqual(self.receiver.wait(self.path, 1)[0].message_id, made[self.app.id])

    def test_the_feed_of_operational_webhooks(self) -> None:
        heard = self.receiver.url(f"{self.path}/operational", always(200))
        self.svix.operational_webhook.endpoint.create(models.OperationalWebhookEndpointIn(url=heard))
        endpoint = self.endpoint()
        feed = suite.eventually(lambda: ok(self.plain("GET", "/events"))["data"], what="an event")
        self.assertEqual((feed[0]["eventType"], feed[0]["payload"]["data"]["endpointId"]), ("endpoint.created", endpoint.id))


class TestAttempts(SdkTest):
    def attempt(self, endpoint: Any) -> Any:
        body = {"eventType": "user.signup", "payload": {"n": 1}}
        return ok(self.plain("POST", f"/app/{self.app.id}/endpoint/{endpoint.id}/msg/test-attempt", body), 201)

    def test_the_answer_of_the_receiver_is_shown(self) -> None:
        endpoint = self.endpoint(always(418, body=b"a teapot"))
        attempt = self.attempt(endpoint)
        self.assertEqual((attempt["responseStatusCode"], attempt["response"], attempt["status"]), (418, "a teapot", 2))
        self.assertEqual(attempt["endpointId"], endpoint.id)
        self.assertEqual(self.receiver.wait(self.path, 1)[0].body, b'{"n": 1}')

    def test_nobody_else_gets_it(self) -> None:
        endpoint = self.endpoint()
        self.endpoint(path=f"{self.path}/other")
        self.assertEqual(self.attempt(endpoint)["responseStatusCode"], 200)
        message = self.send()
        self.assertEqual(self.receiver.wait(f"{self.path}/other", 1)[0].message_id, message.id)


class Throttling(SdkTest):
    def test_it_is_told_who_has_to_wait(self) -> None:
        endpoint = self.endpoint(throttle_rate=1)
        status = lambda: ok(self.plain("GET", f"/app/{self.app.id}/endpoint/{endpoint.id}/rate-limit-status"))  # noqa: E731
        self.assertEqual(status()["status"], "Ok")
        for n in range(4):
            self.send({"n": n})
        held = suite.eventually(status, lambda found: found["status"] == "RateLimited", what="the throttle")
        self.assertTrue(held["throttledUntil"])
