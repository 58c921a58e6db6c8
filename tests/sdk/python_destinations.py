"""Destinations of an application by one Python SDK, and over plain HTTP where it has no method for them. Run as a part of python_suite.py."""

from __future__ import annotations

import unittest
from types import SimpleNamespace
from typing import Any, Iterable

import svix.models as models
from python_base import SINCE, SdkTest, ok, unique
from python_sinks import SinkTest
from harness.receiver import always

#: Before, the libraries know nothing of them.
KNOWN = SINCE >= (2, 4)


class DestinationTest(SinkTest):
    def setUp(self) -> None:
        super().setUp()
        self.all = f"/app/{self.app.id}/destination"

    def destination(self, **fields: Any) -> dict[str, Any]:
        """One that is sent to at `path`, two messages at a time unless it is told otherwise; what is left over after a second."""
        config = {"url": self.receiver.url(self.path, always(200)), **fields.pop("config", {})}
        made = ok(self.plain("POST", self.all, {"type": "fifoEndpoint", "config": config, "batchSize": 2, "maxWaitSecs": 1, **fields}), 201)
        self.at = f"{self.all}/{made['id']}"
        return made

    def send_numbers(self, numbers: Iterable[int], **options: Any) -> None:
        for n in numbers:
            self.send({"n": n}, **options)


class PlainDestinations(DestinationTest):
    def test_life_of_a_destination(self) -> None:
        uid = unique("d")
        created = self.destination(uid=uid, eventTypes=["user.signup"], metadata={"k": "v"})
        shown = (created["type"], created["uid"], created["batchSize"], created["maxWaitSecs"], created["eventTypes"], created["metadata"])
        self.assertEqual(shown, ("fifoEndpoint", uid, 2, 1, ["user.signup"], {"k": "v"}))
        self.assertEqual((created["status"], created["config"]["url"]), ("enabled", self.receiver.url(self.path)))
        for name in (uid, created["id"]):
            self.assertEqual(ok(self.plain("GET", f"{self.all}/{name}")), created)
        self.assertEqual(self.plain("POST", self.all, {"type": "pollingEndpoint", "uid": uid}).status, 409)
        patched = ok(self.plain("PATCH", self.at, {"type": "fifoEndpoint", "config": {}, "batchSize": 9}))
        self.assertEqual((patched["batchSize"], patched["maxWaitSecs"], patched["config"]["url"]), (9, 1, created["config"]["url"]))
        put = ok(self.plain("PUT", self.at, {"type": "fifoEndpoint", "config": {"url": created["config"]["url"]}}))
        self.assertEqual((put["id"], put.get("uid"), put["batchSize"], put["metadata"]), (created["id"], None, 100, {}))
        new = ok(self.plain("PUT", f"{self.all}/{unique('new')}", {"type": "pollingEndpoint"}), 201)
        listed = ok(self.plain("GET", self.all, query={"order": "ascending"}))["data"]
        self.assertEqual([found["id"] for found in listed], [created["id"], new["id"]])
        ok(self.plain("DELETE", self.at), 204)
        self.assertEqual(self.plain("GET", self.at).status, 404)

    def test_messages_come_in_order_and_signed(self) -> None:
        self.destination(batchSize=1)
        self.send_numbers(range(5))
        self.assertEqual(self.batches(self.path, 5), [[n] for n in range(5)])
        self.all_batches_verify(ok(self.plain("GET", f"{self.at}/secret"))["key"])

    def test_only_what_was_asked_for(self) -> None:
        self.destination(eventTypes=["user.signup"], channels=["one"], batchSize=1)
        self.send_numbers([1], channels=["two"])
        self.svix.message.create(self.app.id, models.MessageIn(event_type="user.gone", payload={"n": 2}, channels=["one"]))
        self.send_numbers([3], channels=["one"])
        self.assertEqual(self.batches(self.path, 1), [[3]])

    def test_rotation(self) -> None:
        self.destination()

        def get_secret() -> str:
            return ok(self.plain("GET", f"{self.at}/secret"))["key"]

        def rotate() -> None:
            self.assertEqual(ok(self.plain("POST", f"{self.at}/secret/rotate", {}))["key"], get_secret())

        self.check_rotation(get_secret, rotate, self.send_numbers)

    def test_headers(self) -> None:
        self.destination()

        def get() -> Any:
            return SimpleNamespace(**ok(self.plain("GET", f"{self.at}/headers")))

        def patch(headers: Any) -> Any:
            return SimpleNamespace(**ok(self.plain("PATCH", f"{self.at}/headers", {"headers": headers})))

        self.check_headers(get, patch)
        self.send_numbers([1])
        sent = self.receiver.wait(self.path, 1)[0].headers
        self.assertEqual((sent["x-kept"], sent.get("x-gone"), sent["authorization"]), ("1", None, "Bearer hidden"))

    def test_a_failing_receiver(self) -> None:
        self.destination()
        self.check_a_failing_receiver(self.send_numbers)
        self.check_attempts("destinationId", "firstMsgId", "lastMsgId")

    def test_skipping(self) -> None:
        self.destination()
        self.check_skipping(self.send_numbers)


@unittest.skipUnless(KNOWN, "this version knows no destinations")
class SdkDestinations(DestinationTest):
    def test_life_of_a_destination(self) -> None:
        api, app, uid, url = self.svix.destination, self.app.id, unique("d"), self.receiver.url(self.path)
        config = models.FifoEndpointConfigIn(url=url)
        created = api.create(app, models.DestinationIn(type="fifoEndpoint", config=config, uid=uid, batch_size=2, max_wait_secs=1))
        self.assertEqual((created.type, created.config.url, created.uid, created.batch_size), ("fifoEndpoint", url, uid, 2))
        self.assertEqual((api.get(app, uid), api.get(app, created.id)), (created, created))
        patch = models.DestinationPatch(type="fifoEndpoint", config=models.SinkHttpConfigPatch(url=f"{url}/other"))
        self.assertEqual(api.patch(app, created.id, patch).config.url, f"{url}/other")
        put = api.upsert(app, created.id, models.DestinationIn(type="fifoEndpoint", config=config))
        self.assertEqual((put.id, put.uid, put.batch_size, put.config.url), (created.id, None, 100, url))
        self.assertEqual([found.id for found in api.list(app).data], [created.id])
        rotated = api.rotate_secret(app, created.id, models.EndpointSecretRotateIn())
        self.send_numbers(range(2))
        self.receiver.wait(self.path, 1)
        self.all_batches_verify(rotated.key)
        self.assertIsNone(api.delete(app, created.id))
        self.refused(404, api.get, app, created.id)
