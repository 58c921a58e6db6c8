"""Python environments for the suites, installed once and again only when their requirements change."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from .places import CACHE


def _stamp(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def python_with(requirements: Path) -> Path:
    """The interpreter of an environment that has what the file lists."""
    home = CACHE / f"venv-{requirements.stem}"
    interpreter, stamp_file = home / "bin" / "python", home / "stamp"
    stamp = _stamp(requirements.read_text(), sys.version)
    with _alone(home.name):
        if interpreter.exists() and stamp_file.exists() and stamp_file.read_text() == stamp:
            return interpreter
        shutil.rmtree(home, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(home)])
        _run([str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", str(requirements)])
        stamp_file.write_text(stamp)
        return interpreter


def node_modules(folder: Path) -> None:
    """Installs what the lock file of `folder` lists, there."""
    lock = (folder / "package-lock.json").read_text()
    stamp_file, stamp = folder / "node_modules" / ".stamp", _stamp(lock)
    with _alone(f"node-{folder.parent.name}-{folder.name}"):
        if stamp_file.exists() and stamp_file.read_text() == stamp:
            return
        _run(["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=folder)
        stamp_file.write_text(stamp)


@contextlib.contextmanager
def _alone(name: str) -> Iterator[None]:
    """Suites that run beside each other share environments; one installs, the others wait for it."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def rerun_inside(requirements: Path) -> None:
    """Makes the running script go on in the environment that `requirements` describes."""
    interpreter = python_with(requirements)
    if Path(sys.prefix).resolve() != interpreter.parent.parent.resolve():
        os.execv(interpreter, [str(interpreter), "-B", "-u", *sys.argv])


def _run(command: list[str], cwd: Path | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed (it needs the network the first time):\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
