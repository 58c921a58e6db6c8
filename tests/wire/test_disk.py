"""A full disk, a read-only directory, a directory that is taken: clear errors, and nothing acknowledged is lost."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import unittest
from pathlib import Path

from harness import databases, places
from harness.cases import ServerCase
from harness.server import Server
from harness.suite import eventually

#: What a file may grow to: enough to start and to write a little.
LIMIT_BYTES = 3 << 20
BIG = {"x": "x" * 50_000}


def limit_file_size() -> None:
    """Makes writes past the limit fail with an error instead of a signal. Only the soft limit, so that we can lift it."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, resource.RLIM_INFINITY))


@databases.only_on("sqlite")
class FullDisk(ServerCase):
    def fill(self, app: str, most: int = 400) -> tuple[list[str], int]:
        """Sends until it is refused; the acknowledged ids, and the refusing status."""
        acknowledged = []
        for _ in range(most):
            answer = self.api.post(f"/app/{app}/msg", {"eventType": "a", "payload": BIG})
            if answer.status != 202:
                self.is_error(answer, answer.status)
                return acknowledged, answer.status
            acknowledged.append(answer.json["id"])
        return acknowledged, 202

    def check(self, app: str, acknowledged: list[str]) -> None:
        for message in acknowledged:
            self.assertEqual(self.ok(self.api.get(f"/app/{app}/msg/{message}"))["payload"], BIG)

    def go_through_it(self, app: str, endpoint: dict[str, str], give_space: object) -> None:
        acknowledged, refused = self.fill(app)
        self.assertEqual(refused, 503)
        self.assertTrue(acknowledged)
        # Reading goes on, and it says so again.
        self.ok(self.api.get("/app"))
        self.assertEqual(self.api.post(f"/app/{app}/msg", {"eventType": "a", "payload": BIG}).status, 503)
        assert callable(give_space)
        give_space()
        eventually(
            lambda: self.api.post(f"/app/{app}/msg", {"eventType": "a", "payload": {"after": 1}}).status,
            lambda status: status == 202,
            what="accepting again",
        )
        self.check(app, acknowledged)
        received = eventually(
            lambda: {request.message_id for request in self.receiver.at(endpoint["path"])},
            lambda ids: set(acknowledged) <= ids,
            20,
            "every acknowledged message at its receiver",
        )
        self.assertTrue(received)
        self.server.kill()
        self.server.start()
        self.check(app, acknowledged)

    def test_files_that_may_not_grow(self) -> None:
        self.server.stop()
        self.server.before_exec = limit_file_size
        self.server.start()
        app = self.app()
        endpoint = self.endpoint(app)
        assert self.server.process is not None
        pid = self.server.process.pid

        def give_space() -> None:
            self.server.before_exec = None
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

        self.go_through_it(app, endpoint, give_space)

    def test_a_small_file_system(self) -> None:
        small = places.fresh_dir("small")
        self.addCleanup(shutil.rmtree, small, ignore_errors=True)
        mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(small)]
        if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
            self.skipTest("mounting a small file system needs root")
        self.addCleanup(subprocess.run, ["umount", "--lazy", str(small)], capture_output=True)
        server = Server(data_dir=small / "data")
        self.addCleanup(server.__exit__)
        server.start()
        self.server, shared = server, self.server  # type: ignore[misc]
        self.addCleanup(setattr, self, "server", shared)
        app = self.app()
        endpoint = self.endpoint(app)
        self.go_through_it(app, endpoint, lambda: subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True))


@databases.only_on("sqlite")
class DataDirectory(unittest.TestCase):
    def refused(self, server: Server, *words: str) -> None:
        """It ends by itself, soon, with a message that has the words."""
        self.addCleanup(server.__exit__)
        server.spawn()
        assert server.process is not None
        code = server.process.wait(20)
        self.assertNotEqual(code, 0)
        self.assertGreaterEqual(code, 0, "it must not crash")
        said = server.log()
        for word in words:
            self.assertIn(word.lower(), said.lower())
        self.assertNotIn("panicked", said)

    def test_a_second_process_is_refused(self) -> None:
        with Server() as first:
            second = Server(data_dir=first.data_dir)
            self.refused(second, str(first.data_dir), "another")
            self.assertEqual(first.api.get("/app").status, 200)

    def test_a_file_in_its_place(self) -> None:
        place = places.fresh_dir("file") / "data"
        place.write_text("not a directory")
        self.refused(Server(data_dir=place), str(place))

    def test_a_database_that_is_none(self) -> None:
        with Server() as server:
            server.stop()
            files = list(server.data_dir.glob("*.db"))
            self.assertTrue(files)
            for path in files:
                path.write_bytes(b"this is not a database " * 1000)
            self.refused(Server(data_dir=server.data_dir), str(server.data_dir))

    def test_a_read_only_directory(self) -> None:
        home = places.fresh_dir("readonly")
        self.addCleanup(shutil.rmtree, home, ignore_errors=True)
        home.chmod(0o755)
        data = home / "data"
        data.mkdir()
        server = Server(data_dir=data)
        if os.geteuid() == 0:
            # Root may write anywhere, so it runs as nobody, from a place that nobody can read.
            program = home / "hookpost"
            shutil.copy(places.binary(), program)
            before = os.environ.get("HOOKPOST_BIN")
            os.environ["HOOKPOST_BIN"] = str(program)
            self.addCleanup(lambda: os.environ.pop("HOOKPOST_BIN") if before is None else os.environ.update(HOOKPOST_BIN=before))
            server.work_dir.chmod(0o755)
            server.before_exec = become_nobody
        data.chmod(0o555)
        self.refused(server, str(data))

    def test_settings_that_are_wrong_name_themselves(self) -> None:
        for name, value in (
            ("HOOKPOST_LISTEN", "nowhere"),
            ("HOOKPOST_RETRY_SCHEDULE", "5 parsecs"),
            ("HOOKPOST_REQUEST_TIMEOUT", "soon"),
            ("HOOKPOST_DEFAULT_SIGNATURE", "rot13"),
            ("HOOKPOST_ALLOW_PRIVATE_NETWORKS", "perhaps"),
        ):
            with self.subTest(name):
                server = Server(settings={name: value})
                self.refused(server, name)
                self.assertFalse(server.data_dir.exists() and any(Path(server.data_dir).iterdir()), "refused before it touches anything")


def become_nobody() -> None:
    os.setgid(65534)
    os.setuid(65534)
