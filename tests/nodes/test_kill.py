"""Nodes are killed at any moment: nothing acknowledged is lost, and what comes twice was under way at a node when it was killed."""

import random
import time

from cluster import LONG, ClusterCase, Load

ROUNDS = 30 if LONG else 6


class Kill(ClusterCase):
    def test_random_nodes_under_load(self) -> None:
        seed = time.time_ns() % 2**32
        moments = random.Random(seed)
        # One comes back under its name and takes over at once; the others' deliveries wait for their leases.
        nodes = [*self.start(1, HOOKPOST_NODE_NAME="named"), *self.start(2)]
        app = self.app()
        endpoint = self.endpoint(app)
        kills = []
        with Load(nodes, app) as load:
            for _ in range(ROUNDS):
                load.wait_for(moments.randrange(20, 150))
                victim = moments.choice(nodes)
                victim.kill()
                kills.append(time.monotonic())
                if moments.random() < 0.5:
                    # Long enough for the others to bury it.
                    load.wait_for(moments.randrange(100, 300))
                victim.start()
            load.wait_for(100)
        started = time.monotonic()
        self.everything_arrives(load, endpoint)
        twice = self.explained_by(kills, endpoint)
        print(
            f"seed {seed}: {load.count()} acknowledged, {load.ledger.unanswered} cut off and sent again, {len(kills)} kills, "
            f"the rest {time.monotonic() - started:.1f} s later, {twice.total()} twice, at most {max(twice.values(), default=0)} by one kill"
        )
        self.assertEqual(load.ledger.refusals, [], "the others go on as if nothing had happened")
        self.assertLess(twice.total(), load.count() / 2, "duplicates are what was in flight at a kill, not a way of life")
