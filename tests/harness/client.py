"""A plain HTTP client that hides nothing: it sends the bytes it is given and shows the bytes it got."""

from __future__ import annotations

import http.client
import json
import threading
import urllib.parse
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def __str__(self) -> str:
        return f"{self.status} {self.body[:2000].decode(errors='replace')}"


class Client:
    """Speaks to one server with one token; keeps a connection per thread."""

    def __init__(self, base_url: str, token: str | None = None):
        parts = urllib.parse.urlsplit(base_url)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 80
        self.base_url, self.token = base_url, token
        self._local = threading.local()

    def with_token(self, token: str | None) -> Client:
        return Client(self.base_url, token)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        raw: bytes | None = None,
        query: dict[str, Any] | list[tuple[str, Any]] | None = None,
        headers: dict[str, str] | None = None,
        timeout: float = 30,
    ) -> Answer:
        """`path` below /api/v1 unless it begins with `//`, which stands for the root of the host."""
        target = path[1:] if path.startswith("//") else "/api/v1" + path
        if query:
            target += "?" + urllib.parse.urlencode(query)
        data = raw if raw is not None else (json.dumps(body).encode() if body is not None else None)
        sent = {"user-agent": "hookpost-tests"}
        if self.token is not None:
            sent["authorization"] = f"Bearer {self.token}"
        if body is not None:
            sent["content-type"] = "application/json"
        sent.update({name.lower(): value for name, value in (headers or {}).items()})
        for last_try in (False, True):
            fresh = getattr(self._local, "connection", None) is None
            connection = self._connection(timeout)
            try:
                connection.request(method, target, body=data, headers=sent)
                response = connection.getresponse()
                content = response.read()
                answered = {name.lower(): value for name, value in response.getheaders()}
                if response.will_close:
                    self.close()
                return Answer(response.status, answered, content)
            except (http.client.HTTPException, ConnectionError, BrokenPipeError):
                # A kept connection may have been closed by the server while it was idle.
                self.close()
                if fresh or last_try:
                    raise
        raise AssertionError("unreachable")

    def get(self, path: str, **options: Any) -> Answer:
        return self.request("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> Answer:
        return self.request("POST", path, body, **options)

    def put(self, path: str, body: Any = None, **options: Any) -> Answer:
        return self.request("PUT", path, body, **options)

    def patch(self, path: str, body: Any = None, **options: Any) -> Answer:
        return self.request("PATCH", path, body, **options)

    def delete(self, path: str, **options: Any) -> Answer:
        return self.request("DELETE", path, **options)

    def close(self) -> None:
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
            self._local.connection = connection
        return connection
