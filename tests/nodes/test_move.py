"""`hookpost move` is killed at random moments and begun again, to the embedded store and from there to another database: all of it comes over, once.

HOOKPOST_TEST_MOVE_MESSAGES says how many messages there are to be moved: the more, the later a kill can come.
"""

import json
import os
import random
import subprocess
import threading
import time
import unittest

from harness import databases
from harness.places import binary
from harness.server import Server

MESSAGES = int(os.environ.get("HOOKPOST_TEST_MOVE_MESSAGES", "3000"))
SENDERS = 4
KILLS = 6
MOVE_S = 1200

#: By table, how many rows there are, and what tells whether they are the same.
SUMS = {
    "message": "md5(string_agg(id || ' ' || md5(header) || ' ' || coalesce(md5(payload), '-'), ',' ORDER BY id))",
    "delivery": "md5(string_agg(message || ' ' || endpoint || ' ' || state || ' ' || attempts, ',' ORDER BY message, endpoint))",
    "attempt": "md5(string_agg(id || ' ' || md5(data), ',' ORDER BY id))",
}


class Move(unittest.TestCase):
    def test_a_move_that_is_killed_goes_on(self) -> None:
        seed = time.time_ns() % 2**32
        moments = random.Random(seed)
        origin = Server(settings={"HOOKPOST_RETRY_SCHEDULE": "1h"})
        self.addCleanup(lambda: origin.__exit__())
        origin.start()
        self.fill(origin)
        self.assertEqual(origin.stop(), 0)
        assert origin.database
        before = {table: self.sum_of(origin.database, table) for table in SUMS}

        directory = origin.work_dir / "moved"
        target = databases.create(databases.server_url())
        self.addCleanup(lambda: databases.drop(databases.server_url(), target))
        out = self.move(origin, moments, origin.database, f"sqlite:{directory}", lambda: "")
        back = self.move(origin, moments, f"sqlite:{directory}", target, lambda: self.there_is(target))
        self.assertEqual({table: self.sum_of(target, table) for table in SUMS}, before)
        print(f"seed {seed}: {MESSAGES} messages; to the embedded store: {out}; back: {back}; {before['message']}")

    def fill(self, server: Server) -> None:
        app = server.api.post("/app", {"name": "moved"}).json["id"]
        # Nobody answers there: an attempt each, and a retry that is waiting.
        server.api.post(f"/app/{app}/endpoint", {"url": "http://127.0.0.1:9/", "channels": ["tried"]})
        wrong: list[object] = []

        def send(of: int) -> None:
            for n in range(of, MESSAGES, SENDERS):
                body = {"eventType": "moved", "payload": {"n": n, "text": "x" * (n % 700)}, **({"channels": ["tried"]} if n % 10 == 0 else {})}
                answer = server.api.post(f"/app/{app}/msg", body)
                if answer.status != 202:
                    wrong.append(answer)
                    return

        threads = [threading.Thread(target=send, args=(of,)) for of in range(SENDERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])

    def move(self, server: Server, moments: random.Random, source: str, target: str, look) -> str:  # type: ignore[no-untyped-def]
        """Says what there was of it after each kill, and how long the last one took."""
        command = [str(binary()), "move", "--json", "--from", source, "--to", target]
        # The first comes before it can be over.
        longest, killed = 0.03, []
        while len(killed) < KILLS:
            process = subprocess.Popen(command, env=server.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=server.work_dir)
            try:
                process.wait(moments.uniform(0.01, longest))
                # It was faster than the kill: that is the end of it.
                output, error = process.communicate()
                self.assertEqual(process.returncode, 0, error.decode())
                self.assertTrue(killed, "it ended before anybody could kill it")
                return f"killed {len(killed)} times ({' '.join(killed)}), over before another kill"
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                killed.append(look() or "·")
                longest = longest * 1.8
        started = time.monotonic()
        done = subprocess.run(command, env=server.environment, capture_output=True, cwd=server.work_dir, timeout=MOVE_S)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        moved = json.loads(done.stdout)
        self.assertTrue(moved)
        return f"killed {len(killed)} times ({' '.join(killed)}), the rest in {time.monotonic() - started:.1f} s"

    def there_is(self, database: str) -> str:
        """How many messages a target has after a kill: of schema and table there may be nothing yet."""
        try:
            return databases.psql(database, "SELECT count(*) FROM hookpost.message")
        except Exception:
            return "0"

    def sum_of(self, database: str, table: str) -> str:
        return databases.psql(database, f"SELECT count(*) || ' ' || coalesce({SUMS[table]}, '-') FROM hookpost.{table}")
