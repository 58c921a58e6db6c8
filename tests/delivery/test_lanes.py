"""Order, rate and concurrency: what one endpoint asks for."""

import json
import threading

from harness.cases import ServerCase
from harness.receiver import Received, Reply, first_fail


class Lanes(ServerCase):
    settings = {"HOOKPOST_RETRY_SCHEDULE": "100ms,200ms,400ms,800ms"}

    def numbers(self, path: str) -> list[int]:
        return [json.loads(request.body)["n"] for request in self.receiver.at(path)]

    def test_strict_order_waits_for_the_one_before(self) -> None:
        app = self.app()
        failing = {3: 2, 7: 1}

        def plan(_n: int, request: Received) -> Reply:
            number = json.loads(request.body)["n"]
            failing[number] = failing.get(number, 0) - 1
            return Reply(500) if failing[number] >= 0 else Reply()

        endpoint = self.endpoint(app, plan, ordered=True)
        for n in range(12):
            self.send(app, {"n": n})
        self.receiver.wait(endpoint["path"], 15, timeout_s=20)
        self.assertEqual(self.numbers(endpoint["path"]), [0, 1, 2, 3, 3, 3, 4, 5, 6, 7, 7, 8, 9, 10, 11])

    def test_order_survives_a_crash(self) -> None:
        app = self.app()
        endpoint = self.endpoint(app, first_fail(1, status=503, headers={"retry-after": "1"}), ordered=True)
        for n in range(6):
            self.send(app, {"n": n})
        self.receiver.wait(endpoint["path"], 1)
        self.server.kill()
        self.server.start()
        self.receiver.wait(endpoint["path"], 7, timeout_s=20)
        seen = self.numbers(endpoint["path"])
        self.assertEqual(list(dict.fromkeys(seen)), [0, 1, 2, 3, 4, 5])
        self.assertEqual(seen, sorted(seen))

    def test_throttle(self) -> None:
        app = self.app()
        endpoint = self.endpoint(app, throttleRate=5)
        for n in range(15):
            self.send(app, {"n": n})
        times = [request.at for request in self.receiver.wait(endpoint["path"], 15, timeout_s=15)]
        self.assertGreaterEqual(times[-1] - times[0], 1.5, "15 deliveries at 5 a second")
        busiest = max(sum(1 for at in times if start <= at < start + 1) for start in times)
        self.assertLessEqual(busiest, 10, "a burst of one second, and the rate")

    def test_concurrency(self) -> None:
        app = self.app()
        lock, now, most = threading.Lock(), [0], [0]

        def plan(_n: int, _request: Received) -> Reply:
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            timer = threading.Timer(0.05, lambda: now.__setitem__(0, now[0] - 1))
            timer.daemon = True
            timer.start()
            return Reply(delay_s=0.05)

        endpoint = self.endpoint(app, plan, concurrency=2)
        for n in range(12):
            self.send(app, {"n": n})
        self.receiver.wait(endpoint["path"], 12)
        self.assertLessEqual(most[0], 4, "2 at a time, with room for the timers of this test")

    def test_a_busy_receiver_is_left_alone(self) -> None:
        app = self.app()
        endpoint = self.endpoint(app, first_fail(1, status=429, headers={"retry-after": "1"}))
        self.send(app, {"n": 0})
        first = self.receiver.wait(endpoint["path"], 1)[0]
        self.attempts(app, self.ok(self.api.get(f"/app/{app}/msg"))["data"][0]["id"])
        for n in range(1, 4):
            self.send(app, {"n": n})
        requests = self.receiver.wait(endpoint["path"], 5, timeout_s=15)
        self.assertGreaterEqual(requests[1].at - first.at, 0.95, "429 holds back the whole lane")
