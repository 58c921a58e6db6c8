"""`hookpost verify`, `sign` and `providers` as scripts and people use them; and every vector through the built binary."""

from __future__ import annotations

import base64
import json
import subprocess
import tempfile
import time
import unittest
from pathlib import Path
from typing import Any

from signers import WHSEC, JavaScript, all_signers

from harness.places import ROOT, binary

VECTORS = ROOT / "crates" / "providers" / "tests" / "vectors"


def hookpost(*arguments: str, given: str | bytes = "", code: int = 0) -> str:
    data = given.encode() if isinstance(given, str) else given
    done = subprocess.run([str(binary()), *arguments], input=data, capture_output=True)
    if done.returncode != code:
        raise AssertionError(f"{arguments}: ended with {done.returncode}: {done.stdout!r} {done.stderr!r}")
    return (done.stdout if code in (0, 1) else done.stderr).decode()


def verdicts(lines: list[Any]) -> list[dict[str, Any]]:
    given = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    return [json.loads(line) for line in hookpost("verify", "--json", given=given).splitlines()]


class Vectors(unittest.TestCase):
    """Nothing of a vector that says what is expected of it is looked at to verify it."""

    def problem(self, vector: dict[str, Any], said: dict[str, Any]) -> str | None:
        if set(said) != {"valid", "code", "event_id", "event_type", "hint", "response"}:
            return f"has other fields: {said}"
        if said["valid"] != (vector["expect"] == "valid"):
            return f"is {said}"
        response = vector.get("response") or {}
        if not said["valid"]:
            refused = said["response"]
            return None if said["hint"] and (not refused or response.get("status") in (None, refused["status"])) else f"is {said}"
        if (said["event_id"], said["event_type"]) != (vector["event_id"], vector["event_type"]):
            return f"has {said['event_id']} {said['event_type']}"
        if response:
            return self.differs(response, said["response"] or {"status": None, "headers": {}, "body_base64": ""})
        return f"answers {said['response']}" if said["response"] else None

    def differs(self, expected: dict[str, Any], got: dict[str, Any]) -> str | None:
        if got["status"] != expected["status"]:
            return f"answers {got['status']}"
        headers = {name.lower(): value for name, value in got["headers"].items()}
        for name, value in expected.get("headers", {}).items():
            allowed = [*value.split("|"), *expected.get("header_alternatives", {}).get(name, [])]
            if headers.get(name.lower(), "").split(";")[0] not in allowed:
                return f"answers with {headers}"
        body = base64.b64decode(got["body_base64"]).decode()
        same = (
            ("body" not in expected or body == expected["body"])
            and ("body_json" not in expected or json.loads(body) == expected["body_json"])
            and ("body_contains" not in expected or expected["body_contains"] in body)
        )
        return None if same else f"answers {body}"

    def test_every_vector(self) -> None:
        vectors = [vector for file in sorted(VECTORS.glob("*.json")) for vector in json.loads(file.read_text())]
        self.assertGreaterEqual(len(vectors), 1116)
        started = time.monotonic()
        said = verdicts(vectors)
        took = time.monotonic() - started
        self.assertEqual(len(said), len(vectors))
        problems = [
            f"{vector['provider']}/{vector['case']}: {problem}"
            for vector, one in zip(vectors, said, strict=True)
            if (problem := self.problem(vector, one))
        ]
        self.assertEqual(problems, [])
        self.assertLess(took, 20, "thousands of lines take seconds")

    def test_a_bad_line_is_answered_too(self) -> None:
        good = json.loads((VECTORS / "github.json").read_text())[0]
        lines = ["", "nonsense", "[]", {}, {**good, "provider": "githup"}, {**good, "tolerance": "soon"}, {**good, "secret": None}, good]
        said = verdicts(lines)
        self.assertEqual([one["valid"] for one in said], [False] * 7 + [True])
        self.assertEqual([one["code"] for one in said[:7]], ["bad_line"] * 4 + ["unknown_provider", "bad_settings", "bad_settings"])
        self.assertIn("github", said[4]["hint"])
        self.assertIn("tolerance", said[5]["hint"])

    def test_every_answer_comes_before_the_next_question(self) -> None:
        good = json.dumps(json.loads((VECTORS / "stripe.json").read_text())[0]) + "\n"
        process = subprocess.Popen([str(binary()), "verify", "--json"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdin is not None and process.stdout is not None
        for _ in range(3):
            process.stdin.write(good)
            process.stdin.flush()
            self.assertTrue(json.loads(process.stdout.readline())["valid"])
        process.stdin.close()
        self.assertEqual((process.stdout.read(), process.wait()), ("", 0))
        process.stdout.close()


class People(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="hookpost-verify-")
        self.addCleanup(self.folder.cleanup)
        self.body = Path(self.folder.name) / "event.json"
        self.body.write_bytes(b'{"action":"opened"}')
        self.secret = Path(self.folder.name) / "secret"
        self.secret.write_text("It's a Secret to Everybody\n")
        self.github = ["--provider", "github", "--secret-file", str(self.secret), "-H", "X-GitHub-Event: push", "--body", str(self.body)]

    def signature(self) -> str:
        said = hookpost("sign", *self.github, "--id", "d-1")
        return next(line for line in said.splitlines() if line.lower().startswith("x-hub-signature-256"))

    def test_a_good_request(self) -> None:
        said = hookpost("verify", *self.github, "-H", self.signature(), "-H", "x-github-delivery: d-1")
        self.assertTrue(said.startswith("valid\n"), said)
        for part in ("GitHub", "d-1", "push"):
            self.assertIn(part, said)

    def test_a_bad_one_says_why(self) -> None:
        header = self.signature()
        self.body.write_bytes(b'{"action":"opened"}\n')
        said = hookpost("verify", *self.github, "-H", header, code=1)
        self.assertIn("bad_signature", said)
        self.assertIn("newline", said)
        self.assertIn("missing_header", hookpost("verify", *self.github, code=1))
        said = json.loads(hookpost("verify", *self.github, "-H", header, "--json", code=1))
        self.assertEqual((said["valid"], said["code"]), (False, "bad_signature"))

    def test_the_clock_is_real_unless_it_is_said(self) -> None:
        stripe = ["--provider", "stripe", "--secret", "whsec_x", "--body", str(self.body)]
        header = next(line for line in hookpost("sign", *stripe, "--now", "1767323045").splitlines() if line.startswith("stripe-signature"))
        self.assertIn("stale_timestamp", hookpost("verify", *stripe, "-H", header, code=1))
        hookpost("verify", *stripe, "-H", header, "--now", "2026-01-02T03:04:06Z")
        hookpost("verify", *stripe, "-H", header, "--tolerance", "999999999")

    def test_mistakes_name_the_flag(self) -> None:
        for arguments, words in (
            (["--provider", "githup"], ["github"]),
            (["--provider", "github"], ["--secret"]),
            (["--provider", "github", "--secret", "x", "--scheme", "md5"], ["--scheme", "sha256"]),
            (["--provider", "generic_hmac", "--secret", "x", "--config", '{"colour": 1}'], ["colour"]),
            (["--provider", "paypal", "--secret", "x", "--certificate", "missing.pem"], ["--certificate"]),
            (["--secret", "x"], ["--provider"]),
            (["--secret", "x", "--json"], ["--provider"]),
        ):
            with self.subTest(arguments):
                said = hookpost("verify", *arguments, code=2)
                for word in words:
                    self.assertIn(word, said)

    def test_a_handshake_shows_its_answer(self) -> None:
        url = "https://hooks.example.com/in?hub.mode=subscribe&hub.challenge=123&hub.verify_token=word"
        said = hookpost("verify", "--provider", "meta", "--secret", "s", "--verify-token", "word", "--method", "get", "--url", url)
        self.assertTrue(said.startswith("handshake\n"), said)
        self.assertIn("123", said)

    def test_a_curl_command_is_one(self) -> None:
        said = hookpost("sign", *self.github, "-H", "X-Note: it's", "--curl", "http://127.0.0.1:9/in/x")
        checked = subprocess.run(["bash", "-n", "-c", said], capture_output=True, text=True)
        self.assertEqual(checked.returncode, 0, checked.stderr)
        self.assertIn(f"--data-binary '@{self.body}'", said)

    def test_providers_are_listed_and_explained(self) -> None:
        table = hookpost("providers")
        known = {provider["name"]: provider for provider in json.loads(hookpost("providers", "--json"))["data"]}
        self.assertGreaterEqual(len(known), 74)
        of_vectors = {vector["provider"] for file in VECTORS.glob("*.json") for vector in json.loads(file.read_text())}
        self.assertEqual([name for name in of_vectors if name not in known or name not in table], [])
        for name, provider in known.items():
            full = hookpost("providers", name)
            self.assertIn(provider["displayName"], full)
        self.assertIn("did you mean", hookpost("providers", "stirpe", code=2))


class Signing(unittest.TestCase):
    def test_what_the_sdks_sign_is_verified(self) -> None:
        javascript = JavaScript()
        self.addCleanup(javascript.close)
        lines, url = [], "https://hooks.example.com/in/x"
        for signer in all_signers(javascript):
            body, headers = signer.request(url, signer.event(1))
            encoded = base64.b64encode(body).decode()
            lines.append({"provider": signer.kind, "secret": signer.secret, "url": url, "headers": headers, "body_base64": encoded})
            lines.append({**lines[-1], "secret": signer.other_secret})
        said = verdicts(lines)
        self.assertEqual([one["valid"] for one in said], [True, False] * (len(lines) // 2), said)

    def test_what_is_signed_here_is_verified_here(self) -> None:
        lines = []
        for file in sorted(VECTORS.glob("*.json")):
            for vector in json.loads(file.read_text()):
                if vector["expect"] == "valid" and not vector.get("handshake"):
                    lines.append(vector)
        given = "".join(json.dumps(line) + "\n" for line in lines)
        signed = [json.loads(line) for line in hookpost("sign", "--json", given=given).splitlines()]
        self.assertEqual(len(signed), len(lines))
        made = [(vector, line) for vector, line in zip(lines, signed, strict=True) if "headers" in line]
        self.assertGreater(len(made), len(lines) // 2)
        wrong = [(vector["provider"], vector["case"], said) for (vector, line), said in zip(made, verdicts([line for _, line in made]), strict=True) if not said["valid"]]
        self.assertEqual(wrong, [])
        # Where only the provider has the key, that is what is said.
        for line in signed:
            if "headers" not in line:
                self.assertEqual(line["code"], "cannot_sign", line)

    def test_a_form_and_a_url_can_be_signed(self) -> None:
        said = hookpost("sign", "--provider", "standard_webhooks", "--secret", WHSEC, "--body", "-", "--id", "msg_1", given='{"a":1}')
        self.assertIn("webhook-id: msg_1", said)
        self.assertIn("content-type: application/json", said)
