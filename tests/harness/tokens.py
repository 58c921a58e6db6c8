"""HS256 tokens as Svix servers sign them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time

ORG = "org_23rb8YdGqMT0qIzpgGwdXfHirMu"
OTHER_ORG = "org_1111111111111111111111Other"
MANAGEMENT_ORG = "org_00000000000SvixManagement00"


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign(secret: str, subject: str = ORG, valid_s: int = 3600, algorithm: str = "HS256", **claims: object) -> str:
    now = int(time.time())
    payload = {"iat": now - 5, "exp": now + valid_s, "nbf": now - 5, "iss": "svix-server", "sub": subject, **claims}
    head = _b64(json.dumps({"alg": algorithm, "typ": "JWT"}).encode())
    body = _b64(json.dumps(payload).encode())
    mac = hmac.new(secret.encode(), f"{head}.{body}".encode(), hashlib.sha256).digest()
    return f"{head}.{body}.{_b64(mac)}"
