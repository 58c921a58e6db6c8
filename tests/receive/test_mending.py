"""What was turned away can be let in after the secret or the schema was mended; and its receipt says what was wrong."""

from __future__ import annotations

import json
from typing import Callable

from signers import Signer, SignedCase
from sources import INGEST, Source

from harness.cases import moment, unique


class Mending(SignedCase):
    def turned_away(self, signer: Signer, count: int = 1) -> tuple[Source, list[bytes]]:
        """A source with the wrong secret, and what came while it had it."""
        source = self.source(signer.kind, {"secret": signer.other_secret})
        bodies = []
        for number in range(count):
            event = signer.event(number)
            bodies.append(event.body)
            self.assertEqual(self.arrive(source, *signer.request(source.url, event)).status, 401)
        self.receipts(source, count)
        return source, bodies

    def mend(self, source: Source, signer: Signer) -> None:
        self.ok(self.api.patch(f"{INGEST}/{source.id}", {"config": {"secret": signer.secret}}))

    def test_one_is_replayed_after_the_secret_was_mended(self) -> None:
        for name in ("stripe of Python", "octokit", "slack_sdk", "hubspot v3", "svix"):
            signer = self.signer(name)
            with self.subTest(signer=name):
                source, [body] = self.turned_away(signer)
                rejected = self.receipts(source)[0]
                at = f"{INGEST}/{source.id}/receipt/{rejected['id']}/replay"
                self.assertEqual(self.ok(self.api.post(at))["verdict"], "rejected")
                self.mend(source, signer)
                replayed = self.ok(self.api.post(at))
                self.assertEqual((replayed["verdict"], replayed["replayOf"]), ("accepted", rejected["id"]))
                received = self.delivered(source)[0]
                self.assertEqual((received.body, received.message_id), (body, replayed["messageId"]))
                # The record of what happened stays, and a second replay makes no second message.
                self.assertEqual(self.receipt(source, rejected["id"])["verdict"], "rejected")
                self.assertEqual(self.ok(self.api.post(at))["verdict"], "duplicate")

    def test_all_of_a_reason_are_replayed(self) -> None:
        signer = self.signer("octokit")
        source, bodies = self.turned_away(signer, 7)
        self.mend(source, signer)
        what = {"since": moment(minutes=-5), "code": "bad_signature"}
        answer = self.ok(self.api.post(f"{INGEST}/{source.id}/receipt/replay", what))
        self.assertEqual((answer["accepted"], answer["refused"], answer["done"]), (7, 0, True), answer)
        received = self.delivered(source, 7)
        self.assertEqual(sorted(request.body for request in received), sorted(bodies))

    def test_what_does_not_fit_its_schema_waits_until_it_does(self) -> None:
        signer = self.signer("octokit")
        source = self.source("github", {"secret": signer.secret}, rules={"schema": "quarantine"})
        schema = {"type": "object", "required": ["commits"]}
        event_type = {"name": "push", "description": "a push", "schemas": {"1": schema}}
        self.ok(self.api.post("/event-type", event_type), 201)
        self.addCleanup(lambda: self.api.delete("/event-type/push", query={"expunge": "true"}))
        self.assertEqual(self.arrive(source, *signer.request(source.url, signer.event(1))).status, 200)
        [receipt] = self.receipts(source)
        self.assertEqual(receipt["verdict"], "quarantined")
        self.assertIn("commits", receipt["detail"])
        self.assertEqual(self.messages(source), [])

        self.ok(self.api.put("/event-type/push", {**event_type, "schemas": {"1": {"type": "object"}}}), 200)
        replayed = self.ok(self.api.post(f"{INGEST}/{source.id}/receipt/{receipt['id']}/replay"))
        self.assertEqual(replayed["verdict"], "accepted")
        self.delivered(source)


class Diagnosis(SignedCase):
    def hint_after(self, signer: Signer, change: Callable[[bytes], bytes]) -> str:
        source = self.source(signer.kind, {"secret": signer.secret})
        body, headers = signer.request(source.url, signer.event(1))
        self.assertEqual(self.arrive(source, change(body), headers).status, 401)
        return (self.receipts(source)[0]["hint"] or "").lower()

    def test_the_body_was_changed(self) -> None:
        for name in ("stripe of JavaScript", "shopify", "svix"):
            signer = self.signer(name)
            with self.subTest(signer=name):
                self.assertIn("newline", self.hint_after(signer, lambda body: body + b"\n"))
                spaced = self.hint_after(signer, lambda body: json.dumps(json.loads(body), ensure_ascii=False).encode())
                self.assertRegex(spaced, "serialis|json")

    def test_the_secret_is_that_of_another_source(self) -> None:
        signer = self.signer("octokit")
        other = self.ok(self.api.post(INGEST, {"name": unique("shop"), "type": "github", "config": {"secret": "of the shop"}}), 201)
        source = self.source("github", {"secret": signer.secret})
        body, headers = signer.request(source.url, signer.event(1), "of the shop")
        self.assertEqual(self.arrive(source, body, headers).status, 401)
        self.assertIn(other["name"], self.receipts(source)[0]["hint"])

    def test_the_url_differs(self) -> None:
        signer = self.signer("twilio")
        source = self.source("twilio", {"secret": signer.secret})
        event = signer.event(1)
        body, headers = signer.request(source.url.replace("http://", "https://"), event)
        self.assertEqual(self.arrive(source, body, headers).status, 401)
        self.assertRegex((self.receipts(source)[0]["hint"] or "").lower(), "url|https")

    def test_a_receipt_shows_no_secret(self) -> None:
        signer = self.signer("octokit")
        source, secret = self.source("github", {"secret": signer.secret}), signer.secret
        self.assertEqual(self.arrive(source, b"{}", {"x-hub-signature-256": "sha256=" + "0" * 64, "authorization": "Bearer hush"}).status, 401)
        shown = json.dumps(self.receipt(source, self.receipts(source)[0]["id"]))
        for hidden in (secret, "hush", source.url.rsplit("/", 1)[1]):
            self.assertNotIn(hidden, shown)
        self.assertNotIn(secret, self.server.log())
