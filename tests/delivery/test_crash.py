"""Acknowledged means durable: killed under load, again and again, nothing acknowledged stays undelivered."""

import threading
import time
import uuid
from collections import Counter

from harness.cases import ServerCase
from harness.suite import eventually

ROUNDS = 4


class Crash(ServerCase):
    def test_kill_under_load(self) -> None:
        app = self.app()
        endpoint = self.endpoint(app)
        acknowledged: list[str] = []
        stop = threading.Event()

        def produce() -> None:
            client = self.api.with_token(self.server.token)
            while not stop.is_set():
                try:
                    answer = client.post(f"/app/{app}/msg", {"eventType": "a", "payload": {"u": uuid.uuid4().hex}}, timeout=5)
                    if answer.status == 202:
                        acknowledged.append(answer.json["id"])
                except (OSError, ValueError):
                    # Down: what was under way is not acknowledged. Wait for it without burning the machine.
                    client.close()
                    stop.wait(0.02)
                except Exception:  # noqa: BLE001 - a torn answer is no acknowledgement
                    client.close()

        threads = [threading.Thread(target=produce, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for round_number in range(ROUNDS):
                wanted = len(acknowledged) + 50 + 37 * round_number
                eventually(lambda wanted=wanted: len(acknowledged) >= wanted, timeout_s=30, what="load")
                self.server.kill()
                self.server.start()
        finally:
            stop.set()
            for thread in threads:
                thread.join(10)
        started = time.monotonic()
        expected = set(acknowledged)
        eventually(
            lambda: expected - {request.message_id for request in self.receiver.at(endpoint["path"])},
            lambda missing: not missing,
            30,
            "every acknowledged message at its receiver",
        )
        seen = Counter(request.message_id for request in self.receiver.at(endpoint["path"]))
        twice = sum(count - 1 for count in seen.values())
        print(f"{len(expected)} acknowledged, all delivered {time.monotonic() - started:.1f} s after the last kill, {twice} duplicates")
        self.assertLess(twice, len(expected) / 2, "duplicates are what was in flight at a kill, not a way of life")
