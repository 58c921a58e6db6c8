"""Sending again: one, those that failed, those that never went, all of a kind."""

from harness.cases import ServerCase, moment
from harness.receiver import Reply, always
from harness.suite import eventually


class Again(ServerCase):
    def task(self, answer: dict[str, str]) -> dict[str, object]:
        return eventually(
            lambda: self.ok(self.api.get(f"/background-task/{answer['id']}")), lambda task: task["status"] != "running", what="the task's end"
        )

    def test_a_resend_leaves_the_chain_alone(self) -> None:
        app = self.app()
        endpoint = self.endpoint(app, lambda n, _request: Reply(500))
        message = self.send(app)
        self.receiver.wait(endpoint["path"], 1)
        self.ok(self.api.post(f"/app/{app}/msg/{message}/endpoint/{endpoint['id']}/resend"), 202)
        self.receiver.wait(endpoint["path"], 5)
        found = self.attempts(app, message, 5)
        self.assertEqual(sorted(attempt["triggerType"] for attempt in found), [0, 0, 0, 0, 1])

    def test_a_resend_answers_with_an_object(self) -> None:
        app = self.app()
        endpoint = self.endpoint(app)
        message = self.send(app)
        self.attempts(app, message)
        answer = self.api.post(f"/app/{app}/msg/{message}/endpoint/{endpoint['id']}/resend")
        self.assertIsInstance(self.ok(answer, 202), dict)
        self.receiver.wait(endpoint["path"], 2)

    def test_a_resend_to_a_disabled_endpoint_is_refused(self) -> None:
        app = self.app()
        endpoint = self.endpoint(app)
        message = self.send(app)
        self.attempts(app, message)
        self.ok(self.api.patch(f"/app/{app}/endpoint/{endpoint['id']}", {"disabled": True}))
        answer = self.api.post(f"/app/{app}/msg/{message}/endpoint/{endpoint['id']}/resend")
        self.is_error(answer, 400)
        self.assertIn("disabled", answer.json["detail"])

    def test_recover_sends_what_failed_once(self) -> None:
        app = self.app()
        broken = [True]
        endpoint = self.endpoint(app, lambda _n, _request: Reply(500) if broken[0] else Reply(), retrySchedule="none")
        failed = [self.send(app, {"n": n}) for n in range(20)]
        for message in failed:
            self.status(app, message, endpoint["id"], "fail")
        broken[0] = False
        good = self.send(app)
        self.status(app, good, endpoint["id"], "success")
        recover = f"/app/{app}/endpoint/{endpoint['id']}/recover"
        task = self.task(self.ok(self.api.post(recover, {"since": moment(hours=-1)}), 202))
        self.assertEqual((task["status"], task["task"]), ("finished", "endpoint.recover"))
        requests = self.receiver.wait(endpoint["path"], 41)
        self.assertEqual({request.message_id for request in requests[21:]}, set(failed))
        for message in failed:
            self.status(app, message, endpoint["id"], "success")
        self.task(self.ok(self.api.post(recover, {"since": moment(hours=-1)}), 202))
        self.send(app)
        self.receiver.wait(endpoint["path"], 42)
        self.assertEqual(len(self.receiver.at(endpoint["path"])), 42, "nothing was left to recover")

    def test_windows_are_checked(self) -> None:
        app = self.app()
        at = f"/app/{app}/endpoint/{self.endpoint(app)['id']}"
        self.is_invalid(self.api.post(f"{at}/recover", {"since": moment(days=-15)}), "body", "since")
        for operation in ("recover", "replay-missing", "bulk-replay"):
            self.is_invalid(self.api.post(f"{at}/{operation}", {}), "body", "since")
            self.is_error(self.api.post(f"{at}/{operation}", {"since": moment(hours=-1), "until": moment(hours=-2)}), 422)

    def test_replay_missing(self) -> None:
        app = self.app()
        before = [self.send(app, {"n": n}) for n in range(10)]
        endpoint = self.endpoint(app)
        present = self.send(app)
        self.attempts(app, present)
        task = self.task(self.ok(self.api.post(f"/app/{app}/endpoint/{endpoint['id']}/replay-missing", {"since": moment(hours=-1)}), 202))
        self.assertEqual(task["task"], "endpoint.replay")
        requests = self.receiver.wait(endpoint["path"], 11)
        self.assertEqual(sorted(request.message_id for request in requests), sorted([*before, present]))

    def test_bulk_replay_with_a_filter(self) -> None:
        app = self.app()
        endpoint = self.endpoint(app)
        wanted = [self.send(app, event_type="wanted") for _ in range(5)]
        other = [self.send(app, event_type="other") for _ in range(5)]
        for message in wanted + other:
            self.status(app, message, endpoint["id"], "success")
        body = {"since": moment(hours=-1), "eventTypes": ["wanted"]}
        task = self.task(self.ok(self.api.post(f"/app/{app}/endpoint/{endpoint['id']}/bulk-replay", body), 202))
        self.assertEqual((task["status"], task["task"]), ("finished", "endpoint.bulk-replay"))
        requests = self.receiver.wait(endpoint["path"], 15)
        self.assertEqual(sorted(request.message_id for request in requests[10:]), sorted(wanted))

    def test_cancel(self) -> None:
        app = self.app()
        # One at a time: nothing is under way once the first was refused.
        endpoint = self.endpoint(app, always(503, headers={"retry-after": "3600"}), concurrency=1)
        messages = [self.send(app) for _ in range(3)]
        self.attempts(app, messages[0])
        self.ok(self.api.post(f"/app/{app}/endpoint/{endpoint['id']}/cancel-msgs", {"createdBefore": moment(minutes=1)}), 204)
        for message in messages:
            why = eventually(
                lambda message=message: self.why(app, message, endpoint["id"]), lambda found: found["reason"] == "canceled_by_user", what="the end"
            )
            self.assertEqual(why["reason"], "canceled_by_user")

    def test_tasks_are_listed_by_kind_and_status(self) -> None:
        app = self.app()
        endpoint = self.endpoint(app)["id"]
        made = self.task(self.ok(self.api.post(f"/app/{app}/endpoint/{endpoint}/recover", {"since": moment(hours=-1)}), 202))
        listed = self.ok(self.api.get("/background-task", query={"task": "endpoint.recover", "status": "finished", "limit": 250}))["data"]
        self.assertIn(made["id"], [task["id"] for task in listed])
        self.assertEqual({task["task"] for task in listed}, {"endpoint.recover"})
