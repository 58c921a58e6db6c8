"""What stands beside the deliveries across nodes: one order for sinks and pollers whoever accepts, and tasks that go on elsewhere."""

import random
import time
import uuid
from typing import Any

from harness.suite import eventually

from cluster import LONG, ClusterCase, Load, Node

ROUNDS = 20 if LONG else 4
APPLICATIONS = 150


class Beside(ClusterCase):
    def poll(self, node: Node, app: str, poller: str, iterator: str | None) -> Any:
        query = {"limit": 250, **({"iterator": iterator} if iterator else {})}
        return self.ok(node.api.request("GET", f"/app/{app}/poller/{poller}", query=query))

    def test_one_order_while_nodes_are_killed(self) -> None:
        seed = time.time_ns() % 2**32
        chance = random.Random(seed)
        nodes = self.start(3)
        app = self.app()
        path = f"/{uuid.uuid4().hex}"
        fifo = {"type": "fifoEndpoint", "config": {"url": self.receiver.url(path)}, "batchSize": 1}
        self.ok(nodes[1].api.post(f"/app/{app}/destination", fifo))
        poller = self.ok(nodes[2].api.post(f"/app/{app}/destination", {"type": "pollingEndpoint"}))["id"]
        polled: list[str] = []
        iterator = None
        with Load(nodes, app) as load:
            for _ in range(ROUNDS):
                load.wait_for(chance.randrange(20, 100))
                victim = chance.choice(nodes)
                victim.kill()
                # Whoever polls goes on at another node, from where they were.
                living = next(node for node in nodes if node is not victim)
                page = self.poll(living, app, poller, iterator)
                polled += [message["id"] for message in page["data"]]
                iterator = page["iterator"]
                victim.start()
            load.wait_for(50)
        expected = set(load.ledger.acknowledged.values())

        def everything_was_polled() -> bool:
            nonlocal iterator
            page = self.poll(chance.choice(nodes), app, poller, iterator)
            polled.extend(message["id"] for message in page["data"])
            iterator = page["iterator"]
            return expected <= set(polled)

        eventually(everything_was_polled, timeout_s=30, what="every acknowledged message at the poller")
        self.assertEqual(len(polled), len(set(polled)), "an iterator gives nothing twice")
        arrived = lambda: list(dict.fromkeys(request.message_id for request in self.receiver.at(path)))  # noqa: E731
        eventually(arrived, lambda seen: expected <= set(seen), 30, "every acknowledged message at the FIFO destination")
        self.assertEqual(arrived(), polled, "there is one order, for whoever reads it")
        print(f"seed {seed}: {len(expected)} acknowledged, {len(self.receiver.at(path)) - len(arrived())} batches sent twice")

    def test_a_broadcast_goes_on_at_another_node(self) -> None:
        first, second = self.start(2)
        apps = [self.app() for _ in range(APPLICATIONS)]
        task = self.ok(first.api.post("/msg/broadcast", {"eventType": "for.all", "payload": {}}))["id"]
        first.kill()
        ended = lambda: self.ok(second.api.get(f"/background-task/{task}"))  # noqa: E731
        self.assertEqual(eventually(ended, lambda found: found["status"] != "running", 40, "the end of the task")["status"], "finished")
        for app in apps:
            self.assertEqual(len(self.ok(second.api.get(f"/app/{app}/msg"))["data"]), 1, app)
