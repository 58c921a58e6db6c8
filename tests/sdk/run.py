#!/usr/bin/env python3
"""The official SDKs against the running binary: every operation of checklist.py, by three Python versions and two of JavaScript, and the calls of the
command line tool.

Each suite is a process of its own, in its own environment; all speak to the server through recorder.py.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from harness import databases  # noqa: E402
from harness.places import ROOT  # noqa: E402
from harness.server import JWT_SECRET, Server  # noqa: E402
from harness.venvs import node_modules, python_with  # noqa: E402
from recorder import Recorder  # noqa: E402


def suites() -> list[tuple[str, list[str]]]:
    python = [
        (requirements.stem, [str(python_with(requirements)), "-B", "-u", str(HERE / "python_suite.py")])
        for requirements in sorted((HERE / "requirements").glob("*.txt"))
    ]
    node_modules(HERE / "javascript")
    cli = [sys.executable, "-B", "-u", str(HERE / "cli_calls.py")]
    return [*python, ("javascript", ["node", str(HERE / "javascript" / "suite.mjs")]), ("cli", cli)]


def environment_for(name: str, url: str, token: str) -> dict[str, str]:
    if name == "cli":
        # It is to find its way with what it documents, and nothing else.
        others = {key: value for key, value in os.environ.items() if not key.startswith(("SVIX_", "HOOKPOST_"))}
        return {**others, "SVIX_SERVER_URL": url, "SVIX_AUTH_TOKEN": token}
    # With the secret a suite makes tenants of its own.
    return {**os.environ, "HOOKPOST_TEST_URL": url, "HOOKPOST_TEST_TOKEN": token, "HOOKPOST_TEST_JWT_SECRET": JWT_SECRET}


def counts_of(output: str) -> tuple[int, int]:
    """What a suite says of itself: ours, or the lines of Node's test runner."""
    if ours := re.findall(r"^(\d+) passed, (\d+) failed", output, re.MULTILINE):
        return int(ours[-1][0]), int(ours[-1][1])
    node = dict(re.findall(r"^\S+ (pass|fail|cancelled) (\d+)$", output, re.MULTILINE))
    return int(node.get("pass", 0)), int(node.get("fail", 0)) + int(node.get("cancelled", 0))


def run_suite(name: str, command: list[str], environment: dict[str, str]) -> tuple[int, int]:
    done = subprocess.run(command, env=environment, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    passed, failed = counts_of(done.stdout)
    if done.returncode != 0:
        failed = max(failed, 1)
    # Its counts are part of ours: only one line may have this form.
    print(f"--- {name}", flush=True)
    print(re.sub(r"^(\d+) passed, (\d+) failed", r"\1 ok, \2 not", done.stdout, flags=re.MULTILINE), end="", flush=True)
    return passed, failed


def main() -> int:
    databases.choose_by_arguments()
    wanted = sys.argv[1:]
    passed = failed = 0
    with Server(settings={"HOOKPOST_OPERATIONAL_WEBHOOKS": "true"}) as server:
        recorder = Recorder(server.port)
        chosen = [(name, command) for name, command in suites() if not wanted or name in wanted]
        # Most of their time is waiting, and none of them looks at what another has.
        with ThreadPoolExecutor(len(chosen)) as at_once:
            runs = [at_once.submit(run_suite, name, command, environment_for(name, recorder.url, server.token)) for name, command in chosen]
        for counts in (run.result() for run in runs):
            passed, failed = passed + counts[0], failed + counts[1]
        recorder.close()
        if failed:
            print("the end of the server's log:\n" + server.log_tail())

    for problem in sorted(set(recorder.found)):
        print(f"WIRE {problem}")
    failed += len(set(recorder.found))
    for operation, clients in recorder.calls.items():
        if clients or wanted:
            passed += bool(clients)
        else:
            print(f"MISSING {operation}: never answered successfully")
            failed += 1
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
