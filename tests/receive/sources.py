"""A test case with sources: short words for what all tests of receiving do, and never a word on how anything is signed."""

from __future__ import annotations

import urllib.parse
from dataclasses import dataclass
from typing import Any

from harness.cases import ServerCase, unique
from harness.client import Answer, Client
from harness.receiver import Plan, Received, always
from harness.suite import eventually

INGEST = "//ingest/api/v1/source"
#: The endpoints of the tests have this secret, so that what they receive can be verified.
ENDPOINT_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


@dataclass(frozen=True)
class Source:
    id: str
    #: As the provider would have it.
    url: str
    application: str
    #: Where the receiver of its messages gets them.
    path: str


class SourceCase(ServerCase):
    def source(self, kind: str, config: dict[str, Any] | None = None, plan: Plan | None = None, **fields: Any) -> Source:
        """A source with one endpoint, which is a path of the receiver."""
        body = {"name": unique("source"), "type": kind, "config": config or {}, **fields}
        created = self.ok(self.api.post(INGEST, body), 201)
        path = f"/{unique('ep')}"
        endpoint = {"url": self.receiver.url(path, plan or always(200)), "secret": ENDPOINT_SECRET}
        self.ok(self.api.post(f"{INGEST}/{created['id']}/endpoint", endpoint), 201)
        return Source(created["id"], created["ingestUrl"], created["applicationId"], path)

    def arrive(self, source: Source, body: bytes, headers: dict[str, str], method: str = "POST", url: str | None = None) -> Answer:
        """A request as a provider sends it: no token, these headers, these bytes."""
        parts = urllib.parse.urlsplit(url or source.url)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        client = Client(self.server.url)
        try:
            return client.request(method, f"/{target}", raw=body, headers=headers)
        finally:
            client.close()

    def receipts(self, source: Source, count: int = 1, **filters: str) -> list[dict[str, Any]]:
        """Newest first. What was turned away may be written down a moment after its answer."""
        return eventually(
            lambda: self.ok(self.api.get(f"{INGEST}/{source.id}/receipt", query=filters))["data"],
            lambda found: len(found) >= count,
            what=f"{count} receipts",
        )

    def receipt(self, source: Source, receipt: str) -> dict[str, Any]:
        return self.ok(self.api.get(f"{INGEST}/{source.id}/receipt/{receipt}"))

    def counts(self, source: Source) -> dict[str, int]:
        return self.ok(self.api.get(f"{INGEST}/{source.id}/receipt/counts"))

    def messages(self, source: Source) -> list[dict[str, Any]]:
        return self.ok(self.api.get(f"/app/{source.application}/msg", query={"limit": 250}))["data"]

    def delivered(self, source: Source, count: int = 1) -> list[Received]:
        return self.receiver.wait(source.path, count)
