"""Every operation that must be called at least once, the statuses that count as success, and the shape of the answer.

`-` stands for an empty body. A suite run in which one of these was never answered successfully has failed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    statuses: tuple[int, ...]
    shape: str

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    def matches(self, method: str, path: str) -> bool:
        return method == self.method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", self.path), path.rstrip("/")) is not None


_TABLE = """
GET     /app                                                        200       [ApplicationOut]
POST    /app                                                        201,200   ApplicationOut
GET     /app/{app}                                                  200       ApplicationOut
PUT     /app/{app}                                                  200,201   ApplicationOut
PATCH   /app/{app}                                                  200       ApplicationOut
DELETE  /app/{app}                                                  204       -
GET     /app/{app}/endpoint                                         200       [EndpointOut]
POST    /app/{app}/endpoint                                         201       EndpointOut
GET     /app/{app}/endpoint/{ep}                                    200       EndpointOut
PUT     /app/{app}/endpoint/{ep}                                    200,201   EndpointOut
PATCH   /app/{app}/endpoint/{ep}                                    200       EndpointOut
DELETE  /app/{app}/endpoint/{ep}                                    204       -
GET     /app/{app}/endpoint/{ep}/headers                            200       EndpointHeadersOut
PATCH   /app/{app}/endpoint/{ep}/headers                            204       -
PUT     /app/{app}/endpoint/{ep}/headers                            204       -
POST    /app/{app}/endpoint/{ep}/recover                            202       TaskOut
POST    /app/{app}/endpoint/{ep}/replay-missing                     202       TaskOut
POST    /app/{app}/endpoint/{ep}/bulk-replay                        202       TaskOut
POST    /app/{app}/endpoint/{ep}/cancel-msgs                        204       -
GET     /app/{app}/endpoint/{ep}/secret                             200       EndpointSecretOut
POST    /app/{app}/endpoint/{ep}/secret/rotate                      200,204   EndpointSecretOut
POST    /app/{app}/endpoint/{ep}/send-example                       200       MessageOut
GET     /app/{app}/endpoint/{ep}/stats                              200       EndpointStats
GET     /event-type                                                 200       [EventTypeOut]
POST    /event-type                                                 201       EventTypeOut
GET     /event-type/{name}                                          200       EventTypeOut
PUT     /event-type/{name}                                          200,201   EventTypeOut
PATCH   /event-type/{name}                                          200       EventTypeOut
DELETE  /event-type/{name}                                          204       -
GET     /app/{app}/msg                                              200       [MessageOut]
POST    /app/{app}/msg                                              202       MessageOut
POST    /app/{app}/msg/precheck/active                              200       PrecheckOut
GET     /app/{app}/msg/{msg}                                        200       MessageOut
GET     /app/{app}/msg/{msg}/raw                                    200       RawPayloadOut
DELETE  /app/{app}/msg/{msg}/content                                204       -
GET     /app/{app}/attempt/endpoint/{ep}                            200       [MessageAttemptOut]
GET     /app/{app}/attempt/endpoint/{ep}/count                      200       CountOut
GET     /app/{app}/attempt/msg/{msg}                                200       [MessageAttemptOut]
GET     /app/{app}/endpoint/{ep}/msg                                200       [EndpointMessageOut]
GET     /app/{app}/msg/{msg}/attempt/{attempt}                      200       MessageAttemptOut
GET     /app/{app}/msg/{msg}/attempt/{attempt}/headers              200       AttemptHeadersOut
DELETE  /app/{app}/msg/{msg}/attempt/{attempt}/content              204       -
GET     /app/{app}/msg/{msg}/endpoint                               200       [MessageEndpointOut]
POST    /app/{app}/msg/{msg}/endpoint/{ep}/resend                   202       Object
GET     /app/{app}/msg/{msg}/attempt                                200       [MessageAttemptOut]
GET     /app/{app}/msg/{msg}/endpoint/{ep}/attempt                  200       [MessageAttemptOut]
GET     /app/{app}/msg/{msg}/endpoint/{ep}/why                      200       Object
GET     /background-task                                            200       [BackgroundTaskOut]
GET     /background-task/{task}                                     200       BackgroundTaskOut
POST    /auth/app-portal-access/{app}                               200       AppPortalAccessOut
POST    /auth/dashboard-access/{app}                                200       AppPortalAccessOut
POST    /auth/app/{app}/expire-all                                  204       -
POST    /auth/logout                                                204       -
GET     /auth/whoami                                                200       WhoamiOut
GET     /health                                                     204       -
HEAD    /health                                                     204       -
GET     /health/ping                                                204       -
HEAD    /health/ping                                                204       -
GET     /openapi.json                                               200       Object

GET     /ingest/api/v1/source                                       200       [IngestSourceOut]
POST    /ingest/api/v1/source                                       201       IngestSourceOut
GET     /ingest/api/v1/source/{src}                                 200       IngestSourceOut
PUT     /ingest/api/v1/source/{src}                                 200,201   IngestSourceOut
PATCH   /ingest/api/v1/source/{src}                                 200       IngestSourceOut
DELETE  /ingest/api/v1/source/{src}                                 204       -
POST    /ingest/api/v1/source/{src}/token/rotate                    200       RotateTokenOut
POST    /ingest/api/v1/source/{src}/dashboard                       200       AppPortalAccessOut
GET     /ingest/api/v1/source/{src}/log                             200       [IngestLogOut]
GET     /ingest/api/v1/source/{src}/endpoint                        200       [IngestEndpointOut]
POST    /ingest/api/v1/source/{src}/endpoint                        201       IngestEndpointOut
GET     /ingest/api/v1/source/{src}/endpoint/{ep}                   200       IngestEndpointOut
PUT     /ingest/api/v1/source/{src}/endpoint/{ep}                   200,201   IngestEndpointOut
DELETE  /ingest/api/v1/source/{src}/endpoint/{ep}                   204       -
GET     /ingest/api/v1/source/{src}/endpoint/{ep}/headers           200       EndpointHeadersOut
PUT     /ingest/api/v1/source/{src}/endpoint/{ep}/headers           204       -
GET     /ingest/api/v1/source/{src}/endpoint/{ep}/secret            200       EndpointSecretOut
POST    /ingest/api/v1/source/{src}/endpoint/{ep}/secret/rotate     204       -
GET     /ingest/api/v1/source/{src}/endpoint/{ep}/transformation    200       TransformationOut
PATCH   /ingest/api/v1/source/{src}/endpoint/{ep}/transformation    204       -
GET     /ingest/api/v1/source/{src}/receipt                         200       [ReceiptOut]
GET     /ingest/api/v1/source/{src}/receipt/counts                  200       ReceiptCountsOut
POST    /ingest/api/v1/source/{src}/receipt/replay                  200       ReplayReceiptsOut
GET     /ingest/api/v1/source/{src}/receipt/{rcpt}                  200       ReceiptOut
POST    /ingest/api/v1/source/{src}/receipt/{rcpt}/replay           200       ReceiptOut
GET     /ingest/api/v1/provider                                     200       [ProviderOut]
"""


def _read(line: str) -> Operation:
    method, path, statuses, shape = line.split()
    below = "" if path.startswith("/ingest/") else "/api/v1"
    return Operation(method, below + path, tuple(map(int, statuses.split(","))), shape)


OPERATIONS = [_read(line) for line in _TABLE.splitlines() if line]


def operation_of(method: str, path: str) -> Operation | None:
    """The operation of a request; literal paths win over placeholders."""
    found = [operation for operation in OPERATIONS if operation.matches(method, path)]
    return min(found, key=lambda operation: operation.path.count("{"), default=None)
