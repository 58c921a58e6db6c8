"""Runs the `test_*.py` beside a `run.py` and ends with `N passed, N failed`, as every suite here does."""

from __future__ import annotations

import sys
import time
import unittest
from pathlib import Path
from typing import Callable, TypeVar

from . import databases

T = TypeVar("T")


class Result(unittest.TextTestResult):
    """Prints a line per failure at once, and counts what passed (unittest counts only what ran)."""

    passed = 0

    def addSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802
        super().addSuccess(test)
        self.passed += 1

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:  # noqa: N802
        super().addSkip(test, reason)
        self.stream.writeln(f"left out: {test.id()}: {reason}")


def run(test: unittest.TestSuite, name: str) -> int:
    started = time.monotonic()
    result = unittest.TextTestRunner(stream=sys.stdout, resultclass=Result, verbosity=0).run(test)
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    passed = getattr(result, "passed", 0)
    if passed + failed == 0:
        print(f"{name}: no test was found")
        failed = 1
    print(f"{name}: {len(result.skipped)} left out, {time.monotonic() - started:.1f} s")
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


def run_folder(folder: Path) -> int:
    """`run.py [--database sqlite|postgres] [module or module.Class or module.Class.test …]`"""
    databases.choose_by_arguments()
    sys.path.insert(0, str(folder))
    loader = unittest.TestLoader()
    tests = loader.loadTestsFromNames(sys.argv[1:]) if sys.argv[1:] else loader.discover(str(folder), "test_*.py")
    return run(tests, f"{folder.name} on {databases.chosen()}")


def eventually(read: Callable[[], T], good: Callable[[T], bool] = bool, timeout_s: float = 10, what: str = "") -> T:
    """Reads until it is good; fails with the last value after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    wait_s = 0.01
    while True:
        value = read()
        if good(value):
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what or 'it'} did not come within {timeout_s} s; the last value was {value!r}")
        time.sleep(wait_s)
        wait_s = min(wait_s * 1.5, 0.2)
