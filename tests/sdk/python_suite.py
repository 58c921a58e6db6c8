"""One Python SDK, whichever version is installed, through every operation. Run by run.py.

What an SDK version lacks is called over plain HTTP in the manner of the SDKs. The shapes of the answers are checked by the
recorder; here it is about what the operations do, and that the SDK understands the answers.
"""

from __future__ import annotations

import json
import sys
import unittest
import urllib.parse
import uuid
from datetime import datetime, timedelta, timezone

import python_auth
import python_destinations
import python_environment
import python_ingest
import python_integrations
import python_messages
import python_operational
import python_pollers
import python_shaping
import python_statistics
import python_streams
import python_tenant
import standardwebhooks
import svix.api as sdk
import svix.models as models
from python_base import URL, V1, VERSION, SdkTest, event_types, long_ago, method, model, plain
from harness import suite  # python_base makes it known.
from harness.receiver import always, first_fail
from svix import Svix
from svix import Webhook as SvixWebhook
from svix.api.errors.http_error import HttpError
from svix.api.errors.http_validation_error import HTTPValidationError


class Applications(SdkTest):
    own_tenant = True  # The newest of a list are looked at.

    def test_life_of_an_application(self) -> None:
        api = self.svix.application
        self.assertEqual(api.get(self.app.uid).id, self.app.id)
        again = api.get_or_create(models.ApplicationIn(name="other", uid=self.app.uid))
        self.assertEqual((again.id, again.name), (self.app.id, self.app.name))
        patched = api.patch(self.app.id, models.ApplicationPatch(name="Ünïcode 🪝", metadata={"tier": "gold"}))
        self.assertEqual((patched.name, patched.metadata, patched.uid), ("Ünïcode 🪝", {"tier": "gold"}, self.app.uid))
        put = method(api, "upsert", "update")(self.app.id, models.ApplicationIn(name="put"))
        self.assertEqual((put.id, put.name, put.uid, put.metadata), (self.app.id, "put", None, {}))
        created = method(api, "upsert", "update")(f"new-{uuid.uuid4().hex}", models.ApplicationIn(name="new"))
        self.assertNotEqual(created.id, self.app.id)
        self.assertIn(self.app.id, [app.id for app in api.list(sdk.ApplicationListOptions(limit=250, order="descending")).data])
        self.assertIsNone(api.delete(created.id))
        with self.assertRaises(HttpError) as gone:
            api.get(created.id)
        self.assertEqual((gone.exception.status_code, gone.exception.code), (404, "not_found"))

    def test_a_uid_is_taken_once(self) -> None:
        with self.assertRaises(HttpError) as taken:
            self.svix.application.create(models.ApplicationIn(name="x", uid=self.app.uid))
        self.assertEqual((taken.exception.status_code, taken.exception.code), (409, "conflict"))

    def test_the_sdk_reads_validation_errors(self) -> None:
        with self.assertRaises(HTTPValidationError) as refused:
            self.svix.application.create(models.ApplicationIn(name="x", uid="not a uid"))
        self.assertEqual(refused.exception.detail[0].loc[:2], ["body", "uid"])

    def test_pages_go_forward_and_back(self) -> None:
        api = self.svix.application
        api.create(models.ApplicationIn(name="second"))
        first = api.list(sdk.ApplicationListOptions(limit=1, order="descending"))
        second = api.list(sdk.ApplicationListOptions(limit=1, order="descending", iterator=first.iterator))
        self.assertNotEqual(first.data[0].id, second.data[0].id)
        back = api.list(sdk.ApplicationListOptions(limit=1, order="descending", iterator=second.prev_iterator))
        self.assertEqual(back.data[0].id, first.data[0].id)


