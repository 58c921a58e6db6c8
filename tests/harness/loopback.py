"""An HTTP server on the loopback whose clients may go away and whose requests nobody wants to read about."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Otherwise the answer waits 40 ms for the acknowledgement of its own header.
    wbufsize = -1

    def log_message(self, *_: object) -> None:
        pass


class LoopbackServer(ThreadingHTTPServer):
    """Serves at a free port until it is closed."""

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, handler: type[Handler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.port: int = self.server_address[1]
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def handle_error(self, *_: object) -> None:
        """A client that goes away is none of our business; that it is killed is what some tests are about."""

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()
