"""What comes in although nobody calls: polls, schedules, and what providers say they sent and never arrived."""

from __future__ import annotations

import json
import subprocess
import time
import uuid
from typing import Any, TypeVar

import standardwebhooks
from signers import Event, SignedCase, compact
from sources import ENDPOINT_SECRET, INGEST, Source, SourceCase
from upstream import GithubApi, OrderList, Said, StripeApi, Upstream

from harness.cases import unique
from harness.places import binary
from harness.receiver import Received
from harness.suite import eventually

U = TypeVar("U", bound=Upstream)


def orders_of(upstream: Upstream, **config: Any) -> dict[str, Any]:
    """The settings of a poll that asks an `OrderList` with all that a request can have."""
    return {
        "url": f"{upstream.url}/orders",
        "method": "POST",
        "headers": {"x-tenant": "acme"},
        "body": '{"after": {{cursor}}}',
        "auth": {"bearer": "s3cret"},
        "everyS": 1,
        "items": "$.result.orders",
        "itemId": "$.id",
        "cursor": {"from": {"path": "$.meta.next"}, "first": "0"},
        **config,
    }


class PullCase(SourceCase):
    def upstream(self, upstream: U) -> U:
        self.addCleanup(upstream.close)
        return upstream

    def command(self, *arguments: str) -> str:
        """`hookpost` against the server, as in a terminal."""
        environment = {**self.server.environment, "HOOKPOST_URL": self.server.url, "HOOKPOST_API_KEY": self.server.token}
        done = subprocess.run([str(binary()), *arguments], env=environment, capture_output=True, text=True, timeout=20)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def accepted(self, source: Source, count: int) -> list[dict[str, Any]]:
        """The receipts of messages, oldest first, once there are `count`."""
        return self.receipts(source, count, verdict="accepted", limit="250")[::-1]

    def deliveries(self, source: Source, count: int) -> list[Received]:
        """What arrived, each signed by the secret of the endpoint."""
        received = self.delivered(source, count)
        verifier = standardwebhooks.Webhook(ENDPOINT_SECRET)
        for request in received:
            verifier.verify(request.body, request.headers)
        return received


