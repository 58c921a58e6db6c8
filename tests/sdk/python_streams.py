"""Streams by one Python SDK: their event types, events, sinks and pollers. Run as a part of python_suite.py."""

from __future__ import annotations

import json
from typing import Any, Iterable

import svix.api as sdk
import svix.models as models
from python_base import SINCE, V1, SdkTest, method, model, moment_between, ok, plain, sdk_with, unique
from python_sinks import SinkTest, http_config, http_patch
from harness import suite
from harness.receiver import always


class StreamTest(SinkTest):
    def setUp(self) -> None:
        super().setUp()
        self.api = self.svix.streaming
        self.stream = self.api.stream.create(models.StreamIn(name=self.id(), uid=unique("stream")))

    def poller(self, **options: Any) -> Any:
        return self.api.sink.create(self.stream.id, models.StreamSinkIn(type="poller", config={}, **options))

    def http(self, **options: Any) -> Any:
        """A sink that sends to `path`, two events at a time unless it is told otherwise; what is left over after a second."""
        config = http_config(url=self.receiver.url(self.path, always(200)), **options.pop("config", {}))
        sink = self.api.sink.create(self.stream.id, models.StreamSinkIn(type="http", config=config, **{"batch_size": 2, "max_wait_secs": 1, **options}))
        self.at = f"/stream/{self.stream.id}/sink/{sink.id}"
        return sink

    def send_events(self, numbers: Iterable[int], event_type: str = "user.signup", stream: str | None = None) -> None:
        events = [models.EventIn(event_type=event_type, payload=json.dumps({"n": n})) for n in numbers]
        self.api.events.create(stream or self.stream.id, models.CreateStreamEventsIn(events=events))

    def numbers(self, sink: Any, **options: Any) -> list[int]:
        """What a poller is shown from its beginning, or after an iterator."""
        polled = self.api.events.get(self.stream.id, sink.id, sdk.StreamingEventsGetOptions(**options))
        return [json.loads(event.payload)["n"] for event in polled.data]


class Streams(StreamTest):
    own_tenant = True  # The newest of a list are looked at.

    def test_life_of_a_stream(self) -> None:
        api, uid = self.api.stream, unique("s")
        created = api.create(models.StreamIn(name="Audit", uid=uid, metadata={"k": "v"}))
        self.assertEqual((created.name, created.uid, created.metadata), ("Audit", uid, {"k": "v"}))
        self.assertEqual((api.get(created.id), api.get(uid)), (created, created))
        self.refused(409, api.create, models.StreamIn(name="x", uid=uid))
        self.refused(422, api.create, models.StreamIn(name="x", uid="strm_taken"))
        renamed = unique("s")
        patched = api.patch(uid, models.StreamPatch(uid=renamed, metadata={"k": "w"}))
        self.assertEqual((patched.id, patched.uid, patched.name, patched.metadata), (created.id, renamed, "Audit", {"k": "w"}))
        put = method(api, "upsert", "update")(created.id, models.StreamIn(name="Put"))
        self.assertEqual((put.id, put.name, put.uid, put.metadata), (created.id, "Put", None, {}))
        new = method(api, "upsert", "update")(unique("new"), models.StreamIn(name="New"))
        self.assertNotEqual(new.id, created.id)
        newest = sdk.StreamingStreamListOptions(limit=2, order="descending")
        self.assertEqual([stream.id for stream in api.list(newest).data], [new.id, created.id])
        self.assertIsNone(api.delete(created.id))
        self.assertEqual(self.refused(404, api.get, created.id).code, "not_found")

    def test_a_stream_ends_with_all_that_it_has(self) -> None:
        sink = self.http()
        self.send_events([1])
        self.receiver.wait(self.path, 1)
        self.api.stream.delete(self.stream.id)
        self.refused(404, self.api.sink.get, self.stream.id, sink.id)
        self.refused(404, self.send_events, [2])

    def test_life_of_an_event_type(self) -> None:
        api, name = self.api.event_type, unique("streamed")
        created = api.create(models.StreamEventTypeIn(name=name, description="one", feature_flags=["beta"]))
        self.assertEqual((created.name, created.description, created.feature_flags), (name, "one", ["beta"]))
        self.assertEqual((created.archived, created.deprecated), (False, False))
        self.assertEqual(api.get(name), created)
        self.refused(409, api.create, models.StreamEventTypeIn(name=name))
        patched = api.patch(name, models.StreamEventTypePatch(deprecated=True))
        self.assertEqual((patched.description, patched.deprecated), ("one", True))
        put = method(api, "upsert", "update")(name, models.StreamEventTypeIn(name=name, description="put"))
        self.assertEqual((put.description, put.deprecated, put.feature_flags or []), ("put", False, []))
        new = unique("streamed")
        self.assertEqual(method(api, "upsert", "update")(new, models.StreamEventTypeIn(name=new)).name, new)

        everything = sdk.StreamingEventTypeListOptions(limit=250, include_archived=True)
        living = sdk.StreamingEventTypeListOptions(limit=250)
        names = lambda options: [event_type.name for event_type in api.list(options).data]  # noqa: E731
        self.assertLessEqual({name, new}, set(names(living)))
        self.assertIsNone(api.delete(name))
        self.assertNotIn(name, names(living))
        self.assertIn(name, names(everything))
        self.assertTrue(api.get(name).archived)
        api.delete(name, sdk.StreamingEventTypeDeleteOptions(expunge=True))
        self.refused(404, api.get, name)
        # They are another catalogue than the event types of applications.
        self.refused(404, self.svix.event_type.get, new)


