"""Things that exist, so that generated requests reach more than a 404."""

from __future__ import annotations

import random
from typing import Any

from harness.server import Server

ORG = "org_23rb8YdGqMT0qIzpgGwdXfHirMu"

#: How many of a hundred path parameters name something real.
REAL_OF_HUNDRED = 80


class World:
    def __init__(self, server: Server):
        self.token = server.token
        self._api = server.api
        self._things: dict[str, list[str]] = {}
        self._make()

    def put_real_things_into(self, case: Any, chance: random.Random) -> None:
        for name in list(case.path_parameters or {}):
            known = self._things.get(name)
            if known and chance.randrange(100) < REAL_OF_HUNDRED:
                case.path_parameters[name] = chance.choice(known)

    def _put(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._api.request(method, path, body)
        assert answer.status < 300, f"{method} {path}: {answer}"
        return answer.json if answer.body else None

    def _know(self, name: str, *values: str) -> None:
        self._things.setdefault(name, []).extend(values)

    def _make(self) -> None:
        self._know("event_type_name", self._put("POST", "/event-type", {"name": "order.paid", "description": "An order."})["name"])
        app = self._put("POST", "/app", {"name": "Acme", "uid": "acme"})["id"]
        self._know("app_id", app, "acme")
        # Nobody listens there: attempts fail at once.
        endpoint = self._put("POST", f"/app/{app}/endpoint", {"url": "http://127.0.0.1:9/"})["id"]
        self._know("endpoint_id", endpoint)
        message = self._put("POST", f"/app/{app}/msg", {"eventType": "order.paid", "eventId": "first", "payload": {"a": 1}})["id"]
        self._know("msg_id", message, "first")
        task = self._put("POST", f"/app/{app}/endpoint/{endpoint}/replay-missing", {"since": "2026-01-01T00:00:00Z"})["id"]
        self._know("task_id", task)
        source = self._put("POST", "//ingest/api/v1/source", {"name": "door", "type": "generic-webhook"})["id"]
        self._know("source_id", source)
        self._know("integ_id", self._put("POST", f"/app/{app}/integration", {"name": "Zap"})["id"])
        sink = {"type": "http", "config": {"url": "http://127.0.0.1:9/"}}
        fifo = {"type": "fifoEndpoint", "config": sink["config"]}
        polling = self._put("POST", f"/app/{app}/destination", {"type": "pollingEndpoint"})["id"]
        self._know("destination_id", self._put("POST", f"/app/{app}/destination", fifo)["id"], polling)
        stream = self._put("POST", "/stream", {"name": "Orders", "uid": "orders"})["id"]
        self._know("stream_id", stream, "orders")
        poller = self._put("POST", f"/stream/{stream}/sink", {"type": "poller"})["id"]
        self._know("sink_id", self._put("POST", f"/stream/{stream}/sink", sink)["id"], poller, polling)
        self._know("consumer_id", "one", "two")
        self._know("name", self._put("POST", "/stream/event-type", {"name": "order.paid"})["name"])
        self._put("POST", f"/stream/{stream}/events", {"events": [{"eventType": "order.paid", "payload": "{}"}]})
        self._know("org_id", ORG)
        self._know("env_id", ORG)
        self._know("key_id", self._put("POST", "/api-key", {"name": "k"})["id"])
        operational = self._put("POST", "/operational-webhook/endpoint", {"url": "http://127.0.0.1:9/"})["id"]
        self._know("endpoint_id", operational)
