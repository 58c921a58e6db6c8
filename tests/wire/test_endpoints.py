"""What an endpoint may and may not be."""

from concurrent.futures import ThreadPoolExecutor

from harness.cases import ServerCase
from harness.suite import eventually


class Headers(ServerCase):
    def test_hostile_headers(self) -> None:
        app = self.app()
        endpoint = self.endpoint(app)["id"]
        at = f"/app/{app}/endpoint/{endpoint}/headers"
        for name, value in (
            ("X-Split", "a\r\nX-Injected: 1"),
            ("X-Newline", "a\nb"),
            ("X-Null", "a\0b"),
            ("X Space", "a"),
            ("X-Colon:", "a"),
            ("", "a"),
            ("X-Ünïcode", "a"),
            ("Host", "elsewhere"),
            ("Content-Length", "0"),
            ("Content-Type", "text/html"),
            ("Transfer-Encoding", "chunked"),
            ("User-Agent", "me"),
            ("svix-id", "msg_x"),
            ("X-Svix-Anything", "x"),
            ("webhook-signature", "v1,x"),
            ("X-Amz-Date", "x"),
            ("X-Big", "x" * 4097),
        ):
            for method, path, body in (
                ("PUT", at, {"headers": {name: value}}),
                ("PATCH", at, {"headers": {name: value}}),
                ("POST", f"/app/{app}/endpoint", {"url": "http://127.0.0.1:9/", "headers": {name: value}}),
            ):
                with self.subTest(f"{method} {name!r}"):
                    self.is_error(self.api.request(method, path, body), 422)
        self.assertEqual(self.ok(self.api.get(at))["headers"], {})

    def test_many_headers(self) -> None:
        app = self.app()
        at = f"/app/{app}/endpoint/{self.endpoint(app)['id']}/headers"
        self.is_error(self.api.put(at, {"headers": {f"X-{n}": "v" for n in range(1000)}}), 422)

    def test_delete_headers(self) -> None:
        app = self.app()
        at = f"/app/{app}/endpoint/{self.endpoint(app)['id']}/headers"
        self.ok(self.api.put(at, {"headers": {"X-A": "1", "X-B": "2", "Authorization": "x"}}), 204)
        self.ok(self.api.patch(at, {"headers": {"X-C": "3"}, "deleteHeaders": ["X-A"]}), 204)
        read = self.ok(self.api.get(at))
        self.assertEqual(read["headers"], {"X-B": "2", "X-C": "3"})
        self.assertEqual([name.lower() for name in read["sensitive"]], ["authorization"])


class PrivateAddresses(ServerCase):
    settings = {"HOOKPOST_ALLOW_PRIVATE_NETWORKS": "false", "HOOKPOST_RETRY_SCHEDULE": "none"}

    def test_private_addresses_are_not_reached(self) -> None:
        app = self.app()
        port = self.receiver.port
        urls = [
            f"http://127.0.0.1:{port}/private",
            f"http://localhost:{port}/private",
            f"http://[::1]:{port}/private",
            f"http://[::ffff:127.0.0.1]:{port}/private",
            f"http://0.0.0.0:{port}/private",
            f"http://2130706433:{port}/private",
            f"http://127.1:{port}/private",
            f"http://0x7f.0.0.1:{port}/private",
            "http://10.1.2.3/",
            "http://169.254.169.254/latest/meta-data",
            "http://192.168.0.1/",
            "http://100.64.0.1/",
            "http://[fd00::1]/",
            "http://[fe80::1]/",
        ]
        for url in urls:
            with self.subTest(url):
                answer = self.api.post(f"/app/{app}/endpoint", {"url": url})
                if answer.status == 422:
                    continue  # Refusing it at once is as good.
                endpoint = self.ok(answer, 201)["id"]
                message = self.send(app)
                attempt = eventually(
                    lambda: next((a for a in self.attempts(app, message) if a["endpointId"] == endpoint), None), what="an attempt"
                )
                self.assertEqual((attempt["status"], attempt["responseStatusCode"]), (2, 0), attempt)
                self.assertRegex(attempt["response"].lower(), "private|blocked|not allowed|refused by")
                self.ok(self.api.delete(f"/app/{app}/endpoint/{endpoint}"), 204)
        self.assertEqual(self.receiver.at("/private"), [])


class HttpsOnly(ServerCase):
    settings = {"HOOKPOST_HTTPS_ONLY": "true"}

    def test_plain_http_is_refused(self) -> None:
        app = self.app()
        self.is_invalid(self.api.post(f"/app/{app}/endpoint", {"url": "http://example.com/"}), "body", "url")
        self.ok(self.api.post(f"/app/{app}/endpoint", {"url": "https://example.com/"}), 201)


class ManyEndpoints(ServerCase):
    COUNT = 10_000

    def test_ten_thousand_endpoints_in_one_application(self) -> None:
        app = self.app()
        self.ok(self.api.post("/event-type", {"name": "rare", "description": ""}), 201)
        self.ok(self.api.post("/event-type", {"name": "common", "description": ""}), 201)

        def create(n: int) -> int:
            event_type = "rare" if n % 1000 == 0 else "common"
            body = {"url": self.receiver.url(f"/many/{event_type}"), "uid": f"e-{n}", "eventTypes": [event_type]}
            return self.api.post(f"/app/{app}/endpoint", body).status

        with ThreadPoolExecutor(16) as pool:
            self.assertEqual(set(pool.map(create, range(self.COUNT))), {201})
        seen: set[str] = set()
        iterator = None
        while True:
            page = self.ok(self.api.get(f"/app/{app}/endpoint", query={"limit": 250, **({"iterator": iterator} if iterator else {})}))
            seen |= {endpoint["uid"] for endpoint in page["data"]}
            if page["done"]:
                break
            iterator = page["iterator"]
        self.assertEqual(len(seen), self.COUNT)
        self.send(app, event_type="rare")
        self.receiver.wait("/many/rare", 10)
        self.server.restart()
        self.send(app, event_type="rare")
        self.receiver.wait("/many/rare", 20)
        self.send(app, event_type="common")
        self.receiver.wait("/many/common", self.COUNT - 10, timeout_s=90)
        self.assertEqual(len(self.receiver.at("/many/rare")), 20)
