"""Receives webhooks: verifies, drops what came before, answers at once, works afterwards."""

import os
import queue
import sys
import threading
from collections import OrderedDict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

BODY_BYTES_MAX = 2 << 20
IDS_REMEMBERED_MAX = 100_000

secret = os.environ.get("WEBHOOK_SECRET") or sys.exit("set WEBHOOK_SECRET to the secret of the endpoint (whsec_…)")
webhook = Webhook(secret)
jobs: "queue.Queue[tuple[str, bytes]]" = queue.Queue(maxsize=1000)
seen: "OrderedDict[str, None]" = OrderedDict()
seen_lock = threading.Lock()


def work() -> None:
    """What the webhook is for. It may take its time: the answer has been given."""
    while True:
        message_id, body = jobs.get()
        print("new", message_id, body.decode(), flush=True)


def is_new(message_id: str) -> bool:
    with seen_lock:
        if message_id in seen:
            return False
        seen[message_id] = None
        if len(seen) > IDS_REMEMBERED_MAX:
            seen.popitem(last=False)
        return True


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        if length > BODY_BYTES_MAX:
            self.close_connection = True
            return self.answer(413)
        body = self.rfile.read(length)
        try:
            webhook.verify(body, {name.lower(): value for name, value in self.headers.items()})
        except WebhookVerificationError as error:
            print("refused", error, flush=True)
            return self.answer(401)
        message_id = self.headers["webhook-id"]
        if is_new(message_id):
            jobs.put((message_id, body))
        else:
            print("again", message_id, flush=True)
        self.answer(204)

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    threading.Thread(target=work, daemon=True).start()
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "9000"))), Handler)
    print(f"listening on http://127.0.0.1:{server.server_address[1]}/", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
