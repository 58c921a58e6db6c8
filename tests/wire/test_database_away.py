"""PostgreSQL is stopped, killed, or says nothing: producers are told to come again, nothing acknowledged is lost, and it goes on by itself."""

from __future__ import annotations

import re
import time
from typing import Any, ClassVar
from urllib.parse import urlsplit

from harness import databases
from harness.cases import ServerCase, moment
from harness.client import Answer
from harness.postgres import Postgres
from harness.receiver import Reply
from harness.server import Server
from harness.suite import eventually

#: What an answer may take while nothing answers behind it.
PATIENCE_S = 15
SINCE = {"since": moment(hours=-1)}
URL = {"url": "https://example.com/hook"}
EVENTS = {"events": [{"eventType": "user.signup", "payload": "x"}]}
BATCHES = {"url": "https://example.com/batches"}
#: What begins one kind of sink and another.
SINK = {"type": "http", "config": BATCHES}
DESTINATION = {"type": "fifoEndpoint", "config": BATCHES}
SOURCE = {"name": "Knocks", "type": "github", "config": {"secret": "hush hush"}}
BODIES: dict[str, Any] = {
    "v1.application.create": {"name": "x"},
    "v1.application.upsert": {"name": "x"},
    "v1.event-type.create": {"name": "x.y", "description": ""},
    "v1.event-type.upsert": {"description": ""},
    "v1.event-type.import-openapi": {"spec": {"webhooks": {"x.y": {"post": {}}}}},
    "v1.event-type.set-retry-schedule": {"retrySchedule": [5]},
    "v1.endpoint.create": URL,
    "v1.endpoint.upsert": URL,
    "v1.endpoint.set-headers": {"headers": {"x-a": "b"}},
    "v1.endpoint.patch-headers": {"headers": {"x-a": "b"}},
    "v1.endpoint.recover": SINCE,
    "v1.endpoint.replay-missing": SINCE,
    "v1.endpoint.bulk-replay": SINCE,
    "v1.endpoint.cancel-msgs": {"createdBefore": moment(hours=-1)},
    "v1.endpoint.send-example": {"eventType": "user.signup"},
    "v1.message.create": {"eventType": "user.signup", "payload": {}},
    "v1.message.precheck": {"eventType": "user.signup"},
    "v1.api-key.create": {"name": "x"},
    "v1.ingest.source.create": SOURCE,
    # What changes nothing needs no database.
    "v1.ingest.source.upsert": SOURCE | {"name": "Others"},
    "v1.ingest.source.patch": {"name": "Others"},
    "v1.ingest.endpoint.create": URL,
    "v1.ingest.endpoint.upsert": URL,
    "v1.ingest.endpoint.set-headers": {"headers": {"x-a": "b"}},
    "hookpost.receipt.replay-all": SINCE,
    "v1.integration.create": {"name": "x"},
    "v1.integration.update": {"name": "x"},
    "v1.operational-webhook.endpoint.create": URL,
    "v1.operational-webhook.endpoint.upsert": URL,
    "v1.operational-webhook.endpoint.set-headers": {"headers": {"x-a": "b"}},
    "v1.management.authentication.create-api-token": {"name": "x"},
    "v1.management.authentication.update-api-token": {"name": "x"},
    "v1.authentication.create-message-token": {"name": "x"},
    "v1.authentication.exchange-one-time-token": {"oneTimeToken": "x"},
    "v1.message.test-attempt": {"eventType": "user.signup", "payload": {}},
    "v1.message.broadcast": {"eventType": "user.signup", "payload": {}},
    "v1.message.bulk-expunge-content": {"ids": ["x"]},
    "v1.streaming.stream.create": {"name": "x"},
    "v1.streaming.stream.upsert": {"name": "x"},
    "v1.streaming.event-type.create": {"name": "x.y"},
    "v1.streaming.event-type.upsert": {"name": "user.signup"},
    "v1.streaming.events.create": EVENTS,
    "v1.streaming.sink.create": SINK,
    "v1.streaming.sink.upsert": SINK,
    "v1.streaming.sink-headers-patch": {"headers": {"x-a": "b"}},
    "v1.destination.create": DESTINATION,
    "v1.destination.upsert": DESTINATION,
    "v1.destination.headers-patch": {"headers": {"x-a": "b"}},
    "v1.message.poller.consumer-seek": {"after": moment(hours=-1)},
    "v1.message.pollerv2.consumer-commit": {"offset": 1},
    "v1.statistics.aggregate-app-stats": {"since": moment(hours=-1), "until": moment()},
    "v1.environment.import": {"settings": {"displayName": "x"}},
}
QUERIES = {"v1.application.stats.attempts": f"?since={SINCE['since']}&until={moment()}"}
#: What needs no database, or may be known without it.
MAY_ANSWER = {
    "v1.authentication.whoami",
    "v1.authentication.logout",
    "v1.authentication.stream-logout",
    # Refused before anything is asked for.
    "hookpost.limits.set",
    "hookpost.limits.reset",
    "v1.authentication.app-portal-access",
    "v1.message.precheck",
    # Of an application that is in use its endpoints are known.
    "v1.application.get",
    "v1.endpoint.list",
    "v1.endpoint.get",
    "v1.endpoint.get-headers",
    "v1.endpoint.get-secret",
    # Of a source that is in use, too.
    "v1.ingest.source.get",
    "v1.ingest.authentication.consumer-portal-access",
    "v1.ingest.endpoint.list",
    "v1.ingest.endpoint.get",
    "v1.ingest.endpoint.get-headers",
    "v1.ingest.endpoint.get-secret",
    "v1.ingest.endpoint.transformation.get",
    "v1.ingest.endpoint.transformation.patch",
    "hookpost.provider.list",
    "v1.endpoint.get-throttling-status",
    "v1.health.ping",
    "v1.health.report",
}


