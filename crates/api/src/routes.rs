//! The route table: every operation on one line, with its published id. What is not here does not exist, and answers 404.

use std::sync::Arc;

use aide::axum::ApiRouter;
use aide::axum::routing::{delete_with, get_with, patch_with, post_with, put_with};
use aide::openapi::OpenApi;
use aide::{OperationInput, OperationOutput, operation::OperationHandler};
use axum::Router;
use axum::handler::Handler;
use axum::response::Redirect;
use axum::routing::{MethodFilter, get, on};
use bytes::Bytes;
use prometheus_client::registry::Registry;

use crate::extract::json_response;
use crate::problem::Problem;
use crate::state::Api;
use crate::v1::{application, attempt, endpoint, message, why};
use crate::{docs_page, metrics, openapi};

use Method::{Delete, Get, Patch, Post, Put};

#[rustfmt::skip] // One line per operation reads best.
fn table() -> Table {
    Table::new("/api/v1")
        .about("Application", "One customer of yours, or one internal system: owns endpoints and messages.")
        .row(Get,    "/app",          "v1.application.list",   "List the applications",                         application::list)
        .row(Post,   "/app",          "v1.application.create", "Create an application",                         application::create)
        .row(Get,    "/app/{app_id}", "v1.application.get",    "Get an application",                            application::get)
        .row(Put,    "/app/{app_id}", "v1.application.update", "Replace an application, or create it",          application::update)
        .row(Patch,  "/app/{app_id}", "v1.application.patch",  "Change some fields of an application",          application::patch)
        .row(Delete, "/app/{app_id}", "v1.application.delete", "Delete an application with all that it owns",   application::delete)

        .about("Endpoint", "A subscriber: where and how the messages of an application are delivered.")
        .row(Get,    "/app/{app_id}/endpoint",                              "v1.endpoint.list",           "List the endpoints of an application",                endpoint::list)
        .row(Post,   "/app/{app_id}/endpoint",                              "v1.endpoint.create",         "Create an endpoint",                                  endpoint::create)
        .row(Get,    "/app/{app_id}/endpoint/{endpoint_id}",                "v1.endpoint.get",            "Get an endpoint",                                     endpoint::get)
        .row(Put,    "/app/{app_id}/endpoint/{endpoint_id}",                "v1.endpoint.update",         "Replace an endpoint, or create it",                   endpoint::update)
        .row(Patch,  "/app/{app_id}/endpoint/{endpoint_id}",                "v1.endpoint.patch",          "Change some fields of an endpoint",                   endpoint::patch)
        .row(Delete, "/app/{app_id}/endpoint/{endpoint_id}",                "v1.endpoint.delete",         "Delete an endpoint; what waits for it is canceled",   endpoint::delete)
        .row(Get,    "/app/{app_id}/endpoint/{endpoint_id}/headers",        "v1.endpoint.get-headers",    "Get the headers that an endpoint adds",               endpoint::headers::get)
        .row(Put,    "/app/{app_id}/endpoint/{endpoint_id}/headers",        "v1.endpoint.update-headers", "Replace the headers that an endpoint adds",           endpoint::headers::update)
        .row(Patch,  "/app/{app_id}/endpoint/{endpoint_id}/headers",        "v1.endpoint.patch-headers",  "Change some of the headers that an endpoint adds",    endpoint::headers::patch)
        .row(Get,    "/app/{app_id}/endpoint/{endpoint_id}/secret",         "v1.endpoint.get-secret",     "Get the key that receivers verify with",              endpoint::secret::get)
        .row(Post,   "/app/{app_id}/endpoint/{endpoint_id}/secret/rotate",  "v1.endpoint.rotate-secret",  "Replace the signing secret; the old one signs along for a while", endpoint::secret::rotate)
        .row(Get,    "/app/{app_id}/endpoint/{endpoint_id}/stats",          "v1.endpoint.get-stats",      "Count the deliveries of an endpoint by state",        endpoint::stats::get)
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
}

/// The routes with all that is around them, ready to be called.
pub(crate) fn handlers(api: Api, registry: Arc<Registry>) -> Router {
    let (document, router) = table().finish();
    let page = Bytes::from(docs_page::render(&document));
    let document = Bytes::from(openapi::to_json(&document));
    let metrics_api = api.clone();
    router
        .route("/", get(|| async { Redirect::temporary("/docs") }))
        .route("/docs", get(move || std::future::ready(docs_page::answer(page.clone()))))
        .route("/api/v1/openapi.json", get(move || std::future::ready(json_response(http::StatusCode::OK, document.clone()))))
        .route("/metrics", get(move || std::future::ready(metrics::show(&metrics_api, &registry))))
        .fallback(|| async { Problem::NotFound("There is no such path; /docs lists those there are.") })
        .method_not_allowed_fallback(|| async { Problem::MethodNotAllowed })
        .with_state(api)
}

/// The description of the table.
pub(crate) fn document() -> OpenApi {
    table().finish().0
}

#[derive(Debug, Clone, Copy)]
enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

/// Makes rows into routes and their description.
struct Table {
    prefix: &'static str,
    tags: Vec<(&'static str, &'static str)>,
    router: ApiRouter<Api>,
}

impl Table {
    fn new(prefix: &'static str) -> Self {
        Self { prefix, tags: Vec::new(), router: ApiRouter::new() }
    }

    /// Begins a group of operations.
    fn about(mut self, tag: &'static str, description: &'static str) -> Self {
        self.tags.push((tag, description));
        self
    }

    fn row<H, I, O, T>(mut self, method: Method, path: &'static str, id: &'static str, summary: &'static str, handler: H) -> Self
    where
        H: Handler<T, Api> + OperationHandler<I, O>,
        I: OperationInput,
        O: OperationOutput,
        T: 'static,
    {
        let tag = self.tags.last().map_or("", |(tag, _)| tag);
        let describe = openapi::describe(id, summary, tag);
        let route = match method {
            Get => get_with(handler, describe),
            Post => post_with(handler, describe),
            Put => put_with(handler, describe),
            Patch => patch_with(handler, describe),
            Delete => delete_with(handler, describe),
        };
        self.router = self.router.api_route(&format!("{}{path}", self.prefix), route);
        self
    }

    /// A path that older clients use; served, but not described.
    fn alias<H, T>(mut self, method: Method, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Api>,
        T: 'static,
    {
        let filter = match method {
            Get => MethodFilter::GET,
            Post => MethodFilter::POST,
            Put => MethodFilter::PUT,
            Patch => MethodFilter::PATCH,
            Delete => MethodFilter::DELETE,
        };
        self.router = self.router.route(&format!("{}{path}", self.prefix), on(filter, handler));
        self
    }

    fn finish(self) -> (OpenApi, Router<Api>) {
        let mut document = openapi::frame(&self.tags);
        let router = self.router.finish_api(&mut document);
        openapi::complete(&mut document);
        (document, router)
    }
}
