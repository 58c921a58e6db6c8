#!/usr/bin/env python3
"""Runs what the documentation shows: README.md and docs/*.md, block by block, word for word.

    ```sh              run in bash, must succeed
    ```sh background   started, and left running until the document ends (a server)
    ```sh not-run      only checked for syntax: it needs what a test has not (a domain, systemd, an hour)
    ```console         lines after `$ ` are run; what follows is compared with what they print
    ```toml            must be accepted by `hookpost config --config`
    ```json            must parse

In expected output `…` stands for anything within a line, and a line of its own for any lines. Ids, times and durations match
others of their kind.

Each document gets an empty directory, a home of its own, and the built binary on its PATH. A clean checkout takes minutes to build,
so there `git clone` makes an empty folder and `make run` starts the built binary with the arguments that the Makefile gives it. If
port 8071 is taken on this machine, another stands for it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from harness import places  # noqa: E402
from harness.client import Client  # noqa: E402
from harness.places import free_port  # noqa: E402

PORT = 8071
BLOCK_S = 60
START_S = 30


@dataclass(frozen=True)
class Block:
    language: str
    options: tuple[str, ...]
    text: str
    line: int


@dataclass(frozen=True)
class Command:
    text: str
    expected: list[str] | None


def blocks_of(document: Path) -> list[Block]:
    found: list[Block] = []
    start, info, lines = 0, "", []  # type: ignore[var-annotated]
    inside = False
    for number, line in enumerate(document.read_text().splitlines(), 1):
        if line.startswith("```"):
            if inside:
                words = info.split()
                if words:
                    found.append(Block(words[0], tuple(words[1:]), "\n".join(lines) + "\n", start))
                inside = False
            else:
                inside, start, info, lines = True, number, line[3:].strip(), []
        elif inside:
            lines.append(line)
    if inside:
        raise SystemExit(f"{document}:{start}: the block has no end")
    return found


def commands_of(block: Block) -> list[Command]:
    if block.language == "sh":
        return [Command(block.text, None)]
    commands: list[Command] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            commands.append(Command(line[2:], []))
        elif commands and commands[-1].text.endswith("\\") and not commands[-1].expected:
            commands[-1] = Command(commands[-1].text + "\n" + line.removeprefix("> "), [])
        elif commands:
            assert commands[-1].expected is not None
            commands[-1].expected.append(line)
    return commands


# Values that differ from run to run, by what they look like.
KINDS = [
    (r"\b(?:app|ep|msg|atmpt|org|qtask|key|evtype|src|rcpt)_[A-Za-z0-9]{20,}\b", r"(?:app|ep|msg|atmpt|org|qtask|key|evtype|src|rcpt)_[A-Za-z0-9]+"),
    (r"\b(?:whsec|whpk|hk)_[A-Za-z0-9+/=_-]+", r"(?:whsec|whpk|hk)_[A-Za-z0-9+/=_-]+"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?Z?", r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?Z?"),
    (r"\b\d+(?:\.\d+)? ?(?:ms|µs|s)\b", r"\d+(?:\.\d+)? ?(?:ms|µs|s)"),
]


def line_regex(line: str) -> str:
    """An expected line as a pattern."""
    kinds = "|".join(f"({look})" for look, _ in KINDS)
    out, at = "", 0
    for match in re.finditer(rf"{kinds}|(…)", line):
        out += re.escape(line[at : match.start()])
        index = next(i for i, group in enumerate(match.groups()) if group is not None)
        out += ".*" if index == len(KINDS) else KINDS[index][1]
        at = match.end()
    # Columns of tables move with the lengths of their values.
    return re.sub(r"(?:\\ ){2,}", r"\\s+", out + re.escape(line[at:]))


def same(expected: list[str], got: str) -> bool:
    while expected and not expected[-1].strip():
        expected = expected[:-1]
    pattern = "".join(r"(?:.*\n)*?" if line.strip() == "…" else line_regex(line.rstrip()) + r"[ \t]*\n" for line in expected)
    return re.fullmatch(pattern, got.rstrip() + "\n" if got.strip() else "") is not None


class Shell:
    """A bash that keeps its directory and variables from block to block."""

    def __init__(self, directory: Path, environment: dict[str, str]):
        self.directory, self.environment = directory, environment
        self.state = directory.parent / "state"
        self.background: list[subprocess.Popen[bytes]] = []

    def script(self, text: str) -> str:
        # The state of the last block first, and that of this one kept at its end.
        return (
            f'[ ! -f "{self.state}" ] || . "{self.state}"\n'
            f"""trap 'code=$?; {{ declare -x | grep -v "SHLVL"; printf "cd %q\\n" "$PWD"; }} >"{self.state}"; exit $code' EXIT\n"""
            f"set -eo pipefail\n{text}"
        )

    def run(self, text: str) -> tuple[int, str]:
        process = subprocess.Popen(
            ["bash", "-c", self.script(text)],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            said = process.communicate(timeout=BLOCK_S)[0]
        except subprocess.TimeoutExpired:
            # Its own session, made above: the shell and what it started.
            os.killpg(process.pid, signal.SIGKILL)
            said = process.communicate()[0]
            return 1, f"{said.decode(errors='replace')}\n(it did not end within {BLOCK_S} s; is it a server, to be marked `background`?)"
        return process.returncode, said.decode(errors="replace")

    def start(self, text: str, port: int) -> str | None:
        """Starts it and waits until something answers at the port; what went wrong, if it did."""
        before = serves(port)
        log = self.directory.parent / f"background-{len(self.background)}"
        with open(log, "wb") as out:
            process = subprocess.Popen(
                ["bash", "-c", f'[ ! -f "{self.state}" ] || . "{self.state}"\n{text}'],
                cwd=self.directory,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.background.append(process)
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if process.poll() is not None:
                return f"it ended with {process.returncode}:\n{log.read_text(errors='replace')[-3000:]}"
            if before or serves(port):
                return None
            time.sleep(0.05)
        return f"nothing answers at port {port} after {START_S} s:\n{log.read_text(errors='replace')[-3000:]}"

    def stop(self) -> None:
        for process in self.background:
            # Its own session, made above: the program and what it started.
            try:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait(15)
            except ProcessLookupError:
                pass
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def serves(port: int) -> bool:
    """Whether a server answers requests there: it may take connections before."""
    try:
        return Client(f"http://127.0.0.1:{port}").get("/health", timeout=1).status < 500
    except OSError:
        return False


SHIMS = {
    "git": """#!/usr/bin/env bash
