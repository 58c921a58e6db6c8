"""What pull sources ask, on the loopback: a paged list of one's own, and the lists of Stripe and GitHub as their documentation describes them."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from harness.loopback import Handler, LoopbackServer


@dataclass(frozen=True)
class Asked:
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    #: Monotonic seconds.
    at: float


@dataclass(frozen=True)
class Said:
    status: int = 200
    value: Any = None
    headers: dict[str, str] = field(default_factory=dict)


class Upstream:
    """Answers with what `answer` says, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._lock = threading.Lock()
        upstream = self

        class Answering(Handler):
            def handle_any(self) -> None:
                parts = urlsplit(self.path)
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = self.rfile.read(int(headers.get("content-length") or 0))
                asked = Asked(parts.path, dict(parse_qsl(parts.query)), headers, body, time.monotonic())
                with upstream._lock:
                    said = upstream.answer(asked)
                    upstream.asked.append(asked)
                body = b"" if said.value is None else json.dumps(said.value, ensure_ascii=False).encode()
                self.send_response(said.status)
                for name, value in {"content-type": "application/json", **said.headers}.items():
                    self.send_header(name, value)
                if said.status != 304:
                    self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = handle_any  # noqa: N815

        self._server = LoopbackServer(Answering)
        self.url = f"http://127.0.0.1:{self._server.port}"

    def answer(self, asked: Asked) -> Said:
        raise NotImplementedError

    def close(self) -> None:
        self._server.close()


class OrderList(Upstream):
    """`GET /orders?after=…`, or the same as a `POST`: a cursor in the answer, and at most `page` of `count` items. What is in `troubles` is said first."""

    def __init__(self, count: int, page: int = 3, troubles: list[Said | None] | None = None, slow_s: float = 0) -> None:
        self.count, self.page, self.slow_s = count, page, slow_s
        self.troubles = list(troubles or [])
        super().__init__()

    @staticmethod
    def order(number: int) -> dict[str, Any]:
        return {"id": f"order-{number:03}", "total": number + 0.5, "note": "Zoë — 東京"}

    def answer(self, asked: Asked) -> Said:
        time.sleep(self.slow_s)
        trouble = self.troubles.pop(0) if self.troubles else None
        if trouble:
            return trouble
        if asked.headers.get("authorization") != "Bearer s3cret":
            return Said(401, {"error": "who are you?"})
        after = int(json.loads(asked.body)["after"] if asked.body else asked.query["after"])
        etag = f'"{after}-{self.count}"'
        if asked.headers.get("if-none-match") == etag:
            return Said(304)
        until = min(after + self.page, self.count)
        orders = [self.order(number) for number in range(after, until)]
        return Said(200, {"result": {"orders": orders}, "meta": {"next": until}}, {"etag": etag})


class StripeApi(Upstream):
    """`GET /v1/events`: newest first, by time and place, with a key that may read events."""

    KEY = "rk_test_of_the_tests"
    PAGE_MAX = 4

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        super().__init__()

    def happened(self, id: str, kind: str, amount: int) -> dict[str, Any]:
        event = {
            "id": id,
            "object": "event",
            "api_version": "2026-08-26",
            "created": int(time.time()),
            "type": kind,
            "data": {"object": {"id": f"in_{amount}", "object": "invoice", "amount_due": amount}},
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
        }
        self.events.append(event)
        return event

    def answer(self, asked: Asked) -> Said:
        if asked.headers.get("authorization") != f"Bearer {self.KEY}":
            return Said(401, {"error": {"type": "invalid_request_error", "message": "Invalid API Key provided"}})
        assert asked.path == "/v1/events", asked.path
        since, until = int(asked.query["created[gte]"]), int(asked.query["created[lte]"])
        found = [event for event in reversed(self.events) if since <= event["created"] <= until]
        place = {event["id"]: index for index, event in enumerate(found)}
        limit = min(int(asked.query.get("limit", "10")), self.PAGE_MAX)
        if before := asked.query.get("ending_before"):
            newer = found[: place[before]]
            page, more = newer[-limit:], len(newer) > limit
        else:
            after = asked.query.get("starting_after")
            older = found[place[after] + 1 :] if after else found
            page, more = older[:limit], len(older) > limit
        return Said(200, {"object": "list", "url": "/v1/events", "has_more": more, "data": page})


class GithubApi(Upstream):
    """`GET /repos/{owner}/{repo}/hooks/{hook_id}/deliveries`, with pages by `Link`, and `…/{delivery_id}`."""

    TOKEN = "ghp_of_the_tests"
    HOOK = "ada/engine/hooks/7"
    PAGE_MAX = 3

    def __init__(self) -> None:
        self.deliveries: list[dict[str, Any]] = []
        super().__init__()

    def delivered(self, guid: str, kind: str, payload: Any, headers: dict[str, str], status_code: int) -> None:
        self.deliveries.append(
            {
                "id": 12_345_678_901 + len(self.deliveries),
                "guid": guid,
                "delivered_at": datetime.now(timezone.utc).isoformat().replace("+00:00", "Z"),
                "redelivery": False,
                "duration": 0.27,
                "status": "OK" if status_code == 200 else "Invalid HTTP Response: 502",
                "status_code": status_code,
                "event": kind,
                "action": None,
                "installation_id": None,
                "repository_id": 1,
                "throttled_at": None,
                "detail": {"request": {"headers": headers, "payload": payload}, "response": {"headers": {}, "payload": ""}},
            }
        )

    def answer(self, asked: Asked) -> Said:
        if asked.headers.get("authorization") != f"Bearer {self.TOKEN}":
            return Said(401, {"message": "Bad credentials"})
        assert asked.headers["accept"] == "application/vnd.github+json" and asked.headers["user-agent"], asked
        at = f"/repos/{self.HOOK}/deliveries"
        if asked.path == at:
            begin = int(asked.query.get("cursor", "v1_0").removeprefix("v1_"))
            newest_first = self.deliveries[::-1][begin:]
            page = [{name: value for name, value in one.items() if name != "detail"} for one in newest_first[: self.PAGE_MAX]]
            link = f'<https://api.github.com{at}?per_page=100&cursor=v1_{begin + self.PAGE_MAX}>; rel="next"'
            return Said(200, page, {"link": link} if len(newest_first) > self.PAGE_MAX else {})
        id = asked.path.removeprefix(f"{at}/")
        found = next((one for one in self.deliveries if str(one["id"]) == id), None)
        if found is None:
            return Said(404, {"message": "Not Found"})
        return Said(200, {**{name: value for name, value in found.items() if name != "detail"}, "url": "https://example.com/in/x", **found["detail"]})
