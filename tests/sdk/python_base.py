"""What the suites of the Python SDK have in common: the SDK of whichever version is installed, an application for each test, and calls over plain
HTTP in the manner of the SDKs for what a version has no method for.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
import unittest
import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import svix.api as sdk  # noqa: E402
import svix.models as models  # noqa: E402
from harness import suite  # noqa: E402
from harness.client import Answer, Client  # noqa: E402
from harness.receiver import Receiver, always  # noqa: E402
from svix import Svix  # noqa: E402

URL = os.environ["HOOKPOST_TEST_URL"]
TOKEN = os.environ["HOOKPOST_TEST_TOKEN"]
VERSION = importlib.metadata.version("svix")
V1 = VERSION.startswith("1.")


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


def long_ago() -> datetime:
    return datetime.now(timezone.utc) - timedelta(days=1)


class SdkTest(unittest.TestCase):
    svix: Any
    receiver: Receiver

    @classmethod
    def setUpClass(cls) -> None:
        cls.svix = Svix(TOKEN, sdk.SvixOptions(server_url=URL))
        cls.receiver = Receiver()
        cls.addClassCleanup(cls.receiver.close)

    def setUp(self) -> None:
        self.app = self.svix.application.create(models.ApplicationIn(name=self.id(), uid=f"uid-{uuid.uuid4().hex}"))
        self.path = f"/{self.id()}"

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
