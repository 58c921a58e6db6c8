"""Polling endpoints by one Python SDK: iterators, consumers, leases and commits. Run as a part of python_suite.py."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any

import svix.api as sdk
import svix.models as models
from python_base import SdkTest, moment_between, ok, sdk_with
from harness import suite


class PollerTest(SdkTest):
    def setUp(self) -> None:
        super().setUp()
        self.api = self.svix.message.poller
        self.sink = self.poller()

    def poller(self, **fields: Any) -> str:
        return ok(self.plain("POST", f"/app/{self.app.id}/destination", {"type": "pollingEndpoint", **fields}), 201)["id"]

    def send_numbers(self, *numbers: int, **options: Any) -> list[Any]:
        return [self.send({"n": n}, **options) for n in numbers]

    def poll(self, **options: Any) -> Any:
        return self.api.poll(self.app.id, options.pop("sink", self.sink), sdk.MessagePollerPollOptions(**options))

    def numbers(self, **options: Any) -> list[int]:
        return numbers_of(self.poll(**options))


def numbers_of(polled: Any) -> list[int]:
    return [message.payload["n"] for message in polled.data]


class Pollers(PollerTest):
    def test_iterators_go_through_all_messages(self) -> None:
        self.assertEqual(self.numbers(), [])
        sent = self.send_numbers(0, 1, 2, tags=["t"], channels=["one"])
        first = self.poll(limit=2)
        self.assertEqual([message.id for message in first.data], [message.id for message in sent[:2]])
        self.assertEqual((first.data[0].event_type, first.data[0].payload, first.data[0].tags), ("user.signup", {"n": 0}, ["t"]))
        self.assertFalse(first.done)
        rest = self.poll(iterator=first.iterator)
        self.assertEqual((numbers_of(rest), rest.done), ([2], True))
        self.assertEqual(self.numbers(iterator=rest.iterator), [])
        self.send_numbers(3)
        self.assertEqual(self.numbers(iterator=rest.iterator), [3])
        # Nothing was taken away by reading it.
        self.assertEqual(self.numbers(), [0, 1, 2, 3])

    def test_what_is_not_wanted_is_not_there(self) -> None:
        of_type, of_channel = self.poller(eventTypes=["user.gone"]), self.poller(channels=["two"])
        self.send_numbers(0, channels=["one"])
        self.send_numbers(1, channels=["two"])
        self.svix.message.create(self.app.id, models.MessageIn(event_type="user.gone", payload={"n": 2}, channels=["one"]))
        self.assertEqual((self.numbers(channel="two"), self.numbers(event_type="user.gone")), ([1], [2]))
        self.assertEqual(self.numbers(sink=of_type), [2])
        self.assertEqual(self.numbers(sink=of_channel), [1])

    def test_from_a_time_on(self) -> None:
        self.send_numbers(0)
        middle = moment_between()
        self.send_numbers(1)
        self.assertEqual(self.numbers(after=middle), [1])

    def test_consumers_have_an_iterator_of_their_own_on_the_server(self) -> None:
        self.send_numbers(0, 1, 2)
        poll = lambda consumer, **options: self.api.consumer_poll(  # noqa: E731
            self.app.id, self.sink, consumer, sdk.MessagePollerConsumerPollOptions(**options)
        )
        first = poll("one", limit=2)
        self.assertEqual(numbers_of(first), [0, 1])
        # To ask with the iterator is to say that what was before it is done; without it, the same comes again.
        self.assertEqual(numbers_of(poll("one", limit=2)), [0, 1])
        self.assertEqual(numbers_of(poll("one", iterator=first.iterator)), [2])
        self.assertEqual(numbers_of(poll("one")), [2])
        self.assertEqual(numbers_of(poll("two")), [0, 1, 2])

    def test_seeking(self) -> None:
        self.send_numbers(0, 1)
        middle = moment_between()
        self.send_numbers(2)
        seek = lambda after: self.api.consumer_seek(  # noqa: E731
            self.app.id, self.sink, "one", models.PollingEndpointConsumerSeekIn(after=after)
        )
        poll = lambda: numbers_of(self.api.consumer_poll(self.app.id, self.sink, "one"))  # noqa: E731
        self.assertTrue(seek(middle).iterator)
        self.assertEqual(poll(), [2])
        seek(middle - timedelta(hours=1))
        self.assertEqual(poll(), [0, 1, 2])

    def test_who_would_rather_wait_is_answered_when_something_comes(self) -> None:
        later = threading.Timer(0.3, self.send_numbers, [7])
        later.start()
        self.addCleanup(later.join)
        began = time.monotonic()
        polled = ok(self.plain("GET", f"/app/{self.app.id}/poller/{self.sink}", query={"wait": 10}))
        self.assertEqual([message["payload"] for message in polled["data"]], [{"n": 7}])
        self.assertTrue(0.2 < time.monotonic() - began < 5)

    def test_only_of_ones_own_application(self) -> None:
        other = self.svix.application.create(models.ApplicationIn(name="other"))
        self.refused(404, self.api.poll, other.id, self.sink)
        self.refused(404, self.api.poll, self.app.id, "sink_nobody")


class Commits(PollerTest):
    """The second form of polling: what is handed out is lent, until it is committed or its time is up. The SDKs have models of it, but no methods."""

    def lent(self, consumer: str = "one", **query: Any) -> list[Any]:
        path = f"/app/{self.app.id}/polling-endpoint/{self.sink}/consumer/{consumer}"
        return models.PollerV2PollOut.model_validate(ok(self.plain("GET", path, query=query or None))).data

    def commit(self, message: Any, consumer: str = "one", status: int = 204) -> None:
        path = f"/app/{self.app.id}/polling-endpoint/{self.sink}/consumer/{consumer}/commit"
        ok(self.plain("POST", path, {"offset": message.offset}), status)

    def test_a_commit_moves_the_consumer(self) -> None:
        sent = self.send_numbers(0, 1, 2)
        messages = self.lent(starting_position="earliest", limit=2)
        self.assertEqual([message.id for message in messages], [message.id for message in sent[:2]])
        self.assertLess(messages[0].offset, messages[1].offset)
        self.commit(messages[1])
        self.assertEqual([message.payload for message in self.lent()], [{"n": 2}])
        self.assertEqual(len(self.lent("two", starting_position="earliest")), 3)

    def test_what_is_lent_comes_back_when_its_time_is_up(self) -> None:
        self.send_numbers(0)
        self.assertEqual(len(self.lent(starting_position="earliest", lease_duration_ms=300)), 1)
        self.assertEqual(self.lent(), [])
        suite.eventually(self.lent, what="the message again")


class PollerTokens(PollerTest):
    def test_a_token_is_good_for_its_poller_alone(self) -> None:
        self.send_numbers(1)
        path, other = f"/auth/app/{self.app.id}/poller/{self.sink}/token", self.poller()
        token = ok(self.plain("POST", f"{path}/rotate", {"oldTokenExpiry": 0}), 201)["token"]
        self.assertEqual(ok(self.plain("GET", path))["token"], token)
        consumer = sdk_with(token)
        self.assertEqual(numbers_of(consumer.message.poller.poll(self.app.id, self.sink)), [1])
        self.refused(404, consumer.message.poller.poll, self.app.id, other)
        self.refused(403, consumer.message.list, self.app.id)
        self.refused(403, consumer.application.list)
        again = ok(self.plain("POST", f"{path}/rotate", {"oldTokenExpiry": 0}), 201)["token"]
        self.refused(401, consumer.message.poller.poll, self.app.id, self.sink)
        self.assertEqual(numbers_of(sdk_with(again).message.poller.poll(self.app.id, self.sink)), [1])

    def test_a_token_may_end(self) -> None:
        path = f"/auth/app/{self.app.id}/poller/{self.sink}/token/rotate"
        made = ok(self.plain("POST", path, {"expiry": 3600}), 201)
        self.assertTrue(made["expiresAt"])
