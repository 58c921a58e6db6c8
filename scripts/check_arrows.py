#!/usr/bin/env python3
"""Holds the arrows between the crates, and the bans on what may be used where.

Reads `cargo metadata`, so it needs no network and sees what cargo sees. It never looks at source text: what a crate may call
inside a dependency is held by clippy.toml.
"""

import json
import subprocess
import sys

# crate -> the crates of the workspace that it may use. None but these.
ARROWS: dict[str, set[str]] = {
    "domain": set(),
    "providers": {"domain"},
    "shaping": {"domain"},
    "threads": set(),
    "store": {"threads", "domain"},
    "store-sqlite": {"store", "threads", "domain"},
    "store-postgres": {"store", "domain"},
    "engine": {"store", "shaping", "threads", "domain"},
    "transport": {"engine", "threads", "domain"},
    "api": {"engine", "store", "shaping", "providers", "domain"},
    "hookpost": {"*"},
    "sim": {"engine", "api", "store", "store-sqlite", "store-postgres", "transport", "domain"},
    "bench": {"store", "store-sqlite", "domain"},
    "fuzz": {"providers", "shaping", "domain"},
}

# Tests may reach further than the code: a crate is tested against real neighbours.
TEST_ARROWS: dict[str, set[str]] = {
    "api": {"store-sqlite", "transport"},
    "engine": {"store-sqlite"},
    "transport": {"store"},
    "store-postgres": {"store-sqlite"},
}

# dependency -> the only crates that may name it.
WRAPPERS: dict[str, tuple[set[str], str]] = {
    "rusqlite": ({"store-sqlite"}, "the SQL driver stays under its store"),
    "tokio-postgres": ({"store-postgres"}, "the SQL driver stays under its store"),
    "deadpool-postgres": ({"store-postgres"}, "the SQL driver stays under its store"),
    "axum": ({"api", "hookpost"}, "the web framework stays at the edge"),
    "hyper-util": ({"transport", "hookpost", "bench"}, "requests to foreign hosts go through the guarded client"),
    "ureq": ({"hookpost", "bench"}, "requests to foreign hosts go through the guarded client"),
    "clap": ({"hookpost", "bench", "sim"}, "the command line belongs to the binary"),
    "reqwest": (set(), "the guarded client of the transport is the only one"),
    "rand": (set(), "randomness comes through domain::Entropy"),
    "chrono": (set(), "time is domain::Timestamp; its text form is made with jiff"),
    "lazy_static": (set(), "no globals: two servers can live in one process"),
}

# What the crates that only decide must not even be able to do: IO, async, clocks, randomness.
PURE = {"domain", "providers", "shaping"}
PURE_BANS = {"tokio", "async-trait", "futures-util", "getrandom", "hyper", "http-body-util", "tracing", "parking_lot"}

PREFIX = "hookpost-"


def short(name: str) -> str:
    return name.removeprefix(PREFIX)


def problems(metadata: dict) -> list[str]:
    members = {package["name"] for package in metadata["packages"]}
    found = []
    for package in metadata["packages"]:
        crate = short(package["name"])
        if crate not in ARROWS:
            found.append(f"{crate}: unknown crate; say in ARROWS what it may use")
            continue
        for dependency in package["dependencies"]:
            name, in_tests = dependency["name"], dependency["kind"] == "dev"
            if name in members:
                allowed = ARROWS[crate] | (TEST_ARROWS.get(crate, set()) if in_tests else set())
                if "*" not in allowed and short(name) not in allowed and name != package["name"]:
                    found.append(f"{crate} -> {short(name)}: no such arrow{' (tests)' if in_tests else ''}; allowed: {sorted(allowed)}")
            if in_tests:
                continue
            if name in WRAPPERS and crate not in WRAPPERS[name][0]:
                found.append(f"{crate} uses {name}: {WRAPPERS[name][1]}")
            if crate in PURE and name in PURE_BANS:
                found.append(f"{crate} uses {name}: no IO, no async, no clock, no randomness in a crate that only decides")
    return found


def main() -> int:
    command = ["cargo", "metadata", "--no-deps", "--locked", "--format-version", "1"]
    found = problems(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    for problem in found:
        print(problem, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
