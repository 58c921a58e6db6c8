"""A repeated idempotency key makes no second message, whatever happens in between."""

from concurrent.futures import ThreadPoolExecutor

from harness.cases import ServerCase, unique
from harness.client import Answer


class Idempotency(ServerCase):
    def create(self, app: str, key: str, payload: dict[str, object] | None = None) -> Answer:
        return self.api.post(f"/app/{app}/msg", {"eventType": "a", "payload": payload or {"n": 1}}, headers={"idempotency-key": key})

    def count(self, app: str) -> int:
        return len(self.ok(self.api.get(f"/app/{app}/msg"))["data"])

    def test_the_first_answer_is_repeated(self) -> None:
        app, key = self.app(), unique()
        first, second, other_body = self.create(app, key), self.create(app, key), self.create(app, key, {"n": 2})
        self.assertEqual({first.status, second.status, other_body.status}, {202})
        self.assertEqual(first.json["id"], second.json["id"])
        self.assertEqual(first.json["id"], other_body.json["id"])
        self.assertEqual(first.json["payload"], other_body.json["payload"])
        self.assertEqual(self.count(app), 1)

    def test_eight_at_once(self) -> None:
        app, key = self.app(), unique()
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: self.create(app, key), range(8)))
        self.assertEqual({answer.status for answer in answers}, {202}, [str(answer) for answer in answers])
        self.assertEqual(len({answer.json["id"] for answer in answers}), 1)
        self.assertEqual(self.count(app), 1)

    def test_after_restart_and_after_kill(self) -> None:
        app, key = self.app(), unique()
        first = self.create(app, key).json["id"]
        self.server.restart()
        self.assertEqual(self.create(app, key).json["id"], first)
        self.server.kill()
        self.server.start()
        self.assertEqual(self.create(app, key).json["id"], first)
        self.assertEqual(self.count(app), 1)

    def test_a_refused_request_frees_its_key(self) -> None:
        app, key = self.app(), unique()
        headers = {"idempotency-key": key}
        self.is_error(self.api.post(f"/app/{app}/msg", {"eventType": "has space", "payload": {}}, headers=headers), 422)
        self.assertEqual(self.create(app, key).status, 202)

    def test_a_key_belongs_to_its_path(self) -> None:
        one, two, key = self.app(), self.app(), unique()
        self.assertNotEqual(self.create(one, key).json["id"], self.create(two, key).json["id"])

    def test_applications_and_endpoints_too(self) -> None:
        key = unique()
        apps = {self.ok(self.api.post("/app", {"name": "x"}, headers={"idempotency-key": key}), 201)["id"] for _ in range(2)}
        self.assertEqual(len(apps), 1)
        app = apps.pop()
        body = {"url": "http://127.0.0.1:9/"}
        endpoints = {self.ok(self.api.post(f"/app/{app}/endpoint", body, headers={"idempotency-key": key}), 201)["id"] for _ in range(2)}
        self.assertEqual(len(endpoints), 1)

    def test_an_event_id_is_taken_once(self) -> None:
        app, event_id = self.app(), unique("evt")
        self.send(app, eventId=event_id)
        answer = self.api.post(f"/app/{app}/msg", {"eventType": "a", "payload": {}, "eventId": event_id})
        self.is_error(answer, 409, "conflict")
        self.send(self.app(), eventId=event_id)

    def test_hostile_keys(self) -> None:
        app = self.app()
        for key in ("k" * 255, "é", "a b", "'; drop table messages; --"):
            with self.subTest(key[:20]):
                answer = self.api.post(f"/app/{app}/msg", {"eventType": "a", "payload": {}}, headers={"idempotency-key": key})
                self.assertLess(answer.status, 500, str(answer))
        self.is_error(self.create(app, "k" * 5000), 422)