if [ "${1:-}" = clone ]; then folder=${3:-$(basename "$2" .git)}; mkdir -p "$folder"; else exec @git@ "$@"; fi
""",
    "make": """#!/usr/bin/env bash
if [ "${1:-}" = run ]; then exec hookpost dev; else echo "only make run is here" >&2; exit 2; fi
""",
}


def prepare(home: Path) -> tuple[Shell, int]:
    port = PORT if not answers(PORT) else free_port()
    tools, work = home / "bin", home / "work"
    tools.mkdir()
    work.mkdir()
    (tools / "hookpost").symlink_to(places.binary())
    # Where a release build would have put it.
    (work / "target" / "release").mkdir(parents=True)
    (work / "target" / "release" / "hookpost").symlink_to(places.binary())
    for name, text in SHIMS.items():
        (tools / name).write_text(text.replace("@git@", shutil.which("git") or "/usr/bin/git"))
        (tools / name).chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HOOKPOST_")}
    environment |= {"PATH": f"{tools}:{environment['PATH']}", "HOME": str(home), "NO_COLOR": "1", "COLUMNS": "140", "LC_ALL": "C.UTF-8"}
    if port != PORT:
        # The commands of the shell find the server by this; a server of the document listens there.
        environment |= {"HOOKPOST_LISTEN": f"127.0.0.1:{port}", "HOOKPOST_URL": f"http://127.0.0.1:{port}"}
    return Shell(work, environment), port


def check_document(document: Path) -> tuple[int, list[str]]:
    """How many blocks were good, and what was wrong with the others."""
    home = places.fresh_dir("docs")
    shell, port = prepare(home)
    place = document.relative_to(places.ROOT)
    good, wrong = 0, []
    try:
        for block in blocks_of(document):
            problem = check_block(shell, port, block)
            if problem:
                wrong.append(f"{place}:{block.line}: {problem}")
            elif problem is None:
                good += 1
    finally:
        shell.stop()
        shutil.rmtree(home, ignore_errors=True)
    return good, wrong


def check_block(shell: Shell, port: int, block: Block) -> str | None:
    """`None` when it is good, an empty string when there is nothing to check."""
    if block.language == "json":
        try:
            json.loads(block.text)
        except ValueError as error:
            return f"not JSON: {error}"
        return None
    if block.language == "toml":
        file = shell.directory.parent / "block.toml"
        file.write_text(block.text)
        code, said = shell.run(f'hookpost config --config "{file}" >/dev/null')
        return f"refused: {said}" if code else None
    if block.language not in ("sh", "console"):
        return ""
    for command in commands_of(block):
        text = command.text.replace(str(PORT), str(port))
        if "not-run" in block.options:
            checked = subprocess.run(["bash", "-n", "-c", text], capture_output=True, text=True)
            if checked.returncode:
                return f"not shell: {checked.stderr}"
            continue
        if "background" in block.options:
            if problem := shell.start(text, port):
                return f"{command.text.strip()}: {problem}"
            continue
        code, said = shell.run(text)
        said = said.replace(str(port), str(PORT))
        if code:
            return f"{command.text.strip()}: ended with {code}:\n{said[-3000:]}"
        if command.expected and not same(command.expected, said):
            shown = "\n".join(command.expected)
            return f"{command.text.strip()}: the documentation shows\n{shown}\nbut it prints\n{said[-3000:]}"
    return None


def settings_told_wrongly(document: Path) -> list[str]:
    """The table of settings against what the binary says of itself."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HOOKPOST_")}
    said = subprocess.run([str(places.binary()), "config", "--json"], env=environment, capture_output=True, text=True, check=True).stdout
    table = document.read_text()
    found = []
    for setting in json.loads(said):
        default = f"`{setting['default']}`" if setting["default"] else ""
        row = f"| `{setting['name']}` | {default} | {setting['help']} |"
        if row not in table:
            found.append(f"{document.name}: the table of settings lacks the row\n{row}")
    known = {setting["name"] for setting in json.loads(said)}
    found += [f"{document.name}: there is no setting `{name}`" for name in re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) if name not in known]
    return found


