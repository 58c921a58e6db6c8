"""A webhook receiver that remembers what it got and answers as it is told."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Callable

from .loopback import Handler, LoopbackServer


@dataclass(frozen=True)
class Received:
    path: str
    method: str
    headers: dict[str, str]
    body: bytes
    #: Monotonic seconds.
    at: float

    @property
    def message_id(self) -> str:
        return self.headers.get("webhook-id") or self.headers["svix-id"]


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: bytes = b"ok"
    headers: dict[str, str] = field(default_factory=dict)
    #: Waits this long, or until the receiver closes, before it answers.
    delay_s: float = 0


#: Called with the number of the request at its path (from 0) and the request.
Plan = Callable[[int, Received], Reply]


def always(status: int, **options: object) -> Plan:
    return lambda _n, _request: Reply(status, **options)  # type: ignore[arg-type]


def first_fail(times: int, status: int = 500, **options: object) -> Plan:
    return lambda n, _request: Reply(status, **options) if n < times else Reply()  # type: ignore[arg-type]


class Receiver:
    """Serves any number of paths; each path has its own plan, and its own record."""

    def __init__(self) -> None:
        self._received: dict[str, list[Received]] = {}
        self._plans: dict[str, Plan] = {}
        self._changed = threading.Condition()
        self._closing = threading.Event()
        receiver = self

        class Answering(Handler):
            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                reply = receiver._record(Received(self.path, self.command, headers, body, time.monotonic()))
                if reply.delay_s:
                    receiver._closing.wait(reply.delay_s)
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = handle_any  # noqa: N815

        self._server = LoopbackServer(Answering)
        self.port = self._server.port

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def url(self, path: str, plan: Plan | None = None) -> str:
        """The address of `path`, which answers by `plan` from now on."""
        if plan is not None:
            self.plan(path, plan)
        return f"http://127.0.0.1:{self.port}{path}"

    def plan(self, path: str, plan: Plan) -> None:
        with self._changed:
            self._plans[path] = plan

    def at(self, path: str) -> list[Received]:
        with self._changed:
            return list(self._received.get(path, []))

    def wait(self, path: str, count: int, timeout_s: float = 10) -> list[Received]:
        """Waits until `path` got `count` requests; says what came if they do not."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._received.get(path, [])) >= count, timeout_s):
                raise AssertionError(f"{path} got {len(self._received.get(path, []))} of {count} requests within {timeout_s} s")
            return list(self._received[path])

    def close(self) -> None:
        self._closing.set()
        self._server.close()

    def _record(self, request: Received) -> Reply:
        with self._changed:
            at_path = self._received.setdefault(request.path, [])
            plan = self._plans.get(request.path, always(200))
            reply = plan(len(at_path), request)
            at_path.append(request)
            self._changed.notify_all()
            return reply
