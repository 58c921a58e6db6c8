"""A Hookpost server of one's own: its port, its data directory or database, its log; started, killed and started again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Callable

from . import databases, tokens
from .client import Client
from .places import binary, free_port, fresh_dir

JWT_SECRET = "a secret that only the tests know"
MASTER_KEY = "5a" * 32
START_S = 20
STOP_S = 20


class Server:
    """`hookpost serve` on a free port of 127.0.0.1. Use it as a context; its data goes with it."""

    def __init__(
        self,
        *,
        settings: dict[str, str] | None = None,
        data_dir: Path | None = None,
        before_exec: Callable[[], None] | None = None,
        postgres: str | None = None,
        database: str | None = None,
    ):
        """`postgres` is the URL of the PostgreSQL server to use, if not that of the run; `database` that of a database that somebody else made
        and drops."""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._owns_data = data_dir is None
        self.work_dir = fresh_dir("test")
        self.data_dir = data_dir or self.work_dir / "data"
        self.log_path = self.work_dir / "log"
        self.before_exec = before_exec
        self._postgres = None if database else postgres or (databases.server_url() if databases.chosen() == "postgres" else None)
        self.database = database or (databases.create(self._postgres) if self._postgres else None)
        self.settings = {
            "HOOKPOST_LISTEN": f"127.0.0.1:{self.port}",
            **self._where(),
            "HOOKPOST_JWT_SECRET": JWT_SECRET,
            "HOOKPOST_ALLOW_PRIVATE_NETWORKS": "true",
            "HOOKPOST_RETRY_SCHEDULE": "200ms,500ms,1s",
            **(settings or {}),
        }
        self.token = tokens.sign(JWT_SECRET)
        self.api = Client(self.url, self.token)
        self.process: subprocess.Popen[bytes] | None = None

    def _where(self) -> dict[str, str]:
        if not self.database:
            return {"HOOKPOST_DATA_DIR": str(self.data_dir)}
        return {
            "HOOKPOST_DATABASE": self.database,
            "HOOKPOST_MASTER_KEY": MASTER_KEY,
            # Started again after a kill it need not wait for its own lease.
            "HOOKPOST_NODE_NAME": "test",
            # On PostgreSQL nothing may be written beside it.
            "HOOKPOST_DATA_DIR": "/dev/null/data",
        }

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._postgres and self.database:
            databases.drop(self._postgres, self.database)
        shutil.rmtree(self.work_dir, ignore_errors=True)

    @property
    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HOOKPOST_")}
        return {**inherited, **self.settings}

    def spawn(self) -> None:
        """Starts the process without waiting for it."""
        log = open(self.log_path, "ab")
        self.process = subprocess.Popen(
            [str(binary()), "serve"],
            env=self.environment,
            cwd=self.work_dir,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=self.before_exec,
        )
        log.close()

    def start(self) -> Server:
        self.spawn()
        assert self.process is not None
        probe = Client(self.url)
        deadline = time.monotonic() + START_S
        while True:
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode} while starting\n{self.log_tail()}")
            try:
                if probe.get("/health", timeout=2).status < 500:
                    probe.close()
                    return self
            except OSError:
                pass
            if time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"the server did not answer within {START_S} s\n{self.log_tail()}")
            time.sleep(0.02)

    def stop(self) -> int | None:
        """Asks it to end, as an operator does, and returns its exit code."""
        self.api.close()
        if self.process is None:
            return None
        process, self.process = self.process, None
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise AssertionError(f"the server did not stop within {STOP_S} s of SIGTERM\n{self.log_tail()}") from None
        return process.returncode

    def kill(self) -> None:
        """`kill -9`."""
        self.api.close()
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_tail(self, lines: int = 30) -> str:
        return "\n".join(self.log().splitlines()[-lines:])
