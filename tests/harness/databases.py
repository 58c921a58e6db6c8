"""Which kind of database the servers of a run use, and an empty one for each.

`run.py --database postgres` and HOOKPOST_TEST_DATABASE choose; HOOKPOST_TEST_POSTGRES names the PostgreSQL server of the whole run, where there is one.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import unittest
import urllib.parse
import uuid
from typing import Callable, TypeVar

from .postgres import Postgres, program

PASSWORD = "correct-horse-battery"
KINDS = ("sqlite", "postgres")
CHOICE, SERVER = "HOOKPOST_TEST_DATABASE", "HOOKPOST_TEST_POSTGRES"

T = TypeVar("T", bound=type)


def chosen() -> str:
    kind = os.environ.get(CHOICE) or "sqlite"
    if kind not in KINDS:
        raise SystemExit(f"{CHOICE} is {kind!r}, and must be one of {', '.join(KINDS)}")
    return kind


def choose_by_arguments() -> None:
    """Takes `--database KIND` out of the arguments. The choice is for the processes of this run too."""
    for index, argument in enumerate(sys.argv):
        if argument == "--database" and index + 1 < len(sys.argv):
            os.environ[CHOICE] = sys.argv[index + 1]
            del sys.argv[index : index + 2]
            break
    chosen()


def only_on(kind: str) -> Callable[[T], T]:
    """For cases that are about one kind."""
    return unittest.skipUnless(chosen() == kind, f"is about {kind}")


def server_url() -> str:
    """A superuser's, of the server of this run."""
    if SERVER not in os.environ:
        server = Postgres()
        atexit.register(server.close)
        os.environ[SERVER] = server.url
    return os.environ[SERVER]


def psql(url: str, *statements: str) -> str:
    """What the last of them answers, unaligned."""
    commands = [part for statement in statements for part in ("--command", statement)]
    options = ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1"]
    done = subprocess.run([program("psql"), *options, *commands, url], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"psql: {done.stderr}")
    return done.stdout.strip()


def create(server: str) -> str:
    """The URL of a new, empty database on a server."""
    name = f"test_{uuid.uuid4().hex}"
    psql(server, f"CREATE DATABASE {name}")
    parts = urllib.parse.urlsplit(server)
    # Everybody is let in, whatever the password: it is there to be found where it must not be.
    return parts._replace(netloc=f"{parts.username}:{PASSWORD}@{parts.hostname}:{parts.port}", path=f"/{name}").geturl()


def drop(server: str, url: str) -> None:
    name = urllib.parse.urlsplit(url).path.removeprefix("/")
    psql(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