class Events(StreamTest):
    def test_pollers_go_through_all_events_in_their_order(self) -> None:
        sink = self.poller()
        self.assertEqual(self.numbers(sink), [])
        self.send_events(range(3))
        self.send_events(range(3, 5))
        first = self.api.events.get(self.stream.id, sink.id, sdk.StreamingEventsGetOptions(limit=2))
        self.assertEqual([(event.event_type, event.payload) for event in first.data], [("user.signup", '{"n": 0}'), ("user.signup", '{"n": 1}')])
        self.assertFalse(first.done)
        self.assertEqual(self.numbers(sink, iterator=first.iterator), [2, 3, 4])
        # The iterator is the client's: to ask again is to get the same.
        self.assertEqual(self.numbers(sink, iterator=first.iterator, limit=1), [2])
        last = self.api.events.get(self.stream.id, sink.id, sdk.StreamingEventsGetOptions(iterator=first.iterator))
        self.assertTrue(last.done)
        self.assertEqual(self.numbers(sink, iterator=last.iterator), [])
        self.send_events([5])
        self.assertEqual(self.numbers(sink, iterator=last.iterator), [5])

    def test_from_a_time_on(self) -> None:
        sink = self.poller()
        self.send_events([1])
        suite.eventually(lambda: self.numbers(sink), what="the first event")
        middle = moment_between()
        self.send_events([2])
        self.assertEqual(self.numbers(sink, after=middle), [2])

    def test_only_the_types_that_were_asked_for(self) -> None:
        name = unique("wanted")
        self.api.event_type.create(models.StreamEventTypeIn(name=name))
        sink = self.poller(event_types=[name])
        self.send_events([1])
        self.send_events([2], event_type=name)
        self.assertEqual(self.numbers(sink), [2])

    def test_a_stream_that_is_not_there_is_made_by_its_first_events(self) -> None:
        uid = unique("made")
        event = models.EventIn(event_type="user.signup", payload='{"n": 1}')
        self.refused(404, self.api.events.create, uid, models.CreateStreamEventsIn(events=[event]))
        self.api.events.create(uid, models.CreateStreamEventsIn(events=[event], stream=models.StreamIn(name="Made", uid=uid)))
        self.assertEqual(self.api.stream.get(uid).name, "Made")
        self.assertEqual([json.loads(found["payload"]) for found in ok(self.plain("GET", f"/stream/{uid}/events/latest"))["data"]], [{"n": 1}])

    def test_a_payload_is_text_of_any_kind(self) -> None:
        sink, payloads = self.poller(), ["grüß 🪝", "<a>1</a>", '{"a":  1.50}', ""]
        events = [models.EventIn(event_type="text", payload=payload) for payload in payloads]
        self.api.events.create(self.stream.id, models.CreateStreamEventsIn(events=events))
        polled = self.api.events.get(self.stream.id, sink.id)
        self.assertEqual([event.payload for event in polled.data], payloads)

    def test_the_latest_are_shown_newest_first(self) -> None:
        self.send_events(range(5))
        latest = ok(self.plain("GET", f"/stream/{self.stream.id}/events/latest", query={"limit": 3}))["data"]
        self.assertEqual([json.loads(event["payload"])["n"] for event in latest], [4, 3, 2])

    def test_the_token_of_a_poller_is_good_for_that_alone(self) -> None:
        api, sink, other = self.svix.authentication, self.poller(), self.poller()
        self.send_events([1])
        made = api.rotate_stream_poller_token(self.stream.id, sink.id, models.RotatePollerTokenIn(old_token_expiry=0))
        self.assertEqual(api.get_stream_poller_token(self.stream.id, sink.id).token, made.token)
        consumer = sdk_with(made.token).streaming
        self.assertEqual(len(consumer.events.get(self.stream.id, sink.id).data), 1)
        self.refused(404, consumer.events.get, self.stream.id, other.id)
        self.refused(403, consumer.stream.list)
        again = api.rotate_stream_poller_token(self.stream.id, sink.id, models.RotatePollerTokenIn(old_token_expiry=0))
        self.assertNotEqual(again.token, made.token)
        suite.eventually(
            lambda: plain("GET", f"/stream/{self.stream.id}/sink/{sink.id}/events", token=made.token).status,
            lambda status: status == 401,
            what="the end of the old token",
        )
        self.assertEqual(len(sdk_with(again.token).streaming.events.get(self.stream.id, sink.id).data), 1)


