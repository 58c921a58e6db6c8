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
use crate::v1::application;
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
    #[allow(dead_code)]
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
