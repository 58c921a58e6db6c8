"""When a failed delivery is tried again, and when not any more."""

import time

from harness.cases import ServerCase, unique
from harness.receiver import Reply, always, first_fail
from harness.suite import eventually

#: The schedule of the test server: 200 ms, 500 ms, 1 s, each stretched or shrunk by up to a fifth.
WAITS_S = (0.2, 0.5, 1.0)
#: How late a busy machine may be.
SLACK_S = 1.5


class Retries(ServerCase):
    def test_the_schedule(self) -> None:
        app = self.app()
        endpoint = self.endpoint(app, always(500))
        message = self.send(app)
        requests = self.receiver.wait(endpoint["path"], 4)
        self.status(app, message, endpoint["id"], "fail")
        self.assertEqual(len(self.receiver.at(endpoint["path"])), 4, "1 attempt and 3 retries")
        for wait_s, before, after in zip(WAITS_S, requests, requests[1:], strict=False):
            self.assertGreaterEqual(after.at - before.at, wait_s * 0.75)
            self.assertLessEqual(after.at - before.at, wait_s * 1.25 + SLACK_S)
        self.assertEqual({request.message_id for request in requests}, {message})
        attempts = self.attempts(app, message, 4)
        self.assertEqual([attempt["status"] for attempt in attempts], [2] * 4)
        self.assertEqual(self.why(app, message, endpoint["id"])["reason"], "retries_exhausted")

    def test_it_stops_at_the_first_success(self) -> None:
        app = self.app()
        endpoint = self.endpoint(app, first_fail(2))
        message = self.send(app)
        self.status(app, message, endpoint["id"], "success")
        self.assertEqual([attempt["status"] for attempt in self.attempts(app, message, 3)], [0, 2, 2])
        self.assertIsNone(self.destination(app, message, endpoint["id"]).get("nextAttempt"))

    def test_between_attempts_it_is_sending(self) -> None:
        app = self.app()
        endpoint = self.endpoint(app, always(503, headers={"retry-after": "60"}))
        message = self.send(app)
        self.attempts(app, message)
        destination = self.status(app, message, endpoint["id"], "sending")
        self.assertTrue(destination["nextAttempt"])
        self.assertIn(self.why(app, message, endpoint["id"])["reason"], ("retry_scheduled", "throttled", "circuit_open"))

    def test_retry_after_only_moves_later(self) -> None:
        app = self.app()
        later = self.endpoint(app, first_fail(1, status=503, headers={"retry-after": "1"}))
        earlier = self.endpoint(app, first_fail(1, status=503, headers={"retry-after": "0"}))
        self.send(app)
        first, second = self.receiver.wait(later["path"], 2)[:2]
        self.assertGreaterEqual(second.at - first.at, 0.95)
        first, second = self.receiver.wait(earlier["path"], 2)[:2]
        self.assertGreaterEqual(second.at - first.at, WAITS_S[0] * 0.75)

    def test_gone_disables(self) -> None:
        app = self.app()
        endpoint = self.endpoint(app, always(410))
        message = self.send(app)
        at = f"/app/{app}/endpoint/{endpoint['id']}"
        eventually(lambda: self.ok(self.api.get(at))["disabled"], what="the endpoint to be disabled")
        self.status(app, message, endpoint["id"], "fail")
        self.assertEqual(len(self.receiver.at(endpoint["path"])), 1)
        next_message = self.send(app)
        self.assertEqual(self.why(app, next_message, endpoint["id"])["reason"], "endpoint_disabled")

    def test_redirects_are_failures_and_are_not_followed(self) -> None:
        app = self.app()
        elsewhere = f"/{unique('elsewhere')}"
        endpoint = self.endpoint(app, always(307, headers={"location": self.receiver.url(elsewhere)}))
        message = self.send(app)
        attempt = self.attempts(app, message)[-1]
        self.assertEqual((attempt["status"], attempt["responseStatusCode"]), (2, 307))
        self.receiver.wait(endpoint["path"], 2)
        self.assertEqual(self.receiver.at(elsewhere), [])

    def test_only_2xx_is_success(self) -> None:
        app = self.app()
        for status in (200, 201, 202, 204, 299):
            self.endpoint(app, always(status, body=b"" if status == 204 else b"ok"))
        message = self.send(app)
        found = self.attempts(app, message, 5)
        self.assertEqual({attempt["status"] for attempt in found}, {0})

    def test_what_cannot_be_reached_says_why(self) -> None:
        app = self.app()
        urls = {"refused": "http://127.0.0.1:1/", "name": "http://does-not-exist.invalid/"}
        for name, url in urls.items():
            with self.subTest(name):
                endpoint = self.ok(self.api.post(f"/app/{app}/endpoint", {"url": url}), 201)["id"]
                message = self.send(app)
                attempt = next(a for a in self.attempts(app, message) if a["endpointId"] == endpoint)
                self.assertEqual((attempt["status"], attempt["responseStatusCode"]), (2, 0))
                self.assertGreater(len(attempt["response"]), 5)
                self.ok(self.api.delete(f"/app/{app}/endpoint/{endpoint}"), 204)

    def test_long_and_odd_responses(self) -> None:
        app = self.app()
        self.endpoint(app, always(200, body=b"x" * 100_000))
        self.endpoint(app, always(200, body=b"\xff\xfe\x00binary"))
        message = self.send(app)
        responses = sorted((attempt["response"] for attempt in self.attempts(app, message, 2)), key=len)
        self.assertEqual(responses[1], "x" * 20_000)
        self.assertTrue(responses[0])

    def test_response_headers_are_kept(self) -> None:
        app = self.app()
        self.endpoint(app, always(200, headers={"X-Trace": "abc"}))
        message = self.send(app)
        attempt = self.attempts(app, message)[0]["id"]
        shown = self.ok(self.api.get(f"/app/{app}/msg/{message}/attempt/{attempt}/headers"))
        self.assertIn("abc", str(shown["responseHeaders"]))

    def test_a_schedule_of_ones_own(self) -> None:
        app = self.app()
        endpoint = self.endpoint(app, always(500), retrySchedule="50ms")
        message = self.send(app)
        self.status(app, message, endpoint["id"], "fail")
        self.assertEqual(len(self.receiver.at(endpoint["path"])), 2)

    def test_retries_survive_a_crash(self) -> None:
        app = self.app()
        endpoint = self.endpoint(app, first_fail(1, status=503, headers={"retry-after": "1"}))
        message = self.send(app)
        self.attempts(app, message)
        self.server.kill()
        self.server.start()
        requests = self.receiver.wait(endpoint["path"], 2)
        self.assertEqual({request.message_id for request in requests}, {message})
        self.status(app, message, endpoint["id"], "success")
        self.assertEqual(len(self.attempts(app, message, 2)), 2)


class Timeouts(ServerCase):
    settings = {"HOOKPOST_REQUEST_TIMEOUT": "300ms", "HOOKPOST_RETRY_SCHEDULE": "none"}

    def test_a_slow_receiver(self) -> None:
        app = self.app()
        endpoint = self.endpoint(app, lambda _n, _request: Reply(delay_s=30))
        started = time.monotonic()
        message = self.send(app)
        attempt = self.attempts(app, message)[0]
        self.assertLess(time.monotonic() - started, 5)
        self.assertEqual((attempt["status"], attempt["responseStatusCode"]), (2, 0))
        self.assertRegex(attempt["response"].lower(), "timed? out|did not answer")
        self.assertGreaterEqual(attempt["responseDurationMs"], 250)
        self.status(app, message, endpoint["id"], "fail")

    def test_a_hanging_endpoint_delays_no_other(self) -> None:
        app = self.app()
        hanging = self.endpoint(app, lambda _n, _request: Reply(delay_s=30))
        healthy = self.endpoint(app)
        started = time.monotonic()
        for _ in range(100):
            self.send(app)
        self.receiver.wait(healthy["path"], 100)
        self.assertLess(time.monotonic() - started, 10)
        self.assertTrue(self.receiver.at(hanging["path"]))
