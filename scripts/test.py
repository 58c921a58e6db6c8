#!/usr/bin/env python3
"""Runs everything that must hold, step by step, and ends with one line: `N passed, N failed`.

A step counts the tests that it reports itself; a step that reports none counts as one. Steps go on after a failure, so that
one run shows everything; those that need the server are left out when the build fails. The suites run beside each other, as many at
once as there are cores: much of their time is waiting.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Callable

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from harness.postgres import Postgres  # noqa: E402

#: The description that the official SDKs are made from, beside the repository where there is one; and ours, as its test keeps it.
PUBLISHED_API = ROOT.parent / "shared" / "reference" / "svix-openapi.json"
OUR_API = ROOT / "crates/api/src/tests/snapshots/hookpost_api__tests__description__is_as_it_was.snap"
PYTHON = [sys.executable, "-B", "-u"]
CARGO = ["cargo"]


@dataclass(frozen=True)
class Step:
    name: str
    command: list[str]
    #: A file that is not part of the repository, without which the step is left out, with a line that says so.
    wants_file: Path | None = None
    needs_server: bool = False
    #: One PostgreSQL for all the tests of the step, instead of one for each.
    needs_postgres: bool = False
    #: May run beside others of this kind: has servers and ports of its own, and deadlines that are not short.
    beside: bool = False


@dataclass(frozen=True)
class Done:
    step: Step
    passed: int
    failed: int
    seconds: float
    #: Instead of the counts, where the step did not run.
    why_not: str = ""

    def __str__(self) -> str:
        if self.why_not:
            return f"  {self.step.name:<22} {self.why_not}"
        return f"  {self.step.name:<22} {self.passed:>5} passed {self.failed:>3} failed {self.seconds:>7.1f} s"


def target_dir() -> Path:
    return Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").absolute()


def unit_tests() -> list[str]:
    if shutil.which("cargo-nextest"):
        return [*CARGO, "nextest", "run", "--workspace", "--locked", "--no-fail-fast", "--status-level", "fail", "--cargo-quiet"]
    return [*CARGO, "test", "--workspace", "--locked", "--no-fail-fast", "--lib", "--bins", "--tests", "--quiet"]


def on_both_databases(suite: str) -> list[Step]:
    """Whoever calls the API cannot tell them apart."""
    command = [*PYTHON, f"tests/{suite}/run.py", "--database"]
    return [
        Step(suite, [*command, "sqlite"], needs_server=True, beside=True),
        Step(f"{suite} on postgres", [*command, "postgres"], needs_server=True, needs_postgres=True, beside=True),
    ]


# Cheap things first. One build makes the server and the unit tests, so that the cores have work until the end of it.
STEPS = [
    Step("format", [*CARGO, "fmt", "--all", "--check"]),
    Step("arrows", [*PYTHON, "scripts/check_arrows.py"]),
    Step("published API", [*PYTHON, "scripts/check_published_api.py", str(PUBLISHED_API), str(OUR_API)], wants_file=PUBLISHED_API),
    Step("dependencies", [*PYTHON, "scripts/check_dependencies.py"]),
    Step("clippy", [*CARGO, "clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--", "-D", "warnings"]),
    Step("build", [*CARGO, "build", "--workspace", "--lib", "--bins", "--tests", "--locked", "--quiet"]),
    Step("unit tests", unit_tests(), needs_postgres=True),
    Step("documentation tests", [*CARGO, "test", "--workspace", "--doc", "--locked", "--quiet"]),
    *on_both_databases("wire"),
    *on_both_databases("sdk"),
    *on_both_databases("generated"),
    *on_both_databases("delivery"),
    *on_both_databases("receive"),
    Step("examples", [*PYTHON, "tests/examples/run.py"], needs_server=True, beside=True),
    Step("docs", [*PYTHON, "tests/docs/run.py"], needs_server=True),
    Step("nodes", [*PYTHON, "tests/nodes/run.py"], needs_server=True),
    Step("kill test", [str(target_dir() / "debug" / "hookpost-bench"), "kill", "--rounds", "8"], needs_server=True),
    Step("kill through source", [str(target_dir() / "debug" / "hookpost-bench"), "kill", "--through", "source", "--rounds", "4"], needs_server=True),
]

# What the runners of the steps print about their tests: nextest, cargo test, and our own.
COUNTS = [
    re.compile(r"^\s*Summary \[.*?\] .*?(?P<passed>\d+) passed(?: \(.*?\))?(?:, (?P<failed>\d+) failed)?"),
    re.compile(r"^test result: \w+\. (?P<passed>\d+) passed; (?P<failed>\d+) failed;"),
    re.compile(r"^(?P<passed>\d+) passed, (?P<failed>\d+) failed"),
]
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


PRINTING = threading.Lock()


def run(step: Step) -> Done:
    """Runs a step and shows what it prints: at once, or as a whole when it has ended if others run beside it."""
    started = time.monotonic()
    lines: list[str] = []
    if not step.beside:
        print(f"\n=== {step.name}", flush=True)
    show = lines.append if step.beside else show_at_once
    if step.needs_postgres:
        with Postgres() as server:
            passed, failed = run_with(step, {"HOOKPOST_TEST_POSTGRES": server.url}, show)
    else:
        passed, failed = run_with(step, {}, show)
    if step.beside:
        with PRINTING:
            print(f"\n=== {step.name}\n{''.join(lines)}", end="", flush=True)
    return Done(step, passed, failed, time.monotonic() - started)


def show_at_once(line: str) -> None:
    sys.stdout.write(line)
    sys.stdout.flush()


def run_with(step: Step, environment: dict[str, str], show: Callable[[str], object]) -> tuple[int, int]:
    """Returns how many tests passed and failed."""
    passed = failed = 0
    process = subprocess.Popen(
        step.command,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert process.stdout is not None
    for line in process.stdout:
        show(line)
        for pattern in COUNTS:
            if match := pattern.match(ESCAPES.sub("", line)):
                passed += int(match["passed"])
                failed += int(match["failed"] or 0)
                break
    code = process.wait()
    if code != 0 and failed == 0:
        failed = 1
    if code == 0 and passed == 0 and failed == 0:
        passed = 1
    return passed, failed


def run_all(steps: list[Step], at_once: int) -> list[Done]:
    """In their order; neighbours that may run beside each other do."""
    done: list[Done] = []

    def run_if_possible(step: Step) -> Done:
        if step.wants_file and not step.wants_file.exists():
            return Done(step, 0, 0, 0, f"left out: {step.wants_file} is not there")
        if step.needs_server and any(other.step.name == "build" and other.failed for other in done):
            return Done(step, 0, 1, 0, "not run: the build failed")
        return run(step)

    for beside, group in groupby(steps, key=lambda step: step.beside):
        with ThreadPoolExecutor(at_once if beside else 1) as pool:
            done += list(pool.map(run_if_possible, group))
    return done


def main() -> int:
    names = [step.name for step in STEPS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=names, default=[], help="run this step (repeatable)")
    parser.add_argument("--skip", action="append", choices=names, default=[], help="leave this step out (repeatable)")
    parser.add_argument("--at-once", type=int, default=os.cpu_count() or 1, help="so many suites beside each other (default: the cores)")
    options = parser.parse_args()
    steps = [step for step in STEPS if (not options.only or step.name in options.only) and step.name not in options.skip]

    # Without stdin and colours the output reads the same in a terminal and in a log.
    os.environ.setdefault("NEXTEST_HIDE_PROGRESS_BAR", "1")
    done = run_all(steps, options.at_once)
    passed, failed = sum(step.passed for step in done), sum(step.failed for step in done)
    print("\n=== summary")
    print("\n".join(str(step) for step in done))
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
