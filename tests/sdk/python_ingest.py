"""One Python SDK through every operation of the ingest API, with every type of source that it knows. Run as a part of python_suite.py."""

from __future__ import annotations

import hashlib
import hmac
import typing
import urllib.parse
import uuid
from typing import Any

import svix.api as sdk
import svix.models as models
from svix.api.ingest_source import IngestSourceListOptions
from python_base import URL, SdkTest, long_ago, method, model, plain
from harness import suite
from harness.client import Client
from harness.receiver import always
from svix import Svix
from svix.api.errors.http_error import HttpError
from svix.api.errors.http_validation_error import HTTPValidationError

AT = "//ingest/api/v1/source"
WHSEC = {"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
SECRET = {"secret": "a secret of the provider"}
ED25519 = {"publicKey": "iBfzfjZBizgiGM3Rgkvkfnv5z5PD1jTlBJOAab4uwb8="}
RSA = {
    "publicKey": """-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA2wAxYZjvpql+TCdDkL7h
j8qf1apesXFICx15oAu1HNvYpox14Tyi4HG6UgtdjPAdAyY8ros4ihJaF+Xl0zUN
PvLOhrY86LQeCo8sBe4ThOYUdNh5Zu5ALeo327YoFM73ReSpNFxMACH9UO7jBrHN
mxUoRNniwmq3Fu5z4DdylfzKWTjrbd1/C2MsTqHvE3mBkDhf4EdjDjDpDkDJrRpW
4NISSKbh4BuK2Cu43jMZ76zUJicKrNYSYK+LSowzI3Nf3eld3ijc0NF9e0zcOMNb
IhrU8dP5v8T0KrTVPdB1kla/3vClnp646f+G7/HQPfl9xDSkLsP3ayTni28QsXks
xwIDAQAB
-----END PUBLIC KEY-----"""
}
CRON = {"schedule": "0 0 1 1 *", "payload": '{"a": 1}', "contentType": "application/json"}

BY_SVIX = """beehiiv brex clerk guesty incident-io lithic nash psi-fi pleo replicate resend safebase sardine stych svix open-ai render"""
WITH_A_SECRET = """airwallex checkbook docusign easypost github hubspot merge nango openclaw panda-doc port-io rutter segment shopify slack stripe
    vapi veriff zoom"""

CONFIGS: dict[str, dict[str, Any]] = {
    "generic-webhook": {},
    "cron": CRON,
    "adobe-sign": {"clientId": "CBJCHBCAABAA"},
    "meta": {"secret": "app secret", "verifyToken": "agreed word"},
    "orum-io": RSA,
    "telnyx": ED25519,
    "tailscale": {"secret": "tskey-webhook-1", "timestampGraceSeconds": 60},
    **{name: WHSEC for name in BY_SVIX.split()},
    **{name: SECRET for name in WITH_A_SECRET.split()},
}
#: How it signs is not published, so the server refuses it, with a sentence.
REFUSED = "vgs"


def types_of_sdk() -> list[str]:
    annotation = models.IngestSourceIn.model_fields["type"].annotation
    return [typing.get_args(literal)[0] for literal in typing.get_args(annotation)]


def source_in(name: str, config: dict[str, Any], **fields: Any) -> Any:
    return models.IngestSourceIn.model_validate({"name": "Door", "type": name, "config": dict(config), **fields})


class Sources(SdkTest):
    own_tenant = True  # The newest of a list are looked at.

    def source(self, name: str = "github", **fields: Any) -> Any:
        return self.svix.ingest.source.create(source_in(name, CONFIGS[name], **fields))

    def test_every_type(self) -> None:
        api, types = self.svix.ingest.source, types_of_sdk()
        self.assertGreaterEqual(len(types), 43)
        self.assertEqual(set(types) - set(CONFIGS), {REFUSED})
        for name in types:
            if name == REFUSED:
                continue
            with self.subTest(name):
                created = self.source(name, metadata={"of": name})
                self.assertEqual((created.type, created.metadata), (name, {"of": name}))
                read = api.get(created.id)
                self.assertEqual(read, created)
                if name in ("orum-io", "telnyx"):
                    self.assertEqual(read.config.public_key, CONFIGS[name]["publicKey"])
                elif name == "cron":
                    self.assertEqual((read.config.schedule, read.config.payload), (CRON["schedule"], CRON["payload"]))
                put = method(api, "upsert", "update")(created.id, source_in(name, CONFIGS[name]))
                self.assertEqual((put.id, put.type, put.metadata), (created.id, name, {}))
                self.assertIsNone(api.delete(created.id))

    def test_a_type_that_nobody_can_verify_is_refused(self) -> None:
        with self.assertRaises(HTTPValidationError) as refused:
            self.svix.ingest.source.create(source_in(REFUSED, SECRET))
        self.assertEqual(refused.exception.detail[0].loc, ["body", "type"])

    def test_life_of_a_source(self) -> None:
        api, uid = self.svix.ingest.source, f"door-{uuid.uuid4().hex}"
        created = self.source(uid=uid)
        self.assertEqual(api.get(uid).id, created.id)
        self.assertTrue(created.ingest_url.startswith("http://127.0.0.1:"))
        patched = self.plain("PATCH", f"{AT}/{uid}", {"name": "Renamed", "metadata": {"k": "v"}}).json
        self.assertEqual((patched["name"], patched["uid"], patched["metadata"]), ("Renamed", uid, {"k": "v"}))
        new = method(api, "upsert", "update")(f"new-{uuid.uuid4().hex}", source_in("svix", WHSEC))
        self.assertNotEqual(new.id, created.id)
        first = api.list(IngestSourceListOptions(limit=1, order="descending"))
        self.assertEqual([source.id for source in first.data], [new.id])
        second = api.list(IngestSourceListOptions(limit=1, order="descending", iterator=first.iterator))
        self.assertEqual([source.id for source in second.data], [created.id])
        api.delete(new.id)
        with self.assertRaises(HttpError) as taken:
            self.source(uid=uid)
        self.assertEqual((taken.exception.status_code, taken.exception.code), (409, "conflict"))
        api.delete(uid)
        with self.assertRaises(HttpError) as gone:
            api.get(uid)
        self.assertEqual((gone.exception.status_code, gone.exception.code), (404, "not_found"))

    def test_rotation_of_the_url(self) -> None:
        source = self.source()
        urls = [source.ingest_url]
        for _ in range(3):
            urls.append(self.svix.ingest.source.rotate_token(source.id).ingest_url)
        self.assertEqual(len(set(urls)), 4)
        with self.assertRaises(HttpError) as refused:
            self.svix.ingest.source.rotate_token(source.id)
        self.assertEqual((refused.exception.status_code, refused.exception.code), (400, "limit_reached"))
        self.assertEqual(self.svix.ingest.source.get(source.id).ingest_url, urls[-1])

    def test_portal_access(self) -> None:
        source, access_in = self.source(), models.IngestSourceConsumerPortalAccessIn(expiry=3600)
        authentication = getattr(self.svix.ingest, "authentication", None)
        access = authentication.consumer_portal_access(source.id, access_in) if authentication else self.svix.ingest.dashboard(source.id, access_in)
        portal = Svix(access.token, sdk.SvixOptions(server_url=URL))
        self.assertEqual(portal.ingest.endpoint.list(source.id).data, [])
        with self.assertRaises(HttpError) as refused:
            portal.ingest.source.list()
        self.assertEqual(refused.exception.status_code, 403)


class IngestEndpoints(SdkTest):
    def setUp(self) -> None:
        super().setUp()
        self.source = self.svix.ingest.source.create(source_in("github", SECRET))

    def test_life_of_an_endpoint(self) -> None:
        api, source = self.svix.ingest.endpoint, self.source.id
        url = self.receiver.url(self.path, always(200))
        uid = f"e-{uuid.uuid4().hex}"
        created = api.create(source, models.IngestEndpointIn(url=url, uid=uid, description="first", throttle_rate=50, metadata={"k": "v"}))
        self.assertEqual((created.url, created.uid, created.description, created.metadata), (url, uid, "first", {"k": "v"}))
        self.assertEqual(api.get(source, uid).id, created.id)
        self.assertEqual([endpoint.id for endpoint in api.list(source).data], [created.id])
        put = method(api, "upsert", "update")(source, created.id, model("IngestEndpointUpsertIn", "IngestEndpointUpdate")(url=url))
        self.assertEqual((put.id, put.uid, put.description, put.metadata), (created.id, None, "", {}))
        self.assertIsNone(api.delete(source, created.id))
        with self.assertRaises(HttpError) as gone:
            api.get(source, created.id)
        self.assertEqual(gone.exception.status_code, 404)

    def test_headers_secret_and_transformation(self) -> None:
        api, source = self.svix.ingest.endpoint, self.source.id
        endpoint = api.create(source, models.IngestEndpointIn(url=self.receiver.url(self.path, always(200)))).id
        headers = models.IngestEndpointHeadersIn(headers={"X-Kept": "1", "Authorization": "Bearer hidden"})
        method(api, "set_headers", "update_headers")(source, endpoint, headers)
        read = api.get_headers(source, endpoint)
        self.assertEqual((read.headers, [name.lower() for name in read.sensitive]), ({"X-Kept": "1"}, ["authorization"]))
        before = api.get_secret(source, endpoint).key
        self.assertIsNone(api.rotate_secret(source, endpoint, models.IngestEndpointSecretIn()))
        self.assertNotEqual(api.get_secret(source, endpoint).key, before)

        nothing = models.IngestEndpointTransformationPatch(enabled=False)
        code = models.IngestEndpointTransformationPatch(code="function handler(webhook) { return webhook }", enabled=True)
        if hasattr(api, "transformation"):
            get, patch = api.transformation.get, api.transformation.patch
        else:
            get, patch = api.get_transformation, api.set_transformation
        self.assertIsNone(patch(source, endpoint, nothing))
        with self.assertRaises(HttpError) as refused:
            patch(source, endpoint, code)
        self.assertEqual((refused.exception.status_code, refused.exception.code), (400, "transformations_not_available"))
        self.assertEqual((get(source, endpoint).code, get(source, endpoint).enabled), (None, False))


class Receipts(SdkTest):
    """From the request of a provider to the receiver, and what can be asked about it. The SDKs know nothing of receipts."""

    def knock(self, url: str, body: bytes, secret: str) -> int:
        signature = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"x-github-event": "push", "x-github-delivery": str(uuid.uuid4()), "x-hub-signature-256": signature}
        path = urllib.parse.urlsplit(url).path
        return Client(URL).request("POST", f"/{path}", raw=body, headers={**headers, "content-type": "application/json"}).status

    def test_from_the_provider_to_the_receiver(self) -> None:
        source = self.svix.ingest.source.create(source_in("github", SECRET))
        at = f"{AT}/{source.id}"
        self.svix.ingest.endpoint.create(source.id, models.IngestEndpointIn(url=self.receiver.url(self.path, always(200))))
        body = b'{"ref":  "refs/heads/main"}'
        self.assertLess(self.knock(source.ingest_url, body, SECRET["secret"]), 300)
        self.assertEqual(self.receiver.wait(self.path, 1)[0].body, body)
        self.assertEqual(self.knock(source.ingest_url, body, "another secret"), 401)

        turned_away = suite.eventually(
            lambda: plain("GET", f"{at}/receipt", query={"verdict": "rejected"}).json["data"], lambda found: len(found) == 1, what="a receipt"
        )[0]
        self.assertEqual((turned_away["code"], turned_away["statusCode"]), ("bad_signature", 401))
        whole = plain("GET", f"{at}/receipt/{turned_away['id']}").json
        self.assertEqual((whole["body"], whole["bodyEncoding"]), (body.decode(), "text"))
        counts = plain("GET", f"{at}/receipt/counts").json
        self.assertEqual((counts["accepted"], counts["rejected"]), (1, 1))
        log = plain("GET", f"{at}/log").json["data"]
        self.assertEqual([(entry["id"], entry["payload"]) for entry in log], [(turned_away["id"], body.decode())])

        plain("PATCH", at, {"config": {"secret": "another secret"}})
        replayed = plain("POST", f"{at}/receipt/{turned_away['id']}/replay").json
        self.assertEqual((replayed["verdict"], replayed["replayOf"]), ("accepted", turned_away["id"]))
        self.assertEqual(self.receiver.wait(self.path, 2)[1].body, body)
        again = plain("POST", f"{at}/receipt/replay", {"since": long_ago().isoformat()}).json
        self.assertEqual((again["accepted"], again["duplicate"], again["done"]), (0, 1, True))

    def test_providers(self) -> None:
        providers = plain("GET", "//ingest/api/v1/provider").json["data"]
        self.assertIn("github", [provider["name"] for provider in providers])