@databases.only_on("postgres")
class DatabaseAway(ServerCase):
    postgres: ClassVar[Postgres]

    @classmethod
    def setUpClass(cls) -> None:
        cls.postgres = Postgres()
        cls.addClassCleanup(cls.postgres.close)
        super().setUpClass()

    @classmethod
    def make_server(cls) -> Server:
        return Server(settings=cls.settings, postgres=cls.postgres.url)

    def setUp(self) -> None:
        self.way_back = ""
        self.addCleanup(self.bring_back)

    def take_away(self, how: str) -> None:
        self.way_back = "resume" if how == "pause" else "start"
        self.postgres.order(how)

    def bring_back(self) -> None:
        if self.way_back:
            self.postgres.order(self.way_back)
            self.way_back = ""
            eventually(lambda: self.api.get("/health").status, lambda status: status == 204, 30, "health after the database came back")
            # Each connection comes back by itself; those that accept and record may take a second longer.
            app = self.app()
            eventually(lambda: self.post(app).status, lambda status: status == 202, 10, "accepting after the database came back")

    def post(self, app: str) -> Answer:
        return self.api.post(f"/app/{app}/msg", {"eventType": "user.signup", "payload": {}})

    def is_come_again(self, answer: Answer, code: str = "unavailable") -> None:
        self.is_error(answer, 503, code)
        self.assertGreater(int(answer.headers["retry-after"]), 0)

    def test_every_operation_says_come_again(self) -> None:
        app = self.app()
        endpoint = self.endpoint(app)["id"]
        message = self.send(app)
        source = self.ok(self.api.post("//ingest/api/v1/source", SOURCE | {"application": app}), 201)
        self.assertEqual(self.api.post("/" + urlsplit(source["ingestUrl"]).path, {}).status, 401)
        receipts = f"//ingest/api/v1/source/{source['id']}/receipt"
        rejected = eventually(lambda: self.ok(self.api.get(receipts))["data"], bool, 5, "the receipt of a request that was turned away")
        ids = {
            "source_id": source["id"],
            "receipt_id": rejected[0]["id"],
            "app_id": app,
            "endpoint_id": endpoint,
            "msg_id": message,
            "attempt_id": self.attempts(app, message)[0]["id"],
            "event_type_name": self.ok(self.api.post("/event-type", {"name": "user.signup", "description": ""}))["name"],
            "task_id": self.ok(self.api.post(f"/app/{app}/endpoint/{endpoint}/recover", {"since": moment(hours=-1)}))["id"],
            "integ_id": self.ok(self.api.post(f"/app/{app}/integration", {"name": "x"}), 201)["id"],
            "env_id": self.api.get("/auth/whoami").json["envId"],
            "org_id": self.api.get("/auth/whoami").json["envId"],
            "stream_id": "orders",
            "sink_id": "p",
            "destination_id": "p",
            "consumer_id": "c",
            "name": "user.signup",
            "key_id": self.ok(self.api.post("/api-key", {"name": "x"}))["id"],
        }
        paths = self.api.get("/openapi.json").json["paths"]
        self.take_away("stop")
        told = 0
        for path, methods in paths.items():
            for method, operation in methods.items():
                name = operation["operationId"]
                with self.subTest(name):
                    where = re.sub(r"\{(\w+)\}", lambda match: ids[match[1]], "/" + path) + QUERIES.get(name, "")
                    body = BODIES.get(name, {}) if method != "get" else None
                    started = time.monotonic()
                    answer = self.api.request(method.upper(), where, body)
                    self.assertLess(time.monotonic() - started, PATIENCE_S)
                    if name == "v1.health.get":
                        self.is_come_again(answer, "store_unavailable")
                    elif name not in MAY_ANSWER or answer.status not in (200, 204, 400, 403):
                        self.is_come_again(answer)
                        told += 1
        self.assertGreater(told, 40)
        self.assertEqual(self.api.get("/health/report").json["status"], "store_unavailable")
        self.assertNotIn(databases.PASSWORD, self.server.log())
        self.bring_back()
        self.ok(self.api.post(f"/app/{app}/msg", BODIES["v1.message.create"]), 202)

    def test_what_was_under_way_is_recorded_when_it_returns(self) -> None:
        app = self.app()
        endpoint = self.endpoint(app, lambda _n, _request: Reply(delay_s=1.5))
        messages = [self.send(app) for _ in range(5)]
        self.receiver.wait(endpoint["path"], 5)
        self.take_away("kill")
        # The answers of the receiver come while there is nowhere to write them.
        eventually(lambda: self.post(app).status, lambda status: status == 503, 5)
        time_up = time.monotonic() + 2
        eventually(lambda: time.monotonic() > time_up)
        self.bring_back()
        for message in messages:
            self.status(app, message, endpoint["id"], "success", 20)
        self.assertEqual(len(self.receiver.at(endpoint["path"])), 5, "nothing is sent twice because the database was away")

    def test_a_database_that_says_nothing(self) -> None:
        app = self.app()
        endpoint = self.endpoint(app)
        acknowledged = [self.send(app)]
        self.take_away("pause")
        started = time.monotonic()
        answer = self.post(app)
        self.assertLess(time.monotonic() - started, PATIENCE_S)
        self.is_come_again(answer)
        self.bring_back()
        acknowledged.append(self.send(app))
        for message in acknowledged:
            self.status(app, message, endpoint["id"], "success", 20)