class StreamSinks(StreamTest):
    def test_life_of_a_sink(self) -> None:
        api, stream, uid = self.api.sink, self.stream.id, unique("sink")
        created = self.http(uid=uid, metadata={"k": "v"})
        self.assertEqual((created.type, created.config.url), ("http", self.receiver.url(self.path)))
        self.assertEqual((created.uid, created.batch_size, created.max_wait_secs, created.metadata), (uid, 2, 1, {"k": "v"}))
        self.assertEqual(created.status, "enabled")
        self.assertEqual((api.get(stream, created.id), api.get(stream, uid)), (created, created))
        self.refused(409, api.create, stream, models.StreamSinkIn(type="poller", config={}, uid=uid))
        url = self.receiver.url(f"{self.path}/other")
        config = http_patch(url=url)
        patched = api.patch(stream, uid, models.StreamSinkPatch(type="http", config=config, batch_size=7))
        self.assertEqual((patched.id, patched.config.url, patched.batch_size, patched.max_wait_secs), (created.id, url, 7, 1))
        put_in = models.StreamSinkIn(type="http", config=http_config(url=url))
        put = method(api, "upsert", "update")(stream, created.id, put_in)
        self.assertEqual((put.id, put.uid, put.batch_size, put.max_wait_secs, put.metadata), (created.id, None, 100, 0, {}))
        new = method(api, "upsert", "update")(stream, unique("new"), models.StreamSinkIn(type="poller", config={}))
        self.assertEqual((new.type, new.id != created.id), ("poller", True))
        listed = api.list(stream, sdk.StreamingSinkListOptions(order="ascending"))
        self.assertEqual([sink.id for sink in listed.data], [created.id, new.id])
        self.assertIsNone(api.delete(stream, created.id))
        self.refused(404, api.get, stream, created.id)

    def test_batches_come_signed_and_in_order(self) -> None:
        sink = self.http(config={"headers": {"X-Own": "1"}})
        self.send_events(range(5))
        self.assertEqual(self.batches(self.path, 3), [[0, 1], [2, 3], [4]])
        self.all_batches_verify(self.api.sink.get_secret(self.stream.id, sink.id).key)
        self.assertEqual({request.headers["x-own"] for request in self.receiver.at(self.path)}, {"1"})

    def test_a_given_key_signs(self) -> None:
        key = "whsec_" + "A" * 32
        sink = self.http(config={"key": key})
        self.assertEqual(self.api.sink.get_secret(self.stream.id, sink.id).key, key)
        self.send_events([1])
        self.receiver.wait(self.path, 1)
        self.all_batches_verify(key)

    def test_rotation(self) -> None:
        sink, api, stream = self.http(), self.api.sink, self.stream.id

        def rotate() -> None:
            answer = api.rotate_secret(stream, sink.id, models.EndpointSecretRotateIn())
            if SINCE >= (2, 9):
                self.assertEqual(answer.key, api.get_secret(stream, sink.id).key)

        self.check_rotation(lambda: api.get_secret(stream, sink.id).key, rotate, self.send_events)

    def test_headers(self) -> None:
        sink, api = self.http(), self.api
        get = lambda: api.sink_headers_get(self.stream.id, sink.id)  # noqa: E731

        def patch(headers: Any) -> Any:
            if None in headers.values():
                # The library cannot say that a header goes.
                ok(self.plain("PATCH", f"{self.at}/headers", {"headers": headers}))
                return get()
            return api.sink_headers_patch(self.stream.id, sink.id, models.HttpSinkHeadersPatchIn(headers=headers))

        self.check_headers(get, patch)
        self.send_events([1])
        sent = self.receiver.wait(self.path, 1)[0].headers
        self.assertEqual((sent["x-kept"], sent.get("x-gone"), sent["authorization"]), ("1", None, "Bearer hidden"))
        shown = self.api.sink.get(self.stream.id, sink.id).config.headers
        self.assertEqual(shown if V1 else shown.headers, {"X-Kept": "1"})

    def test_a_failing_receiver(self) -> None:
        sink = self.http()
        self.check_a_failing_receiver(self.send_events)
        self.check_attempts("sinkId", "firstEventId", "lastEventId")
        self.all_batches_verify(self.api.sink.get_secret(self.stream.id, sink.id).key)

    def test_skipping(self) -> None:
        self.http()
        self.check_skipping(self.send_events)

    def test_a_disabled_sink_goes_on_where_it_was(self) -> None:
        sink = self.http(status=models.SinkStatusIn.DISABLED)
        self.assertEqual(sink.status, "disabled")
        listening = self.poller()
        self.send_events(range(3))
        suite.eventually(lambda: self.numbers(listening), lambda found: found == [0, 1, 2], what="the events")
        self.assertEqual(self.receiver.at(self.path), [])
        on = models.StreamSinkPatch(type="http", config=http_patch(), status=models.SinkStatusIn.ENABLED)
        self.assertEqual(self.api.sink.patch(self.stream.id, sink.id, on).status, "enabled")
        self.assertEqual(self.batches(self.path, 2), [[0, 1], [2]])

    def test_a_batch_that_is_not_full_waits_for_more(self) -> None:
        self.http(batch_size=3)
        self.send_events([0])
        self.send_events([1])
        self.assertEqual(self.batches(self.path, 1), [[0, 1]])
        self.send_events(range(2, 5))
        self.assertEqual(self.batches(self.path, 2)[1], [2, 3, 4])

    def test_kinds_that_are_not_there_yet_are_refused_with_a_sentence(self) -> None:
        config = model("SnsConfigIn", "SnsConfig")(topic_arn="arn:aws:sns:eu-west-1:1:t", access_key_id="a", secret_access_key="b", region="eu-west-1")
        refused = self.refused(422, self.api.sink.create, self.stream.id, models.StreamSinkIn(type="sns", config=config))
        self.assertEqual(refused.detail[0].loc, ["body", "type"])
        if not V1:
            self.assertIn("sns", refused.detail[0].msg)


