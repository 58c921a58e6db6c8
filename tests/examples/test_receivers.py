"""Python and Node always; Go and Rust where they can be built."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import threading
from pathlib import Path

from harness import places, venvs
from harness.cases import ServerCase
from harness.client import Client
from harness.suite import eventually

EXAMPLES = places.ROOT / "examples"
HERE = Path(__file__).resolve().parent


class Program:
    """A receiver under test, and what it printed."""

    def __init__(self, command: list[str], folder: Path, secret: str):
        environment = {**os.environ, "WEBHOOK_SECRET": secret, "PORT": "0"}
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def line(self, regex: str, timeout_s: float = 15) -> re.Match[str]:
        found = eventually(lambda: next((m for line in list(self.lines) if (m := re.search(regex, line))), None), bool, timeout_s, f"/{regex}/")
        assert found is not None
        return found

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)
        if self.process.stdout:
            self.process.stdout.close()


class Receivers(ServerCase):
    def check(self, command: list[str], folder: Path) -> None:
        app = self.app()
        secret = "whsec_" + base64.b64encode(b"the secret of the examples").decode()
        program = Program(command, folder, secret)
        self.addCleanup(program.stop)
        url = program.line(r"listening on (http://127\.0\.0\.1:\d+/)")[1]
        endpoint = self.ok(self.api.post(f"/app/{app}/endpoint", {"url": url, "secret": secret}), 201)["id"]

        message = self.send(app, {"said": "grüß 🪝"})
        self.assertEqual(json.loads(program.line(f"^new {message} (.*)")[1]), {"said": "grüß 🪝"})
        self.assertEqual(self.attempts(app, message)[0]["responseStatusCode"], 204)

        self.ok(self.api.post(f"/app/{app}/msg/{message}/endpoint/{endpoint}/resend"), 202)
        program.line(f"^again {message}")

        forged = {"webhook-id": "msg_forged", "webhook-timestamp": "1700000000", "webhook-signature": "v1,AAAA"}
        answer = Client(url).request("POST", "//", raw=b"{}", headers=forged)
        self.assertEqual(answer.status, 401)
        program.line("^refused")
        self.assertFalse([line for line in program.lines if "msg_forged" in line and not line.startswith("refused")])

    def test_python(self) -> None:
        folder = EXAMPLES / "python"
        self.check([str(venvs.python_with(folder / "requirements.txt")), "-B", "receiver.py"], folder)

    def test_node(self) -> None:
        folder = EXAMPLES / "node"
        venvs.node_modules(folder)
        self.check(["node", "receiver.mjs"], folder)

    def test_rust(self) -> None:
        folder, target = EXAMPLES / "rust", places.target_dir() / "examples"
        if not shutil.which("cargo"):
            self.skipTest("cargo is not installed")
        build = ["cargo", "build", "--locked", "--quiet", "--target-dir", str(target)]
        done = subprocess.run(build, cwd=folder, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.check([str(target / "debug" / "webhook-receiver")], folder)

    def test_go(self) -> None:
        if not shutil.which("go"):
            self.skipTest("go is not installed")
        folder = places.CACHE / "go-example"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(EXAMPLES / "go", folder)
        environment = {**os.environ, "GOFLAGS": "-mod=mod", "GOCACHE": str(places.CACHE / "go-build")}
        library = "github.com/standard-webhooks/standard-webhooks/libraries"
        fetched = subprocess.run(["go", "mod", "download"], cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
        if fetched.returncode != 0:
            # No Go modules can be fetched here: the example is compiled against a stand-in with the library's interface.
            print("go: the standardwebhooks module cannot be fetched here; using the stand-in in tests/examples/go-stand-in")
            (folder / "go.sum").unlink()
            replace = ["go", "mod", "edit", f"-replace={library}={HERE / 'go-stand-in'}"]
            subprocess.run(replace, cwd=folder, env=environment, check=True)
            environment["GOFLAGS"], environment["GOPROXY"] = "-mod=mod", "off"
        done = subprocess.run(["go", "build", "-o", "receiver", "."], cwd=folder, env=environment, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.check([str(folder / "receiver")], folder)
