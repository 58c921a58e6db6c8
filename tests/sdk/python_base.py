"""What the suites of the Python SDK have in common: the SDK of whichever version is installed, an application for each test, and calls over plain
HTTP in the manner of the SDKs for what a version has no method for.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import time
import unittest
import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Callable

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import svix.api as sdk  # noqa: E402
import svix.models as models  # noqa: E402
from harness import suite, tokens  # noqa: E402
from harness.client import Answer, Client  # noqa: E402
from harness.receiver import Received, Receiver, always  # noqa: E402
from harness.server import JWT_SECRET  # noqa: E402
from svix import Svix, Webhook  # noqa: E402
from svix.api.errors.http_error import HttpError  # noqa: E402
from svix.api.errors.http_validation_error import HTTPValidationError  # noqa: E402

URL = os.environ["HOOKPOST_TEST_URL"]
TOKEN = os.environ["HOOKPOST_TEST_TOKEN"]
VERSION = importlib.metadata.version("svix")
V1 = VERSION.startswith("1.")
#: Of versions, to compare: (2, 9).
SINCE = tuple(map(int, VERSION.split(".")[:2]))


def model(*names: str) -> Any:
    """The model under the name that this version has for it."""
    return next(getattr(models, name) for name in names if hasattr(models, name))


def method(resource: Any, *names: str) -> Any:
    return next(getattr(resource, name) for name in names if hasattr(resource, name))


def event_types(names: list[str]) -> dict[str, list[str]]:
    return {"filter_types" if V1 else "event_types": names}


def plain(http_method: str, path: str, body: Any = None, token: str = TOKEN, **options: Any) -> Answer:
    """A call as the SDKs make it, for what they have no method for."""
    headers = {"user-agent": f"svix-libs/{VERSION}/python", "svix-req-id": "1"}
    if http_method == "POST":
        headers["idempotency-key"] = f"auto_{uuid.uuid4()}"
    return Client(URL, token).request(http_method, path, body, headers=headers, **options)


def ok(answer: Answer, status: int = 200) -> Any:
    """The JSON of a successful answer."""
    assert answer.status == status, str(answer)
    return answer.json if answer.body else None


def sdk_with(token: str) -> Any:
    return Svix(token, sdk.SvixOptions(server_url=URL))


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:16]}"


def new_tenant() -> str:
    """The token of a tenant that nobody else uses: for what is counted or exported as a whole."""
    return tokens.sign(JWT_SECRET, f"org_{uuid.uuid4().hex[:27]}")


def verified(secret: str, request: Received) -> Any:
    """What a receiver reads out of a request that it trusts."""
    # Version 1 answers with what it read, version 2 with nothing.
    Webhook(secret).verify(request.body, request.headers)
    return json.loads(request.body)


def moment_between() -> datetime:
    """A time that is not that of what happened before, nor of what happens next: times are kept to the millisecond."""
    time.sleep(0.002)
    now = datetime.now(timezone.utc)
    time.sleep(0.002)
    return now


def long_ago() -> datetime:
    return datetime.now(timezone.utc) - timedelta(days=1)


class SdkTest(unittest.TestCase):
    """`token` and `svix` are those of a tenant that all suites share, or of one for each test."""

    own_tenant = False
    token: str
    svix: Any
    receiver: Receiver

    @classmethod
    def setUpClass(cls) -> None:
        cls.token, cls.svix = TOKEN, sdk_with(TOKEN)
        cls.receiver = Receiver()
        cls.addClassCleanup(cls.receiver.close)

    def setUp(self) -> None:
        if self.own_tenant:
            self.token = new_tenant()
            self.svix = sdk_with(self.token)
        self.app = self.svix.application.create(models.ApplicationIn(name=self.id(), uid=f"uid-{uuid.uuid4().hex}"))
        self.path = f"/{self.id()}"

    def plain(self, http_method: str, path: str, body: Any = None, **options: Any) -> Answer:
        return plain(http_method, path, body, self.token, **options)

    def refused(self, status: int, call: Callable[..., Any], *arguments: Any) -> Any:
        """The error with which a call is refused, read by the SDK."""
        with self.assertRaises(HTTPValidationError if status == 422 else HttpError) as refused:
            call(*arguments)
        self.assertEqual(refused.exception.status_code, status)
        return refused.exception

    def endpoint(self, plan: Any = None, path: str | None = None, **options: Any) -> Any:
        url = self.receiver.url(path or self.path, plan or always(200))
        return self.svix.endpoint.create(self.app.id, models.EndpointIn(url=url, **options))

    def send(self, payload: dict[str, Any] | None = None, **options: Any) -> Any:
        message = models.MessageIn(event_type="user.signup", payload=payload or {"a": 1}, **options)
        # From version 2 on the libraries ask for no content unless they are told to.
        return self.svix.message.create(self.app.id, message, sdk.MessageCreateOptions(with_content=True))

    def attempts(self, message: Any, count: int) -> list[Any]:
        options = sdk.MessageAttemptListByMsgOptions(with_content=True)
        return suite.eventually(
            lambda: self.svix.message_attempt.list_by_msg(self.app.id, message.id, options).data,
            lambda found: len(found) >= count,
            what=f"{count} attempts",
        )

    def finished(self, task_id: str) -> Any:
        return suite.eventually(lambda: self.svix.background_task.get(task_id), lambda task: task.status != "running", what="the task's end")

    def result(self, task: Any) -> dict[str, Any]:
        """What came out of a task that was begun by the SDK."""
        finished = self.finished(task.id)
        self.assertEqual((finished.status, finished.task), ("finished", task.task))
        return finished.data
