"""Where things are and may be: the repository, the server's binary, what the suites install for themselves, free ports."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "tests" / ".cache"


def target_dir() -> Path:
    return Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").absolute()


def binary() -> Path:
    """The server under test: HOOKPOST_BIN, or the debug build."""
    path = Path(os.environ.get("HOOKPOST_BIN") or target_dir() / "debug" / "hookpost").absolute()
    if not path.exists():
        raise SystemExit(f"{path} is missing: build it with `cargo build --locked --package hookpost`, or set HOOKPOST_BIN")
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fresh_dir(purpose: str) -> Path:
    return Path(tempfile.mkdtemp(prefix=f"hookpost-{purpose}-"))
