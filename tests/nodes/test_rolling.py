"""A new version on every node, one after the other, under load: no producer sees an error."""

import threading
import time

from harness.client import Client

from cluster import LONG, ClusterCase, Load, Node

ROUNDS = 4 if LONG else 1
SHUTDOWN_DELAY_S = 0.6


class Balancer:
    """As a load balancer does it: asks each node for its health, and sends to those that are well."""

    def __init__(self, nodes: list[Node]):
        self._nodes = nodes
        self._well = list(nodes)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Balancer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def choose(self, turn: int) -> Node:
        well = self._well
        return well[turn % len(well)]

    def _watch(self) -> None:
        while not self._stop.wait(0.05):
            # With none left it would be as wrong to send as not to; one is as good as another.
            self._well = [node for node in self._nodes if _is_well(node)] or self._nodes


def _is_well(node: Node) -> bool:
    probe = Client(node.url)
    try:
        return probe.get("/health", timeout=1).status == 204
    except OSError:
        return False
    finally:
        probe.close()


class Rolling(ClusterCase):
    settings = {"HOOKPOST_SHUTDOWN_DELAY": f"{SHUTDOWN_DELAY_S * 1000:.0f}ms"}

    def test_no_request_fails(self) -> None:
        nodes = self.start(3)
        app = self.app()
        endpoint = self.endpoint(app)
        slowest_s = 0.0
        with Balancer(nodes) as balancer, Load(nodes, app, choose=balancer.choose) as load:
            for node in nodes * ROUNDS:
                load.wait_for(50)
                started = time.monotonic()
                self.assertEqual(node.stop(), 0, node.log_tail())
                slowest_s = max(slowest_s, time.monotonic() - started)
                node.start()
            load.wait_for(50)
        self.assertEqual((load.ledger.unanswered, load.ledger.refusals), (0, []))
        self.everything_arrives(load, endpoint)
        self.assertEqual(self.duplicates(endpoint), [], "a node that ends in good order gives everything back")
        print(f"{load.count()} acknowledged during {3 * ROUNDS} restarts, none failed; the slowest node took {slowest_s:.1f} s to end")
