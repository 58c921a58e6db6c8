"""A node that stands still for longer than its lease: the others take over, and when it wakes it cannot record."""

import time

from harness.receiver import Reply
from harness.suite import eventually

from cluster import LEASE_S, ClusterCase, Load


class Pause(ClusterCase):
    def test_what_it_had_under_way_is_taken_over_and_recorded_once(self) -> None:
        sleeper, other = self.start(2)
        app = self.app()
        # The first attempt takes longer than the node is awake; its answer waits in the socket when it wakes.
        endpoint = self.endpoint(app, lambda n, _request: Reply(200, delay_s=1.0 if n < 5 else 0))
        messages = [self.send(sleeper, app, n) for n in range(5)]
        self.receiver.wait(endpoint["path"], 5)
        sleeper.pause()
        self.addCleanup(lambda: sleeper.process and sleeper.resume())
        paused_at = time.monotonic()
        # Each comes again, from the other.
        again = self.receiver.wait(endpoint["path"], 10, timeout_s=20)
        taken_over_s = again[5].at - paused_at
        self.assertGreater(taken_over_s, LEASE_S * 0.5, "not before its lease has ended")
        for message in messages:
            eventually(
                lambda message=message: self.ok(other.api.get(f"/app/{app}/attempt/msg/{message}"))["data"],
                lambda found: len(found) == 1,
                10,
                "the attempt of the other node",
            )
        first_life = self.psql("SELECT count(*) FROM hookpost.node")
        self.assertEqual(first_life, "1", "the sleeper is buried")
        sleeper.resume()
        eventually(lambda: self.psql("SELECT count(*) FROM hookpost.node"), lambda count: count == "2", 10, "the sleeper as a new life")
        # It is as good as any.
        eventually(lambda: sleeper.api.get("/health").status, lambda status: status == 204, 10, "its health")
        messages.append(self.send(sleeper, app, 6))
        self.receiver.wait(endpoint["path"], 11)
        for message in messages:
            found = eventually(
                lambda message=message: self.ok(sleeper.api.get(f"/app/{app}/attempt/msg/{message}"))["data"], lambda found: len(found) == 1, 10
            )
            self.assertEqual(found[0]["status"], 0, "delivered, by one recorded attempt")
        print(f"taken over {taken_over_s:.1f} s after it stood still, with a lease of {LEASE_S:.0f} s")

    def test_under_load(self) -> None:
        # What any of the threads of a node holds is given up.
        nodes = self.start(3, HOOKPOST_IO_THREADS="2")
        app = self.app()
        endpoint = self.endpoint(app)
        pauses, resumptions = [], []
        with Load(nodes, app) as load:
            for victim in nodes[:2]:
                load.wait_for(60)
                victim.pause()
                pauses.append(time.monotonic())
                try:
                    # Those who wait for it hold the producers up; this is long enough all the same.
                    buried = lambda: self.psql("SELECT count(*) FROM hookpost.node") == "2"  # noqa: E731
                    eventually(buried, timeout_s=20, what="that it is given up")
                finally:
                    # What it was about to send when it was stopped it sends now, after whoever took over did.
                    resumptions.append(time.monotonic())
                    victim.resume()
                load.wait_for(60)
        self.everything_arrives(load, endpoint)
        twice = self.explained_by(pauses + resumptions, endpoint)
        print(f"{load.count()} acknowledged, {len(pauses)} pauses, {twice.total()} twice, {len(load.ledger.refusals)} refused")
        for refusal in load.ledger.refusals:
            self.assertEqual(refusal.status, 503)
            self.assertGreater(int(refusal.headers["retry-after"]), 0)
