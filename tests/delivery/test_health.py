"""Endpoints that fail for long: disabled, and told about through operational webhooks."""

import json

from harness import tokens
from harness.cases import ServerCase
from harness.receiver import always, first_fail
from harness.server import JWT_SECRET
from harness.suite import eventually


class OperationalWebhooks(ServerCase):
    settings = {
        "HOOKPOST_OPERATIONAL_WEBHOOKS": "true",
        "HOOKPOST_RETRY_SCHEDULE": "50ms,50ms,50ms,50ms,50ms",
        "HOOKPOST_DISABLE_ENDPOINT_AFTER": "500ms",
    }

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        # They go to the application of the management organization whose uid is the organization they are about.
        cls.management = cls.server.api.with_token(tokens.sign(JWT_SECRET, tokens.MANAGEMENT_ORG))
        app = cls.management.post("/app", {"name": "about us", "uid": tokens.ORG})
        assert app.status == 201, str(app)
        endpoint = cls.management.post(f"/app/{tokens.ORG}/endpoint", {"url": cls.receiver.url("/operational", always(200))})
        assert endpoint.status == 201, str(endpoint)

    def told(self, event_type: str, endpoint: str, timeout_s: float = 10) -> dict[str, object]:
        def read() -> dict[str, object]:
            bodies = [json.loads(request.body) for request in self.receiver.at("/operational")]
            return next((b["data"] for b in bodies if b["type"] == event_type and b["data"].get("endpointId") == endpoint), {})

        return eventually(read, bool, timeout_s, f"{event_type} about {endpoint}")

    def test_the_life_of_an_endpoint(self) -> None:
        app = self.app(uid="told-about")
        endpoint = self.endpoint(app, uid="the-endpoint")["id"]
        data = self.told("endpoint.created", endpoint)
        self.assertEqual(
            {key: data[key] for key in ("appId", "appUid", "endpointId", "endpointUid")},
            {"appId": app, "appUid": "told-about", "endpointId": endpoint, "endpointUid": "the-endpoint"},
        )
        self.ok(self.api.patch(f"/app/{app}/endpoint/{endpoint}", {"description": "new"}))
        self.told("endpoint.updated", endpoint)
        self.ok(self.api.delete(f"/app/{app}/endpoint/{endpoint}"), 204)
        self.told("endpoint.deleted", endpoint)

    def test_failing_exhausted_and_disabled(self) -> None:
        app = self.app()
        endpoint = self.endpoint(app, always(500))["id"]
        message = self.send(app)
        failing = self.told("message.attempt.failing", endpoint)
        self.assertEqual(failing["msgId"], message)
        last = failing["lastAttempt"]
        assert isinstance(last, dict)
        self.assertEqual(last["responseStatusCode"], 500)
        exhausted = self.told("message.attempt.exhausted", endpoint)
        self.assertEqual((exhausted["appId"], exhausted["msgId"]), (app, message))

        def disabled() -> bool:
            self.send(app)
            return bool(self.ok(self.api.get(f"/app/{app}/endpoint/{endpoint}"))["disabled"])

        eventually(disabled, what="the endpoint to be disabled", timeout_s=20)
        self.assertTrue(self.told("endpoint.disabled", endpoint)["failSince"])

    def test_recovered(self) -> None:
        app = self.app()
        endpoint = self.endpoint(app, first_fail(4))["id"]
        message = self.send(app)
        self.assertEqual(self.told("message.attempt.recovered", endpoint)["msgId"], message)
