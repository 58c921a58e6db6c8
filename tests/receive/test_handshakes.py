"""Challenges of providers get the answers that they insist on, and make no message."""

from __future__ import annotations

import json
import subprocess
import time

from signers import Event, compact, sign_with_slack
from sources import Source, SourceCase

from harness.places import binary


def signed(provider: str, secret: dict[str, str], url: str, body: bytes, headers: dict[str, str] | None = None) -> dict[str, str]:
    """The headers of a request as `hookpost sign` makes it."""
    request = {"provider": provider, "url": url, "headers": headers or {}, "body": body.decode(), **secret}
    done = subprocess.run([str(binary()), "sign", "--json"], input=json.dumps(request) + "\n", capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["headers"]


class Handshakes(SourceCase):
    def is_handshake(self, source: Source) -> None:
        self.assertEqual(self.receipts(source)[0]["verdict"], "handshake")
        self.assertEqual(self.messages(source), [])

    def test_slack_url_verification(self) -> None:
        source = self.source("slack", {"secret": "signing secret"})
        body = compact({"token": "x", "challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P", "type": "url_verification"})
        headers = {"content-type": "application/json", **sign_with_slack("signing secret", "", Event(body, None, None))}
        answer = self.arrive(source, body, headers)
        self.assertEqual(answer.status, 200, str(answer))
        self.assertIn(b"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P", answer.body)
        self.is_handshake(source)
        forged = {**headers, "x-slack-signature": "v0=" + "0" * 64}
        self.assertEqual(self.arrive(source, body, forged).status, 401)

    def test_meta_hub_challenge(self) -> None:
        source = self.source("meta", {"secret": "app secret", "verifyToken": "agreed word"})
        ask = f"{source.url}?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token="
        answer = self.arrive(source, b"", {}, "GET", ask + "agreed+word")
        self.assertEqual((answer.status, answer.body), (200, b"1158201444"))
        self.assertTrue(answer.headers["content-type"].startswith("text/plain"), answer.headers)
        self.is_handshake(source)
        self.assertEqual(self.arrive(source, b"", {}, "GET", ask + "another").status, 403)

    def test_zoom_url_validation(self) -> None:
        source = self.source("zoom", {"secret": "zoom secret"})
        body = compact({"event": "endpoint.url_validation", "payload": {"plainToken": "qgg8vlvZRS6UYooatFL8Aw"}, "event_ts": 1654503849680})
        headers = signed("zoom", {"secret": "zoom secret"}, source.url, body, {"content-type": "application/json"})
        answer = self.arrive(source, body, headers)
        self.assertEqual(answer.status, 200, str(answer))
        self.assertEqual(answer.json["plainToken"], "qgg8vlvZRS6UYooatFL8Aw")
        self.assertEqual(len(answer.json["encryptedToken"]), 64)
        self.is_handshake(source)

    def test_discord_ping(self) -> None:
        # The key pair of the first test vector of RFC 8032.
        public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        private = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
        source = self.source("discord", {"secret": public})
        body = compact({"id": "4738088", "type": 1, "token": "x", "version": 1})
        headers = signed("discord", {"secret": public, "private_key": private}, source.url, body, {"content-type": "application/json"})
        answer = self.arrive(source, body, headers)
        self.assertEqual((answer.status, answer.json), (200, {"type": 1}))
        self.is_handshake(source)
        # Discord tries whether a forged ping is refused.
        forged = {**headers, "x-signature-timestamp": str(int(time.time()) - 1)}
        self.assertEqual(self.arrive(source, body, forged).status, 401)

    def test_cloudevents_options(self) -> None:
        source = self.source("cloudevents", {"secret": "bearer token"})
        answer = self.arrive(source, b"", {"webhook-request-origin": "eventemitter.example.com", "webhook-request-rate": "120"}, "OPTIONS")
        self.assertEqual(answer.status, 200, str(answer))
        self.assertIn(answer.headers["webhook-allowed-origin"], ("eventemitter.example.com", "*"))
        self.is_handshake(source)

    def test_asana_brings_its_secret(self) -> None:
        source = self.source("asana")
        secret = "7a1d0e9f4b2c4c55a3f2f0e6b8f1c9d4"
        answer = self.arrive(source, b"", {"x-hook-secret": secret})
        self.assertEqual((answer.status, answer.headers.get("x-hook-secret")), (200, secret))
        body = compact({"events": [{"action": "added", "resource": {"gid": "1", "resource_type": "task"}}]})
        headers = signed("asana", {"secret": secret}, source.url, body, {"content-type": "application/json"})
        self.assertEqual(self.arrive(source, body, headers).status, 200)
        self.assertEqual(self.delivered(source)[0].body, body)
        # Whoever comes second brings no other secret.
        self.assertEqual(self.arrive(source, b"", {"x-hook-secret": "of somebody else"}).status, 403)
