"""Statistics by one Python SDK: tasks, polled to their end, and exact numbers. Run as a part of python_suite.py."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import svix.models as models
from python_base import SINCE, SdkTest, event_types, ok, unique
from harness import suite
from harness.receiver import always, first_fail


class Statistics(SdkTest):
    own_tenant = True

    def setUp(self) -> None:
        super().setUp()
        self.other = self.svix.application.create(models.ApplicationIn(name="other"))

    def usage(self, **options: Any) -> Any:
        now = datetime.now(timezone.utc)
        since, until = options.pop("since", now - timedelta(hours=1)), options.pop("until", now + timedelta(hours=1))
        return self.svix.statistics.aggregate_app_stats(models.AppUsageStatsIn(since=since, until=until, **options))

    def destinations(self, **options: Any) -> dict[str, int]:
        """Messages sent somewhere, by application."""
        return {found["appId"]: found["messageDestinations"] for found in self.result(self.usage(**options))["appStats"]}

    def test_usage_is_counted_exactly(self) -> None:
        self.endpoint()
        self.endpoint(always(500), path=f"{self.path}/failing")
        for _ in range(3):
            self.send()
        url = self.receiver.url(f"{self.path}/other")
        self.svix.endpoint.create(self.other.id, models.EndpointIn(url=url))
        self.svix.message.create(self.other.id, models.MessageIn(event_type="user.signup", payload={}))
        # Each message counts once for each endpoint, however often it was tried.
        self.receiver.wait(f"{self.path}/failing", 12)
        expected = {self.app.id: 6, self.other.id: 1}
        self.assertEqual(suite.eventually(self.destinations, lambda found: found == expected, what="the count"), expected)

        self.assertEqual(self.destinations(app_ids=[self.other.id]), {self.other.id: 1})
        uids = {found["appId"]: found["appUid"] for found in self.result(self.usage())["appStats"]}
        self.assertEqual(uids, {self.app.id: self.app.uid, self.other.id: None})
        past = datetime.now(timezone.utc) - timedelta(days=3)
        self.assertEqual(set(self.destinations(since=past, until=past + timedelta(days=1)).values()) - {0}, set())

    def test_applications_that_are_not_there_are_named(self) -> None:
        task = self.usage(app_ids=[self.app.uid, "nobody"])
        self.assertEqual((task.task, task.unresolved_app_ids), ("application.stats", ["nobody"]))
        self.assertEqual(list(self.destinations(app_ids=[self.app.uid, "nobody"])), [self.app.id])

    def test_event_types_that_are_asked_for(self) -> None:
        names = sorted(unique("asked") for _ in range(2))
        for name in names:
            self.svix.event_type.create(models.EventTypeIn(name=name, description=""))
            self.endpoint(path=f"{self.path}/{name}", **event_types([name]))
        self.svix.endpoint.create(self.other.id, models.EndpointIn(url=self.receiver.url(self.path)))
        task = self.svix.statistics.aggregate_event_types()
        self.assertEqual(task.task, "event-type.aggregate")
        found = {entry["appId"]: entry for entry in self.result(task)["event_types"]}
        self.assertEqual(sorted(found[self.app.id]["explicitlySubscribedEventTypes"]), names)
        self.assertEqual((found[self.app.id]["hasCatchAllEndpoint"], found[self.other.id]["hasCatchAllEndpoint"]), (False, True))
        self.assertEqual(found[self.other.id]["explicitlySubscribedEventTypes"], [])

    def test_attempts_by_event_type_and_time(self) -> None:
        self.endpoint(first_fail(1))
        message = self.send()
        self.attempts(message, 2)
        other = self.svix.message.create(self.app.id, models.MessageIn(event_type="user.gone", payload={}))
        self.attempts(other, 1)
        now = datetime.now(timezone.utc)
        window = {"since": (now - timedelta(hours=1)).isoformat(), "until": (now + timedelta(hours=1)).isoformat()}
        at = f"/app/{self.app.id}/stats/attempts"
        stats = suite.eventually(lambda: ok(self.plain("GET", at, query=window)), lambda found: found["total_success"] == 2, what="the count")
        self.assertEqual((stats["total_failure"], stats["total_canceled"]), (1, 0))
        self.assertEqual(stats["by_event_type"]["user.signup"], {"success": 1, "failure": 1, "canceled": 0})
        self.assertEqual(stats["by_event_type"]["user.gone"], {"success": 1, "failure": 0, "canceled": 0})

        for period in ("FiveMinutes", "OneHour", "OneDay"):
            found = ok(self.plain("GET", f"/stats/app/{self.app.id}/attempt", query={"period": period}))
            self.assertEqual(found["period"], period)
            self.assertEqual((sum(found["data"]["successCount"]), sum(found["data"]["failureCount"])), (2, 1))
            self.assertEqual(len(found["data"]["successCount"]), len(found["data"]["failureCount"]))

    def test_applications_with_endpoints_are_counted(self) -> None:
        count = lambda: ok(self.plain("GET", "/app/stats/count-active"))["count"]  # noqa: E731
        self.assertEqual(count(), 0)
        self.endpoint(disabled=True)
        self.svix.endpoint.create(self.other.id, models.EndpointIn(url=self.receiver.url(self.path)))
        self.assertEqual(count(), 1)

    def test_endpoints_are_counted(self) -> None:
        self.assertEqual(ok(self.plain("GET", "/stats/endpoint/count")), {"active": 0, "disabled": 0})
        self.endpoint()
        self.endpoint(path=f"{self.path}/off", disabled=True)
        self.svix.endpoint.create(self.other.id, models.EndpointIn(url=self.receiver.url(self.path)))
        self.assertEqual(ok(self.plain("GET", "/stats/endpoint/count")), {"active": 2, "disabled": 1})

    def test_deliveries_of_an_endpoint_that_came_to_an_end(self) -> None:
        endpoint = self.endpoint()
        self.attempts(self.send(), 1)
        self.receiver.plan(self.path, always(500))
        self.attempts(self.send(), 4)
        path = f"/app/{self.app.id}/endpoint/{endpoint.id}/attempt-stats"
        expected = {"success": 1, "fail": 1, "canceled": 0}
        suite.eventually(lambda: ok(self.plain("GET", path)), lambda found: found == expected, what="the count")
        if SINCE >= (2, 9):
            stats = self.svix.endpoint.get_attempt_stats(self.app.id, endpoint.id)
            self.assertEqual((stats.success, stats.fail, stats.canceled), (1, 1, 0))
