#!/usr/bin/env python3
"""Holds what may come in from outside: licences, sources, and crates that nobody may bring along.

Licences are read from `cargo metadata`, for the platform that is built for; sources and bans from Cargo.lock, for all. Needs no network once the
dependencies are there. What our own crates may name is held by check_arrows.py.
"""

import doctest
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# What our users may get from us. To add one is a decision; say why in the commit.
LICENCES = {
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
}

REGISTRY = "registry+https://github.com/rust-lang/crates.io-index"

# crate -> the crates from outside that may use it beside those that check_arrows.py allows. None but these, however far down.
BROUGHT_BY = {
    "rusqlite": set(),
    "tokio-postgres": {"deadpool-postgres", "tokio-postgres-rustls"},
    "axum": {"aide", "serde_qs"},
    # Requests to foreign hosts go through the guarded client only, and TLS is rustls.
    "reqwest": set(),
    "openssl-sys": set(),
}

PREFIX = "hookpost"


def is_allowed(expression: str) -> bool:
    """Whether somebody who takes only LICENCES can keep to an SPDX expression.

    >>> is_allowed("MIT"), is_allowed("GPL-3.0-only"), is_allowed("")
    (True, False, False)
    >>> is_allowed("GPL-2.0-only OR MIT"), is_allowed("MIT AND GPL-2.0-only")
    (True, False)
    >>> is_allowed("MIT OR GPL-2.0-only AND Apache-2.0"), is_allowed("(MIT OR GPL-2.0-only) AND AGPL-3.0-only")
    (True, False)
    >>> is_allowed("GPL-2.0-only OR (Apache-2.0 AND (ISC OR SSPL-1.0))")
    True
    >>> is_allowed("Apache-2.0 WITH LLVM-exception"), is_allowed("GPL-2.0-only WITH Classpath-exception-2.0")
    (True, False)
    >>> is_allowed("MIT WITH LLVM-exception")  # Not the same licence as MIT.
    False
    >>> is_allowed("MIT/GPL-2.0"), is_allowed("GPL-2.0/AGPL-3.0")  # As crates wrote it once.
    (True, False)
    >>> is_allowed("MIT OR"), is_allowed("MIT Apache-2.0"), is_allowed("(MIT")
    (False, False, False)
    """
    words = re.findall(r"[()]|[^\s()]+", expression.replace("/", " OR "))
    try:
        allowed, rest = any_of(words)
    except IndexError:
        return False
    return allowed and not rest


def any_of(words: list[str]) -> tuple[bool, list[str]]:
    allowed, rest = all_of(words)
    while rest and rest[0] == "OR":
        next_allowed, rest = all_of(rest[1:])
        allowed = allowed or next_allowed
    return allowed, rest


def all_of(words: list[str]) -> tuple[bool, list[str]]:
    allowed, rest = one(words)
    while rest and rest[0] == "AND":
        next_allowed, rest = one(rest[1:])
        allowed = allowed and next_allowed
    return allowed, rest


def one(words: list[str]) -> tuple[bool, list[str]]:
    if words[0] == "(":
        allowed, rest = any_of(words[1:])
        return allowed and rest[0] == ")", rest[1:]
    if len(words) > 2 and words[1] == "WITH":
        return " ".join(words[:3]) in LICENCES, words[3:]
    return words[0] in LICENCES, words[1:]


def problems_of_licences(metadata: dict) -> list[str]:
    used = {node["id"] for node in metadata["resolve"]["nodes"]}
    packages = [package for package in metadata["packages"] if package["id"] in used]
    return [
        f"{package['name']} {package['version']}: its licence, {package['license'] or 'which it does not name'}, is not among those we take"
        for package in packages
        if not is_allowed(package["license"] or "")
    ]


def problems_of_wildcards(metadata: dict) -> list[str]:
    members = set(metadata["workspace_members"])
    return [
        f"{package['name']} takes any version of {dependency['name']}: say which"
        for package in metadata["packages"]
        if package["id"] in members
        for dependency in package["dependencies"]
        if dependency["req"] == "*" and not dependency.get("path")
    ]


def problems_of_lock(lock: dict) -> list[str]:
    found = []
    for package in lock["package"]:
        name = package["name"]
        source = package.get("source")
        if source is None and not name.startswith(PREFIX):
            found.append(f"{name}: comes from a path outside of this workspace")
        if source not in (None, REGISTRY):
            found.append(f"{name}: comes from {source}; only crates.io and this workspace may be sources")
        if source is None:
            continue
        for dependency in package.get("dependencies", []):
            # "name", or "name version" where there are several.
            wanted = dependency.split(" ")[0]
            if name not in BROUGHT_BY.get(wanted, {name}):
                found.append(f"{name} brings along {wanted}, which may come with {sorted(BROUGHT_BY[wanted]) or 'nobody'} only")
    return found


def read_metadata() -> dict:
    version = subprocess.run(["rustc", "-vV"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    host = re.search(r"^host: (\S+)", version, re.MULTILINE)[1]
    # Without the platform cargo would fetch what only others need.
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", host]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main() -> int:
    # A parser that says yes to everything would prove nothing.
    if doctest.testmod().failed:
        return 1
    metadata = read_metadata()
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    found = problems_of_licences(metadata) + problems_of_wildcards(metadata) + problems_of_lock(lock)
    for problem in found:
        print(problem, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
