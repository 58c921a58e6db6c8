"""Between a node and PostgreSQL connections are slow, cut, or carry nothing any more: the node goes on when it can, and others when it cannot."""

from __future__ import annotations

import socket
import threading
import time
import urllib.parse

from harness import databases
from harness.suite import eventually

from cluster import LEASE_S, LONG, ClusterCase, Load

ROUNDS = 6 if LONG else 2


class Proxy:
    """Carries bytes between 127.0.0.1:`port` and PostgreSQL: after `delay_s`, and not at all while it is a black hole."""

    def __init__(self, target: tuple[str, int]):
        self.delay_s = 0.0
        self._target = target
        self._open = threading.Event()
        self._open.set()
        self._closing = False
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Every connection there is, at once."""
        with self._lock:
            sockets, self._sockets = self._sockets, set()
        for one in sockets:
            _shut(one)

    def swallow(self) -> None:
        """From now on nothing comes through, and nobody is told."""
        self._open.clear()

    def carry(self) -> None:
        self._open.set()

    def close(self) -> None:
        self._closing = True
        self._listener.close()
        self.carry()
        self.cut()

    def _accept(self) -> None:
        while not self._closing:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
                for one in (near, far):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError:
                continue
            # From here on `cut` may close them at any moment.
            with self._lock:
                self._sockets |= {near, far}
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                if self.delay_s:
                    time.sleep(self.delay_s)
                self._open.wait()
                sink.sendall(data)
        except OSError:
            pass
        _shut(source)
        _shut(sink)
        with self._lock:
            self._sockets -= {source, sink}


def _shut(one: socket.socket) -> None:
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    one.close()


class Network(ClusterCase):
    def behind_proxy(self, **settings: str) -> Proxy:
        """The first node is behind it, the second is not."""
        parts = urllib.parse.urlsplit(self.database)
        proxy = Proxy((parts.hostname or "127.0.0.1", parts.port or 5432))
        self.addCleanup(proxy.close)
        netloc = f"{parts.username}:{databases.PASSWORD}@127.0.0.1:{proxy.port}"
        self.node(database=parts._replace(netloc=netloc).geturl(), **settings).start()
        self.start(1, **settings)
        return proxy

    def test_cut_and_slow(self) -> None:
        # Longer than a node on a busy machine takes to come back from several cuts: none shall be given up.
        proxy = self.behind_proxy(HOOKPOST_LEASE="20s")
        app = self.app()
        endpoint = self.endpoint(app)
        with Load(self.nodes, app) as load:
            for _ in range(ROUNDS):
                for _ in range(3):
                    load.wait_for(60)
                    proxy.cut()
                proxy.delay_s = 0.05
                load.wait_for(100)
                proxy.cut()
                load.wait_for(60)
                proxy.delay_s = 0
            load.wait_for(60)
        self.everything_arrives(load, endpoint)
        self.assertEqual(self.duplicates(endpoint), [], "no node was given up, so nothing comes twice")
        for refusal in load.ledger.refusals:
            self.assertEqual(refusal.status, 503)
        print(f"{load.count()} acknowledged, {4 * ROUNDS} times cut, {len(load.ledger.refusals)} refused, {load.ledger.unanswered} cut off")

    def test_a_black_hole_for_longer_than_the_lease(self) -> None:
        proxy = self.behind_proxy()
        app = self.app()
        endpoint = self.endpoint(app)
        gone = []
        with Load(self.nodes, app, threads=8) as load:
            for _ in range(ROUNDS // 2 or 1):
                load.wait_for(100)
                proxy.swallow()
                gone.append(time.monotonic())
                buried = lambda: self.psql("SELECT count(*) FROM hookpost.node") == "1"  # noqa: E731
                eventually(buried, timeout_s=20, what="that it is given up")
                buried_s = time.monotonic() - gone[-1]
                # What the dead node had is worked off while it still hears nothing.
                load.wait_for(50)
                proxy.carry()
                alive = lambda: self.psql("SELECT count(*) FROM hookpost.node") == "2"  # noqa: E731
                eventually(alive, timeout_s=20, what="a new life of the node")
                load.wait_for(50)
        self.assertGreater(buried_s, LEASE_S * 0.5)
        self.everything_arrives(load, endpoint, timeout_s=40)
        twice = self.explained_by(gone, endpoint)
        print(f"{load.count()} acknowledged, given up after {buried_s:.1f} s, {twice.total()} twice, {len(load.ledger.refusals)} refused")