class Polls(PullCase):
    def test_every_item_once_through_refusals_and_pages(self) -> None:
        troubles = [Said(429, {"error": "slow down"}, {"retry-after": "1"}), Said(503, {"error": "no"}), None, Said(503, {"error": "no"})]
        orders = self.upstream(OrderList(8, troubles=troubles))
        rules = {"eventType": {"value": "order.placed"}, "orderingKey": {"path": "$.id"}}
        config = {"method": "GET", "url": f"{orders.url}/orders?after={{{{cursor}}}}", "body": None}
        source = self.source("http-poll", orders_of(orders, **config), rules=rules)
        receipts = self.accepted(source, 8)
        self.assertEqual([receipt["eventId"] for receipt in receipts], [f"order-{number:03}" for number in range(8)])
        self.assertEqual({receipt["method"] for receipt in receipts}, {"POLL"})
        bodies = sorted(json.loads(request.body)["id"] for request in self.deliveries(source, 8))
        self.assertEqual(bodies, [f"order-{number:03}" for number in range(8)])
        sent = next(request.body for request in self.receiver.at(source.path) if b"order-000" in request.body)
        self.assertEqual(sent, json.dumps(OrderList.order(0), ensure_ascii=False).encode(), "byte for byte")

        # What was refused is on record, once for the row of failures; and it was left alone for as long as it asked.
        [refused] = self.receipts(source, verdict="rejected")
        self.assertEqual((refused["code"], refused["detail"]), ("poll_failed", "The address answered 429."))
        self.assertGreaterEqual(orders.asked[1].at - orders.asked[0].at, 0.99)
        self.assertEqual({asked.headers["x-tenant"] for asked in orders.asked}, {"acme"})

        # Nothing new costs a request that is answered with 304; what is new comes by the next one.
        eventually(lambda: orders.asked[-1].headers.get("if-none-match"), what="a conditional request")
        self.assertEqual(self.counts(source)["accepted"], 8)
        orders.count = 9
        self.assertEqual(self.accepted(source, 9)[-1]["eventId"], "order-008")
        self.deliveries(source, 9)
        self.assertNotIn("s3cret", self.server.log())

        # And the terminal can say why one arrived.
        message = receipts[0]["messageId"]
        said = self.command("why", source.application, message)
        self.assertIn("delivered", said)
        listed = self.command("receipt", "list", source.id, "--verdict", "rejected")
        self.assertIn("poll_failed", listed)

    def test_what_does_not_fit_its_schema_waits_until_it_does(self) -> None:
        kind = unique("order").replace("-", ".")
        schema = {"type": "object", "properties": {"total": {"type": "number", "maximum": 2}}}
        event_type = {"name": kind, "description": "an order", "schemas": {"1": schema}}
        self.ok(self.api.post("/event-type", event_type), 201)
        orders = self.upstream(OrderList(5, page=2))
        rules = {"eventType": {"value": kind}, "schema": "quarantine"}
        source = self.source("http-poll", orders_of(orders), rules=rules)
        apart = self.receipts(source, 3, verdict="quarantined")
        self.assertEqual(sorted(receipt["eventId"] for receipt in apart), ["order-002", "order-003", "order-004"])
        self.assertIn("`/total`", apart[0]["detail"])
        orders.count = 6
        self.receipts(source, 4, verdict="quarantined")
        self.assertEqual(len(self.messages(source)), 2, "the others went on, and nothing comes twice")

        self.ok(self.api.put(f"/event-type/{kind}", {**event_type, "schemas": {"1": {"type": "object"}}}), 200)
        self.assertIn("4", self.command("receipt", "replay", source.id, "--since", "10m", "--verdict", "quarantined"))
        self.deliveries(source, 6)
        again = self.ok(self.api.post(f"{INGEST}/{source.id}/receipt/{apart[0]['id']}/replay"))
        self.assertEqual(again["verdict"], "duplicate")
        self.assertEqual(len(self.messages(source)), 6)

    def test_a_look_that_failed_is_seen_and_no_event(self) -> None:
        nobody = self.upstream(OrderList(1))
        source = self.source("http-poll", orders_of(nobody, auth={"bearer": "wr0ng"}))
        [failed] = self.receipts(source)
        self.assertEqual((failed["verdict"], failed["code"], failed["statusCode"]), ("rejected", "poll_failed", 401))
        self.assertIn("credentials", failed["hint"])
        self.is_error(self.api.post(f"{INGEST}/{source.id}/receipt/{failed['id']}/replay"), 409)
        # Whoever mends the settings sees at once whether it helped.
        self.ok(self.api.patch(f"{INGEST}/{source.id}", {"config": {"auth": {"bearer": "s3cret"}}}))
        self.deliveries(source, 1)
        self.assertNotIn("wr0ng", self.server.log())


class Schedules(PullCase):
    def test_a_message_at_every_time(self) -> None:
        source = self.source("cron", {"schedule": "* * * * * *", "payload": '{"n": 1.50}'}, rules={"channels": [{"value": "ticks"}]})
        receipts = self.accepted(source, 3)[:3]
        seconds = [int(receipt["eventId"][17:19]) for receipt in receipts]
        self.assertEqual(seconds, [(seconds[0] + ahead) % 60 for ahead in range(3)])
        self.assertEqual({(receipt["method"], receipt["eventType"]) for receipt in receipts}, {("CRON", "cron.fired")})
        self.ok(self.api.patch(f"{INGEST}/{source.id}", {"disabled": True}))
        self.assertEqual({request.body for request in self.deliveries(source, 3)}, {b'{"n": 1.50}'})
        self.assertEqual(self.messages(source)[0]["channels"], ["ticks"])


