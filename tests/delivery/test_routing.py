"""Which endpoints get a message, and what is said about those that do not."""

from harness.cases import ServerCase
from harness.receiver import always


class Routing(ServerCase):
    def test_event_types_and_channels(self) -> None:
        for name in ("one", "two"):
            self.api.post("/event-type", {"name": name, "description": ""})
        app = self.app()
        everything = self.endpoint(app)
        only_one = self.endpoint(app, eventTypes=["one"])
        left = self.endpoint(app, channels=["left"])
        disabled = self.endpoint(app, disabled=True)
        cases = [
            ({"event_type": "one"}, {everything["id"], only_one["id"]}),
            ({"event_type": "two", "channels": ["left", "right"]}, {everything["id"], left["id"]}),
            ({"event_type": "never.registered"}, {everything["id"]}),
        ]
        for fields, expected in cases:
            with self.subTest(str(fields)):
                message = self.send(app, **fields)
                self.attempts(app, message, len(expected))
                found = self.ok(self.api.get(f"/app/{app}/msg/{message}/endpoint"))["data"]
                self.assertEqual({destination["id"] for destination in found}, expected)
        message = self.send(app, event_type="two")
        for endpoint, reason in (
            (only_one, "event_type_not_subscribed"),
            (left, "channel_not_subscribed"),
            (disabled, "endpoint_disabled"),
        ):
            self.assertEqual(self.why(app, message, endpoint["id"])["reason"], reason)
        later = self.endpoint(app)
        self.assertEqual(self.why(app, message, later["id"])["reason"], "endpoint_created_later")

    def test_a_deleted_endpoint_gets_nothing_more(self) -> None:
        app = self.app()
        endpoint = self.endpoint(app, always(500))
        message = self.send(app)
        self.attempts(app, message)
        self.ok(self.api.delete(f"/app/{app}/endpoint/{endpoint['id']}"), 204)
        seen = len(self.receiver.at(endpoint["path"]))
        other = self.endpoint(app)
        for _ in range(5):
            self.send(app)
        self.receiver.wait(other["path"], 5)
        self.assertLessEqual(len(self.receiver.at(endpoint["path"])), seen + 1, "at most the attempt that was under way")
        self.assertTrue(self.attempts(app, message), "what was tried stays on record")
