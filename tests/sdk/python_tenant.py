"""What a tenant says of itself, may use, and did: settings, limits, checks of payloads, the audit log. The libraries of Python have no methods for these;
what they do to the methods there are is seen by the SDK. Run as a part of python_suite.py.
"""

from __future__ import annotations

from typing import Any

import svix.models as models
from python_base import SdkTest, ok, plain, sdk_with
from harness import suite, tokens
from harness.server import JWT_SECRET

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


class Settings(SdkTest):
    own_tenant = True

    def setUp(self) -> None:
        super().setUp()
        self.org = ok(self.plain("GET", "/auth/whoami"))["envId"]

    def test_settings(self) -> None:
        at = "/management/environment-settings"
        changed = ok(self.plain("PATCH", at, {"displayName": "Acme", "enableChannels": True}))
        self.assertEqual((changed["displayName"], changed["enableChannels"]), ("Acme", True))
        self.assertEqual(ok(self.plain("PATCH", at, {"customColor": "#123456"}))["displayName"], "Acme")
        self.assertEqual(ok(self.plain("GET", at))["customColor"], "#123456")
        self.assertEqual(ok(self.plain("PUT", at, {"displayName": "Other"})).get("customColor"), None)
        self.assertEqual(ok(self.plain("GET", "/environment/settings"))["displayName"], "Other")

    def test_there_is_one_environment(self) -> None:
        listed = ok(self.plain("GET", "/management/environment"))["data"]
        self.assertEqual([environment["id"] for environment in listed], [self.org])
        self.assertEqual(ok(self.plain("GET", f"/management/environment/{self.org}"))["region"], "self-hosted")
        self.assertEqual(plain("GET", f"/management/environment/{self.org}").status, 404)

    def test_payloads_are_checked_where_that_is_wanted(self) -> None:
        self.svix.event_type.create(models.EventTypeIn(name="order.paid", description="", schemas={"1": SCHEMA}))
        wrong = models.MessageIn(event_type="order.paid", payload={"n": "seven"})
        self.svix.message.create(self.app.id, wrong)
        ok(self.plain("PATCH", "/management/environment-settings", {"validateMessages": True}))
        detail = self.refused(422, self.svix.message.create, self.app.id, wrong).detail[0]
        self.assertEqual(detail.loc, ["body", "payload", "n"])
        self.svix.message.create(self.app.id, models.MessageIn(event_type="order.paid", payload={"n": 7}))
        self.assertEqual(len(self.svix.message.list(self.app.id).data), 2)


class Limits(SdkTest):
    own_tenant = True

    def limit(self, **limits: Any) -> None:
        org = ok(self.plain("GET", "/auth/whoami"))["envId"]
        self.at = f"/management/limits/{org}"
        self.assertEqual(self.plain("PUT", self.at, limits).status, 403)
        management = tokens.sign(JWT_SECRET, tokens.MANAGEMENT_ORG)
        ok(plain("PUT", self.at, limits, token=management))
        shown = ok(self.plain("GET", self.at))
        self.assertEqual({name: shown[name] for name in limits}, limits)

    def test_endpoints(self) -> None:
        self.limit(endpoints=1)
        first = self.endpoint()
        refused = self.refused(429, lambda: self.endpoint(path=f"{self.path}/more"))
        self.assertIn("endpoints", refused.detail)
        self.svix.endpoint.delete(self.app.id, first.id)
        self.endpoint()

    def test_sizes(self) -> None:
        self.limit(payloadBytes=50)
        self.send({"a": 1})
        self.assertIn("payloadBytes", self.refused(429, self.send, {"a": "x" * 50}).detail)

    def test_rates(self) -> None:
        self.limit(messagesPerSecond=2)
        answers = [self.plain("POST", f"/app/{self.app.id}/msg", {"eventType": "a", "payload": {}}) for _ in range(6)]
        refused = [answer for answer in answers if answer.status != 202]
        self.assertEqual({answer.status for answer in refused}, {429})
        self.assertGreaterEqual(int(refused[0].headers["retry-after"]), 1)
        self.assertEqual(len(self.svix.message.list(self.app.id).data), len(answers) - len(refused))

    def test_back_to_no_limit(self) -> None:
        self.limit(endpoints=0)
        self.refused(429, self.endpoint)
        ok(plain("DELETE", self.at, token=tokens.sign(JWT_SECRET, tokens.MANAGEMENT_ORG)), 204)
        self.endpoint()


class AuditLog(SdkTest):
    own_tenant = True

    def entries(self, **query: Any) -> list[tuple[str, int]]:
        return [(entry["operation"], entry["status"]) for entry in ok(self.plain("GET", "/audit-log", query=query or None))["data"]]

    def test_who_changed_what(self) -> None:
        org = ok(self.plain("GET", "/auth/whoami"))["envId"]
        made = ok(self.plain("POST", f"/management/authentication/{org}/api-token", {"name": "CI", "scopes": ["viewer"]}))
        self.refused(403, sdk_with(made["token"]).application.delete, self.app.id)
        self.svix.application.delete(self.app.id)
        expected = [
            ("v1.application.delete", 204),
            ("v1.application.delete", 403),
            ("v1.management.authentication.create-api-token", 200),
            ("v1.application.create", 201),
        ]
        suite.eventually(self.entries, lambda found: found == expected, what="the entries")
        self.assertEqual(self.entries(actor=made["id"]), [("v1.application.delete", 403)])
        self.assertEqual(self.entries(actor="token", limit=1), [("v1.application.delete", 204)])
        self.assertEqual(plain("GET", "/audit-log", token=made["token"]).status, 403)
