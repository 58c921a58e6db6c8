//! The route table: every operation on one line, with its published id. What is not here does not exist, and answers 404.

use std::sync::{Arc, OnceLock};

use aide::openapi::OpenApi;
use axum::Router;
use axum::response::Redirect;
use axum::routing::get;
use bytes::Bytes;
use http::StatusCode;
use prometheus_client::registry::Registry;

use crate::audit::Operations;
use crate::extract::json_response;
use crate::ingest;
use crate::problem::Problem;
use crate::state::Api;
use crate::table::Method::{Delete, Get, Patch, Post, Put};
use crate::table::Table;
use crate::v1::application::ApplicationPath;
use crate::v1::destination::{DestinationAttemptPath, DestinationPath};
use crate::v1::endpoint::operational::OperationalPath;
use crate::v1::stream::StreamPath;
use crate::v1::stream::sink::{SinkAttemptPath, StreamSinkPath};
use crate::v1::{
    api_key, api_token, application, attempt, audit_log, authentication, background_task, endpoint, environment, event_type, feed, health,
    integration, limits, message, poller, sink, statistics, stream, why,
};
use crate::{docs_page, metrics, openapi};

#[rustfmt::skip] // One line per operation reads best.
fn table() -> Table {
    let mut table = Table::default();
    table.below("/api/v1")
        .about("Application", "One customer of yours, or one internal system: owns endpoints and messages.")
        .row(Get,    "/app",          "v1.application.list",   "List the applications",                         application::list)
        .row(Post,   "/app",          "v1.application.create", "Create an application",                         application::create)
        .row(Get,    "/app/{app_id}", "v1.application.get",    "Get an application",                            application::get)
        .row(Put,    "/app/{app_id}", "v1.application.upsert", "Replace an application, or create it",          application::update)
        .row(Patch,  "/app/{app_id}", "v1.application.patch",  "Change some fields of an application",          application::patch)
        .row(Delete, "/app/{app_id}", "v1.application.delete", "Delete an application with all that it owns",   application::delete)

        .about("Event Type", "A named kind of event, such as `invoice.paid`.")
        .row(Get,    "/event-type",                   "v1.event-type.list",   "List the event types, by name",                     event_type::list)
        .row(Post,   "/event-type",                   "v1.event-type.create", "Create an event type, or bring back an archived one", event_type::create)
        .row(Post,   "/event-type/import/openapi",    "v1.event-type.import-openapi", "Create and change event types as an OpenAPI document has them", event_type::import::import)
        .row(Post,   "/event-type/export/openapi",    "v1.event-type.export-openapi", "Make an OpenAPI document of the event types, as a background task", event_type::import::export)
        .row(Get,    "/event-type/{event_type_name}", "v1.event-type.get",    "Get an event type",                                 event_type::get)
        .row(Put,    "/event-type/{event_type_name}", "v1.event-type.upsert", "Replace an event type, or create it",               event_type::update)
        .row(Patch,  "/event-type/{event_type_name}", "v1.event-type.patch",  "Change some fields of an event type",               event_type::patch)
        .row(Delete, "/event-type/{event_type_name}", "v1.event-type.delete", "Archive an event type, or delete it",               event_type::delete)
        .row(Get,    "/event-type/{event_type_name}/retry-schedule", "v1.event-type.get-retry-schedule", "Get what messages of an event type are retried by", event_type::retry_schedule::get)
        .row(Put,    "/event-type/{event_type_name}/retry-schedule", "v1.event-type.set-retry-schedule", "Set what messages of an event type are retried by", event_type::retry_schedule::set)

        .about("Endpoint", "A subscriber: where and how the messages of an application are delivered.")
        .row(Get,    "/app/{app_id}/endpoint",                              "v1.endpoint.list",           "List the endpoints of an application",                endpoint::list)
        .row(Post,   "/app/{app_id}/endpoint",                              "v1.endpoint.create",         "Create an endpoint",                                  endpoint::create)
        .row(Get,    "/app/{app_id}/endpoint/{endpoint_id}",                "v1.endpoint.get",            "Get an endpoint",                                     endpoint::get)
        .row(Put,    "/app/{app_id}/endpoint/{endpoint_id}",                "v1.endpoint.upsert",         "Replace an endpoint, or create it",                   endpoint::update)
        .row(Patch,  "/app/{app_id}/endpoint/{endpoint_id}",                "v1.endpoint.patch",          "Change some fields of an endpoint",                   endpoint::patch)
        .row(Delete, "/app/{app_id}/endpoint/{endpoint_id}",                "v1.endpoint.delete",         "Delete an endpoint; what waits for it is canceled",   endpoint::delete)
        .row(Get,    "/app/{app_id}/endpoint/{endpoint_id}/headers",        "v1.endpoint.get-headers",    "Get the headers that an endpoint adds",               endpoint::headers::get)
        .row(Put,    "/app/{app_id}/endpoint/{endpoint_id}/headers",        "v1.endpoint.set-headers",    "Replace the headers that an endpoint adds",           endpoint::headers::update)
        .row(Patch,  "/app/{app_id}/endpoint/{endpoint_id}/headers",        "v1.endpoint.patch-headers",  "Change some of the headers that an endpoint adds",    endpoint::headers::patch)
        .row(Get,    "/app/{app_id}/endpoint/{endpoint_id}/secret",         "v1.endpoint.get-secret",     "Get the key that receivers verify with",              endpoint::secret::get)
        .row(Post,   "/app/{app_id}/endpoint/{endpoint_id}/secret/rotate",  "v1.endpoint.rotate-secret",  "Replace the signing secret; the old one signs along for a while", endpoint::secret::rotate)
        .row(Get,    "/app/{app_id}/endpoint/{endpoint_id}/stats",          "v1.endpoint.get-stats",      "Count the deliveries of an endpoint by state",        endpoint::stats::get)
        .row(Get,    "/app/{app_id}/endpoint/{endpoint_id}/attempt-stats",  "v1.endpoint.get-attempt-stats", "Count the deliveries of an endpoint that came to an end", endpoint::stats::of_attempts)
        .row(Get,    "/app/{app_id}/endpoint/{endpoint_id}/rate-limit-status", "v1.endpoint.get-throttling-status", "Say whether an endpoint is held back now",      endpoint::throttling::get)
        .row(Post,   "/app/{app_id}/endpoint/{endpoint_id}/msg/test-attempt", "v1.message.test-attempt", "Try an endpoint out, and see what it answers",          message::trial::test_attempt)
        .row(Post,   "/app/{app_id}/endpoint/{endpoint_id}/recover",        "v1.endpoint.recover",        "Send again what failed since a time",                 endpoint::replay::recover)
        .row(Post,   "/app/{app_id}/endpoint/{endpoint_id}/replay-missing", "v1.endpoint.replay-missing", "Send what an endpoint never got since a time",        endpoint::replay::replay_missing)
        .row(Post,   "/app/{app_id}/endpoint/{endpoint_id}/bulk-replay",    "v1.endpoint.bulk-replay",    "Send again everything that matches",                  endpoint::replay::bulk_replay)
        .row(Post,   "/app/{app_id}/endpoint/{endpoint_id}/cancel-msgs",    "v1.endpoint.cancel-msgs",    "Stop trying to deliver messages from before a time",  endpoint::replay::cancel)
        .row(Post,   "/app/{app_id}/endpoint/{endpoint_id}/send-example",   "v1.endpoint.send-example",   "Send an example of an event type to an endpoint",     endpoint::example::send)

        .about("Message", "One event, accepted for an application and delivered to every endpoint that subscribes to it.")
        .row(Get,    "/app/{app_id}/msg",                      "v1.message.list",                 "List the messages of an application, newest first",   message::list)
        .row(Post,   "/app/{app_id}/msg",                      "v1.message.create",               "Create a message; it is on disk when this answers",   message::create::create)
        .row(Post,   "/app/{app_id}/msg/precheck/active",      "v1.message.precheck",             "Ask whether any endpoint would get such a message",   message::precheck)
        .row(Post,   "/app/{app_id}/msg/expunge-all-contents", "v1.message.expunge-all-contents", "Remove the payloads of all messages for good",        message::expunge_all)
        .row(Get,    "/app/{app_id}/msg/{msg_id}",             "v1.message.get",                  "Get a message",                                       message::get)
        .row(Get,    "/app/{app_id}/msg/{msg_id}/raw",         "v1.message.get-raw-payload",      "Get the payload of a message as text",                message::raw)
        .row(Delete, "/app/{app_id}/msg/{msg_id}/content",     "v1.message.expunge-content",      "Remove the payload of a message for good",            message::expunge)
        .row(Post,   "/app/{app_id}/msg/bulk-expunge",         "v1.message.bulk-expunge-content", "Remove the payloads of some messages for good",       message::bulk_expunge)
        .row(Post,   "/app/{app_id}/msg/search",               "v1.message.search",               "Look for messages, also by text in their payloads",   message::search::search)
        .row(Post,   "/msg/broadcast",                         "v1.message.broadcast",            "Send a message to every application",                 message::broadcast::broadcast)

        .about("Message Attempt", "Every try to deliver a message to an endpoint, and how far each delivery came.")
        .row(Get,    "/app/{app_id}/attempt/endpoint/{endpoint_id}",                 "v1.message-attempt.list-by-endpoint",            "List the attempts at an endpoint, newest first",    attempt::list_by_endpoint)
        .row(Get,    "/app/{app_id}/attempt/endpoint/{endpoint_id}/count",           "v1.message-attempt.count-by-endpoint",           "Count the attempts at an endpoint",                 attempt::count_by_endpoint)
        .row(Get,    "/app/{app_id}/attempt/msg/{msg_id}",                           "v1.message-attempt.list-by-msg",                 "List the attempts at a message, newest first",      attempt::list_by_msg)
        .row(Get,    "/app/{app_id}/endpoint/{endpoint_id}/msg",                     "v1.message-attempt.list-attempted-messages",     "List the messages of an endpoint with their states", attempt::destinations::messages_of_endpoint)
        .row(Get,    "/app/{app_id}/msg/{msg_id}/endpoint",                          "v1.message-attempt.list-attempted-destinations", "List the endpoints of a message with their states", attempt::destinations::endpoints_of_message)
        .row(Get,    "/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}",              "v1.message-attempt.get",                         "Get an attempt",                                    attempt::get)
        .row(Get,    "/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}/headers",      "v1.message-attempt.get-headers",                 "Get the headers that were sent and answered",       attempt::headers::get)
        .row(Delete, "/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}/content",      "v1.message-attempt.expunge-content",             "Remove the body of an answer for good",             attempt::expunge)
        .row(Post,   "/app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/resend",     "v1.message-attempt.resend",                      "Send a message to an endpoint again",               attempt::resend::resend)
        .row(Get,    "/app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/why",        "hookpost.why",                                   "Say why a message did not arrive, or that it did",  why::why)
        .alias(Get,  "/app/{app_id}/msg/{msg_id}/attempt",                           attempt::list_by_msg)
        .alias(Get,  "/app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/attempt",    attempt::list_by_msg_and_endpoint)

        .about("Stream", "Events in their order, for sinks that take all of them.")
        .row(Get,    "/stream",             "v1.streaming.stream.list",   "List the streams",                       stream::list)
        .row(Post,   "/stream",             "v1.streaming.stream.create", "Create a stream",                        stream::create)
        .row(Get,    "/stream/{stream_id}", "v1.streaming.stream.get",    "Get a stream",                           stream::get)
        .row(Put,    "/stream/{stream_id}", "v1.streaming.stream.upsert", "Replace a stream, or create it",         stream::upsert)
        .row(Patch,  "/stream/{stream_id}", "v1.streaming.stream.patch",  "Change some fields of a stream",         stream::patch)
        .row(Delete, "/stream/{stream_id}", "v1.streaming.stream.delete", "Delete a stream with its sinks and events", stream::delete)
        .row(Get,    "/stream/event-type",        "v1.streaming.event-type.list",   "List the event types of streams, by name",                     stream::event_type::list)
        .row(Post,   "/stream/event-type",        "v1.streaming.event-type.create", "Create an event type of streams, or bring back an archived one", stream::event_type::create)
        .row(Get,    "/stream/event-type/{name}", "v1.streaming.event-type.get",    "Get an event type of streams",                                 stream::event_type::get)
        .row(Put,    "/stream/event-type/{name}", "v1.streaming.event-type.upsert", "Replace an event type of streams, or create it",               stream::event_type::upsert)
        .row(Patch,  "/stream/event-type/{name}", "v1.streaming.event-type.patch",  "Change some fields of an event type of streams",               stream::event_type::patch)
        .row(Delete, "/stream/event-type/{name}", "v1.streaming.event-type.delete", "Archive an event type of streams, or delete it",               stream::event_type::delete)
        .row(Post,   "/stream/{stream_id}/events",        "v1.streaming.events.create",     "Put events into a stream, in order",    stream::event::create)
        .row(Get,    "/stream/{stream_id}/events/latest", "v1.streaming.events.get-latest", "Get the latest events of a stream",     stream::event::latest)
        .row(Get,    "/stream/{stream_id}/sink",                                 "v1.streaming.sink.list",                 "List the sinks of a stream",                       sink::named::list::<StreamPath>)
        .row(Post,   "/stream/{stream_id}/sink",                                 "v1.streaming.sink.create",               "Create a sink",                                    sink::named::create::<StreamPath>)
        .row(Get,    "/stream/{stream_id}/sink/{sink_id}",                       "v1.streaming.sink.get",                  "Get a sink",                                       sink::named::get::<StreamSinkPath>)
        .row(Put,    "/stream/{stream_id}/sink/{sink_id}",                       "v1.streaming.sink.upsert",               "Replace a sink, or create it",                     sink::named::upsert::<StreamSinkPath>)
        .row(Patch,  "/stream/{stream_id}/sink/{sink_id}",                       "v1.streaming.sink.patch",                "Change some fields of a sink",                     sink::named::patch::<StreamSinkPath>)
        .row(Delete, "/stream/{stream_id}/sink/{sink_id}",                       "v1.streaming.sink.delete",               "Delete a sink",                                    sink::named::delete::<StreamSinkPath>)
        .row(Get,    "/stream/{stream_id}/sink/{sink_id}/events",                "v1.streaming.events.get",                "Poll the events of a sink",                        poller::poll_of_stream)
        .row(Get,    "/stream/{stream_id}/sink/{sink_id}/secret",                "v1.streaming.sink.get-secret",           "Get the key that batches are verified with",       sink::named::get_secret::<StreamSinkPath>)
        .row(Post,   "/stream/{stream_id}/sink/{sink_id}/secret/rotate",         "v1.streaming.sink.rotate-secret",        "Replace the signing secret; the old one signs along for a while", sink::named::rotate_secret::<StreamSinkPath>)
        .row(Get,    "/stream/{stream_id}/sink/{sink_id}/headers",               "v1.streaming.sink-headers-get",          "Get the headers that a sink adds",                 sink::named::get_headers::<StreamSinkPath>)
        .row(Patch,  "/stream/{stream_id}/sink/{sink_id}/headers",               "v1.streaming.sink-headers-patch",        "Change some of the headers that a sink adds",      sink::named::patch_headers::<StreamSinkPath>)
        .row(Get,    "/stream/{stream_id}/sink/{sink_id}/transformation",        "v1.streaming.sink.transformation.get",   "Get the transformation of a sink",                 sink::named::get_transformation::<StreamSinkPath>)
        .row(Patch,  "/stream/{stream_id}/sink/{sink_id}/transformation",        "v1.streaming.sink.transformation.patch", "Set the transformation of a sink",                 sink::named::patch_transformation::<StreamSinkPath>)
        .row(Post,   "/stream/{stream_id}/sink/{sink_id}/force-retry",           "v1.streaming.sink.force-retry",          "Try the batch that waits for a retry now",         sink::named::force_retry::<StreamSinkPath>)
        .row(Post,   "/stream/{stream_id}/sink/{sink_id}/skip",                  "v1.streaming.sink.skip",                 "Skip the next event, or all up to a place",        sink::named::skip::<StreamSinkPath>)
        .row(Get,    "/stream/{stream_id}/sink/{sink_id}/last-acked-event",      "v1.streaming.sink.get-last-acked-event", "Get the last event that was taken",                sink::named::last_acked_event::<StreamSinkPath>)
        .row(Get,    "/stream/{stream_id}/sink/{sink_id}/next-event",            "v1.streaming.sink.events.get-next-event", "Get the first event that was not taken",          sink::named::next_event::<StreamSinkPath>)
        .row(Get,    "/stream/{stream_id}/sink/{sink_id}/attempt",               "v1.streaming.sink.attempt.list",         "List the attempts at a sink, newest first",        sink::named::list_attempts::<StreamSinkPath>)
        .row(Get,    "/stream/{stream_id}/sink/{sink_id}/attempt/{attempt_id}",  "v1.streaming.sink.attempt.get",          "Get an attempt at a sink",                         sink::named::get_attempt::<SinkAttemptPath>)

        .about("Destination", "Takes the messages of an application in their order: by polling, or in batches.")
        .row(Get,    "/app/{app_id}/destination",                                         "v1.destination.list",                 "List the destinations of an application",      sink::named::list::<ApplicationPath>)
        .row(Post,   "/app/{app_id}/destination",                                         "v1.destination.create",               "Create a destination",                         sink::named::create::<ApplicationPath>)
        .row(Get,    "/app/{app_id}/destination/{destination_id}",                        "v1.destination.get",                  "Get a destination",                            sink::named::get::<DestinationPath>)
        .row(Put,    "/app/{app_id}/destination/{destination_id}",                        "v1.destination.upsert",               "Replace a destination, or create it",          sink::named::upsert::<DestinationPath>)
        .row(Patch,  "/app/{app_id}/destination/{destination_id}",                        "v1.destination.patch",                "Change some fields of a destination",          sink::named::patch::<DestinationPath>)
        .row(Delete, "/app/{app_id}/destination/{destination_id}",                        "v1.destination.delete",               "Delete a destination",                         sink::named::delete::<DestinationPath>)
        .row(Get,    "/app/{app_id}/destination/{destination_id}/secret",                 "v1.destination.get-secret",           "Get the key that batches are verified with",   sink::named::get_secret::<DestinationPath>)
        .row(Post,   "/app/{app_id}/destination/{destination_id}/secret/rotate",          "v1.destination.rotate-secret",        "Replace the signing secret; the old one signs along for a while", sink::named::rotate_secret::<DestinationPath>)
        .row(Get,    "/app/{app_id}/destination/{destination_id}/headers",                "v1.destination.headers-get",          "Get the headers that a destination adds",      sink::named::get_headers::<DestinationPath>)
        .row(Patch,  "/app/{app_id}/destination/{destination_id}/headers",                "v1.destination.headers-patch",        "Change some of the headers that a destination adds", sink::named::patch_headers::<DestinationPath>)
        .row(Get,    "/app/{app_id}/destination/{destination_id}/transformation",         "v1.destination.transformation.get",   "Get the transformation of a destination",      sink::named::get_transformation::<DestinationPath>)
        .row(Patch,  "/app/{app_id}/destination/{destination_id}/transformation",         "v1.destination.transformation.patch", "Set the transformation of a destination",      sink::named::patch_transformation::<DestinationPath>)
        .row(Post,   "/app/{app_id}/destination/{destination_id}/force-retry",            "v1.destination.force-retry",          "Try the batch that waits for a retry now",     sink::named::force_retry::<DestinationPath>)
        .row(Post,   "/app/{app_id}/destination/{destination_id}/skip",                   "v1.destination.skip",                 "Skip the next message, or all up to a place",  sink::named::skip::<DestinationPath>)
        .row(Get,    "/app/{app_id}/destination/{destination_id}/last-acked-event",       "v1.destination.get-last-acked-event", "Get the last message that was taken",          sink::named::last_acked_event::<DestinationPath>)
        .row(Get,    "/app/{app_id}/destination/{destination_id}/next-event",             "v1.destination.next-event",           "Get the first message that was not taken",     sink::named::next_event::<DestinationPath>)
        .row(Get,    "/app/{app_id}/destination/{destination_id}/attempt",                "v1.destination.attempt.list",         "List the attempts at a destination, newest first", sink::named::list_attempts::<DestinationPath>)
        .row(Get,    "/app/{app_id}/destination/{destination_id}/attempt/{attempt_id}",   "v1.destination.attempt.get",          "Get an attempt at a destination",              sink::named::get_attempt::<DestinationAttemptPath>)

        .about("Poller", "For receivers that cannot be called: they ask for their messages.")
        .row(Get,    "/app/{app_id}/poller/{sink_id}",                                       "v1.message.poller.poll",              "Poll the messages of a destination",                        poller::poll)
        .row(Get,    "/app/{app_id}/poller/{sink_id}/consumer/{consumer_id}",                "v1.message.poller.consumer-poll",     "Poll as a consumer whose place is kept",                    poller::consumer_poll)
        .row(Post,   "/app/{app_id}/poller/{sink_id}/consumer/{consumer_id}/seek",           "v1.message.poller.consumer-seek",     "Move a consumer to a time",                                 poller::seek)
        .row(Get,    "/app/{app_id}/polling-endpoint/{sink_id}/consumer/{consumer_id}",      "v1.message.pollerv2.consumer-poll",   "Poll as one of several workers of a consumer",              poller::leased::poll)
        .row(Post,   "/app/{app_id}/polling-endpoint/{sink_id}/consumer/{consumer_id}/commit", "v1.message.pollerv2.consumer-commit", "Say that everything up to a message was dealt with",      poller::leased::commit)
        .row(Get,    "/app/{app_id}/events", "v1.message.events", "Read the messages of an application as they are accepted", feed::of_application)
        .row(Get,    "/events",              "v1.events.stream",  "Read the operational events of the environment",           feed::of_environment)

        .about("Statistics", "How much was sent.")
        .row(Put,    "/stats/usage/event-types",    "v1.statistics.aggregate-event-types", "Count which event types endpoints ask for",    statistics::event_types)
        .row(Post,   "/stats/usage/app",            "v1.statistics.aggregate-app-stats",   "Count what was sent for each application",     statistics::applications)
        .row(Get,    "/stats/endpoint/count",       "v1.statistics.endpoint-count",        "Count the endpoints",                          statistics::endpoint_count)
        .row(Get,    "/stats/app/{app_id}/attempt", "v1.stats.app-attempts",               "Count the attempts of an application by time", statistics::attempts_by_time)
        .row(Get,    "/app/{app_id}/stats/attempts", "v1.application.stats.attempts",      "Count the attempts of an application",         statistics::attempts)
        .row(Get,    "/app/stats/count-active",     "v1.application.count-active",         "Count the applications that have an endpoint", statistics::count_active)

        .about("Authentication", "Access to the portal for your customers, and who you are.")
        .row(Post,   "/auth/app-portal-access/{app_id}", "v1.authentication.app-portal-access", "Make a portal link for an application",        authentication::app_portal_access)
        .row(Post,   "/auth/app/{app_id}/expire-all",    "v1.authentication.expire-all",        "End the portal sessions of an application",    authentication::expire_all)
        .row(Post,   "/auth/logout",                     "v1.authentication.logout",            "End the portal session of the calling token",  authentication::logout)
        .row(Post,   "/auth/one-time-token",             "v1.authentication.exchange-one-time-token", "Exchange the one-time token of a portal link, once", authentication::one_time::exchange)
        .row(Post,   "/auth/app/{app_id}/create-message-token", "v1.authentication.create-message-token", "Create a token that creates messages of one application, and does nothing else", authentication::message_token::create)
        .row(Get,    "/auth/app/{app_id}/poller/{endpoint_id}/token",        "v1.authentication.get-poller-token",    "Get the token of a poller", authentication::poller::get)
        .row(Post,   "/auth/app/{app_id}/poller/{endpoint_id}/token/rotate", "v1.authentication.rotate-poller-token", "Replace the token of a poller; the old one is good for a while", authentication::poller::rotate)
        .row(Post,   "/auth/stream-portal-access/{stream_id}",               "v1.authentication.stream-portal-access", "Make a portal link for a stream", authentication::stream::portal_access)
        .row(Post,   "/auth/stream-logout",                                  "v1.authentication.stream-logout",        "End the portal session of the calling token", authentication::stream::logout)
        .row(Post,   "/auth/stream/{stream_id}/expire-all",                  "v1.authentication.stream-expire-all",    "End the portal sessions of a stream", authentication::stream::expire_all)
        .row(Get,    "/auth/stream/{stream_id}/sink/{sink_id}/poller/token",        "v1.authentication.get-stream-poller-token",    "Get the token of a poller of a stream", authentication::poller::get_of_stream)
        .row(Post,   "/auth/stream/{stream_id}/sink/{sink_id}/poller/token/rotate", "v1.authentication.rotate-stream-poller-token", "Replace the token of a poller of a stream; the old one is good for a while", authentication::poller::rotate_of_stream)
        .row(Get,    "/auth/whoami",                     "v1.authentication.whoami",            "Say whom the token belongs to",                authentication::whoami)
        .alias(Post, "/auth/dashboard-access/{app_id}", authentication::app_portal_access)

        .about("Background Task", "Work that outlives the request that asked for it: recoveries, replays.")
        .row(Get,    "/background-task",                  "v1.background-task.list",   "List the background tasks, newest first", background_task::list)
        .row(Get,    "/background-task/{task_id}",        "v1.background-task.get",    "Get a background task",                   background_task::get)
        .row(Post,   "/background-task/{task_id}/cancel", "v1.background-task.cancel", "Stop a background task where it is",      background_task::cancel)

        .about("API Key", "The keys of your organization.")
        .row(Get,    "/api-key",          "v1.api-key.list",   "List the API keys",                       api_key::list)
        .row(Post,   "/api-key",          "v1.api-key.create", "Create an API key; it is shown only here", api_key::create)
        .row(Delete, "/api-key/{key_id}", "v1.api-key.revoke", "Revoke an API key",                       api_key::revoke)

        .about("Management", "Your organization itself: its tokens and its settings.")
        .row(Get,    "/management/authentication/{env_id}/api-token",                 "v1.management.authentication.list-api-tokens",  "List the API tokens",                        api_token::list)
        .row(Post,   "/management/authentication/{env_id}/api-token",                 "v1.management.authentication.create-api-token", "Create an API token; it is shown only here", api_token::create)
        .row(Get,    "/management/authentication/{env_id}/api-token/{key_id}",        "v1.management.authentication.get-api-token",    "Get an API token, without the token itself", api_token::get)
        .row(Put,    "/management/authentication/{env_id}/api-token/{key_id}",        "v1.management.authentication.update-api-token", "Rename an API token",                        api_token::update)
        .row(Patch,  "/management/authentication/{env_id}/api-token/{key_id}",        "v1.management.authentication.patch-api-token",  "Change name or scopes of an API token",      api_token::patch)
        .row(Post,   "/management/authentication/{env_id}/api-token/{key_id}/expire", "v1.management.authentication.expire-api-token", "End an API token, now or after a while",     api_token::expire)

        .row(Get,    "/management/environment",               "v1.management.environment.list",           "List the environments: there is one, your own", environment::list)
        .row(Get,    "/management/environment/{env_id}",      "v1.management.environment.get",            "Get your environment",                          environment::get)
        .row(Get,    "/management/environment-settings",      "v1.management.environment-settings.get",    "Get the settings of your environment",         environment::settings::get)
        .row(Put,    "/management/environment-settings",      "v1.management.environment-settings.update", "Replace the settings of your environment",     environment::settings::update)
        .row(Patch,  "/management/environment-settings",      "v1.management.environment-settings.patch",  "Change some settings of your environment",     environment::settings::patch)
        .row(Get,    "/management/limits/{org_id}",           "hookpost.limits.get",                       "Get what an organization may use",             limits::get)
        .row(Put,    "/management/limits/{org_id}",           "hookpost.limits.set",                       "Set what an organization may use (the management organization only)", limits::set)
        .row(Delete, "/management/limits/{org_id}",           "hookpost.limits.reset",                     "Let an organization use what the server's settings say (the management organization only)", limits::reset)
        .row(Get,    "/audit-log", "hookpost.audit-log.list", "List who changed what, newest first", audit_log::list)

        .about("Environment", "Everything that your organization says of itself, in one document.")
        .row(Get,    "/environment/settings", "v1.environment.get-settings", "Get the settings that a portal needs",                  environment::settings::get_public)
        .row(Post,   "/environment/export",   "v1.environment.export",       "Get event types and settings as one document",          environment::transfer::export)
        .row(Post,   "/environment/import",   "v1.environment.import",       "Create and replace what such a document says; deletes nothing", environment::transfer::import)

        .about("Operational Webhook", "Where you hear of your own endpoints and messages.")
        .row(Get,    "/operational-webhook/endpoint",                             "v1.operational-webhook.endpoint.list",          "List the endpoints of operational webhooks",   endpoint::operational::list)
        .row(Post,   "/operational-webhook/endpoint",                             "v1.operational-webhook.endpoint.create",        "Create an endpoint of operational webhooks",   endpoint::operational::create)
        .row(Get,    "/operational-webhook/endpoint/{endpoint_id}",               "v1.operational-webhook.endpoint.get",           "Get an endpoint of operational webhooks",      endpoint::operational::get)
        .row(Put,    "/operational-webhook/endpoint/{endpoint_id}",               "v1.operational-webhook.endpoint.upsert",        "Replace an endpoint of operational webhooks, or create it", endpoint::operational::upsert)
        .row(Delete, "/operational-webhook/endpoint/{endpoint_id}",               "v1.operational-webhook.endpoint.delete",        "Delete an endpoint of operational webhooks",   endpoint::named::delete::<OperationalPath>)
        .row(Get,    "/operational-webhook/endpoint/{endpoint_id}/headers",       "v1.operational-webhook.endpoint.get-headers",   "Get the headers that an endpoint of operational webhooks adds", endpoint::named::get_headers::<OperationalPath>)
        .row(Put,    "/operational-webhook/endpoint/{endpoint_id}/headers",       "v1.operational-webhook.endpoint.set-headers",   "Replace the headers that an endpoint of operational webhooks adds", endpoint::named::set_headers::<OperationalPath>)
        .row(Get,    "/operational-webhook/endpoint/{endpoint_id}/secret",        "v1.operational-webhook.endpoint.get-secret",    "Get the key that receivers of operational webhooks verify with", endpoint::named::get_secret::<OperationalPath>)
        .row(Post,   "/operational-webhook/endpoint/{endpoint_id}/secret/rotate", "v1.operational-webhook.endpoint.rotate-secret", "Replace the signing secret; the old one signs along for a while", endpoint::named::rotate_secret::<OperationalPath>)

        .about("Integration", "A third party that acts for one application, with a key of its own.")
        .row(Get,    "/app/{app_id}/integration",                       "v1.integration.list",       "List the integrations of an application",        integration::list)
        .row(Post,   "/app/{app_id}/integration",                       "v1.integration.create",     "Create an integration",                          integration::create)
        .row(Get,    "/app/{app_id}/integration/{integ_id}",            "v1.integration.get",        "Get an integration",                             integration::get)
        .row(Put,    "/app/{app_id}/integration/{integ_id}",            "v1.integration.update",     "Replace an integration",                         integration::update)
        .row(Delete, "/app/{app_id}/integration/{integ_id}",            "v1.integration.delete",     "Delete an integration; its key ends with it",    integration::delete)
        .row(Get,    "/app/{app_id}/integration/{integ_id}/key",        "v1.integration.get-key",    "Get the key of an integration",                  integration::get_key)
        .row(Post,   "/app/{app_id}/integration/{integ_id}/key/rotate", "v1.integration.rotate-key", "Replace the key of an integration; the old one ends at once", integration::rotate_key)

        .about("Health", "Is it alive? Needs no token.")
        .row(Get,    "/health",        "v1.health.get",    "The process answers and reaches its store", health::get)
        .row(Get,    "/health/ping",   "v1.health.ping",   "The process answers",                       health::ping)
        .row(Get,    "/health/report", "v1.health.report", "The same in words",                         health::report)

        .below("/ingest/api/v1")
        .about("Ingest Source", "A verified door for incoming webhooks: provider, secrets, a URL of its own. What is let in becomes messages of an application.")
        .row(Get,    "/source",                          "v1.ingest.source.list",         "List the sources",                                        ingest::source::list)
        .row(Post,   "/source",                          "v1.ingest.source.create",       "Create a source",                                         ingest::source::create)
        .row(Get,    "/source/{source_id}",              "v1.ingest.source.get",          "Get a source",                                            ingest::source::get)
        .row(Put,    "/source/{source_id}",              "v1.ingest.source.upsert",       "Replace a source, or create it",                          ingest::source::upsert)
        .row(Patch,  "/source/{source_id}",              "v1.ingest.source.patch",        "Change some fields of a source",                          ingest::source::patch)
        .row(Delete, "/source/{source_id}",              "v1.ingest.source.delete",       "Delete a source, with the application that was made for it", ingest::source::delete)
        .row(Post,   "/source/{source_id}/token/rotate", "v1.ingest.source.rotate-token", "Give a source another URL; the old one is good for two days", ingest::token::rotate)
        .row(Post,   "/source/{source_id}/dashboard",    "v1.ingest.authentication.consumer-portal-access", "Make a portal link for the application of a source", ingest::portal::access)
        .row(Get,    "/source/{source_id}/log",          "v1.ingest.log.list",            "List the requests that a source turned away",             ingest::log::list)

        .about("Ingest Endpoint", "Where the messages of a source are delivered: the endpoints of its application.")
        .row(Get,    "/source/{source_id}/endpoint",                              "v1.ingest.endpoint.list",          "List the endpoints of a source",        ingest::endpoint::list)
        .row(Post,   "/source/{source_id}/endpoint",                              "v1.ingest.endpoint.create",        "Create an endpoint",                    ingest::endpoint::create)
        .row(Get,    "/source/{source_id}/endpoint/{endpoint_id}",                "v1.ingest.endpoint.get",           "Get an endpoint",                       ingest::endpoint::get)
        .row(Put,    "/source/{source_id}/endpoint/{endpoint_id}",                "v1.ingest.endpoint.upsert",        "Replace an endpoint, or create it",     ingest::endpoint::upsert)
        .row(Delete, "/source/{source_id}/endpoint/{endpoint_id}",                "v1.ingest.endpoint.delete",        "Delete an endpoint; what waits for it is canceled", endpoint::named::delete::<ingest::endpoint::EndpointPath>)
        .row(Get,    "/source/{source_id}/endpoint/{endpoint_id}/headers",        "v1.ingest.endpoint.get-headers",   "Get the headers that an endpoint adds", endpoint::named::get_headers::<ingest::endpoint::EndpointPath>)
        .row(Put,    "/source/{source_id}/endpoint/{endpoint_id}/headers",        "v1.ingest.endpoint.set-headers",   "Replace the headers that an endpoint adds", endpoint::named::set_headers::<ingest::endpoint::EndpointPath>)
        .row(Get,    "/source/{source_id}/endpoint/{endpoint_id}/secret",         "v1.ingest.endpoint.get-secret",    "Get the key that receivers verify with", endpoint::named::get_secret::<ingest::endpoint::EndpointPath>)
        .row(Post,   "/source/{source_id}/endpoint/{endpoint_id}/secret/rotate",  "v1.ingest.endpoint.rotate-secret", "Replace the signing secret; the old one signs along for a while", endpoint::named::rotate_secret::<ingest::endpoint::EndpointPath>)
        .row(Get,    "/source/{source_id}/endpoint/{endpoint_id}/transformation", "v1.ingest.endpoint.transformation.get",   "Get the transformation of an endpoint", ingest::transformation::get)
        .row(Patch,  "/source/{source_id}/endpoint/{endpoint_id}/transformation", "v1.ingest.endpoint.transformation.patch", "Set the transformation of an endpoint", ingest::transformation::patch)

        .about("Receipt", "One request that arrived at a source: exact bytes, headers, verdict. Kept also when it was turned away.")
        .row(Get,    "/source/{source_id}/receipt",                     "hookpost.receipt.list",       "List the receipts of a source, newest first",        ingest::receipt::list)
        .row(Get,    "/source/{source_id}/receipt/counts",              "hookpost.receipt.counts",     "Count the receipts of a source by verdict",          ingest::receipt::counts)
        .row(Post,   "/source/{source_id}/receipt/replay",              "hookpost.receipt.replay-all", "Let in again what was turned away in a window",      ingest::replay::all)
        .row(Get,    "/source/{source_id}/receipt/{receipt_id}",        "hookpost.receipt.get",        "Get a receipt with the whole request",               ingest::receipt::get)
        .row(Post,   "/source/{source_id}/receipt/{receipt_id}/replay", "hookpost.receipt.replay",     "Let a request in again that was turned away",        ingest::replay::one)

        .about("Provider", "Whose webhooks a source can verify.")
        .row(Get,    "/provider", "hookpost.provider.list", "List the providers, by name", ingest::provider::list);
    table
}

/// The routes with all that is around them, ready to be called.
pub(crate) fn handlers(api: Api, registry: Arc<Registry>) -> Router {
    let metrics_api = api.clone();
    // Made when first asked for: most servers are never asked.
    let description = Arc::new(OnceLock::<Bytes>::new());
    let page = Arc::new(OnceLock::<Bytes>::new());
    table()
        .into_router()
        .route("/", get(|| async { Redirect::temporary("/docs") }))
        .route("/docs", get(move || async move { docs_page::answer(page.get_or_init(|| docs_page::render(&document()).into()).clone()) }))
        .route(
            "/api/v1/openapi.json",
            get(move || async move {
                let text = description.get_or_init(|| openapi::document().into()).clone();
                json_response(StatusCode::OK, text)
            }),
        )
        .route("/metrics", get(move || std::future::ready(metrics::show(&metrics_api, &registry))))
        .fallback(|| async { Problem::NotFound("There is no such path; /docs lists those there are.") })
        .method_not_allowed_fallback(|| async { Problem::MethodNotAllowed })
        .with_state(api)
}

/// The names of the table.
pub(crate) fn operations() -> Operations {
    table().operations()
}

/// The description of the table.
pub(crate) fn document() -> OpenApi {
    openapi::describe(&table())
}