def provider_row(provider: dict[str, Any]) -> str:
    """As it stands in the table of providers; the same place of all schemes stands there once."""

    def places(field: str) -> str:
        found = dict.fromkeys(scheme[field] for scheme in provider["schemes"] if scheme[field])
        return "; ".join(f"`{place}`" for place in found).replace("|", "\\|")

    schemes = ", ".join(scheme["name"] for scheme in provider["schemes"])
    handshake = "yes" if provider["handshake"] else ""
    name = f"[{provider['displayName']}]({provider['documentation']})" if provider["documentation"] else provider["displayName"]
    return f"| `{provider['name']}` | {name} | {schemes} | {places('eventId')} | {places('eventType')} | {handshake} |"


def providers_told_wrongly(document: Path) -> list[str]:
    """The table of providers against what the binary knows."""
    said = subprocess.run([str(places.binary()), "providers", "--json"], capture_output=True, text=True, check=True).stdout
    rows = [provider_row(provider) for provider in json.loads(said)["data"]]
    shown = re.findall(r"^\| `[a-z0-9_]+` \| .*$", document.read_text().split("## Providers")[1], re.MULTILINE)
    found = [f"{document.name}: the table of providers lacks the row\n{row}" for row in rows if row not in shown]
    return found + [f"{document.name}: there is no such provider\n{row}" for row in shown if row not in rows]


def broken_links(document: Path) -> list[str]:
    text = re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL)
    found = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:|#", target):
            continue
        if not (document.parent / target.split("#")[0]).exists():
            found.append(f"{document.relative_to(places.ROOT)}: the link {target} leads nowhere")
    return found


def main() -> int:
    root = places.ROOT
    wanted = [Path(name).resolve() for name in sys.argv[1:]]
    runnable = wanted or [document for document in [root / "README.md", *sorted((root / "docs").glob("*.md"))] if document.exists()]
    passed, wrong = 0, []
    for document in runnable:
        good, found = check_document(document)
        print(f"{document.relative_to(root)}: {good} blocks good, {len(found)} not", flush=True)
        passed += good
        wrong += found
    for document in wanted or [*runnable, *root.glob("*.md"), *root.glob("examples/**/README.md")]:
        if "node_modules" in document.parts:
            continue
        links = broken_links(document)
        passed += not links
        wrong += [link for link in links if link not in wrong]
    if not wanted:
        told_wrongly = settings_told_wrongly(root / "docs" / "configuration.md")
        passed += not told_wrongly
        wrong += told_wrongly
        told_wrongly = providers_told_wrongly(root / "docs" / "receiving.md")
        passed += not told_wrongly
        wrong += told_wrongly
    for problem in wrong:
        print(f"WRONG {problem}")
    print(f"{passed} passed, {len(wrong)} failed", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
