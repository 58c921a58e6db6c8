"""The providers' own SDKs, as signers: those for Python in this process, those for JavaScript in one beside it."""

from __future__ import annotations

import json
import subprocess
import time
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable, ClassVar
from urllib.parse import urlencode

import standardwebhooks
import stripe
from slack_sdk.signature import SignatureVerifier
from sources import SourceCase

SIGNER = Path(__file__).resolve().parent / "javascript" / "signer.mjs"
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_WHSEC = "whsec_plJ3nmyCDGBKInavdOK15jsl10kWSAdZ"


@dataclass(frozen=True)
class Event:
    """One event of a provider, not yet signed, and what has to be read in it."""

    body: bytes
    id: str | None
    type: str | None
    headers: dict[str, str] = field(default_factory=dict)
    #: What the SDK signs with, where it asks for an id.
    signed_id: str = ""


#: Called with the secret, the URL as the provider has it, and the event.
Sign = Callable[[str, str, Event], dict[str, str]]


@dataclass(frozen=True)
class Signer:
    name: str
    #: The type of the source.
    kind: str
    sign: Sign
    #: Called with a number, for events that differ.
    event: Callable[[int], Event]
    secret: str = "a secret of the provider"
    other_secret: str = "another secret of the provider"

    def __str__(self) -> str:
        return self.name

    def request(self, url: str, event: Event, secret: str | None = None) -> tuple[bytes, dict[str, str]]:
        return event.body, {**event.headers, **self.sign(secret or self.secret, url, event)}


class JavaScript:
    """Answers a line with a line, for as long as the tests run."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(["node", str(SIGNER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def sign(self, **request: Any) -> dict[str, str]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def signer(self, sdk: str) -> Sign:
        return lambda secret, url, event: self.sign(sdk=sdk, secret=secret, url=url, id=event.signed_id, body=event.body.decode())


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def stripe_event(number: int) -> Event:
    id = f"evt_{uuid.uuid4().hex}"
    body = compact({"id": id, "object": "event", "type": "payment_intent.succeeded", "data": {"object": {"amount": number, "description": "Zoë — 東京"}}})
    return Event(body, id, "payment_intent.succeeded", {"content-type": "application/json; charset=utf-8"})


def github_event(number: int) -> Event:
    id = str(uuid.uuid4())
    headers = {"content-type": "application/json", "x-github-event": "push", "x-github-delivery": id}
    # Spaces and a number that no parser writes again as it was: the bytes have to arrive.
    return Event(b'{ "ref":"refs/heads/main", "number" : %d.0e0 }' % number, id, "push", headers)


def shopify_event(number: int) -> Event:
    id = str(uuid.uuid4())
    headers = {"content-type": "application/json", "x-shopify-topic": "orders/create", "x-shopify-webhook-id": id, "x-shopify-event-id": str(uuid.uuid4())}
    return Event(compact({"id": number, "email": "ada@example.com"}), id, "orders/create", headers)


def slack_event(number: int) -> Event:
    id = f"Ev{uuid.uuid4().hex[:12].upper()}"
    body = compact({"type": "event_callback", "event_id": id, "event": {"type": "app_mention", "text": f"hello {number}"}})
    return Event(body, id, "app_mention", {"content-type": "application/json"})


def twilio_event(number: int) -> Event:
    id = str(uuid.uuid4())
    body = urlencode({"MessageSid": f"SM{uuid.uuid4().hex}", "MessageStatus": "delivered", "Body": f"hello & {number}", "To": "+15550100"})
    headers = {"content-type": "application/x-www-form-urlencoded", "i-twilio-idempotency-token": id}
    return Event(body.encode(), id, None, headers)


def hubspot_event(number: int) -> Event:
    id = uuid.uuid4().int % 10**9
    body = compact([{"eventId": id, "subscriptionType": "contact.creation", "objectId": number}])
    return Event(body, str(id), "contact.creation", {"content-type": "application/json"})


def standard_event(number: int) -> Event:
    id = f"msg_{uuid.uuid4().hex}"
    return Event(compact({"type": "user.created", "number": number}), id, "user.created", {"content-type": "application/json"}, signed_id=id)


def sign_with_stripe(secret: str, _url: str, event: Event) -> dict[str, str]:
    return {"stripe-signature": stripe.WebhookSignature.generate_signature_header(event.body.decode(), secret)}


def sign_with_slack(secret: str, _url: str, event: Event) -> dict[str, str]:
    timestamp = str(int(time.time()))
    signature = SignatureVerifier(secret).generate_signature(timestamp=timestamp, body=event.body)
    return {"x-slack-request-timestamp": timestamp, "x-slack-signature": signature or ""}


def sign_with_standard(secret: str, _url: str, event: Event) -> dict[str, str]:
    now = datetime.now(timezone.utc)
    signature = standardwebhooks.Webhook(secret).sign(event.signed_id, now, event.body.decode())
    return {"webhook-id": event.signed_id, "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}


def all_signers(javascript: JavaScript) -> list[Signer]:
    whsec = {"secret": WHSEC, "other_secret": OTHER_WHSEC}
    return [
        Signer("stripe of Python", "stripe", sign_with_stripe, stripe_event),
        Signer("stripe of JavaScript", "stripe", javascript.signer("stripe"), stripe_event),
        Signer("octokit", "github", javascript.signer("github"), github_event),
        Signer("shopify", "shopify", javascript.signer("shopify"), shopify_event),
        Signer("slack_sdk", "slack", sign_with_slack, slack_event),
        Signer("twilio", "twilio", javascript.signer("twilio"), twilio_event),
        Signer("hubspot v1", "hubspot", javascript.signer("hubspot_v1"), hubspot_event),
        Signer("hubspot v2", "hubspot", javascript.signer("hubspot_v2"), hubspot_event),
        Signer("hubspot v3", "hubspot", javascript.signer("hubspot_v3"), hubspot_event),
        Signer("standardwebhooks of Python", "standard_webhooks", sign_with_standard, standard_event, **whsec),
        Signer("standardwebhooks of JavaScript", "standard_webhooks", javascript.signer("standard_webhooks"), standard_event, **whsec),
        Signer("svix", "svix", javascript.signer("svix"), standard_event, **whsec),
    ]


class SignedCase(SourceCase):
    javascript: ClassVar[JavaScript]
    signers: ClassVar[list[Signer]]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.javascript = JavaScript()
        cls.addClassCleanup(cls.javascript.close)
        cls.signers = all_signers(cls.javascript)

    def signer(self, name: str) -> Signer:
        return next(signer for signer in self.signers if signer.name == name)