class EventTypes(SdkTest):
    def test_life_of_an_event_type(self) -> None:
        api, name = self.svix.event_type, f"order.{uuid.uuid4().hex}"
        schema = {"1": {"type": "object", "properties": {"n": {"type": "integer"}}, "examples": [{"n": 7}]}}
        created = api.create(models.EventTypeIn(name=name, description="an order", schemas=schema))
        self.assertEqual((created.name, created.deprecated), (name, False))
        with self.assertRaises(HttpError) as twice:
            api.create(models.EventTypeIn(name=name, description="again"))
        self.assertEqual((twice.exception.status_code, twice.exception.code), (409, "event_type_exists"))
        self.assertEqual(api.get(name).description, "an order")
        self.assertEqual(api.patch(name, model("EventTypePatch")(description="patched")).description, "patched")
        put = method(api, "upsert", "update")(name, model("EventTypeUpsertIn", "EventTypeUpdate")(description="put"))
        self.assertEqual((put.name, put.description), (name, "put"))
        self.assertIn(name, [event_type.name for event_type in api.list(sdk.EventTypeListOptions(limit=250)).data])
        api.delete(name)
        self.assertNotIn(name, [event_type.name for event_type in api.list(sdk.EventTypeListOptions(limit=250)).data])
        archived = api.list(sdk.EventTypeListOptions(limit=250, include_archived=True)).data
        self.assertTrue(next(event_type for event_type in archived if event_type.name == name).archived)
        api.delete(name, sdk.EventTypeDeleteOptions(expunge=True))
        archived = api.list(sdk.EventTypeListOptions(limit=250, include_archived=True)).data
        self.assertNotIn(name, [event_type.name for event_type in archived])


