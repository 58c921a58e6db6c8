"""Every error is JSON of one form, on every path; nothing that a client can send is a server error."""

from harness import tokens
from harness.cases import ServerCase, unique
from harness.server import JWT_SECRET

NO_ID = "A" * 27


class Paths(ServerCase):
    def test_unknown_paths(self) -> None:
        for path in ("/nope", "//nope", "//ingest/api/v1/nope", "/app/x/nope", "//api/v2/app", "//api/v1"):
            with self.subTest(path):
                self.is_error(self.api.get(path), 404, "not_found")

    def test_wrong_methods_name_the_right_ones(self) -> None:
        for method, path in (("DELETE", "/app"), ("PATCH", "/event-type"), ("PUT", "/health"), ("GET", f"/app/app_{NO_ID}/endpoint/x/recover")):
            with self.subTest(f"{method} {path}"):
                answer = self.api.request(method, path)
                self.is_error(answer, 405)
                self.assertTrue(answer.headers.get("allow"))

    def test_a_trailing_slash_is_the_same_path(self) -> None:
        self.ok(self.api.get("/app/"))
        self.ok(self.api.get(f"/app/{self.app()}/endpoint/"))

    def test_what_is_not_there(self) -> None:
        app = self.app()
        endpoint = self.endpoint(app)["id"]
        message = self.send(app)
        for method, path in (
            ("GET", f"/app/app_{NO_ID}"),
            ("DELETE", f"/app/app_{NO_ID}"),
            ("PATCH", f"/app/app_{NO_ID}"),
            ("GET", "/app/no-such-uid"),
            ("GET", f"/app/app_{NO_ID}/endpoint"),
            ("GET", f"/app/{app}/endpoint/ep_{NO_ID}"),
            ("GET", f"/app/{app}/endpoint/ep_{NO_ID}/secret"),
            ("GET", f"/app/{app}/endpoint/ep_{NO_ID}/stats"),
            ("POST", f"/app/{app}/endpoint/ep_{NO_ID}/secret/rotate"),
            ("GET", f"/app/{app}/msg/msg_{NO_ID}"),
            ("GET", f"/app/{app}/msg/{message}/attempt/atmpt_{NO_ID}"),
            ("POST", f"/app/{app}/msg/msg_{NO_ID}/endpoint/{endpoint}/resend"),
            ("POST", f"/app/{app}/msg/{message}/endpoint/ep_{NO_ID}/resend"),
            ("GET", f"/app/{app}/msg/{message}/endpoint/ep_{NO_ID}/why"),
            ("GET", "/event-type/no.such.type"),
            ("GET", f"/background-task/qtask_{NO_ID}"),
        ):
            with self.subTest(f"{method} {path}"):
                self.is_error(self.api.request(method, path, {} if method in ("POST", "PATCH") else None), 404, "not_found")

    def test_a_message_to_a_missing_application(self) -> None:
        answer = self.api.post(f"/app/app_{NO_ID}/msg", {"eventType": "a", "payload": {}})
        self.is_error(answer, 404, "not_found")

    def test_strange_ids(self) -> None:
        for odd in ("%00", "%F0%9F%AA%9D", "a" * 3000, "..%2F..", "app_", "app_'; drop table", "%ff%fe", "app_" + "z" * 27):
            odd = odd.replace(" ", "%20")
            for path in (f"/app/{odd}", f"/app/{odd}/msg", f"/app/{odd}/endpoint/{odd}", f"/event-type/{odd}"):
                with self.subTest(path[:80]):
                    answer = self.api.get(path)
                    self.assertIn(answer.status, (400, 404, 422), str(answer))
                    self.is_error(answer, answer.status)


