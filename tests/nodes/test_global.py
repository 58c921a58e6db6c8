"""What must hold over all nodes together: order, rate, idempotency keys, and that a change is seen."""

import json
import threading
import time
import uuid

from harness.receiver import Received, Reply
from harness.suite import eventually

from cluster import ClusterCase, post_once

#: "Within a second", by the clock of a machine that has other things to do.
SEEN_WITHIN_S = 1.5


class Global(ClusterCase):
    settings = {"HOOKPOST_RETRY_SCHEDULE": "100ms,200ms,400ms,800ms"}

    def test_strict_order(self) -> None:
        nodes = self.start(3)
        app = self.app()
        failing = {3: 2, 7: 1, 15: 1}

        def plan(_n: int, request: Received) -> Reply:
            number = json.loads(request.body)["n"]
            failing[number] = failing.get(number, 0) - 1
            return Reply(500) if failing[number] >= 0 else Reply()

        endpoint = self.endpoint(app, plan, ordered=True)
        for n in range(24):
            self.send(nodes[n % 3], app, n)
        self.receiver.wait(endpoint["path"], 28, timeout_s=20)
        expected = [n for n in range(24) for _ in range({3: 3, 7: 2, 15: 2}.get(n, 1))]
        self.assertEqual(self.numbers(endpoint), expected)

    def test_order_when_the_node_that_serves_it_is_killed(self) -> None:
        nodes = self.start(3)
        app = self.app()
        endpoint = self.endpoint(app, lambda _n, _request: Reply(delay_s=0.02), ordered=True)
        for n in range(60):
            self.send(nodes[n % 3], app, n)
        self.receiver.wait(endpoint["path"], 10)
        owner = self.psql("SELECT node.number FROM hookpost.owner JOIN hookpost.node USING (holder) LIMIT 1")
        self.assertTrue(owner)
        victim = next(node for node in nodes if self.number_of(node) == owner)
        victim.kill()
        living = [node for node in nodes if node is not victim]
        for n in range(60, 80):
            self.send(living[n % 2], app, n)
        eventually(lambda: set(self.numbers(endpoint)), lambda seen: len(seen) == 80, 30, "all of them")
        seen = self.numbers(endpoint)
        self.assertEqual(seen, sorted(seen))
        self.assertLessEqual(len(seen), 81, "at most the one that was under way comes twice")

    def number_of(self, node) -> str:  # type: ignore[no-untyped-def]
        """Of a node, by an id that it makes: the last byte."""
        app = self.ok(node.api.post("/app", {"name": "whose"}))["id"]
        uid = uuid.uuid4().hex
        self.ok(node.api.patch(f"/app/{app}", {"uid": uid}))
        return self.psql(f"SELECT id & 255 FROM hookpost.application WHERE uid = '{uid}'")

    def test_throttle(self) -> None:
        nodes = self.start(2)
        app = self.app()
        rate = 10
        endpoint = self.endpoint(app, throttleRate=rate)
        for n in range(5 * rate):
            self.send(nodes[n % 2], app, n)
        times = [request.at for request in self.receiver.wait(endpoint["path"], 5 * rate, timeout_s=20)]
        self.within_rate(times, rate, bursts=1)

    def test_throttle_at_a_takeover(self) -> None:
        nodes = self.start(2, HOOKPOST_SHUTDOWN_GRACE="2s")
        app = self.app()
        rate = 10
        endpoint = self.endpoint(app, throttleRate=rate)
        for n in range(6 * rate):
            self.send(nodes[0], app, n)
        self.receiver.wait(endpoint["path"], 2 * rate)
        nodes[0].stop()
        # Should it not have been able to say that it leaves, the other waits for the end of its lease (10 s) first.
        times = [request.at for request in self.receiver.wait(endpoint["path"], 6 * rate, timeout_s=40)]
        self.within_rate(times, rate, bursts=2)
        self.assertEqual(self.duplicates(endpoint), [])

    def within_rate(self, times: list[float], rate: int, bursts: int) -> None:
        took = times[-1] - times[0]
        self.assertGreaterEqual(took, (len(times) - 1) / rate - bursts - 0.1, f"{len(times)} deliveries at {rate} a second, and {bursts} bursts")
        busiest = max(sum(1 for at in times if start <= at < start + 1) for start in times)
        self.assertLessEqual(busiest, rate * (1 + bursts), "a burst of one second, and the rate")

    def test_one_message_for_a_key_at_all_nodes_at_once(self) -> None:
        nodes = self.start(3)
        app = self.app()
        endpoint = self.endpoint(app)
        rounds = 20
        for number in range(rounds):
            key, ids = uuid.uuid4().hex, []
            together = threading.Barrier(6)

            def post(node) -> None:  # type: ignore[no-untyped-def]
                together.wait()
                status, _, body = post_once(node, app, number, key)
                ids.append(json.loads(body)["id"] if status == 202 else f"{status} {body.decode()}")

            threads = [threading.Thread(target=post, args=(nodes[index % 3],)) for index in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual((len(ids), len(set(ids))), (6, 1), str(ids))
        self.receiver.wait(endpoint["path"], rounds)
        self.assertEqual(sorted(self.numbers(endpoint)), list(range(rounds)))

    def test_changes_are_seen_within_a_second(self) -> None:
        for notify in ("true", "false"):
            with self.subTest(notify=notify):
                self.changes_are_seen(notify)

    def changes_are_seen(self, notify: str) -> None:
        one, other = self.start(2, HOOKPOST_DATABASE_NOTIFY=notify)
        app = self.ok(one.api.post("/app", {"name": "x"}))["id"]
        old, new = f"/{uuid.uuid4().hex}", f"/{uuid.uuid4().hex}"
        made = self.ok(one.api.post(f"/app/{app}/endpoint", {"url": self.receiver.url(old)}))["id"]
        # The other one knows it now.
        self.send(other, app, 0)
        self.receiver.wait(old, 1)
        self.ok(one.api.patch(f"/app/{app}/endpoint/{made}", {"url": self.receiver.url(new)}))
        changed_at = time.monotonic()
        n = 0

        def comes_to_the_new() -> bool:
            nonlocal n
            n += 1
            self.send(other, app, n)
            return bool(self.receiver.at(new))

        eventually(comes_to_the_new, timeout_s=5, what="the new address at the other node")
        self.assertLess(self.receiver.at(new)[0].at - changed_at, SEEN_WITHIN_S)
        key = self.ok(one.api.post("/api-key", {"name": "k"}))
        holder = other.api.with_token(key["key"])
        eventually(lambda: holder.get("/app").status, lambda status: status == 200, 5, "the key at the other node")
        self.ok(one.api.delete(f"/api-key/{key['id']}"))
        revoked_at = time.monotonic()
        eventually(lambda: holder.get("/app").status, lambda status: status == 401, 5, "that the key is revoked at the other node")
        self.assertLess(time.monotonic() - revoked_at, SEEN_WITHIN_S)
        self.ok(one.api.delete(f"/app/{app}"))
        gone = lambda: other.api.post(f"/app/{app}/msg", {"eventType": "a", "payload": {}}).status  # noqa: E731
        eventually(gone, lambda status: status == 404, 5, "that the application is gone at the other node")
