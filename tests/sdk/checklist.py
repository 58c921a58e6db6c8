"""Every operation that must be called at least once, the statuses that count as success, and the shape of the answer.

`-` stands for an empty body. A suite run in which one of these was never answered successfully has failed. Of the published operations only those of
connectors and of the transformation of an endpoint are not here: they come with shaping.
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
POST    /app/{app}/endpoint/{ep}/recover                            202       RecoverOut
POST    /app/{app}/endpoint/{ep}/replay-missing                     202       ReplayOut
POST    /app/{app}/endpoint/{ep}/bulk-replay                        202       ReplayOut
POST    /app/{app}/endpoint/{ep}/cancel-msgs                        204       -
GET     /app/{app}/endpoint/{ep}/secret                             200       EndpointSecretOut
POST    /app/{app}/endpoint/{ep}/secret/rotate                      200,204   EndpointSecretOut
POST    /app/{app}/endpoint/{ep}/send-example                       202       MessageOut
GET     /app/{app}/endpoint/{ep}/stats                              200       EndpointStats
GET     /event-type                                                 200       [EventTypeOut]
POST    /event-type                                                 201       EventTypeOut
GET     /event-type/{name}                                          200       EventTypeOut
PUT     /event-type/{name}                                          200,201   EventTypeOut
PATCH   /event-type/{name}                                          200       EventTypeOut
DELETE  /event-type/{name}                                          204       -
GET     /app/{app}/msg                                              200       [MessageOut]
POST    /app/{app}/msg                                              202       MessageOut
POST    /app/{app}/msg/precheck/active                              200       MessagePrecheckOut
GET     /app/{app}/msg/{msg}                                        200       MessageOut
GET     /app/{app}/msg/{msg}/raw                                    200       MessageRawPayloadOut
DELETE  /app/{app}/msg/{msg}/content                                204       -
GET     /app/{app}/attempt/endpoint/{ep}                            200       [MessageAttemptOut]
GET     /app/{app}/attempt/endpoint/{ep}/count                      200       CountOut
GET     /app/{app}/attempt/msg/{msg}                                200       [MessageAttemptOut]
GET     /app/{app}/endpoint/{ep}/msg                                200       [EndpointMessageOut]
GET     /app/{app}/msg/{msg}/attempt/{attempt}                      200       MessageAttemptOut
GET     /app/{app}/msg/{msg}/attempt/{attempt}/headers              200       MessageAttemptHeadersOut
DELETE  /app/{app}/msg/{msg}/attempt/{attempt}/content              204       -
GET     /app/{app}/msg/{msg}/endpoint                               200       [MessageEndpointOut]
POST    /app/{app}/msg/{msg}/endpoint/{ep}/resend                   202       EmptyResponse
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

POST    /auth/stream-portal-access/{strm}                           200       AppPortalAccessOut
POST    /auth/stream-logout                                         204       -
POST    /auth/stream/{strm}/expire-all                              204       -
GET     /auth/stream/{strm}/sink/{sink}/poller/token                200       ApiTokenOut
POST    /auth/stream/{strm}/sink/{sink}/poller/token/rotate         201       ApiTokenOut
GET     /auth/app/{app}/poller/{sink}/token                         200       ApiTokenOut
POST    /auth/app/{app}/poller/{sink}/token/rotate                  201       ApiTokenOut
POST    /auth/app/{app}/create-message-token                        200       ApiTokenOut

POST    /auth/one-time-token                                        200       OneTimeTokenOut
GET     /management/authentication/{org}/api-token                  200       [ApiTokenCensoredOut]
POST    /management/authentication/{org}/api-token                  200       ApiTokenOut
GET     /management/authentication/{org}/api-token/{key}            200       ApiTokenCensoredOut
PUT     /management/authentication/{org}/api-token/{key}            200       ApiTokenCensoredOut
PATCH   /management/authentication/{org}/api-token/{key}            200       ApiTokenCensoredOut
POST    /management/authentication/{org}/api-token/{key}/expire     204       -

GET     /operational-webhook/endpoint                               200       [OperationalWebhookEndpointOut]
POST    /operational-webhook/endpoint                               201       OperationalWebhookEndpointOut
GET     /operational-webhook/endpoint/{ep}                          200       OperationalWebhookEndpointOut
PUT     /operational-webhook/endpoint/{ep}                          200,201   OperationalWebhookEndpointOut
DELETE  /operational-webhook/endpoint/{ep}                          204       -
GET     /operational-webhook/endpoint/{ep}/secret                   200       OperationalWebhookEndpointSecretOut
POST    /operational-webhook/endpoint/{ep}/secret/rotate            204       -
GET     /operational-webhook/endpoint/{ep}/headers                  200       OperationalWebhookEndpointHeadersOut
PUT     /operational-webhook/endpoint/{ep}/headers                  204       -

GET     /app/{app}/integration                                      200       [IntegrationOut]
POST    /app/{app}/integration                                      201       IntegrationOut
GET     /app/{app}/integration/{integ}                              200       IntegrationOut
PUT     /app/{app}/integration/{integ}                              200       IntegrationOut
DELETE  /app/{app}/integration/{integ}                              204       -
POST    /app/{app}/integration/{integ}/key/rotate                   200       IntegrationKeyOut
GET     /app/{app}/integration/{integ}/key                          200       IntegrationKeyOut

POST    /environment/export                                         200       EnvironmentOut
POST    /environment/import                                         204       -
GET     /management/environment                                     200       [EnvironmentModelOut]
GET     /management/environment/{org}                               200       EnvironmentModelOut
GET     /management/environment-settings                            200       SettingsInternalOut
PUT     /management/environment-settings                            200       SettingsInternalUpdateOut
PATCH   /management/environment-settings                            200       SettingsInternalOut
GET     /management/limits/{org}                                    200       LimitsOut
PUT     /management/limits/{org}                                    200       LimitsOut
DELETE  /management/limits/{org}                                    204       -
GET     /audit-log                                                  200       [AuditEntryOut]
GET     /environment/settings                                       200       EnvironmentSettingsOut
POST    /event-type/import/openapi                                  200       EventTypeImportOpenApiOut
POST    /event-type/export/openapi                                  202       ExportEventTypeOut
GET     /event-type/{name}/retry-schedule                           200       Object
PUT     /event-type/{name}/retry-schedule                           200       Object

PUT     /stats/usage/event-types                                    202       AggregateEventTypesOut
POST    /stats/usage/app                                            202       AppUsageStatsOut
GET     /stats/endpoint/count                                       200       EndpointCountOut
GET     /stats/app/{app}/attempt                                    200       AttemptStatisticsResponse
GET     /app/{app}/stats/attempts                                   200       AppAttemptStatsOut
GET     /app/stats/count-active                                     200       ActiveAppCount
GET     /app/{app}/endpoint/{ep}/rate-limit-status                  200       EndpointThrottleRateStatusOut
GET     /app/{app}/endpoint/{ep}/attempt-stats                      200       EndpointAttemptStats

POST    /app/{app}/msg/bulk-expunge                                 200       BulkExpungeContentsOut
POST    /app/{app}/msg/expunge-all-contents                         202       ExpungeAllContentsOut
POST    /app/{app}/msg/search                                       200       [MessageOut]
POST    /app/{app}/endpoint/{ep}/msg/test-attempt                   201       MessageAttemptOut
POST    /msg/broadcast                                              202       MessageBroadcastOut
GET     /app/{app}/events                                           200       MessageEventsOut
GET     /events                                                     200       MessageEventsOut

GET     /app/{app}/poller/{sink}                                    200       PollingEndpointOut
GET     /app/{app}/poller/{sink}/consumer/{consumer}                200       PollingEndpointOut
POST    /app/{app}/poller/{sink}/consumer/{consumer}/seek           200       PollingEndpointConsumerSeekOut
GET     /app/{app}/polling-endpoint/{sink}/consumer/{consumer}      200       PollerV2PollOut
POST    /app/{app}/polling-endpoint/{sink}/consumer/{consumer}/commit  204    -

GET     /app/{app}/destination                                      200       [DestinationOut]
POST    /app/{app}/destination                                      201       DestinationOut
GET     /app/{app}/destination/{sink}                               200       DestinationOut
PUT     /app/{app}/destination/{sink}                               200,201   DestinationOut
PATCH   /app/{app}/destination/{sink}                               200       DestinationOut
DELETE  /app/{app}/destination/{sink}                               204       -
GET     /app/{app}/destination/{sink}/secret                        200       SinkSecretOut
POST    /app/{app}/destination/{sink}/secret/rotate                 200       RotatedSecretOut
GET     /app/{app}/destination/{sink}/headers                       200       EndpointHeadersOut
PATCH   /app/{app}/destination/{sink}/headers                       200       EndpointHeadersOut
GET     /app/{app}/destination/{sink}/transformation                200       SinkTransformationOut
PATCH   /app/{app}/destination/{sink}/transformation                200       EmptyResponse
POST    /app/{app}/destination/{sink}/force-retry                   204       -
GET     /app/{app}/destination/{sink}/last-acked-event              200       EventOut
GET     /app/{app}/destination/{sink}/next-event                    200       EventOut
POST    /app/{app}/destination/{sink}/skip                          204       -
GET     /app/{app}/destination/{sink}/attempt                       200       [DestinationAttemptOut]
GET     /app/{app}/destination/{sink}/attempt/{attempt}             200       DestinationAttemptOut

GET     /stream/event-type                                          200       [StreamEventTypeOut]
POST    /stream/event-type                                          201       StreamEventTypeOut
GET     /stream/event-type/{name}                                   200       StreamEventTypeOut
PUT     /stream/event-type/{name}                                   200,201   StreamEventTypeOut
PATCH   /stream/event-type/{name}                                   200       StreamEventTypeOut
DELETE  /stream/event-type/{name}                                   204       -
GET     /stream                                                     200       [StreamOut]
POST    /stream                                                     201       StreamOut
GET     /stream/{strm}                                              200       StreamOut
PUT     /stream/{strm}                                              200,201   StreamOut
PATCH   /stream/{strm}                                              200       StreamOut
DELETE  /stream/{strm}                                              204       -
POST    /stream/{strm}/events                                       202       CreateStreamEventsOut
GET     /stream/{strm}/events/latest                                200       LatestEventsOut
GET     /stream/{strm}/sink                                         200       [StreamSinkOut]
POST    /stream/{strm}/sink                                         201       StreamSinkOut
GET     /stream/{strm}/sink/{sink}                                  200       StreamSinkOut
PUT     /stream/{strm}/sink/{sink}                                  200,201   StreamSinkOut
PATCH   /stream/{strm}/sink/{sink}                                  200       StreamSinkOut
DELETE  /stream/{strm}/sink/{sink}                                  204       -
GET     /stream/{strm}/sink/{sink}/events                           200       EventStreamOut
GET     /stream/{strm}/sink/{sink}/secret                           200       SinkSecretOut
POST    /stream/{strm}/sink/{sink}/secret/rotate                    200       RotatedSecretOut
GET     /stream/{strm}/sink/{sink}/headers                          200       EndpointHeadersOut
PATCH   /stream/{strm}/sink/{sink}/headers                          200       EndpointHeadersOut
GET     /stream/{strm}/sink/{sink}/transformation                   200       SinkTransformationOut
PATCH   /stream/{strm}/sink/{sink}/transformation                   200       EmptyResponse
POST    /stream/{strm}/sink/{sink}/force-retry                      204       -
POST    /stream/{strm}/sink/{sink}/skip                             204       -
GET     /stream/{strm}/sink/{sink}/last-acked-event                 200       EventOut
GET     /stream/{strm}/sink/{sink}/next-event                       200       EventOut
GET     /stream/{strm}/sink/{sink}/attempt                          200       [SinkAttemptOut]
GET     /stream/{strm}/sink/{sink}/attempt/{attempt}                200       SinkAttemptOut

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
GET     /ingest/api/v1/source/{src}/endpoint/{ep}/headers           200       IngestEndpointHeadersOut
PUT     /ingest/api/v1/source/{src}/endpoint/{ep}/headers           204       -
GET     /ingest/api/v1/source/{src}/endpoint/{ep}/secret            200       EndpointSecretOut
POST    /ingest/api/v1/source/{src}/endpoint/{ep}/secret/rotate     204       -
GET     /ingest/api/v1/source/{src}/endpoint/{ep}/transformation    200       IngestEndpointTransformationOut
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