class Endpoints(SdkTest):
    def setUp(self) -> None:
        super().setUp()
        self.event_type = f"a.{uuid.uuid4().hex}"
        self.svix.event_type.create(
            models.EventTypeIn(
                name=self.event_type, description="", schemas={"1": {"type": "object", "properties": {}, "examples": [{"example": "yes"}]}}
            )
        )

    def test_life_of_an_endpoint(self) -> None:
        api, app = self.svix.endpoint, self.app.id
        created = self.endpoint(uid=f"e-{uuid.uuid4().hex}", channels=["one", "two"], metadata={"k": "v"}, **event_types([self.event_type]))
        self.assertEqual(api.get(app, created.uid).id, created.id)
        self.assertEqual(created.channels, ["one", "two"])
        self.assertEqual(created.filter_types if V1 else created.event_types, [self.event_type])
        patched = api.patch(app, created.id, models.EndpointPatch(description="näw", disabled=True))
        self.assertEqual((patched.description, patched.disabled, patched.channels), ("näw", True, ["one", "two"]))
        put = method(api, "upsert", "update")(app, created.id, model("EndpointUpsertIn", "EndpointUpdate")(url=created.url))
        self.assertEqual((put.id, put.uid, put.channels, put.disabled, put.description), (created.id, None, None, False, ""))
        self.assertEqual([endpoint.id for endpoint in api.list(app, sdk.EndpointListOptions(order="ascending")).data], [created.id])
        self.assertIsNone(api.delete(app, created.id))
        with self.assertRaises(HttpError) as gone:
            api.get(app, created.id)
        self.assertEqual(gone.exception.status_code, 404)

    def test_headers(self) -> None:
        api, endpoint = self.svix.endpoint, self.endpoint()
        put = method(api, "set_headers", "update_headers")
        put(self.app.id, endpoint.id, models.EndpointHeadersIn(headers={"X-Kept": "1", "Authorization": "Bearer hidden"}))
        api.patch_headers(self.app.id, endpoint.id, models.EndpointHeadersPatchIn(headers={"X-Added": "2"}))
        read = api.get_headers(self.app.id, endpoint.id)
        self.assertEqual(read.headers, {"X-Kept": "1", "X-Added": "2"})
        self.assertEqual([name.lower() for name in read.sensitive], ["authorization"])
        self.send()
        sent = self.receiver.wait(self.path, 1)[0].headers
        self.assertEqual((sent["x-kept"], sent["x-added"], sent["authorization"]), ("1", "2", "Bearer hidden"))

    def test_secret_and_rotation(self) -> None:
        api, endpoint = self.svix.endpoint, self.endpoint()
        before = api.get_secret(self.app.id, endpoint.id).key
        answer = api.rotate_secret(self.app.id, endpoint.id, models.EndpointSecretRotateIn())
        after = api.get_secret(self.app.id, endpoint.id).key
        self.assertNotEqual(before, after)
        if tuple(map(int, VERSION.split(".")[:2])) >= (2, 7):
            self.assertEqual(answer.key, after)
        self.send({"to": "both"})
        request = self.receiver.wait(self.path, 1)[0]
        self.assertEqual(len(request.headers["webhook-signature"].split(" ")), 2)
        for secret in (before, after):
            standardwebhooks.Webhook(secret).verify(request.body, request.headers)
            SvixWebhook(secret).verify(request.body, request.headers)

    def test_send_example(self) -> None:
        endpoint = self.endpoint()
        message = self.svix.endpoint.send_example(self.app.id, endpoint.id, models.EventExampleIn(event_type=self.event_type))
        self.assertEqual((message.event_type, message.payload), (self.event_type, {}))
        self.assertEqual(json.loads(self.receiver.wait(self.path, 1)[0].body), {"example": "yes"})

    def test_stats_and_count(self) -> None:
        endpoint = self.endpoint()
        for _ in range(3):
            self.send()
        suite.eventually(lambda: self.svix.endpoint.get_stats(self.app.id, endpoint.id).success, lambda n: n == 3, what="3 successes")
        suite.eventually(
            lambda: plain("GET", f"/app/{self.app.id}/attempt/endpoint/{endpoint.id}/count").json["count"], lambda n: n == 3, what="a count of 3"
        )

    def test_recover(self) -> None:
        endpoint = self.endpoint(always(500))
        message = self.send()
        self.attempts(message, 4)
        self.receiver.plan(self.path, always(200))
        task = self.svix.endpoint.recover(self.app.id, endpoint.id, models.RecoverIn(since=long_ago()))
        self.assertEqual(task.task, "endpoint.recover")
        self.receiver.wait(self.path, 5)
        self.assertEqual(self.finished(task.id).status, "finished")

    def test_replay_missing(self) -> None:
        message = self.send({"before": "the endpoint"})
        endpoint = self.endpoint()
        task = self.svix.endpoint.replay_missing(self.app.id, endpoint.id, models.ReplayIn(since=long_ago()))
        self.assertEqual(task.task, "endpoint.replay")
        self.assertEqual(self.receiver.wait(self.path, 1)[0].message_id, message.id)
        self.assertEqual(self.finished(task.id).status, "finished")

    def test_bulk_replay_and_tasks(self) -> None:
        endpoint = self.endpoint()
        message = self.send()
        self.attempts(message, 1)
        request = models.BulkReplayIn(since=long_ago(), event_types=["user.signup"])
        task = self.svix.endpoint.bulk_replay(self.app.id, endpoint.id, request)
        self.assertEqual(task.task, "endpoint.bulk-replay")
        self.assertEqual({r.message_id for r in self.receiver.wait(self.path, 2)}, {message.id})
        self.assertEqual(self.finished(task.id).status, "finished")
        listed = self.svix.background_task.list(sdk.BackgroundTaskListOptions(limit=250)).data
        self.assertIn(task.id, [listed_task.id for listed_task in listed])

    def test_cancel_messages(self) -> None:
        endpoint = self.endpoint(always(503, headers={"retry-after": "3600"}))
        message = self.send()
        self.attempts(message, 1)
        body = {"createdBefore": (datetime.now(timezone.utc) + timedelta(minutes=1)).isoformat()}
        self.assertEqual(plain("POST", f"/app/{self.app.id}/endpoint/{endpoint.id}/cancel-msgs", body).status, 204)
        suite.eventually(
            lambda: self.svix.message_attempt.list_attempted_destinations(self.app.id, message.id).data[0],
            lambda destination: destination.status != 3 and destination.next_attempt is None,
            what="the end of the retries",
        )


