"""What the suites of streams and of destinations have in common: reading batches, and a sink of either owner over plain HTTP."""

from __future__ import annotations

import json
from typing import Any

from python_base import SdkTest, model, ok, verified
from harness import suite
from harness.receiver import Plan, Received, Reply


http_config = model("SinkHttpConfigIn", "SinkHttpConfig")
http_patch = model("SinkHttpConfigPatch", "HttpPatchConfig")


def numbers_in(request: Received) -> list[int]:
    """The `n` of each event of a batch. A payload is text where it was given as text; the one message of a batch of one goes as it is."""
    body = json.loads(request.body)
    if isinstance(body, dict):
        return [body["n"]]
    payloads = [event["payload"] for event in body]
    return [(json.loads(payload) if isinstance(payload, str) else payload)["n"] for payload in payloads]


def fails_while(broken: list[bool], status: int = 503) -> Plan:
    """Fails for as long as the first of the list says so."""
    return lambda _n, _request: Reply(status if broken[0] else 200)


class SinkTest(SdkTest):
    """`at` is the path of the sink under test, once there is one."""

    at: str

    def sink(self, status: int = 200, **query: Any) -> Any:
        return ok(self.plain("GET", self.at, query=query or None), status)

    def batches(self, path: str, count: int) -> list[list[int]]:
        return [numbers_in(request) for request in (self.receiver.wait(path, count) if count else self.receiver.at(path))]

    def wait_for(self, status: str) -> Any:
        return suite.eventually(self.sink, lambda sink: sink["status"] == status, what=f"status {status}")

    def all_batches_verify(self, secret: str) -> None:
        for request in self.receiver.at(self.path):
            verified(secret, request)

    def check_a_failing_receiver(self, send: Any) -> None:
        """Nothing is lost, nothing overtakes, and what failed is the first to be sent again."""
        broken = [False]
        self.receiver.plan(self.path, fails_while(broken))
        send(range(0, 2))
        self.assertEqual(self.batches(self.path, 1), [[0, 1]])
        broken[0] = True
        send(range(2, 7))
        self.receiver.wait(self.path, 2)
        failing = self.wait_for("retrying")
        self.assertTrue(failing["failureReason"])
        self.assertTrue(failing["nextRetryAt"])
        self.assertEqual(json.loads(ok(self.plain("GET", f"{self.at}/next-event"))["payload"]), {"n": 2})
        self.assertEqual(json.loads(ok(self.plain("GET", f"{self.at}/last-acked-event"))["payload"]), {"n": 1})
        broken[0] = False
        ok(self.plain("POST", f"{self.at}/force-retry"), 204)
        suite.eventually(lambda: self.batches(self.path, 0)[-1:], lambda last: last == [[6]], what="the last batch")
        batches = self.batches(self.path, 0)
        tries = batches.count([2, 3])
        self.assertGreaterEqual(tries, 2)
        self.assertEqual(batches, [[0, 1], *[[2, 3]] * tries, [4, 5], [6]])
        # A try again says that it is one: the id stays.
        ids = [request.message_id for request in self.receiver.at(self.path)]
        self.assertEqual((len(set(ids)), len(set(ids[1 : 1 + tries]))), (4, 1))
        self.assertIsNone(self.wait_for("enabled").get("nextRetryAt"))

    def check_attempts(self, of: str, first: str, last: str) -> None:
        """The attempts after `check_a_failing_receiver`."""
        listed = lambda **query: ok(self.plain("GET", f"{self.at}/attempt", query=query or None))["data"]  # noqa: E731
        # They are written down beside the sending.
        attempts = suite.eventually(listed, lambda found: len(found) == len(self.receiver.at(self.path)), what="the attempts")
        newest = attempts[0]
        self.assertEqual((newest["status"], newest["statusText"], newest["numEvents"], newest[of]), (0, "success", 1, self.sink()["id"]))
        self.assertEqual(newest[first], newest[last])
        self.assertEqual({attempt["numEvents"] for attempt in listed(status=2)}, {2})
        self.assertEqual(len(listed(status=0)) + len(listed(status=2)), len(attempts))
        self.assertEqual(ok(self.plain("GET", f"{self.at}/attempt/{newest['id']}"))["id"], newest["id"])
        pages = ok(self.plain("GET", f"{self.at}/attempt", query={"limit": 2}))
        self.assertEqual([attempt["id"] for attempt in pages["data"]], [attempt["id"] for attempt in attempts[:2]])

    def check_skipping(self, send: Any) -> None:
        """Whoever cannot take an event may go past it."""
        broken = [True]
        self.receiver.plan(self.path, fails_while(broken))
        send(range(0, 4))
        before = self.wait_for("retrying")
        broken[0] = False
        ok(self.plain("POST", f"{self.at}/skip", {}), 204)
        after = suite.eventually(self.sink, lambda sink: sink["currentIterator"] != before["currentIterator"], what="the skip")
        self.assertEqual(after["status"], "enabled")
        suite.eventually(lambda: self.batches(self.path, 0)[-1:], lambda last: last and last[0][-1] == 3, what="the last event")
        taken = [batch for batch in self.batches(self.path, 0) if batch[0] > 0]
        self.assertEqual([n for batch in taken for n in batch], [1, 2, 3])
        self.assertEqual({tuple(batch) for batch in self.batches(self.path, 0) if batch not in taken}, {(0, 1)})
        self.assertEqual(self.plain("GET", f"{self.at}/next-event").status, 404)
        # To where it stands already: nothing happens. An iterator is good where it came from, and nowhere else.
        ok(self.plain("POST", f"{self.at}/skip", {"iterator": self.sink()["currentIterator"]}), 204)
        self.assertEqual(self.plain("POST", f"{self.at}/skip", {"iterator": "x"}).status, 422)

    def check_headers(self, get: Any, patch: Any) -> None:
        changed = patch({"X-Kept": "1", "X-Gone": "2", "Authorization": "Bearer hidden"})
        self.assertEqual((changed.headers, [name.lower() for name in changed.sensitive]), ({"X-Kept": "1", "X-Gone": "2"}, ["authorization"]))
        self.assertEqual(patch({"X-Gone": None}).headers, {"X-Kept": "1"})
        self.assertEqual(get().headers, {"X-Kept": "1"})

    def check_rotation(self, get_secret: Any, rotate: Any, send: Any) -> None:
        before = get_secret()
        rotate()
        after = get_secret()
        self.assertNotEqual(before, after)
        send(range(0, 1))
        self.receiver.wait(self.path, 1)
        for secret in (before, after):
            self.all_batches_verify(secret)