@databases.only_on("postgres")
class Starting(ServerCase):
    """What the program says of a database that it cannot use; the sentences themselves are tested beside the store."""

    def refused(self, code: int, *words: str, **settings: str) -> None:
        server = Server(settings=settings)
        self.addCleanup(server.__exit__)
        server.spawn()
        assert server.process is not None
        self.assertEqual(server.process.wait(20), code, server.log())
        for word in words:
            self.assertIn(word, server.log())
        for password in ("hush", databases.PASSWORD):
            self.assertNotIn(password, server.log())
        self.assertNotIn("panicked", server.log())

    def test_secrets_must_be_given(self) -> None:
        self.refused(2, "master_key: must be set", "openssl rand -hex 32", HOOKPOST_MASTER_KEY="")
        self.refused(2, "jwt_secret: must be set", "openssl rand -base64 32", HOOKPOST_JWT_SECRET="")

    def test_a_database_that_is_not_there(self) -> None:
        self.refused(1, "127.0.0.1:1", "is it running", HOOKPOST_DATABASE="postgres://me:hush@127.0.0.1:1/x")
        self.refused(2, "HOOKPOST_DATABASE", "no user", HOOKPOST_DATABASE="postgres://127.0.0.1/x")
        self.refused(2, "HOOKPOST_DATABASE", "postgres://", HOOKPOST_DATABASE="mysql://me:hush@127.0.0.1/x")

    def test_another_master_key(self) -> None:
        assert self.server.database
        self.refused(1, "master key", HOOKPOST_DATABASE=self.server.database, HOOKPOST_MASTER_KEY="77" * 32, HOOKPOST_NODE_NAME="other")