class Authentication(ServerCase):
    def test_who_may_not_come_in(self) -> None:
        now = {"iat": 1_000, "nbf": 1_000, "exp": 2_000}
        refused = {
            "no token": None,
            "garbage": "garbage",
            "another secret": tokens.sign("another secret"),
            "expired": tokens.sign(JWT_SECRET, **now),
            "not yet valid": tokens.sign(JWT_SECRET, nbf=4_000_000_000),
            "no signature": tokens.sign(JWT_SECRET).rsplit(".", 1)[0] + ".",
            "algorithm none": tokens.sign(JWT_SECRET, algorithm="none"),
            "empty": "",
            "unknown key": "hk_0123456789012345678901234567890123456789",
        }
        for name, token in refused.items():
            with self.subTest(name):
                self.is_error(self.api.with_token(token).get("/app"), 401, "authentication_failed")

    def test_a_subject_that_is_nobody(self) -> None:
        answer = self.api.with_token(tokens.sign(JWT_SECRET, "user_1")).get("/app")
        self.assertIn(answer.status, (400, 401), str(answer))
        self.is_error(answer, answer.status)

    def test_an_application_token_stays_in_its_application(self) -> None:
        app, other = self.app(), self.app()
        token = self.ok(self.api.post(f"/auth/app-portal-access/{app}", {}))["token"]
        portal = self.api.with_token(token)
        self.ok(portal.get(f"/app/{app}"))
        self.ok(portal.get(f"/app/{app}/endpoint"))
        self.is_error(portal.get("/app"), 403)
        self.is_error(portal.post(f"/app/{app}/msg", {"eventType": "a", "payload": {}}), 403)
        self.is_error(portal.get(f"/app/{other}"), 404)

    def test_app_tokens_as_other_servers_sign_them(self) -> None:
        app = self.app()
        portal = self.api.with_token(tokens.sign(JWT_SECRET, app, org=tokens.ORG))
        self.ok(portal.get(f"/app/{app}"))
        self.is_error(portal.get("/app"), 403)

    def test_tenants_never_see_each_other(self) -> None:
        other = self.api.with_token(tokens.sign(JWT_SECRET, tokens.OTHER_ORG))
        uid = unique("shared")
        mine = self.app(uid=uid)
        message, endpoint = self.send(mine), self.endpoint(mine)["id"]
        for path in (f"/app/{mine}", f"/app/{uid}", f"/app/{mine}/msg", f"/app/{mine}/msg/{message}", f"/app/{mine}/endpoint/{endpoint}/secret"):
            with self.subTest(path):
                self.is_error(other.get(path), 404)
        theirs = self.ok(other.post("/app", {"name": "theirs", "uid": uid}), 201)["id"]
        self.assertEqual(self.ok(other.get(f"/app/{uid}"))["id"], theirs)
        self.assertEqual(self.ok(self.api.get(f"/app/{uid}"))["id"], mine)
        self.assertEqual([app["id"] for app in self.ok(other.get("/app"))["data"]], [theirs])
        self.ok(self.api.post("/event-type", {"name": uid, "description": ""}), 201)
        self.is_error(other.get(f"/event-type/{uid}"), 404)


