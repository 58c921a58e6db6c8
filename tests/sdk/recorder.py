"""A forwarder between the SDKs and the server: it passes everything on unchanged, notes which operation was called by which
client, and checks each successful answer against its shape. So the checks are the same for every SDK, and see the wire rather
than what an SDK made of it.
"""

from __future__ import annotations

import http.client
import json
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from checklist import OPERATIONS, Operation, operation_of
from wire_shapes import problems

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "proxy-connection"}


class Recorder:
    def __init__(self, target_port: int):
        self.calls: dict[str, set[str]] = {operation.name: set() for operation in OPERATIONS}
        self.found: list[str] = []
        self._lock = threading.Lock()
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
                upstream = http.client.HTTPConnection("127.0.0.1", target_port, timeout=30)
                upstream.request(self.command, self.path, body=body or None, headers=headers)
                answer = upstream.getresponse()
                content = answer.read()
                recorder.note(self.command, self.path, self.headers.get("user-agent", ""), answer, content)
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in HOP_BY_HOP | {"content-length", "date", "server"}:
                        self.send_header(name, value)
                if answer.status != 204:
                    length = answer.getheader("content-length") if self.command == "HEAD" else str(len(content))
                    self.send_header("content-length", length or "0")
                self.end_headers()
                self.wfile.write(content)
                upstream.close()

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = forward  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        class QuietServer(ThreadingHTTPServer):
            daemon_threads = True

        self._server = QuietServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def note(self, method: str, path: str, client: str, answer: http.client.HTTPResponse, content: bytes) -> None:
        operation = operation_of(method, urllib.parse.urlsplit(path).path)
        wrong = self._wrong(operation, method, client, answer, content)
        with self._lock:
            self.found += [f"{client}: {method} {path}: {answer.status}: {problem}" for problem in wrong]
            if operation and answer.status in operation.statuses and not wrong:
                self.calls[operation.name].add(client)

    def _wrong(self, operation: Operation | None, method: str, client: str, answer: http.client.HTTPResponse, content: bytes) -> list[str]:
        if answer.status >= 500:
            return [f"no request may end in a server error: {content[:500]!r}"]
        if answer.status >= 400:
            return _wrong_error(answer.status, content) if method != "HEAD" else []
        if operation is None:
            return []
        if answer.status not in operation.statuses:
            return [f"must be one of {operation.statuses}"]
        if answer.status == 204 or operation.shape == "-":
            return ["must have no body"] if content else []
        if answer.getheader("content-type") != "application/json":
            return [f"content-type must be application/json, is {answer.getheader('content-type')}"]
        return problems(operation.shape, json.loads(content), for_version_1=client.startswith("svix-libs/1."))


def _wrong_error(status: int, content: bytes) -> list[str]:
    """Errors are JSON on every path; 422 has the one form that the SDKs can read."""
    try:
        body = json.loads(content)
    except ValueError:
        return [f"an error must have a JSON body, has {content[:200]!r}"]
    if status == 422:
        details = body.get("detail")
        good = isinstance(details, list) and details
        good = good and all(isinstance(d.get("loc"), list) and isinstance(d.get("msg"), str) and isinstance(d.get("type"), str) for d in details)
        return [] if good else [f"a 422 must be {{detail: [{{loc, msg, type}}]}}, is {body}"]
    good = isinstance(body.get("code"), str) and isinstance(body.get("detail"), str)
    return [] if good else [f"an error must be {{code, detail}}, is {body}"]