class Messages(SdkTest):
    def test_life_of_a_message(self) -> None:
        api, app = self.svix.message, self.app.id
        sent = self.send({"text": "grüß 🪝"}, event_id=f"evt-{uuid.uuid4().hex}", channels=["one"], tags=["t"])
        self.assertEqual((sent.event_type, sent.payload, sent.channels), ("user.signup", {"text": "grüß 🪝"}, ["one"]))
        self.assertEqual(api.get(app, sent.event_id).id, sent.id)
        self.assertEqual(api.get(app, sent.id, sdk.MessageGetOptions(with_content=False)).payload, {})
        self.assertEqual([message.id for message in api.list(app, sdk.MessageListOptions(channel="one", event_types=["user.signup"])).data], [sent.id])
        self.assertEqual(json.loads(plain("GET", f"/app/{app}/msg/{sent.id}/raw").json["payload"]), {"text": "grüß 🪝"})
        with self.assertRaises(HttpError) as twice:
            self.send(event_id=sent.event_id)
        self.assertEqual((twice.exception.status_code, twice.exception.code), (409, "conflict"))
        self.assertIsNone(api.expunge_content(app, sent.id))
        with_content = sdk.MessageGetOptions(with_content=True)
        self.assertEqual(api.get(app, sent.id, with_content).payload, {"expired": True})

    def test_precheck(self) -> None:
        check = models.MessagePrecheckIn(event_type="user.signup")
        self.assertFalse(self.svix.message.precheck(self.app.id, check).active)
        self.endpoint()
        self.assertTrue(self.svix.message.precheck(self.app.id, check).active)

    def test_an_idempotency_key_makes_one_message(self) -> None:
        options = sdk.MessageCreateOptions(idempotency_key=uuid.uuid4().hex)
        body = models.MessageIn(event_type="user.signup", payload={"n": 1})
        first, second = (self.svix.message.create(self.app.id, body, options) for _ in range(2))
        self.assertEqual(first.id, second.id)

    def test_a_delivery_verifies(self) -> None:
        endpoint = self.endpoint()
        message = self.send({"sum": 1.5})
        request = self.receiver.wait(self.path, 1)[0]
        secret = self.svix.endpoint.get_secret(self.app.id, endpoint.id).key
        self.assertEqual(request.message_id, message.id)
        self.assertEqual(standardwebhooks.Webhook(secret).verify(request.body, request.headers), {"sum": 1.5})
        only_svix = {name: value for name, value in request.headers.items() if name.startswith("svix-")}
        SvixWebhook(secret).verify(request.body, only_svix)
        with self.assertRaises(standardwebhooks.WebhookVerificationError):
            standardwebhooks.Webhook(secret).verify(request.body + b" ", request.headers)


class Attempts(SdkTest):
    def test_every_view_of_a_delivery(self) -> None:
        api, app = self.svix.message_attempt, self.app.id
        endpoint = self.endpoint(first_fail(1, status=502, body=b"not yet"))
        message = self.send()
        newest, oldest = self.attempts(message, 2)[:2]
        self.assertEqual((oldest.status, oldest.response_status_code, oldest.response), (2, 502, "not yet"))
        self.assertEqual((newest.status, newest.response_status_code, newest.trigger_type), (0, 200, 0))
        self.assertEqual({oldest.endpoint_id, newest.endpoint_id}, {endpoint.id})

        failed = sdk.MessageAttemptListByEndpointOptions(status=models.MessageStatus.FAIL)
        self.assertEqual([attempt.id for attempt in api.list_by_endpoint(app, endpoint.id, failed).data], [oldest.id])
        by_class = sdk.MessageAttemptListByMsgOptions(status_code_class=models.StatusCodeClass(500))
        self.assertEqual([attempt.id for attempt in api.list_by_msg(app, message.id, by_class).data], [oldest.id])
        self.assertEqual(api.get(app, message.id, oldest.id).response, "not yet")

        attempted = api.list_attempted_messages(app, endpoint.id).data
        self.assertEqual([(m.id, m.status) for m in attempted], [(message.id, 0)])
        destinations = api.list_attempted_destinations(app, message.id).data
        self.assertEqual([(e.id, e.status, e.next_attempt) for e in destinations], [(endpoint.id, 0, None)])

        sent = plain("GET", f"/app/{app}/msg/{message.id}/attempt/{oldest.id}/headers").json
        self.assertEqual({name.lower(): value for name, value in sent["sentHeaders"].items()}["webhook-id"], message.id)
        old_lists = [f"/app/{app}/msg/{message.id}/attempt", f"/app/{app}/msg/{message.id}/endpoint/{endpoint.id}/attempt"]
        for path in old_lists:
            self.assertEqual([attempt["id"] for attempt in plain("GET", path).json["data"]], [newest.id, oldest.id])
        self.assertEqual(plain("GET", f"/app/{app}/msg/{message.id}/endpoint/{endpoint.id}/why").status, 200)

        self.assertIsNone(api.expunge_content(app, message.id, oldest.id))
        self.assertEqual(api.get(app, message.id, oldest.id).response, "EXPUNGED")

    def test_resend(self) -> None:
        endpoint = self.endpoint()
        message = self.send()
        self.attempts(message, 1)
        self.svix.message_attempt.resend(self.app.id, message.id, endpoint.id)
        again = self.attempts(message, 2)[0]
        self.assertEqual((again.trigger_type, again.status), (1, 0))
        self.assertEqual({request.message_id for request in self.receiver.wait(self.path, 2)}, {message.id})


