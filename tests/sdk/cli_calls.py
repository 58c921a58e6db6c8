#!/usr/bin/env python3
"""The calls of the command line tool of that project, which is not to be had from a registry: what it sends for its documented commands, knowing
nothing but the two variables of the environment that it is configured by. Run by run.py.

It is built on the Rust library: its user agent, an idempotency key with every POST, JSON that is given as an argument.
"""

from __future__ import annotations

import json
import os
import sys
import unittest
import uuid
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from harness import suite  # noqa: E402
from harness.client import Answer, Client  # noqa: E402
from harness.receiver import Receiver, always  # noqa: E402

USER_AGENT = "svix-libs/2.0.0/rust"


class Cli:
    def __init__(self) -> None:
        self.client = Client(os.environ["SVIX_SERVER_URL"], os.environ["SVIX_AUTH_TOKEN"])

    def call(self, method: str, path: str, argument: str | None = None, **query: Any) -> Answer:
        """`argument` is the JSON that was given on the command line, sent as it is."""
        headers = {"user-agent": USER_AGENT, "svix-req-id": str(uuid.uuid4().int % 2**64)}
        if method == "POST":
            headers["idempotency-key"] = f"auto_{uuid.uuid4()}"
        if argument is not None:
            headers["content-type"] = "application/json"
        return self.client.request(method, path, raw=argument.encode() if argument is not None else None, headers=headers, query=query or None)


class CliTest(unittest.TestCase):
    cli = Cli()

    def run_ok(self, *arguments: Any, status: int = 200, **query: Any) -> Any:
        answer = self.cli.call(*arguments, **query)
        self.assertEqual(answer.status, status, str(answer))
        return json.loads(answer.body) if answer.body else None

    def setUp(self) -> None:
        self.uid = f"cli-{uuid.uuid4().hex}"
        self.app = self.run_ok("POST", "/app", json.dumps({"name": "CLI", "uid": self.uid}), status=201)


