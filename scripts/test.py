#!/usr/bin/env python3
"""Runs everything that must hold, step by step, and ends with one line: `N passed, N failed`.

A step counts the tests that it reports itself; a step that reports none counts as one. Steps go on after a failure, so that
one run shows everything; those that need the server are left out when it did not build.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

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
        Step(suite, [*command, "sqlite"], needs_server=True),
        Step(f"{suite} on postgres", [*command, "postgres"], needs_server=True, needs_postgres=True),
    ]


# Cheap things first. The server of the later steps is the debug build that the unit tests have made most of already.
STEPS = [
    Step("format", [*CARGO, "fmt", "--all", "--check"]),
    Step("arrows", [*PYTHON, "scripts/check_arrows.py"]),
    Step("published API", [*PYTHON, "scripts/check_published_api.py", str(PUBLISHED_API), str(OUR_API)], wants_file=PUBLISHED_API),
    Step("dependencies", [*PYTHON, "scripts/check_dependencies.py"]),
    Step("clippy", [*CARGO, "clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--", "-D", "warnings"]),
    Step("build", [*CARGO, "build", "--workspace", "--bins", "--locked", "--quiet"]),
    Step("unit tests", unit_tests(), needs_postgres=True),
    Step("documentation tests", [*CARGO, "test", "--workspace", "--doc", "--locked", "--quiet"]),
    *on_both_databases("wire"),
    *on_both_databases("sdk"),
    *on_both_databases("generated"),
    *on_both_databases("delivery"),
    *on_both_databases("receive"),
    Step("examples", [*PYTHON, "tests/examples/run.py"], needs_server=True),
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


def run(step: Step) -> tuple[int, int]:
    if not step.needs_postgres:
        return run_with(step, {})
    with Postgres() as server:
        return run_with(step, {"HOOKPOST_TEST_POSTGRES": server.url})


def run_with(step: Step, environment: dict[str, str]) -> tuple[int, int]:
    """Runs a step, shows what it prints, and returns how many tests passed and failed."""
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
        sys.stdout.write(line)
        sys.stdout.flush()
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


def main() -> int:
    names = [step.name for step in STEPS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=names, default=[], help="run this step (repeatable)")
    parser.add_argument("--skip", action="append", choices=names, default=[], help="leave this step out (repeatable)")
    options = parser.parse_args()
    steps = [step for step in STEPS if (not options.only or step.name in options.only) and step.name not in options.skip]

    # Without stdin and colours the output reads the same in a terminal and in a log.
    os.environ.setdefault("NEXTEST_HIDE_PROGRESS_BAR", "1")
    lines: list[str] = []
    total_passed = total_failed = 0
    server_built = True
    for step in steps:
        if step.wants_file and not step.wants_file.exists():
            lines.append(f"  {step.name:<22} left out: {step.wants_file} is not there")
            continue
        if step.needs_server and not server_built:
            total_failed += 1
            lines.append(f"  {step.name:<22} not run: the server did not build")
            continue
        print(f"\n=== {step.name}", flush=True)
        started = time.monotonic()
        passed, failed = run(step)
        if step.name == "build" and failed:
            server_built = False
        total_passed += passed
        total_failed += failed
        lines.append(f"  {step.name:<22} {passed:>5} passed {failed:>3} failed {time.monotonic() - started:>7.1f} s")

    print("\n=== summary")
    print("\n".join(lines))
    print(f"{total_passed} passed, {total_failed} failed", flush=True)
    return 1 if total_failed else 0


if __name__ == "__main__":
    sys.exit(main())
