"""What stands beside the deliveries survives `kill -9` too: statistics, sinks, pollers, timers, background tasks."""

import threading
import time
import uuid
from typing import Any

from harness.cases import ServerCase, moment, unique
from harness.suite import eventually

ROUNDS = 4
TIMER_S = 4


class CrashBeside(ServerCase):
    def kill_under(self, work: Any, progress: Any, threads: int = 3) -> None:
        """Runs `work` over and over in threads, and kills the server whenever `progress` has grown."""
        stop = threading.Event()

        def keep_working() -> None:
            client = self.api.with_token(self.server.token)
            while not stop.is_set():
                try:
                    work(client)
                except Exception:  # noqa: BLE001 - down, or torn in the middle: what counts is what is there at the end
                    client.close()
                    stop.wait(0.02)

        workers = [threading.Thread(target=keep_working, daemon=True) for _ in range(threads)]
        for worker in workers:
            worker.start()
        try:
            for round_number in range(ROUNDS):
                wanted = progress() + 40 + 23 * round_number
                eventually(lambda wanted=wanted: progress() >= wanted, timeout_s=30, what="load")
                self.server.kill()
                self.server.start()
        finally:
            stop.set()
            for worker in workers:
                worker.join(10)

    def task(self, task_id: str) -> Any:
        task = eventually(
            lambda: self.api.get(f"/background-task/{task_id}").json, lambda task: task["status"] != "running", 30, "the end of the task"
        )
        self.assertEqual(task["status"], "finished", task)
        return task["data"]

    def all_messages(self, app: str) -> list[str]:
        ids, iterator = [], None
        while True:
            page = self.api.request("GET", f"/app/{app}/msg", query={"limit": 250, **({"iterator": iterator} if iterator else {})}).json
            ids += [message["id"] for message in page["data"]]
            if page["done"]:
                return ids[::-1]
            iterator = page["iterator"]

    def test_statistics_sinks_and_pollers(self) -> None:
        window = {"since": moment(hours=-1), "until": moment(hours=1)}
        app = self.app()
        endpoint = self.endpoint(app)
        fifo = f"/{unique('fifo')}"
        config = {"url": self.receiver.url(fifo)}
        self.ok(self.api.post(f"/app/{app}/destination", {"type": "fifoEndpoint", "config": config, "batchSize": 1}))
        poller = self.api.post(f"/app/{app}/destination", {"type": "pollingEndpoint"}).json["id"]
        acknowledged: list[str] = []
        polled: list[str] = []

        def produce(client: Any) -> None:
            answer = client.post(f"/app/{app}/msg", {"eventType": "a", "payload": {"u": uuid.uuid4().hex}}, timeout=5)
            if answer.status == 202:
                acknowledged.append(answer.json["id"])

        def poll() -> bool:
            answer = self.api.get(f"/app/{app}/poller/{poller}/consumer/one" + (f"?iterator={poll.iterator}" if poll.iterator else ""))
            if answer.status != 200:
                return False
            page = answer.json
            polled.extend(message["id"] for message in page["data"])
            poll.iterator = page["iterator"]
            return bool(page["done"])

        poll.iterator = None

        self.kill_under(produce, lambda: len(acknowledged))
        there = self.all_messages(app)
        self.assertLessEqual(set(acknowledged), set(there))
        for path in (endpoint["path"], fifo):
            arrived = lambda path=path: {request.message_id for request in self.receiver.at(path)}  # noqa: E731
            eventually(arrived, lambda seen: set(there) <= seen, 30, f"every message at {path}")

        first_seen = list(dict.fromkeys(request.message_id for request in self.receiver.at(fifo)))
        self.assertEqual(first_seen, there, "a FIFO destination gets them in their order")
        eventually(poll, timeout_s=30, what="the end of what is polled")
        self.assertEqual(list(dict.fromkeys(polled)), there, "a poller gets them in their order")
        # The consumer's place outlives the server.
        self.server.kill()
        self.server.start()
        polled.clear()
        poll.iterator = None
        eventually(poll, timeout_s=10, what="a second look")
        self.assertLessEqual(len(polled), 250, "what was confirmed is not handed out again")

        task = self.api.post("/stats/usage/app", window).json["id"]
        of_app = [row for row in self.task(task)["appStats"] if row["appId"] == app]
        self.assertEqual([row["messageDestinations"] for row in of_app], [len(there)])
        stored = self.api.get(f"/app/{app}/attempt/endpoint/{endpoint['id']}/count").json["count"]
        totals = self.api.request("GET", f"/app/{app}/stats/attempts", query=window).json
        self.assertEqual((totals["total_success"], totals["total_failure"]), (stored, 0), "every stored attempt is counted once")

    def test_timers(self) -> None:
        app = self.app()
        endpoint = self.endpoint(app)
        due = time.time() + TIMER_S
        body = {"eventType": "a", "payload": {}, "deliverAt": moment(seconds=TIMER_S)}
        ids = [self.api.post(f"/app/{app}/msg", body).json["id"] for _ in range(20)]
        self.server.kill()
        self.server.start()
        self.assertEqual(self.receiver.at(endpoint["path"]), [], "nothing comes before its time")
        seen = lambda: {request.message_id for request in self.receiver.at(endpoint["path"])}  # noqa: E731
        eventually(seen, lambda seen: seen == set(ids), 20, "every message at its time")
        self.assertGreaterEqual(time.time(), due)

    def test_a_broadcast_reaches_every_application_once(self) -> None:
        marker = unique("all")
        apps = [self.app() for _ in range(60)]
        task = self.api.post("/msg/broadcast", {"eventType": marker, "payload": {"to": "all"}}).json["id"]
        for _ in range(3):
            self.server.kill()
            self.server.start()
        self.task(task)
        for app in apps:
            found = self.api.request("GET", f"/app/{app}/msg", query={"event_types": marker}).json["data"]
            self.assertEqual(len(found), 1, app)
