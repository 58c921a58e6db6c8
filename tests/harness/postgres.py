"""A PostgreSQL server for tests: a free port of 127.0.0.1, a temporary directory, gone with whoever started it. Never one that happens to run."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from .places import ROOT, free_port

SCRIPT = ROOT / "tests" / "harness" / "postgres.sh"


def program(name: str) -> str:
    """A program of PostgreSQL: where Debian keeps the newest, or on the PATH."""
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    found = str(installed[-1]) if installed else shutil.which(name)
    if not found:
        raise SystemExit("PostgreSQL is not installed: run `scripts/setup.sh test`, or install the package `postgresql`")
    return found


class Postgres:
    """A server of one's own, as a context. `url` is that of a superuser."""

    def __init__(self, *settings: str) -> None:
        """`settings` are arguments of the server: `-c`, `name=value`, …"""
        self._script = subprocess.Popen(
            ["sh", str(SCRIPT), str(free_port()), *settings],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Ctrl-C in the terminal is for whoever runs the tests; the server goes when they end.
            start_new_session=True,
        )
        self.url = self._answer()

    def __enter__(self) -> Postgres:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(self) -> str:
        assert self._script.stdout is not None
        if line := self._script.stdout.readline().strip():
            return line
        raise SystemExit(f"the PostgreSQL of the tests ended with {self._script.wait()}")

    def order(self, word: str) -> None:
        """`stop`, `kill`, `start`, `pause` or `resume`; returns when it is done."""
        assert self._script.stdin is not None
        self._script.stdin.write(f"{word}\n")
        self._script.stdin.flush()
        self._answer()

    def close(self) -> None:
        assert self._script.stdin is not None
        self._script.stdin.close()
        self._script.wait()
