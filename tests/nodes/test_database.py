"""PostgreSQL is killed, stopped, or away for long: producers are told to come again, what is under way is recorded afterwards, and no storm follows."""

import time

from harness.postgres import Postgres
from harness.receiver import Received, Reply
from harness.suite import eventually

from cluster import LEASE_S, LONG, ClusterCase, Load

AWAY_S = 60 if LONG else 20
ROUNDS = 10 if LONG else 2


class Database(ClusterCase):
    def postgres_url(self) -> str:
        self.postgres = Postgres()
        self.addCleanup(self.postgres.close)
        return self.postgres.url

    def is_come_again(self, load: Load) -> None:
        for refusal in load.ledger.refusals:
            self.assertEqual(refusal.status, 503)
            self.assertGreater(int(refusal.headers["retry-after"]), 0)

    def test_killed_and_stopped_under_load(self) -> None:
        nodes = self.start(2)
        app = self.app()
        endpoint = self.endpoint(app)
        with Load(nodes, app) as load:
            for _ in range(ROUNDS):
                for how in ("kill", "stop"):
                    load.wait_for(100)
                    self.postgres.order(how)
                    refused = len(load.ledger.refusals)
                    eventually(lambda: len(load.ledger.refusals), lambda now: now > refused + 5, 20, "refusals")
                    self.postgres.order("start")
            load.wait_for(100)
        self.everything_arrives(load, endpoint)
        self.assertEqual(self.duplicates(endpoint), [], "no node was lost, so nothing comes twice")
        self.is_come_again(load)
        self.assertEqual(load.ledger.unanswered, 0, "who waited was told")
        print(f"{load.count()} acknowledged, {2 * ROUNDS} times away, {len(load.ledger.refusals)} refused")

    def test_away_for_long(self) -> None:
        nodes = self.start(2)
        app = self.app()

        def slowly(_n: int, _request: Received) -> Reply:
            return Reply(delay_s=1.5)

        slow, endpoint = self.endpoint(app, slowly), self.endpoint(app)
        with Load(nodes, app, threads=4, pause_s=0.02) as load:
            load.wait_for(100)
            self.postgres.order("stop")
            gone_at = time.monotonic()
            eventually(lambda: time.monotonic() - gone_at > AWAY_S, timeout_s=AWAY_S + 5)
            self.postgres.order("start")
            back_at = time.monotonic()
            load.wait_for(20, timeout_s=20)
            accepting_s = time.monotonic() - back_at
            load.wait_for(50)
        for one in (endpoint, slow):
            self.everything_arrives(load, one, timeout_s=60)
            self.assertEqual(self.duplicates(one), [], "what was under way is recorded, not sent again")
        # What is in memory goes on until the lease has run out; the receiver may be a little late to see the last of it.
        began = sorted(request.at - gone_at for one in (endpoint, slow) for request in self.receiver.at(one["path"]) if request.at < back_at)
        late = [round(at_s, 2) for at_s in began if at_s > LEASE_S + 1]
        self.assertEqual(late, [], "nobody begins what nobody can record")
        refused = [refusal for refusal in load.ledger.refusals if gone_at + 1 < refusal.at < back_at]
        self.assertGreater(len(refused), AWAY_S, "producers are answered all the time")
        self.is_come_again(load)
        print(f"{load.count()} acknowledged, away for {AWAY_S} s, {len(load.ledger.refusals)} refused, accepting {accepting_s:.1f} s after the return")