class Gaps(SignedCase, PullCase):
    def test_what_stripe_has_and_we_have_not_is_fetched_in_order(self) -> None:
        stripe, signer = self.upstream(StripeApi()), self.signer("stripe of Python")
        source = self.source("stripe", {"secret": signer.secret})
        events = [stripe.happened(f"evt_{uuid.uuid4().hex}", "invoice.paid", number) for number in range(11)]
        arrived, missing = events[2:7:2], [event for event in events if event not in events[2:7:2]]
        for event in arrived:
            self.assertEqual(self.arrive(source, *signer.request(source.url, self.of_stripe(event))).status, 200)
        self.look(source, apiKey=stripe.KEY, baseUrl=stripe.url)
        receipts = self.accepted(source, 11)
        self.assertEqual([receipt["eventId"] for receipt in receipts], [event["id"] for event in arrived + missing])
        self.assertEqual([receipt["method"] for receipt in receipts], ["POST"] * 3 + ["BACK_FILL"] * 8)
        self.assertEqual({receipt["eventType"] for receipt in receipts}, {"invoice.paid"})
        got = [json.loads(request.body) for request in self.deliveries(source, 11)]
        self.assertEqual(sorted(event["id"] for event in got), sorted(event["id"] for event in events))
        self.assertTrue(all(event in events for event in got))
        # Pages are walked with one and the same window, and a late arrival is known.
        self.assertEqual(len({asked.query["created[lte]"] for asked in stripe.asked}), 1)
        self.assertEqual(self.arrive(source, *signer.request(source.url, self.of_stripe(missing[0]))).status, 200)
        self.assertEqual(self.counts(source), {**self.counts(source), "accepted": 11, "duplicate": 1, "rejected": 0})

    def test_deliveries_of_github_that_failed_are_fetched(self) -> None:
        github, signer = self.upstream(GithubApi()), self.signer("octokit")
        source = self.source("github", {"secret": signer.secret})
        failed = {}
        for number, status in enumerate([200, 502, 200, 0, 200, 504, 200]):
            event = signer.event(number)
            payload = {"ref": "refs/heads/main", "number": number}
            headers = {"X-GitHub-Event": "push", "X-GitHub-Delivery": event.id or "", "Content-Type": "application/json", "Content-Length": "2"}
            if status == 200:
                self.assertEqual(self.arrive(source, *signer.request(source.url, event)).status, 200)
            else:
                failed[event.id] = payload
            github.delivered(event.id or "", "push", payload, headers, status)
        self.look(source, apiKey=github.TOKEN, baseUrl=github.url, resource=github.HOOK)
        receipts = self.accepted(source, 7)
        fetched = [receipt for receipt in receipts if receipt["method"] == "BACK_FILL"]
        self.assertEqual({receipt["eventId"] for receipt in fetched}, set(failed))
        self.assertEqual({receipt["eventType"] for receipt in receipts}, {"push"})
        got = [json.loads(request.body) for request in self.deliveries(source, 7)]
        self.assertTrue(all(payload in got for payload in failed.values()), got)
        details = [asked.path for asked in github.asked if not asked.path.endswith("/deliveries")]
        self.assertEqual(len(details), 3, "what arrived is not asked for")

    @staticmethod
    def of_stripe(event: dict[str, Any]) -> Event:
        return Event(compact(event), event["id"], event["type"], {"content-type": "application/json; charset=utf-8"})

    def look(self, source: Source, **back_fill: Any) -> None:
        """Once the second in which the source was made is over: looks are about whole seconds."""
        time.sleep(1.1)
        rules = {"backFill": {"settleS": 0, "everyS": 600, **back_fill}}
        self.ok(self.api.patch(f"{INGEST}/{source.id}", {"rules": rules}))


class Killed(PullCase):
    def test_a_kill_in_the_middle_of_a_poll_loses_and_doubles_nothing(self) -> None:
        orders = self.upstream(OrderList(90, page=5, slow_s=0.03))
        source = self.source("http-poll", orders_of(orders, pagesMax=100))
        for pages in (4, 9, 13):
            eventually(lambda: len(orders.asked), lambda asked: asked >= pages, what=f"{pages} pages")
            self.server.kill()
            self.server.start()
        receipts = self.accepted(source, 90)
        self.assertEqual([receipt["eventId"] for receipt in receipts], [f"order-{number:03}" for number in range(90)])
        self.assertEqual(len(self.messages(source)), 90)
        eventually(lambda: {request.message_id for request in self.receiver.at(source.path)}, lambda ids: len(ids) == 90, what="90 messages")
        self.deliveries(source, 90)
        self.assertLess(len(orders.asked), 45, "it goes on where it was")