class Commands(CliTest):
    def test_whoami(self) -> None:
        who = self.run_ok("GET", "/auth/whoami")
        self.assertTrue(who["envId"].startswith("org_"))

    def test_application(self) -> None:
        self.assertEqual(self.run_ok("GET", f"/app/{self.uid}")["id"], self.app["id"])
        self.assertIn(self.app["id"], [app["id"] for app in self.run_ok("GET", "/app", limit=250, order="descending")["data"]])
        self.assertEqual(self.run_ok("PATCH", f"/app/{self.uid}", '{"name": "patched"}')["name"], "patched")
        put = self.run_ok("PUT", f"/app/{self.uid}", json.dumps({"name": "put", "uid": self.uid}))
        self.assertEqual((put["id"], put["name"]), (self.app["id"], "put"))
        again = self.run_ok("POST", "/app", json.dumps({"name": "other", "uid": self.uid}), get_if_exists="true")
        self.assertEqual(again["id"], self.app["id"])
        self.run_ok("DELETE", f"/app/{self.uid}", status=204)
        gone = self.cli.call("GET", f"/app/{self.uid}")
        self.assertEqual((gone.status, gone.json["code"]), (404, "not_found"))

    def test_event_type(self) -> None:
        name = f"cli.{uuid.uuid4().hex}"
        self.run_ok("POST", "/event-type", json.dumps({"name": name, "description": "one"}), status=201)
        self.assertEqual(self.run_ok("PATCH", f"/event-type/{name}", '{"description": "two"}')["description"], "two")
        self.assertEqual(self.run_ok("PUT", f"/event-type/{name}", '{"description": "three"}')["description"], "three")
        self.assertEqual(self.run_ok("GET", f"/event-type/{name}")["description"], "three")
        self.assertIn(name, [found["name"] for found in self.run_ok("GET", "/event-type", limit=250)["data"]])
        spec = {"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "webhooks": {f"{name}.new": {"post": {"responses": {}}}}}
        imported = self.run_ok("POST", "/event-type/import/openapi", json.dumps({"spec": spec, "dryRun": True}))["data"]
        self.assertEqual([found["name"] for found in imported["to_modify"]], [f"{name}.new"])
        self.run_ok("DELETE", f"/event-type/{name}", status=204, expunge="true")

    def test_endpoint_message_and_attempts(self) -> None:
        with Receiver() as receiver:
            at = f"/app/{self.uid}"
            url = receiver.url("/cli", always(200))
            endpoint = self.run_ok("POST", f"{at}/endpoint", json.dumps({"url": url}), status=201)["id"]
            self.assertEqual(self.run_ok("PATCH", f"{at}/endpoint/{endpoint}", '{"description": "mine"}')["description"], "mine")
            self.run_ok("PUT", f"{at}/endpoint/{endpoint}/headers", '{"headers": {"X-Cli": "1"}}', status=204)
            self.run_ok("PATCH", f"{at}/endpoint/{endpoint}/headers", '{"headers": {"X-More": "2"}}', status=204)
            self.assertEqual(self.run_ok("GET", f"{at}/endpoint/{endpoint}/headers")["headers"], {"X-Cli": "1", "X-More": "2"})
            self.assertTrue(self.run_ok("GET", f"{at}/endpoint/{endpoint}/secret")["key"].startswith("whsec_"))

            message = self.run_ok("POST", f"{at}/msg", '{"eventType": "user.signup", "payload": {"a":  1.50}}', status=202)["id"]
            request = receiver.wait("/cli", 1)[0]
            self.assertEqual((request.body, request.headers["x-cli"], request.message_id), (b'{"a":  1.50}', "1", message))
            self.assertEqual(self.run_ok("GET", f"{at}/msg/{message}")["payload"], {"a": 1.5})
            attempts = suite.eventually(lambda: self.run_ok("GET", f"{at}/attempt/msg/{message}")["data"], what="an attempt")
            self.assertEqual((attempts[0]["status"], attempts[0]["endpointId"]), (0, endpoint))
            self.assertEqual(len(self.run_ok("GET", f"{at}/attempt/endpoint/{endpoint}", status_code_class=200)["data"]), 1)
            self.run_ok("POST", f"{at}/msg/{message}/endpoint/{endpoint}/resend", status=202)
            self.assertEqual(receiver.wait("/cli", 2)[1].message_id, message)
            task = self.run_ok("POST", f"{at}/endpoint/{endpoint}/recover", json.dumps({"since": attempts[0]["timestamp"]}), status=202)
            self.assertTrue(self.run_ok("GET", f"/background-task/{task['id']}")["status"] in ("running", "finished"))
            self.run_ok("DELETE", f"{at}/msg/{message}/content", status=204)
            self.assertEqual(self.run_ok("GET", f"{at}/msg/{message}")["payload"], {"expired": True})
            self.run_ok("DELETE", f"{at}/endpoint/{endpoint}", status=204)

    def test_authentication(self) -> None:
        access = self.run_ok("POST", f"/auth/app-portal-access/{self.uid}", "{}")
        portal = Client(self.cli.client.base_url, access["token"])
        self.assertEqual(portal.get("/auth/whoami").json["appId"], self.app["id"])
        self.assertEqual(portal.post("/auth/logout").status, 204)
        self.assertEqual(portal.get("/auth/whoami").status, 401)

    def test_integration_and_operational_webhook(self) -> None:
        at = f"/app/{self.uid}/integration"
        integration = self.run_ok("POST", at, '{"name": "Zapier"}', status=201)["id"]
        self.assertTrue(self.run_ok("POST", f"{at}/{integration}/key/rotate")["key"])
        self.run_ok("DELETE", f"{at}/{integration}", status=204)
        at = "/operational-webhook/endpoint"
        endpoint = self.run_ok("POST", at, '{"url": "http://127.0.0.1:9/", "disabled": true}', status=201)["id"]
        self.run_ok("POST", f"{at}/{endpoint}/secret/rotate", "{}", status=204)
        self.run_ok("DELETE", f"{at}/{endpoint}", status=204)

    def test_streaming(self) -> None:
        stream = self.run_ok("POST", "/stream", json.dumps({"name": "CLI", "uid": self.uid}), status=201)["id"]
        sink = self.run_ok("POST", f"/stream/{stream}/sink", '{"type": "poller"}', status=201)["id"]
        self.run_ok("POST", f"/stream/{self.uid}/events", '{"events": [{"eventType": "a", "payload": "1"}]}', status=202)
        self.assertEqual([event["payload"] for event in self.run_ok("GET", f"/stream/{stream}/sink/{sink}/events")["data"]], ["1"])
        self.run_ok("DELETE", f"/stream/{stream}", status=204)

    def test_a_mistake_is_told_in_words(self) -> None:
        wrong = self.cli.call("POST", "/app", '{"name": ')
        self.assertEqual((wrong.status, wrong.json["detail"][0]["type"]), (422, "value_error.jsondecode"))


class Environment(unittest.TestCase):
    def test_two_variables_are_enough(self) -> None:
        self.assertEqual({name for name in os.environ if name.startswith(("SVIX_", "HOOKPOST_"))}, {"SVIX_SERVER_URL", "SVIX_AUTH_TOKEN"})


if __name__ == "__main__":
    sys.exit(suite.run(unittest.defaultTestLoader.loadTestsFromModule(sys.modules[__name__]), "command line"))
