"""Starting: ten nodes at once on an empty database, and what a node says of a database that it cannot use."""

from __future__ import annotations

import threading
import urllib.parse

from harness import databases
from harness.places import free_port
from harness.postgres import Postgres
from harness.suite import eventually

from cluster import ClusterCase, Node

TOGETHER = 10


class Start(ClusterCase):
    def test_ten_at_once_on_an_empty_database(self) -> None:
        nodes = [self.node() for _ in range(TOGETHER)]
        threads = [threading.Thread(target=node.start) for node in nodes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(self.psql("SELECT count(*), count(DISTINCT number) FROM hookpost.node"), f"{TOGETHER}|{TOGETHER}")
        app = self.app()
        endpoint = self.endpoint(app)
        for number, node in enumerate(nodes):
            eventually(lambda node=node: node.api.get(f"/app/{app}").status, lambda status: status == 200, 5, "the application at every node")
            self.send(node, app, number)
        self.receiver.wait(endpoint["path"], TOGETHER)
        self.assertEqual(sorted(self.numbers(endpoint)), list(range(TOGETHER)))
        for node in nodes:
            self.assertEqual(node.stop(), 0, node.log_tail())
            for word in ("ERROR", "WARN", "panicked"):
                self.assertNotIn(word, node.log())
        self.assertEqual(self.psql("SELECT count(*) FROM hookpost.node"), "0", "who ends in good order leaves nothing behind")


class Refused(ClusterCase):
    """The sentences of the store have tests beside it; here is what reaches the terminal."""

    def refused(self, database: str, *words: str) -> str:
        node = self.node(database=database)
        node.spawn()
        assert node.process is not None
        self.assertNotEqual(node.process.wait(30), 0, node.log())
        for word in words:
            self.assertIn(word, node.log())
        self.assertNotIn(databases.PASSWORD, node.log())
        self.assertNotIn("panicked", node.log())
        return node.log()

    def with_user(self, user: str) -> str:
        parts = urllib.parse.urlsplit(self.database)
        return parts._replace(netloc=f"{user}:{databases.PASSWORD}@{parts.hostname}:{parts.port}").geturl()

    def test_nobody_there(self) -> None:
        self.refused(f"postgres://me:{databases.PASSWORD}@127.0.0.1:{free_port()}/x", "is it running")

    def test_no_such_database(self) -> None:
        self.refused(self.database + "_of_somebody_else", "has no database", "CREATE DATABASE")

    def test_missing_rights(self) -> None:
        name = urllib.parse.urlsplit(self.database).path.removeprefix("/")
        role = f"weak_{name}"
        self.psql(f"CREATE ROLE {role} LOGIN")
        self.addCleanup(databases.psql, databases.server_url(), f"DROP OWNED BY {role}; DROP ROLE {role}")
        self.refused(self.with_user(role), "GRANT CREATE ON DATABASE", role)
        self.psql(f"GRANT CREATE ON DATABASE {name} TO {role}")
        node = self.node(database=self.with_user(role))
        node.start()
        self.assertEqual(node.stop(), 0, node.log_tail())
        self.psql(f"REASSIGN OWNED BY {role} TO postgres; DROP OWNED BY {role}")


class Full(ClusterCase):
    """A server with enough connections for one node, and too few for two."""

    def postgres_url(self) -> str:
        self.postgres = Postgres("-c", "max_connections=9", "-c", "superuser_reserved_connections=3")
        self.addCleanup(self.postgres.close)
        databases.psql(self.postgres.url, "CREATE ROLE plain LOGIN")
        return self.postgres.url

    def test_full_connections(self) -> None:
        parts = urllib.parse.urlsplit(self.database)
        self.psql(f"GRANT CREATE ON DATABASE {parts.path.removeprefix('/')} TO plain")
        plain = parts._replace(netloc=f"plain@{parts.hostname}:{parts.port}").geturl()
        first: Node = self.node(database=plain, HOOKPOST_DATABASE_CONNECTIONS_MAX="1")
        first.start()
        second = self.node(database=plain)
        second.spawn()
        assert second.process is not None
        self.assertNotEqual(second.process.wait(30), 0, second.log())
        for word in ("raise its max_connections", "HOOKPOST_DATABASE_CONNECTIONS_MAX"):
            self.assertIn(word, second.log())
        self.assertEqual(first.stop(), 0, first.log_tail())