class Authentication(SdkTest):
    def test_portal_tokens(self) -> None:
        api = self.svix.authentication
        access = api.app_portal_access(self.app.id, models.AppPortalAccessIn())
        portal = Svix(access.token, sdk.SvixOptions(server_url=URL))
        self.assertEqual(portal.application.get(self.app.id).id, self.app.id)
        self.assertEqual(plain("GET", "/auth/whoami", token=access.token).json["appId"], self.app.id)
        with self.assertRaises(HttpError) as refused:
            portal.application.list()
        self.assertEqual(refused.exception.status_code, 403)
        self.assertIsNone(portal.authentication.logout())
        with self.assertRaises(HttpError) as ended:
            portal.application.get(self.app.id)
        self.assertEqual((ended.exception.status_code, ended.exception.code), (401, "authentication_failed"))

    def test_the_old_name_of_portal_access(self) -> None:
        if V1:
            self.assertTrue(self.svix.authentication.dashboard_access(self.app.id).token)
        else:
            self.assertTrue(plain("POST", f"/auth/dashboard-access/{self.app.id}").json["token"])

    def test_expire_all(self) -> None:
        access = self.svix.authentication.app_portal_access(self.app.id, models.AppPortalAccessIn())
        self.svix.authentication.expire_all(self.app.id, models.ApplicationTokenExpireIn(expiry=0))
        answer = suite.eventually(
            lambda: plain("GET", f"/app/{self.app.id}", token=access.token).status, lambda status: status == 401, what="the end of the token"
        )
        self.assertEqual(answer, 401)

    def test_whoami(self) -> None:
        self.assertTrue(plain("GET", "/auth/whoami").json["envId"].startswith("org_"))


class Health(SdkTest):
    def test_health(self) -> None:
        self.assertIsNone(self.svix.health.get())
        for path in ("/health", "/health/ping"):
            for http_method in ("GET", "HEAD"):
                self.assertEqual(plain(http_method, path).status, 204)

    def test_description(self) -> None:
        description = plain("GET", "/openapi.json").json
        self.assertIn("/api/v1/app/{app_id}/msg", description["paths"])
        self.assertEqual(urllib.parse.urlsplit(URL).scheme, "http")


PARTS = [
    python_ingest,
    python_operational,
    python_auth,
    python_environment,
    python_integrations,
    python_messages,
    python_pollers,
    python_destinations,
    python_streams,
    python_statistics,
    python_shaping,
    python_tenant,
]

if __name__ == "__main__":
    tests = unittest.TestSuite(unittest.defaultTestLoader.loadTestsFromModule(module) for module in (sys.modules[__name__], *PARTS))
    sys.exit(suite.run(tests, f"python svix {VERSION}"))