class Bodies(ServerCase):
    def test_what_is_not_json(self) -> None:
        app = self.app()
        for raw in (b"", b"{", b"[1,", b"nul", b'{"eventType": "a", "payload": {}', b"\xff\xfe", b'{"eventType": "\xff"}'):
            for path in ("/app", f"/app/{app}/msg", f"/app/{app}/endpoint", "/event-type"):
                with self.subTest(f"{raw!r} {path}"):
                    answer = self.api.post(path, raw=raw)
                    self.assertIn(answer.status, (400, 422), str(answer))
                    self.is_error(answer, answer.status)

    def test_wrong_types_name_the_field(self) -> None:
        app = self.app()
        endpoint = f"/app/{app}/endpoint"
        message = f"/app/{app}/msg"
        good = {"eventType": "a", "payload": {}}
        url = "http://127.0.0.1:9/"
        for path, body, field in (
            ("/app", {"name": 7}, "name"),
            ("/app", {}, "name"),
            ("/app", {"name": "x", "uid": "has space"}, "uid"),
            ("/app", {"name": "x", "uid": "app_taken"}, "uid"),
            ("/app", {"name": "x", "uid": "x" * 257}, "uid"),
            ("/app", {"name": "x", "uid": ""}, "uid"),
            ("/app", {"name": "x", "metadata": {"k": "v" * 5000}}, "metadata"),
            ("/app", {"name": "x", "metadata": {"k": 7}}, "metadata"),
            ("/app", {"name": "x", "throttleRate": -1}, "throttleRate"),
            (message, {"payload": {}}, "eventType"),
            (message, {"eventType": "a"}, "payload"),
            (message, {**good, "eventType": "has space"}, "eventType"),
            (message, {**good, "eventType": "x" * 257}, "eventType"),
            (message, {**good, "payload": "text"}, "payload"),
            (message, {**good, "payload": [1]}, "payload"),
            (message, {**good, "channels": "one"}, "channels"),
            (message, {**good, "channels": [f"c{n}" for n in range(11)]}, "channels"),
            (message, {**good, "channels": ["has space"]}, "channels"),
            (message, {**good, "eventId": "has space"}, "eventId"),
            (message, {**good, "tags": ["x"] * 20}, "tags"),
            (endpoint, {}, "url"),
            (endpoint, {"url": "no url"}, "url"),
            (endpoint, {"url": "ftp://example.com/"}, "url"),
            (endpoint, {"url": "file:///etc/passwd"}, "url"),
            (endpoint, {"url": url, "eventTypes": []}, "eventTypes"),
            (endpoint, {"url": url, "filterTypes": ["no.such.type"]}, "filterTypes"),
            (endpoint, {"url": url, "channels": []}, "channels"),
            (endpoint, {"url": url, "secret": "tooshort"}, "secret"),
            (endpoint, {"url": url, "secret": "whsec_AAAA"}, "secret"),
            (endpoint, {"url": url, "secret": "whsec_" + "A" * 400}, "secret"),
            (endpoint, {"url": url, "throttleRate": "fast"}, "throttleRate"),
            (endpoint, {"url": url, "disabled": "yes"}, "disabled"),
            ("/event-type", {"name": "has space", "description": ""}, "name"),
            ("/event-type", {"description": ""}, "name"),
        ):
            with self.subTest(f"{path.rsplit('/', 1)[1]} {str(body)[:60]}"):
                self.is_invalid(self.api.post(path, body), "body", field)

    def test_unknown_event_types_are_named(self) -> None:
        body = {"url": "http://127.0.0.1:9/", "eventTypes": ["no.such.type"]}
        answer = self.api.post(f"/app/{self.app()}/endpoint", body)
        self.is_invalid(answer, "body", "eventTypes")
        self.assertIn("no.such.type", answer.json["detail"][0]["msg"])

    def test_unknown_fields_are_ignored(self) -> None:
        self.ok(self.api.post("/app", {"name": "x", "fieldOfTheFuture": {"a": [1]}}), 201)

    def test_the_content_type_does_not_matter(self) -> None:
        for content_type in ("text/plain", "application/octet-stream", "application/json; charset=utf-8"):
            with self.subTest(content_type):
                self.ok(self.api.post("/app", raw=b'{"name": "x"}', headers={"content-type": content_type}), 201)

    def test_an_oversized_body(self) -> None:
        app = self.app()
        big = b'{"eventType": "a", "payload": {"x": "' + b"x" * (1 << 20) + b'"}}'
        self.is_error(self.api.post(f"/app/{app}/msg", raw=big), 413, "payload_too_large")
        fits = b'{"eventType": "a", "payload": {"x": "' + b"x" * ((1 << 20) - 100) + b'"}}'
        self.ok(self.api.post(f"/app/{app}/msg", raw=fits), 202)

    def test_an_oversized_body_of_unknown_length(self) -> None:
        import http.client

        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)
        chunks = iter([b'{"eventType": "a", "payload": {"x": "'] + [b"x" * 65536] * 20)
        try:
            connection.request("POST", f"/api/v1/app/{self.app()}/msg", chunks, {"authorization": f"Bearer {self.server.token}"}, encode_chunked=True)
        except ConnectionError:
            pass  # It answered and closed before it had everything, as it should.
        self.assertEqual(connection.getresponse().status, 413)
        connection.close()

    def test_deep_json(self) -> None:
        raw = b'{"eventType": "a", "payload": {"x": ' + b"[" * 50_000 + b"]" * 50_000 + b"}}"
        self.assertLess(self.api.post(f"/app/{self.app()}/msg", raw=raw).status, 500)

    def test_garbage_on_every_write(self) -> None:
        app = self.app()
        endpoint, message = self.endpoint(app)["id"], self.send(app)
        at = f"/app/{app}/endpoint/{endpoint}"
        paths = [
            ("POST", "/app"),
            ("PUT", f"/app/{app}"),
            ("PATCH", f"/app/{app}"),
            ("POST", f"/app/{app}/endpoint"),
            ("PUT", at),
            ("PATCH", at),
            ("PUT", f"{at}/headers"),
            ("PATCH", f"{at}/headers"),
            ("POST", f"{at}/recover"),
            ("POST", f"{at}/replay-missing"),
            ("POST", f"{at}/bulk-replay"),
            ("POST", f"{at}/cancel-msgs"),
            ("POST", f"{at}/secret/rotate"),
            ("POST", f"{at}/send-example"),
            ("POST", f"/app/{app}/msg"),
            ("POST", f"/app/{app}/msg/precheck/active"),
            ("POST", f"/app/{app}/msg/{message}/endpoint/{endpoint}/resend"),
            ("POST", "/event-type"),
            ("PUT", "/event-type/a"),
            ("PATCH", "/event-type/a"),
            ("POST", f"/auth/app-portal-access/{app}"),
            ("POST", f"/auth/app/{app}/expire-all"),
            ("POST", "/auth/logout"),
        ]
        bodies = [b"[]", b"7", b"null", b'"x"', b'{"a":', b"\x00", b'{"since": 7}', b'{"headers": [1]}', b'{"url": {}}', b'{"name": null}', b'{"key": 9}']
        for method, path in paths:
            for raw in bodies:
                answer = self.api.request(method, path, raw=raw)
                with self.subTest(f"{method} {path} {raw!r}"):
                    self.assertLess(answer.status, 500, str(answer))
                    if answer.status >= 400:
                        self.is_error(answer, answer.status)


