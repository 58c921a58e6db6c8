//! What the rows of the route table are made into: routes, names for the audit log, the description.
//!
//! The rows are many and the handler of each has a type of its own, so whatever is generic over it is compiled once per row. That is as little as
//! can be: [`Erased::of`] and [`openapi::of_types`]. All the rest, here and in the web framework, sees the handlers as one type.

use std::pin::Pin;
use std::sync::Arc;

use aide::operation::OperationHandler;
use aide::{OperationInput, OperationOutput};
use axum::Router;
use axum::extract::Request;
use axum::handler::Handler;
use axum::response::Response;
use axum::routing::{MethodFilter, on};

use crate::audit::Operations;
use crate::openapi::{self, OfTypes};
use crate::state::Api;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    fn name(self) -> http::Method {
        match self {
            Self::Get => http::Method::GET,
            Self::Post => http::Method::POST,
            Self::Put => http::Method::PUT,
            Self::Patch => http::Method::PATCH,
            Self::Delete => http::Method::DELETE,
        }
    }

    fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
            Self::Put => MethodFilter::PUT,
            Self::Patch => MethodFilter::PATCH,
            Self::Delete => MethodFilter::DELETE,
        }
    }
}

/// The rows, and what has been said of those that follow.
#[derive(Default)]
pub(crate) struct Table {
    prefix: &'static str,
    tags: Vec<(&'static str, &'static str)>,
    routes: Vec<Route>,
    described: Vec<Described>,
}

struct Route {
    method: Method,
    path: String,
    handler: Erased,
}

/// An operation as the description has it.
pub(crate) struct Described {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) id: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) tag: &'static str,
    /// Called only when a description is made: a server does not start with describing itself.
    pub(crate) of_types: OfTypes,
}

impl Table {
    /// The rows that follow are below this path.
    pub(crate) fn below(&mut self, prefix: &'static str) -> &mut Self {
        self.prefix = prefix;
        self
    }

    /// Begins a group of operations.
    pub(crate) fn about(&mut self, tag: &'static str, description: &'static str) -> &mut Self {
        self.tags.push((tag, description));
        self
    }

    pub(crate) fn row<H, I, O, T>(
        &mut self,
        method: Method,
        path: &'static str,
        id: &'static str,
        summary: &'static str,
        handler: H,
    ) -> &mut Self
    where
        H: Handler<T, Api, Future = Answering> + OperationHandler<I, O>,
        I: OperationInput,
        O: OperationOutput,
    {
        self.describe(method, path, id, summary, openapi::of_types::<I, O>);
        self.route(method, path, Erased::of(handler))
    }

    /// A path that older clients use; served, but not described.
    pub(crate) fn alias<H, T>(&mut self, method: Method, path: &'static str, handler: H) -> &mut Self
    where
        H: Handler<T, Api, Future = Answering>,
    {
        self.route(method, path, Erased::of(handler))
    }

    fn route(&mut self, method: Method, path: &'static str, handler: Erased) -> &mut Self {
        self.routes.push(Route { method, path: format!("{}{path}", self.prefix), handler });
        self
    }

    fn describe(&mut self, method: Method, path: &'static str, id: &'static str, summary: &'static str, of_types: OfTypes) {
        let tag = self.tags.last().map_or("", |(tag, _)| tag);
        self.described.push(Described { method, path: format!("{}{path}", self.prefix), id, summary, tag, of_types });
    }

    /// The names and descriptions of the groups.
    pub(crate) fn tags(&self) -> &[(&'static str, &'static str)] {
        &self.tags
    }

    pub(crate) fn described(&self) -> &[Described] {
        &self.described
    }

    pub(crate) fn operations(&self) -> Operations {
        let mut operations = Operations::default();
        for Described { method, path, id, .. } in &self.described {
            operations.add(method.name(), path.clone(), id);
        }
        operations
    }

    pub(crate) fn into_router(self) -> Router<Api> {
        self.routes
            .into_iter()
            .fold(Router::new(), |router, Route { method, path, handler }| router.route(&path, on(method.filter(), handler)))
    }
}

/// What handlers that are functions return, already in its box.
type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;

/// A handler without its type.
#[derive(Clone)]
struct Erased(Arc<dyn Fn(Request, Api) -> Answering + Send + Sync>);

impl Erased {
    fn of<H, T>(handler: H) -> Self
    where
        H: Handler<T, Api, Future = Answering>,
    {
        Self(Arc::new(move |request, api| handler.clone().call(request, api)))
    }
}

impl Handler<Self, Api> for Erased {
    type Future = Answering;

    fn call(self, request: Request, api: Api) -> Answering {
        (self.0)(request, api)
    }
}
