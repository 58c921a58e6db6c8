"""A test case with a server that all tests of the class share, and short words for what they all do."""

from __future__ import annotations

import unittest
import uuid
from datetime import datetime, timedelta, timezone
from typing import Any, ClassVar

from .client import Answer, Client
from .receiver import Plan, Receiver, always
from .server import Server
from .suite import eventually


def moment(**offset: float) -> str:
    return (datetime.now(timezone.utc) + timedelta(**offset)).isoformat().replace("+00:00", "Z")


def unique(prefix: str = "x") -> str:
    return f"{prefix}-{uuid.uuid4().hex}"


class ServerCase(unittest.TestCase):
    """`settings` are the environment of the class's server."""

    settings: ClassVar[dict[str, str]] = {}
    server: ClassVar[Server]
    receiver: ClassVar[Receiver]

    @classmethod
    def setUpClass(cls) -> None:
        cls.receiver = Receiver()
        cls.addClassCleanup(cls.receiver.close)
        cls.server = cls.make_server()
        cls.addClassCleanup(cls.server.__exit__)
        cls.server.start()

    @classmethod
    def make_server(cls) -> Server:
        return Server(settings=cls.settings)

    @property
    def api(self) -> Client:
        return self.server.api

    def ok(self, answer: Answer, *statuses: int) -> Any:
        """The JSON of a successful answer."""
        self.assertIn(answer.status, statuses or (200, 201, 202, 204), str(answer))
        return answer.json if answer.body else None

    def app(self, **fields: Any) -> str:
        return self.ok(self.api.post("/app", {"name": self.id(), **fields}), 201)["id"]

    def endpoint(self, app: str, plan: Plan | None = None, path: str | None = None, **fields: Any) -> dict[str, Any]:
        """An endpoint at a path of the receiver; the path is in its `path`."""
        path = path or f"/{unique('ep')}"
        url = self.receiver.url(path, plan or always(200))
        created = self.ok(self.api.post(f"/app/{app}/endpoint", {"url": url, **fields}), 201)
        return {**created, "path": path}

    def send(self, app: str, payload: Any = None, event_type: str = "user.signup", **fields: Any) -> str:
        body = {"eventType": event_type, "payload": payload if payload is not None else {"a": 1}, **fields}
        return self.ok(self.api.post(f"/app/{app}/msg", body), 202)["id"]

    def attempts(self, app: str, message: str, count: int = 1, timeout_s: float = 10) -> list[dict[str, Any]]:
        """The attempts of a message, newest first, once there are `count`."""
        return eventually(
            lambda: self.ok(self.api.get(f"/app/{app}/attempt/msg/{message}"))["data"],
            lambda found: len(found) >= count,
            timeout_s,
            f"{count} attempts",
        )

    def destination(self, app: str, message: str, endpoint: str) -> dict[str, Any]:
        found = self.ok(self.api.get(f"/app/{app}/msg/{message}/endpoint"))["data"]
        return next((destination for destination in found if destination["id"] == endpoint), {})

    def status(self, app: str, message: str, endpoint: str, wanted: str, timeout_s: float = 10) -> dict[str, Any]:
        """Waits until a delivery has the status."""
        return eventually(
            lambda: self.destination(app, message, endpoint), lambda found: found.get("statusText") == wanted, timeout_s, f"status {wanted}"
        )

    def why(self, app: str, message: str, endpoint: str) -> dict[str, Any]:
        return self.ok(self.api.get(f"/app/{app}/msg/{message}/endpoint/{endpoint}/why"), 200)

    def is_error(self, answer: Answer, status: int, code: str | None = None) -> None:
        """An error body of the one form that all SDKs can read."""
        self.assertEqual(answer.status, status, str(answer))
        self.assertTrue(answer.headers.get("content-type", "").startswith("application/json"), answer.headers)
        if status == 422:
            self.assertTrue(answer.json["detail"], str(answer))
            for detail in answer.json["detail"]:
                self.assertEqual({"loc", "msg", "type"} - set(detail), set(), str(answer))
        else:
            self.assertIsInstance(answer.json["detail"], str)
            self.assertIsInstance(answer.json["code"], str)
            if code:
                self.assertEqual(answer.json["code"], code)

    def is_invalid(self, answer: Answer, *loc: str) -> None:
        """A 422 whose first location begins with `loc`."""
        self.is_error(answer, 422)
        self.assertEqual(answer.json["detail"][0]["loc"][: len(loc)], list(loc), str(answer))
