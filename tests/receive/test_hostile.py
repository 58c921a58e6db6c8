"""Requests that mean harm, on raw sockets: each gets a clear answer, the server lives, and its memory does not grow with what is thrown at it."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import socket
import threading
import time
import urllib.parse
import zlib
from concurrent.futures import ThreadPoolExecutor

from harness.suite import eventually
from sources import Source, SourceCase

SECRET = "a secret of the provider"
#: How much the memory of the server may grow by any of this.
GROWTH_MB = 160
HUNDRED_MB = 100 * 1024 * 1024


def signature(body: bytes) -> str:
    return "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()


class Raw:
    """One connection on which every byte is ours."""

    def __init__(self, port: int, timeout_s: float = 30, address: str = "127.0.0.1"):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s, source_address=(address, 0))

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> bool:
        """Whether the other side still listens."""
        try:
            self.socket.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def read(self) -> bytes:
        """Everything until the other side closes, or says nothing for as long as the timeout is."""
        found = b""
        try:
            while piece := self.socket.recv(65536):
                found += piece
        except (TimeoutError, ConnectionResetError):
            pass
        return found

    def answer(self) -> int:
        """The status of the first answer, 0 for a connection that was closed without one."""
        found = b""
        try:
            while b"\r\n\r\n" not in found and (piece := self.socket.recv(65536)):
                found += piece
        except ConnectionResetError:
            pass
        return int(found.split(b" ", 2)[1]) if found.startswith(b"HTTP/1.1 ") else 0


class Hostile(SourceCase):
    settings = {"HOOKPOST_LOG": "warn"}

    def setUp(self) -> None:
        self.door = self.source("github", {"secret": SECRET})
        self.path = urllib.parse.urlsplit(self.door.url).path
        self.is_alive()
        self.before_mb = self.memory_mb()

    def tearDown(self) -> None:
        self.is_alive()
        grown = self.memory_mb() - self.before_mb
        self.assertLess(grown, GROWTH_MB, f"the memory of the server grew by {grown:.0f} MB")
        self.assertNotIn("panicked", self.server.log())

    def memory_mb(self) -> float:
        """The most that it ever had."""
        assert self.server.process is not None
        with open(f"/proc/{self.server.process.pid}/status") as status:
            return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))

    def is_alive(self, source: Source | None = None) -> None:
        """A good request gets its answer within a second."""
        body = b'{"alive":"%d"}' % time.monotonic_ns()
        started = time.monotonic()
        answer = self.arrive(source or self.door, body, {"x-hub-signature-256": signature(body), "x-github-event": "push", "content-type": "application/json"})
        self.assertEqual(answer.status, 200, str(answer))
        self.assertLess(time.monotonic() - started, 2)

    def raw(self, timeout_s: float = 30) -> Raw:
        return Raw(self.server.port, timeout_s)

    def head(self, *lines: str) -> bytes:
        return "\r\n".join([f"POST {self.path} HTTP/1.1", "Host: 127.0.0.1", *lines, "", ""]).encode("latin-1")

    def good(self, body: bytes, *lines: str) -> bytes:
        """The whole of a request that would be believed."""
        own = [f"X-Hub-Signature-256: {signature(body)}", "X-GitHub-Event: push", f"Content-Length: {len(body)}"]
        return self.head(*own, *lines) + body

    def test_a_hundred_megabytes_that_are_announced(self) -> None:
        with self.raw() as raw:
            raw.send(self.head(f"Content-Length: {HUNDRED_MB}"))
            piece = b"x" * 65536
            for _ in range(HUNDRED_MB // len(piece)):
                if not raw.send(piece):
                    break
            self.assertIn(raw.answer(), (0, 413))
        # Who waits for the answer before the body hears it.
        with self.raw() as raw:
            raw.send(self.head(f"Content-Length: {HUNDRED_MB}", "Expect: 100-continue"))
            self.assertIn(raw.answer(), (413, 417))

    def test_a_hundred_megabytes_in_chunks(self) -> None:
        with self.raw() as raw:
            raw.send(self.head("Transfer-Encoding: chunked"))
            chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
            for _ in range(HUNDRED_MB // 65536):
                if not raw.send(chunk):
                    break
            raw.send(b"0\r\n\r\n")
            self.assertIn(raw.answer(), (0, 413))

    def test_many_large_bodies_at_once(self) -> None:
        def knock(_: int) -> int:
            with self.raw() as raw:
                body = b"x" * (900 * 1024)
                raw.send(self.good(body))
                return raw.answer()

        with ThreadPoolExecutor(32) as pool:
            statuses = set(pool.map(knock, range(128)))
        self.assertTrue(statuses <= {200, 413, 429, 503}, statuses)

    def test_slow_bodies_hold_up_nobody(self) -> None:
        slow = [self.raw() for _ in range(50)]
        for raw in slow:
            raw.send(self.head("Content-Length: 1000") + b"x")
        for _ in range(10):
            self.is_alive()
        # They are told so in the end, and need not be waited for: one byte more does not begin the time anew.
        statuses = []
        for raw in slow:
            with raw:
                raw.send(b"x")
                statuses.append(raw.answer())
        self.assertTrue(set(statuses) <= {0, 408}, set(statuses))
        self.assertIn(408, statuses)

    def test_heads_that_never_end(self) -> None:
        # Each is closed after REQUEST_HEAD_TIMEOUT, which is longer than anyone waits here; until then they cost no one else.
        slow = [self.raw() for _ in range(200)]
        for raw in slow:
            raw.send(f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ".encode())
        for _ in range(10):
            self.is_alive()
        for raw in slow:
            raw.socket.close()

    def test_a_thousand_headers(self) -> None:
        for count, size in ((1000, 10), (90, 10_000), (1, 1_000_000)):
            with self.subTest(count=count, size=size), self.raw() as raw:
                raw.send(self.head("Content-Length: 0", *(f"X-{number}: {'v' * size}" for number in range(count))))
                self.assertEqual(raw.answer(), 431)

    def test_broken_encodings_keep_their_bytes(self) -> None:
        body = b"this is no gzip"
        with self.raw() as raw:
            raw.send(self.good(body, "Content-Encoding: gzip", "Connection: close"))
            self.assertIn(raw.answer(), (200, 400))
        # Where a rule has to read the body, it is said that it cannot be read.
        source = self.source("github", {"secret": SECRET}, rules={"eventType": {"path": "$.type"}})
        for encoding, broken, status in (
            ("gzip", b"this is no gzip", 400),
            ("gzip", gzip.compress(b'{"type":"a"}')[:-4], 400),
            ("deflate", b"\x78\x9c\xff\xff", 400),
            ("br", b"\xff\xff\xff", 400),
            ("zstd", b"anything", 415),
            ("gzip, gzip, gzip, gzip, gzip", gzip.compress(b"{}"), 415),
        ):
            with self.subTest(encoding=encoding, body=broken):
                headers = {"x-hub-signature-256": signature(broken), "content-encoding": encoding, "content-type": "application/json"}
                self.assertEqual(self.arrive(source, broken, headers).status, status)
        whole = gzip.compress(b'{"type":"thing.happened"}')
        headers = {"x-hub-signature-256": signature(whole), "content-encoding": "gzip", "content-type": "application/json"}
        self.assertEqual(self.arrive(source, whole, headers).status, 200)
        self.assertEqual(self.delivered(source)[0].body, whole)

    def test_bombs(self) -> None:
        source = self.source("github", {"secret": SECRET}, rules={"eventType": {"path": "$.type"}})
        packed = zlib.compressobj(9, zlib.DEFLATED, 31)
        bomb = b"".join(packed.compress(b" " * (1 << 20)) for _ in range(600)) + packed.flush()
        twice = gzip.compress(bomb)
        for body, encoding in ((bomb, "gzip"), (twice, "gzip, gzip")):
            with self.subTest(encoding=encoding, bytes=len(body)):
                headers = {"x-hub-signature-256": signature(body), "content-encoding": encoding, "content-type": "application/json"}
                self.assertEqual(self.arrive(source, body, headers).status, 413)
        nested = b"[" * 200_000
        self.assertIn(self.arrive(source, nested, {"x-hub-signature-256": signature(nested), "content-type": "application/json"}).status, (200, 400))

    def test_what_is_not_text_arrives_as_it_is(self) -> None:
        body = bytes(range(256)) * 4
        headers = {"x-hub-signature-256": signature(body), "x-github-event": "push", "content-type": "application/octet-stream"}
        self.assertEqual(self.arrive(self.door, body, headers).status, 200)
        received = next(request for request in self.delivered(self.door, 2) if request.body == body)
        self.assertEqual(received.headers["content-type"], "application/octet-stream")
        # Nor do headers have to be text.
        with self.raw() as raw:
            raw.send(self.good(b"{}", "X-Name: \xff\xfe\x80", "X-GitHub-Delivery: \xff", "Connection: close"))
            self.assertIn(raw.answer(), (200, 400, 401))

    def test_headers_that_contradict_each_other(self) -> None:
        right, wrong = f"X-Hub-Signature-256: {signature(b'{}')}", "X-Hub-Signature-256: sha256=" + "0" * 64
        for pair in ((right, wrong), (wrong, right)):
            with self.subTest(pair), self.raw() as raw:
                raw.send(self.head(*pair, "Content-Length: 2", "Connection: close") + b"{}")
                self.assertEqual(raw.answer(), 401)

    def test_smuggled_lengths(self) -> None:
        hidden = f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Hidden: 1\r\nContent-Length: 0\r\n\r\n".encode()
        bodies = {
            "two lengths": (self.head("Content-Length: 0", f"Content-Length: {len(hidden)}"), hidden),
            "a list of lengths": (self.head(f"Content-Length: 0, {len(hidden)}"), hidden),
            "length and chunks": (self.head(f"Content-Length: {len(hidden) + 5}", "Transfer-Encoding: chunked"), b"0\r\n\r\n" + hidden),
            "chunks that are not the last coding": (self.head("Transfer-Encoding: chunked, identity"), b"0\r\n\r\n" + hidden),
            "chunks twice": (self.head("Transfer-Encoding: chunked", "Transfer-Encoding: identity"), b"0\r\n\r\n" + hidden),
            "a length with a sign": (self.head("Content-Length: +0"), hidden),
            "a blank before the colon": (self.head("Content-Length : 0"), hidden),
            "a chunk that is too long to be": (self.head("Transfer-Encoding: chunked"), b"ffffffffffffffffff\r\n" + hidden),
        }
        before = sum(self.counts(self.door).values())
        for name, (head, body) in bodies.items():
            with self.subTest(name), self.raw(5) as raw:
                raw.send(head + body)
                said = raw.read()
                self.assertLessEqual(said.count(b"HTTP/1.1 "), 1, f"the hidden request was answered too: {said!r}")
                self.assertIn(int(said.split(b" ", 2)[1]) if said else 0, (0, 400, 401))
        # None of them was heard as two, and nothing was let in.
        self.assertLessEqual(sum(self.counts(self.door).values()) - before, len(bodies))
        self.assertEqual(self.counts(self.door)["duplicate"], 0)

    def test_a_flood_on_one_source_leaves_the_others_alone(self) -> None:
        other = self.source("github", {"secret": SECRET})
        stop = threading.Event()

        def flood() -> None:
            while not stop.is_set():
                self.arrive(self.door, b"{}", {"x-hub-signature-256": "sha256=" + "0" * 64})

        threads = [threading.Thread(target=flood) for _ in range(16)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(20):
                self.is_alive(other)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        # What floods in is not all written down.
        self.assertGreater(self.counts(self.door)["rejected"], 0)


class ManyConnections(SourceCase):
    """One client that opens connections and says nothing on them, at a server that gives each client a few."""

    settings = {"HOOKPOST_LOG": "warn", "HOOKPOST_CONNECTIONS_PER_ADDRESS_MAX": "20"}

    def test_a_flood_of_connections_from_one_address_leaves_the_others_alone(self) -> None:
        door = self.source("generic-webhook")
        flood = [Raw(self.server.port, 5, "127.0.0.2") for _ in range(200)]
        try:
            self.assertEqual(sum(self.is_closed(raw) for raw in flood), 180)
            for _ in range(10):
                started = time.monotonic()
                self.assertEqual(self.arrive(door, b"{}", {}).status, 200)
                self.assertLess(time.monotonic() - started, 2)
            self.assertIn("hookpost_connections_refused_total 180", self.metrics())
            self.assertEqual(self.server.log().count("a client has too many connections"), 1)
        finally:
            for raw in flood:
                raw.socket.close()
        # Who lets go has its places again.
        eventually(lambda: self.may_ask("127.0.0.2"), bool, what="a place for a new connection")

    def is_closed(self, raw: Raw) -> bool:
        """By the other side: one that is open says nothing."""
        raw.socket.settimeout(0.2)
        try:
            return raw.socket.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False

    def may_ask(self, address: str) -> bool:
        with Raw(self.server.port, 5, address) as raw:
            raw.send(b"GET /api/v1/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            return raw.answer() != 0

    def metrics(self) -> str:
        with Raw(self.server.port) as raw:
            raw.send(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            return raw.read().decode()
