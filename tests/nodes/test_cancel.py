"""What is canceled on one node is not begun on another that holds it."""

import json
import time

from harness.receiver import Received, Reply
from harness.suite import eventually

from cluster import ClusterCase

MESSAGES = 40
#: What had begun when the answer came is not interrupted; the clocks are those of one machine.
JUST_BEGUN_S = 0.05


class Cancel(ClusterCase):
    settings = {"HOOKPOST_RETRY_SCHEDULE": "1s,1s,1s"}

    def check(self, settings: dict[str, str]) -> None:
        here, there = self.start(2, **settings)
        app = self.app()
        endpoint = self.endpoint(app, lambda _n, _request: Reply(500, delay_s=0.1), concurrency=2)
        for n in range(MESSAGES):
            self.send(there, app, n)
        self.receiver.wait(endpoint["path"], 4)
        later = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60))
        asked = time.monotonic()
        answer = here.api.post(f"/app/{app}/endpoint/{endpoint['id']}/cancel-msgs", {"createdBefore": later})
        answered = time.monotonic()
        self.assertEqual(answer.status, 204, answer)
        time.sleep(3)
        late = [seen for seen in self.receiver.at(endpoint["path"]) if seen.at > answered + JUST_BEGUN_S]
        self.assertEqual([json.loads(seen.body)["n"] for seen in late], [], "begun after it was canceled")
        self.assertEqual(self.psql("SELECT count(*) FROM hookpost.queue"), "0")
        states = self.psql("SELECT state, count(*) FROM hookpost.delivery GROUP BY state ORDER BY state")
        self.assertEqual(states, f"4|{MESSAGES}", "all of them are canceled")
        attempts = int(self.psql("SELECT count(*) FROM hookpost.attempt"))
        self.assertEqual(attempts, len(self.receiver.at(endpoint["path"])), "what was under way is kept")
        print(f"{settings or 'as it is'}: {attempts} attempts before, answered after {answered - asked:.3f} s")

    def test_what_another_node_holds(self) -> None:
        self.check({})

    def test_without_notify(self) -> None:
        self.check({"HOOKPOST_DATABASE_NOTIFY": "false"})
