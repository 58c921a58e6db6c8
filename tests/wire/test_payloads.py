"""Bytes are sacred: what was posted is what is stored and delivered."""

import json

from harness.cases import ServerCase


class Payloads(ServerCase):
    def delivered(self, raw_body: bytes) -> bytes:
        app = self.app()
        endpoint = self.endpoint(app)
        self.ok(self.api.post(f"/app/{app}/msg", raw=raw_body), 202)
        return self.receiver.wait(endpoint["path"], 1)[0].body

    def test_byte_for_byte(self) -> None:
        for payload in (
            b'{"b": 1.50, "a": 2}',
            b'{ "spaces" :\t[ 1 , 2 ] }',
            b'{"escape": "\\u00e9\\/\\n", "raw": "\xc3\xa9"}',
            b'{"big": 12345678901234567890123, "tiny": 1e-400, "twice": 1, "twice": 2}',
            '{"emoji": "🪝", "rtl": "שלום", "zero": "\\u0000"}'.encode(),
            b"{}",
        ):
            with self.subTest(payload.decode()):
                self.assertEqual(self.delivered(b'{"eventType": "a", "payload": ' + payload + b"}"), payload)

    def test_the_old_name_data(self) -> None:
        self.assertEqual(self.delivered(b'{"eventType": "a", "data": {"x": 1}}'), b'{"x": 1}')

    def test_raw_payload(self) -> None:
        for raw in ("<xml attr='1'>é</xml>", '{"x":  1}', "", "plain text\r\n", '"just a string"'):
            with self.subTest(raw):
                body = {"eventType": "a", "payload": {}, "transformationsParams": {"rawPayload": raw}}
                self.assertEqual(self.delivered(json.dumps(body).encode()), raw.encode())

    def test_raw_payload_reads_back(self) -> None:
        app = self.app()
        body = {"eventType": "a", "payload": {}, "transformationsParams": {"rawPayload": '{"x":  1}'}}
        message = self.ok(self.api.post(f"/app/{app}/msg", body), 202)
        self.assertEqual(self.ok(self.api.get(f"/app/{app}/msg/{message['id']}"))["payload"], {"x": 1})
        self.assertEqual(self.ok(self.api.get(f"/app/{app}/msg/{message['id']}/raw"))["payload"], '{"x":  1}')

    def test_unicode_everywhere(self) -> None:
        name = "Ärger 🪝 שלום \u202e x"
        app = self.ok(self.api.post("/app", {"name": name, "metadata": {"ключ": "значение 🪝"}}), 201)
        self.assertEqual((app["name"], app["metadata"]), (name, {"ключ": "значение 🪝"}))
        url = self.receiver.url("/ep") + "/p%C3%A4th/ünïcode?q=🪝"
        endpoint = self.api.post(f"/app/{app['id']}/endpoint", {"url": url, "description": name})
        self.assertEqual(self.ok(endpoint, 201)["description"], name)
        self.ok(self.api.post("/event-type", {"name": "uni.code", "description": name}), 201)
        message = self.send(app["id"])
        self.assertEqual(self.attempts(app["id"], message)[0]["responseStatusCode"], 200)

    def test_expunged_content(self) -> None:
        app = self.app()
        endpoint = self.endpoint(app)
        message = self.send(app, {"secret": "content"})
        self.attempts(app, message)
        self.ok(self.api.delete(f"/app/{app}/msg/{message}/content"), 204)
        self.assertEqual(self.ok(self.api.get(f"/app/{app}/msg/{message}"))["payload"], {"expired": True})
        answer = self.api.post(f"/app/{app}/msg/{message}/endpoint/{endpoint['id']}/resend")
        self.is_error(answer, 400, "missing_payload")
