"""What a receiver gets, and that it verifies with the libraries receivers use."""

import base64
import json
import shutil
import subprocess
import unittest

import standardwebhooks
from harness.cases import ServerCase
from harness.receiver import Received
from svix import Webhook as SvixWebhook

# Verifies an ed25519 signature; the Python library knows only the symmetric kind.
NODE_VERIFIES = """
const { createPublicKey, verify } = require("node:crypto");
const [key, signed, signature] = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
const jwk = { kty: "OKP", crv: "Ed25519", x: Buffer.from(key, "base64").toString("base64url") };
const good = verify(null, Buffer.from(signed, "base64"), createPublicKey({ key: jwk, format: "jwk" }), Buffer.from(signature, "base64"));
process.exit(good ? 0 : 1);
"""


def ed25519_verifies(public_key: str, request: Received, signature: str) -> bool:
    signed = f"{request.message_id}.{request.headers['webhook-timestamp']}.".encode() + request.body
    asked = json.dumps([public_key, base64.b64encode(signed).decode(), signature])
    return subprocess.run(["node", "-e", NODE_VERIFIES], input=asked, text=True, capture_output=True).returncode == 0


class Signatures(ServerCase):
    def secret(self, app: str, endpoint: str) -> str:
        return self.ok(self.api.get(f"/app/{app}/endpoint/{endpoint}/secret"))["key"]

    def test_both_header_sets_verify(self) -> None:
        app = self.app()
        endpoint = self.endpoint(app)
        message = self.send(app, {"sum": 1})
        request = self.receiver.wait(endpoint["path"], 1)[0]
        secret = self.secret(app, endpoint["id"])
        for prefix in ("webhook", "svix"):
            headers = {name: value for name, value in request.headers.items() if name.startswith(f"{prefix}-")}
            self.assertLessEqual({f"{prefix}-id", f"{prefix}-timestamp", f"{prefix}-signature"}, set(headers))
            self.assertEqual(headers[f"{prefix}-id"], message)
            SvixWebhook(secret).verify(request.body, headers)
        standardwebhooks.Webhook(secret).verify(request.body, request.headers)
        self.assertEqual(request.method, "POST")
        self.assertEqual(request.headers["content-type"], "application/json")
        self.assertEqual(request.headers["content-length"], str(len(request.body)))
        self.assertTrue(request.headers["user-agent"].startswith("Hookpost/"))

    def test_a_secret_of_ones_own(self) -> None:
        app = self.app()
        secret = "whsec_" + base64.b64encode(b"k" * 32).decode()
        endpoint = self.endpoint(app, secret=secret)
        self.assertEqual(self.secret(app, endpoint["id"]), secret)
        self.send(app)
        request = self.receiver.wait(endpoint["path"], 1)[0]
        standardwebhooks.Webhook(secret).verify(request.body, request.headers)

    def test_rotation_keeps_the_old_secret_for_its_grace_period(self) -> None:
        app = self.app()
        endpoint = self.endpoint(app)
        old = self.secret(app, endpoint["id"])
        rotate = f"/app/{app}/endpoint/{endpoint['id']}/secret/rotate"
        chosen = "whsec_" + base64.b64encode(b"n" * 24).decode()
        self.ok(self.api.post(rotate, {"key": chosen, "gracePeriodSeconds": 600}), 204)
        self.assertEqual(self.secret(app, endpoint["id"]), chosen)
        self.send(app)
        request = self.receiver.wait(endpoint["path"], 1)[0]
        for secret in (old, chosen):
            standardwebhooks.Webhook(secret).verify(request.body, request.headers)
        first = request.headers["webhook-signature"].split(" ")[0]
        only_first = {**request.headers, "webhook-signature": first}
        standardwebhooks.Webhook(chosen).verify(request.body, only_first)

    def test_rotation_without_grace_ends_the_old_secret_at_once(self) -> None:
        app = self.app()
        endpoint = self.endpoint(app)
        old = self.secret(app, endpoint["id"])
        self.ok(self.api.post(f"/app/{app}/endpoint/{endpoint['id']}/secret/rotate", {"gracePeriodSeconds": 0}), 204)
        self.send(app)
        request = self.receiver.wait(endpoint["path"], 1)[0]
        self.assertEqual(len(request.headers["webhook-signature"].split(" ")), 1)
        with self.assertRaises(standardwebhooks.WebhookVerificationError):
            standardwebhooks.Webhook(old).verify(request.body, request.headers)


class AsymmetricSignatures(ServerCase):
    settings = {"HOOKPOST_DEFAULT_SIGNATURE": "ed25519"}

    @unittest.skipUnless(shutil.which("node"), "verifying ed25519 here needs Node")
    def test_ed25519(self) -> None:
        app = self.app()
        endpoint = self.endpoint(app)
        message = self.send(app, {"sum": 2})
        request = self.receiver.wait(endpoint["path"], 1)[0]
        self.assertEqual(request.message_id, message)
        key = self.ok(self.api.get(f"/app/{app}/endpoint/{endpoint['id']}/secret"))["key"]
        self.assertTrue(key.startswith("whpk_"), "the private half is not shown")
        version, signature = request.headers["webhook-signature"].split(",", 1)
        self.assertEqual(version, "v1a")
        self.assertTrue(ed25519_verifies(key.removeprefix("whpk_"), request, signature))
        self.assertFalse(ed25519_verifies(key.removeprefix("whpk_"), request, base64.b64encode(b"x" * 64).decode()))