class StreamPortal(StreamTest):
    def access(self, **options: Any) -> Any:
        return self.svix.authentication.stream_portal_access(self.stream.id, models.StreamPortalAccessIn(**options))

    def test_a_portal_sees_one_stream(self) -> None:
        access = self.access(expiry=3600)
        self.assertTrue(access.url.startswith("http"))
        portal = sdk_with(access.token)
        self.assertEqual(portal.streaming.stream.get(self.stream.id).id, self.stream.id)
        sink = portal.streaming.sink.create(self.stream.id, models.StreamSinkIn(type="poller", config={}))
        self.assertEqual([found.id for found in self.api.sink.list(self.stream.id).data], [sink.id])
        other = self.api.stream.create(models.StreamIn(name="other"))
        self.refused(404, portal.streaming.stream.get, other.id)
        self.refused(403, portal.streaming.stream.list)
        self.refused(403, portal.application.list)
        self.assertEqual(ok(plain("GET", "/auth/whoami", token=access.token))["streamAppId"], self.stream.id)

    def test_logging_out(self) -> None:
        portal, other = sdk_with(self.access().token), sdk_with(self.access().token)
        self.assertIsNone(portal.authentication.stream_logout())
        self.assertEqual(self.refused(401, portal.streaming.stream.get, self.stream.id).code, "authentication_failed")
        self.assertEqual(other.streaming.stream.get(self.stream.id).id, self.stream.id)

    def test_ending_sessions(self) -> None:
        one, two = sdk_with(self.access(session_id="one").token), sdk_with(self.access(session_id="two").token)
        expire = lambda **options: self.svix.authentication.stream_expire_all(self.stream.id, models.StreamTokenExpireIn(**options))  # noqa: E731
        self.assertIsNone(expire(expiry=0, session_ids=["one"]))
        self.refused(401, one.streaming.stream.get, self.stream.id)
        self.assertEqual(two.streaming.stream.get(self.stream.id).id, self.stream.id)
        expire(expiry=0)
        self.refused(401, two.streaming.stream.get, self.stream.id)
        self.assertEqual(sdk_with(self.access().token).streaming.stream.get(self.stream.id).id, self.stream.id)
