"""Events signed by the providers' own SDKs come in by a source and arrive at its endpoint, verified, once, with their bytes."""

from __future__ import annotations

from signers import SignedCase
from sources import ENDPOINT_SECRET, INGEST
from standardwebhooks import Webhook


class Providers(SignedCase):
    def test_verified_delivered_and_recorded(self) -> None:
        for signer in self.signers:
            with self.subTest(signer=str(signer)):
                source = self.source(signer.kind, {"secret": signer.secret})
                event = signer.event(1)
                answer = self.arrive(source, *signer.request(source.url, event))
                self.assertIn(answer.status, (200, 204), str(answer))

                received = self.delivered(source)[0]
                self.assertEqual(received.body, event.body)
                self.assertEqual(received.headers["content-type"], event.headers["content-type"])
                if event.headers["content-type"].startswith("application/json"):
                    Webhook(ENDPOINT_SECRET).verify(received.body, received.headers)

                receipt = self.receipts(source)[0]
                self.assertEqual((receipt["verdict"], receipt["statusCode"]), ("accepted", answer.status))
                self.assertEqual(receipt["messageId"], received.message_id)
                if event.id is not None:
                    self.assertEqual(receipt["eventId"], event.id)
                if event.type is not None:
                    self.assertEqual(receipt["eventType"], event.type)
                    # An event type of ours has no slashes and the like, so only the letters need to be those.
                    self.assertEqual(self.messages(source)[0]["eventType"].replace(".", "/"), event.type.replace(".", "/"))

    def test_a_repetition_makes_no_second_message(self) -> None:
        for signer in self.signers:
            with self.subTest(signer=str(signer)):
                source = self.source(signer.kind, {"secret": signer.secret})
                event = signer.event(2)
                request = signer.request(source.url, event)
                for _ in range(3):
                    self.assertIn(self.arrive(source, *request).status, (200, 204))
                other = self.arrive(source, *signer.request(source.url, signer.event(3)))
                self.assertIn(other.status, (200, 204))
                # The other event came last: what was to be delivered before it is on its way.
                self.delivered(source, 2)
                receipts = self.receipts(source, 4)
                self.assertEqual([receipt["verdict"] for receipt in receipts], ["accepted", "duplicate", "duplicate", "accepted"])
                self.assertEqual(len({receipt["messageId"] for receipt in receipts[1:]}), 1)
                self.assertEqual(len(self.messages(source)), 2)

    def test_another_secret_is_refused(self) -> None:
        for signer in self.signers:
            with self.subTest(signer=str(signer)):
                source = self.source(signer.kind, {"secret": signer.other_secret})
                answer = self.arrive(source, *signer.request(source.url, signer.event(4)))
                self.assertEqual(answer.status, 401, str(answer))
                self.assertEqual(answer.json["code"], "bad_signature")
                receipt = self.receipts(source)[0]
                self.assertEqual((receipt["verdict"], receipt["code"]), ("rejected", "bad_signature"))
                self.assertEqual(self.messages(source), [])

    def test_several_secrets_during_a_rotation(self) -> None:
        signer = self.signer("octokit")
        source = self.source("github", {"secret": "the new one", "secrets": [signer.secret]})
        for secret in ("the new one", signer.secret):
            self.assertEqual(self.arrive(source, *signer.request(source.url, signer.event(5), secret)).status, 200)
        self.delivered(source, 2)

    def test_a_rotated_url_is_good_for_a_while(self) -> None:
        signer = self.signer("octokit")
        source = self.source("github", {"secret": signer.secret})
        new = self.ok(self.api.post(f"{INGEST}/{source.id}/token/rotate"))["ingestUrl"]
        self.assertNotEqual(new, source.url)
        for url in (source.url, new):
            self.assertEqual(self.arrive(source, *signer.request(url, signer.event(6)), url=url).status, 200)
        self.assertEqual(self.arrive(source, b"{}", {}, url=new + "x").status, 404)

