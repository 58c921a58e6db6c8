"""What surrounds the API: CORS, health, the description, metrics."""

import json

from harness.cases import ServerCase


class Http(ServerCase):
    def test_cors(self) -> None:
        asked = {"origin": "https://portal.example", "access-control-request-method": "POST", "access-control-request-headers": "authorization,x-own"}
        answer = self.api.with_token(None).request("OPTIONS", "/app", headers=asked)
        self.assertIn(answer.status, (200, 204))
        self.assertEqual(answer.headers["access-control-allow-origin"], "*")
        self.assertIn("x-own", answer.headers["access-control-allow-headers"])
        self.assertEqual(answer.headers["access-control-max-age"], "600")
        for path in ("/app", "/nope"):
            self.assertEqual(self.api.get(path, headers={"origin": "https://x.example"}).headers["access-control-allow-origin"], "*")

    def test_health_needs_no_token(self) -> None:
        anyone = self.api.with_token(None)
        for path in ("/health", "/health/ping"):
            for method in ("GET", "HEAD"):
                answer = anyone.request(method, path)
                self.assertEqual((answer.status, answer.body), (204, b""))

    def test_description_and_its_page(self) -> None:
        anyone = self.api.with_token(None)
        description = anyone.get("/openapi.json")
        self.assertEqual((description.status, description.headers["content-type"]), (200, "application/json"))
        paths = json.loads(description.body)["paths"]
        self.assertIn("/api/v1/app/{app_id}/endpoint/{endpoint_id}", paths)
        page = anyone.get("//docs")
        self.assertEqual(page.status, 200)
        self.assertIn("text/html", page.headers["content-type"])
        self.assertIn(anyone.get("//").status, (200, 301, 302, 303, 307, 308))

    def test_metrics(self) -> None:
        app = self.app()
        self.endpoint(app)
        self.attempts(app, self.send(app))
        text = self.api.with_token(None).get("//metrics").body.decode()
        self.assertIn("# TYPE", text)
        for word in ("accepted", "delivered", "failed", "retried", "dead", "backlog", "oldest_pending", "commit"):
            with self.subTest(word):
                self.assertIn(word, text)

    def test_no_secret_in_the_log(self) -> None:
        app = self.app()
        endpoint = self.endpoint(app, headers={"Authorization": "Bearer hidden-header-value"})
        secret = self.ok(self.api.get(f"/app/{app}/endpoint/{endpoint['id']}/secret"))["key"]
        self.attempts(app, self.send(app))
        log = self.server.log()
        for hidden in (secret, secret.removeprefix("whsec_"), self.server.token, "hidden-header-value", self.server.settings["HOOKPOST_JWT_SECRET"]):
            self.assertNotIn(hidden, log)

    def test_rotation_answers_by_the_version_of_the_sdk(self) -> None:
        app = self.app()
        endpoint = self.endpoint(app)["id"]
        for agent, status in (
            ("svix-libs/2.6.1/python", 204),
            ("svix-libs/2.7.0/python", 200),
            ("svix-libs/2.10.0/go", 200),
            ("svix-libs/10.0/rust", 200),
            ("svix-libs/1.99.1/csharp", 204),
            ("svix-libs/garbage/java", 204),
            ("curl/8", 204),
        ):
            with self.subTest(agent):
                answer = self.api.post(f"/app/{app}/endpoint/{endpoint}/secret/rotate", {}, headers={"user-agent": agent})
                self.assertEqual(answer.status, status, str(answer))
                if status == 200:
                    key = self.ok(self.api.get(f"/app/{app}/endpoint/{endpoint}/secret"))["key"]
                    self.assertEqual(answer.json["key"], key)

    def test_rotation_has_limits(self) -> None:
        app = self.app()
        endpoint = self.endpoint(app)["id"]
        at = f"/app/{app}/endpoint/{endpoint}/secret/rotate"
        self.is_invalid(self.api.post(at, {"gracePeriodSeconds": 604_801}), "body", "gracePeriodSeconds")
        self.is_invalid(self.api.post(at, {"gracePeriodSeconds": -1}), "body", "gracePeriodSeconds")
        self.is_invalid(self.api.post(at, {"key": "whsec_AAAA"}), "body", "key")
        for _ in range(10):
            self.ok(self.api.post(at, {}), 204)
        self.is_error(self.api.post(at, {}), 400, "limit_reached")
        self.ok(self.api.post(f"/app/{app}/endpoint/{self.endpoint(app)['id']}/secret/rotate", {"gracePeriodSeconds": 0}), 204)