class Queries(ServerCase):
    def test_bad_limits(self) -> None:
        for limit in ("251", "-1", "0", "abc", "99999999999999999999"):
            with self.subTest(limit):
                answer = self.api.get("/app", query={"limit": limit})
                self.assertIn(answer.status, (400, 422), str(answer))
                self.is_error(answer, answer.status)

    def test_bad_cursors(self) -> None:
        app = self.app()
        for iterator in (f"ep_{NO_ID}", "garbage", "-", "%", "app", "é", "a" * 5000):
            for path in ("/app", f"/app/{app}/msg"):
                with self.subTest(f"{path} {iterator[:20]}"):
                    answer = self.api.get(path, query={"iterator": iterator})
                    self.is_invalid(answer, "query", "iterator")

    def test_bad_filters(self) -> None:
        app = self.app()
        endpoint = self.endpoint(app)["id"]
        for name, value in (("before", "yesterday"), ("after", "7"), ("status", "9"), ("status", "x"), ("status_code_class", "7"), ("with_content", "maybe")):
            with self.subTest(f"{name}={value}"):
                answer = self.api.get(f"/app/{app}/attempt/endpoint/{endpoint}", query={name: value})
                self.assertIn(answer.status, (400, 422), str(answer))
                self.is_error(answer, answer.status)
