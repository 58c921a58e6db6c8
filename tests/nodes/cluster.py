"""Nodes on one database, and a producer that sends to all of them in turn, as behind a load balancer."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
import time
import unittest
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Callable, ClassVar

from harness import databases
from harness.client import Client
from harness.receiver import Plan, Receiver, always
from harness.server import Server
from harness.suite import eventually

#: Whether the long form was asked for.
LONG = os.environ.get("HOOKPOST_TEST_LONG") == "1"
#: The shortest there is: what waits for a node to be given up shall not wait long.
LEASE_S = 2.0
#: What lay in the buffers of a dying connection is still read after the kill.
STILL_UNDER_WAY_S = 0.25


class Node(Server):
    """One of several. `pause` and `resume` let its whole process stand still."""

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def pause(self) -> None:
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)


@dataclass(frozen=True)
class Refusal:
    status: int
    headers: dict[str, str]
    #: Monotonic seconds.
    at: float


@dataclass
class Ledger:
    """What the producer was told. Ids by the number that the payload carries."""

    acknowledged: dict[int, str] = field(default_factory=dict)
    #: Answered, and not with yes.
    refusals: list[Refusal] = field(default_factory=list)
    #: Cut off: the producer cannot know, and sends it again with the same idempotency key.
    unanswered: int = 0


class Load:
    """Producers on threads of their own, from `start` to `stop`. Each message has an idempotency key and goes to the nodes in turn until one says yes."""

    def __init__(self, nodes: list[Node], app: str, *, threads: int = 6, choose: Callable[[int], Node] | None = None, pause_s: float = 0.004):
        self.nodes, self.app, self.pause_s = nodes, app, pause_s
        self.choose = choose or (lambda turn: nodes[turn % len(nodes)])
        self.ledger = Ledger()
        self._run = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._next = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._produce, daemon=True) for _ in range(threads)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a producer does not come to its end"

    def count(self) -> int:
        return len(self.ledger.acknowledged)

    def wait_for(self, count: int, timeout_s: float = 30) -> None:
        """Until so many more are acknowledged."""
        wanted = self.count() + count
        eventually(self.count, lambda now: now >= wanted, timeout_s, f"{count} more acknowledged messages")

    def _produce(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                number, self._next = self._next, self._next + 1
            self._send(number)
            self._stop.wait(self.pause_s)

    def _send(self, number: int) -> None:
        """Until somebody says yes, also after the end of the load: what was cut off or refused may be there already (nobody knows what became of a
        commit whose connection was lost), and has to be known."""
        turn, in_doubt = number, False
        while not (self._stop.is_set() and not in_doubt):
            node = self.choose(turn)
            turn += 1
            try:
                status, headers, body = post_once(node, self.app, number, f"{self._run}-{number}")
            except ConnectionRefusedError:
                time.sleep(0.01)
                continue
            except (OSError, http.client.HTTPException):
                in_doubt = True
                with self._lock:
                    self.ledger.unanswered += 1
                continue
            if status == 202:
                with self._lock:
                    self.ledger.acknowledged[number] = json.loads(body)["id"]
                return
            in_doubt = True
            with self._lock:
                self.ledger.refusals.append(Refusal(status, headers, time.monotonic()))
            time.sleep(0.05)


def post_once(node: Node, app: str, number: int, key: str, timeout_s: float = 20) -> tuple[int, dict[str, str], bytes]:
    """On a connection of its own, so that a refused connection is known to have carried nothing."""
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=timeout_s)
    try:
        body = json.dumps({"eventType": "a", "payload": {"n": number}})
        headers = {"authorization": f"Bearer {node.token}", "content-type": "application/json", "idempotency-key": key}
        connection.request("POST", f"/api/v1/app/{app}/msg", body, headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


class ClusterCase(unittest.TestCase):
    """Each test has a database and a receiver of its own; `start` starts nodes, which end with the test."""

    settings: ClassVar[dict[str, str]] = {}

    def setUp(self) -> None:
        self.nodes: list[Node] = []
        self.receiver = Receiver()
        self.addCleanup(self.receiver.close)
        server = self.postgres_url()
        self.database = databases.create(server)
        self.addCleanup(databases.drop, server, self.database)

    def postgres_url(self) -> str:
        return databases.server_url()

    def start(self, count: int, **settings: str) -> list[Node]:
        nodes = [self.node(**settings) for _ in range(count)]
        for node in nodes:
            node.start()
        return nodes

    def node(self, *, database: str | None = None, **settings: str) -> Node:
        """Not started yet."""
        fixed = {"HOOKPOST_LEASE": f"{LEASE_S:.0f}s", "HOOKPOST_NODE_NAME": "", **self.settings, **settings}
        node = Node(settings=fixed, database=database or self.database)
        # One producer, whatever node it comes to: idempotency keys belong to whoever sent them, and that is the token.
        node.token = self.nodes[0].token if self.nodes else node.token
        node.api = node.api.with_token(node.token)
        self.nodes.append(node)
        # A node that fails to end in good order fails the test, except those that were killed.
        self.addCleanup(node.__exit__)
        return node

    def psql(self, statement: str) -> str:
        return databases.psql(self.database, statement)

    def api(self) -> Client:
        return self.nodes[0].api

    def ok(self, answer: Any) -> Any:
        self.assertIn(answer.status, (200, 201, 202, 204), str(answer))
        return answer.json if answer.body else None

    def app(self) -> str:
        return self.ok(self.api().post("/app", {"name": self.id()}))["id"]

    def endpoint(self, app: str, plan: Plan | None = None, **fields: Any) -> dict[str, Any]:
        path = f"/{uuid.uuid4().hex}"
        created = self.ok(self.api().post(f"/app/{app}/endpoint", {"url": self.receiver.url(path, plan or always(200)), **fields}))
        return {**created, "path": path}

    def send(self, node: Node, app: str, number: int) -> str:
        return self.ok(node.api.post(f"/app/{app}/msg", {"eventType": "a", "payload": {"n": number}}))["id"]

    def numbers(self, endpoint: dict[str, Any]) -> list[int]:
        return [json.loads(request.body)["n"] for request in self.receiver.at(endpoint["path"])]

    def everything_arrives(self, load: Load, endpoint: dict[str, Any], timeout_s: float = 30) -> None:
        """Every acknowledged message at the endpoint, under the id that was acknowledged, and recorded as delivered."""
        expected = set(load.ledger.acknowledged.values())
        self.assertEqual(len(expected), len(load.ledger.acknowledged), "two numbers were acknowledged under one id")
        arrived = lambda: {request.message_id for request in self.receiver.at(endpoint["path"])}  # noqa: E731
        eventually(lambda: len(expected - arrived()), lambda missing: missing == 0, timeout_s, "every acknowledged message at its receiver")
        others = [(json.loads(request.body)["n"], request.message_id) for request in self.receiver.at(endpoint["path"]) if request.message_id not in expected]
        told = {number: load.ledger.acknowledged.get(number) for number, _ in others}
        self.assertEqual(others, [], f"arrived under an id that nobody was told; told was {told}")
        living = next(node for node in self.nodes if node.process is not None)
        counts = lambda: self.ok(living.api.get(f"/app/{load.app}/endpoint/{endpoint['id']}/stats"))  # noqa: E731
        wanted = {"success": len(expected), "pending": 0, "sending": 0, "fail": 0}
        eventually(counts, lambda found: {name: found[name] for name in wanted} == wanted, timeout_s, f"the counts {wanted}")

    def duplicates(self, endpoint: dict[str, Any]) -> list[tuple[float, float]]:
        """When what came twice came, for the first time and again."""
        by_id: dict[str, list[float]] = {}
        for request in self.receiver.at(endpoint["path"]):
            by_id.setdefault(request.message_id, []).append(request.at)
        return [pair for times in by_id.values() for pair in zip(times, times[1:])]

    def explained_by(self, moments: list[float], endpoint: dict[str, Any]) -> Counter[float]:
        """That nothing came twice without one of these moments between; how often by which."""
        found: Counter[float] = Counter()
        for first, again in self.duplicates(endpoint):
            reasons = [moment for moment in moments if first <= moment + STILL_UNDER_WAY_S and moment < again]
            self.assertTrue(reasons, f"came twice, at {first:.3f} and {again:.3f}, without a reason; the moments were {moments}")
            found[reasons[0]] += 1
        return found
