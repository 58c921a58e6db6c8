//! What every request passes, written as one function because the order matters and layers cost: CORS, optional trailing slash, idempotency,
//! panics, one log event per change, and one entry of the audit log.
//!
//! Creating a message takes the shortest way through: its handler keeps idempotency in the store's transaction and logs for itself. So do requests at
//! the doors of sources, which are nobody's API calls.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use hookpost_domain::Principal;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, ORIGIN,
};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, StatusCode, Uri};
use prometheus_client::registry::Registry;
use tower::ServiceExt;

use crate::audit::{self, Done, Operations};
use crate::door;
use crate::idempotency;
use crate::problem::Problem;
use crate::routes;
use crate::state::{Api, ApiState};

/// Everything that the server answers. The registry is what `/metrics` shows.
pub fn router(state: ApiState, registry: Arc<Registry>) -> Router {
    let api = Api::new(state);
    let handlers = routes::handlers(api.clone(), registry);
    let operations = Arc::new(routes::operations());
    Router::new().fallback(front).with_state(Front { api, handlers, operations })
}

#[derive(Clone)]
struct Front {
    api: Api,
    handlers: Router,
    operations: Arc<Operations>,
}

async fn front(State(front): State<Front>, mut request: Request) -> Response {
    let started = front.api.metrics.request_started();
    let method = request.method().clone();
    let mut response = if let Some(preflight) = preflight_answer(&request) {
        preflight
    } else if request.uri().path().starts_with(door::PATH) {
        // Its URL is signed as it stands, and what it answers is the source's to say.
        unless_panics(door::receive(&front.api, request)).await
    } else {
        if let Some(uri) = without_trailing_slash(request.uri()) {
            *request.uri_mut() = uri;
        }
        if method == Method::GET || method == Method::HEAD || (method == Method::POST && is_message_create(request.uri().path())) {
            dispatch(front.handlers, request).await
        } else {
            finished(front.clone(), request).await
        }
    };
    response.headers_mut().entry(ACCESS_CONTROL_ALLOW_ORIGIN).or_insert(HeaderValue::from_static("*"));
    front.api.metrics.request_ended(&method, response.status(), started);
    response
}

/// Runs the handler; a panic in it is this request's problem only.
pub(crate) async fn dispatch(handlers: Router, request: Request) -> Response {
    unless_panics(async {
        match handlers.oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    })
    .await
}

async fn unless_panics(answer: impl Future<Output = Response>) -> Response {
    // The panic hook has printed what happened.
    AssertUnwindSafe(answer).catch_unwind().await.unwrap_or_else(|_| Problem::Internal.into_response())
}

/// A change is finished, and written down, even if its client goes away meanwhile.
async fn finished(front: Front, request: Request) -> Response {
    let tasks = front.api.tasks.clone();
    tasks.spawn(async move { change(&front, request).await }).await.unwrap_or_else(|_| Problem::Internal.into_response())
}

/// A request that may change something: runs once per idempotency key, and leaves one event in the log.
async fn change(front: &Front, mut request: Request) -> Response {
    let note = RequestNote::default();
    request.extensions_mut().insert(note.clone());
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let started_at = front.api.now();
    // Whoever does not say who he is (with a one-time token, say) has no key of his own.
    let may_have_key = method == Method::POST && request.headers().contains_key(AUTHORIZATION);
    let key = if may_have_key { idempotency::key_of(request.headers(), &path) } else { Ok(None) };
    let response = match key {
        Ok(None) => dispatch(front.handlers.clone(), request).await,
        Ok(Some(key)) => idempotency::once(front.api.clone(), key, request, front.handlers.clone()).await,
        Err(problem) => problem.into_response(),
    };
    let done = Done { method: &method, path: &path, route: note.route(), principal: note.principal(), status: response.status() };
    audit::note(&front.api, &front.operations, done).await;
    tracing::info!(
        target: "hookpost::request",
        org = note.org(),
        %method,
        path,
        status = response.status().as_u16(),
        duration_ms = u64::try_from(front.api.now().since(started_at).as_millis()).unwrap_or(u64::MAX),
        "{method} {path}: {}",
        response.status().as_u16(),
    );
    response
}

/// What a request leaves for its log event and the audit log on its way through.
#[derive(Debug, Clone, Default)]
pub(crate) struct RequestNote(Arc<OnceLock<Noted>>);

#[derive(Debug)]
struct Noted {
    principal: Arc<Principal>,
    /// As the route table has it.
    route: Option<String>,
}

impl RequestNote {
    pub(crate) fn set(&self, principal: &Arc<Principal>, route: Option<&MatchedPath>) {
        // A request has one caller; a second extraction says the same.
        let _ = self.0.set(Noted { principal: Arc::clone(principal), route: route.map(|route| route.as_str().to_owned()) });
    }

    fn org(&self) -> Option<&str> {
        self.0.get().map(|noted| noted.principal.org().as_str())
    }

    fn principal(&self) -> Option<Arc<Principal>> {
        self.0.get().map(|noted| Arc::clone(&noted.principal))
    }

    fn route(&self) -> Option<&str> {
        self.0.get()?.route.as_deref()
    }
}

/// `POST /api/v1/app/{app_id}/msg`
pub(crate) fn is_message_create(path: &str) -> bool {
    path.strip_prefix("/api/v1/app/").and_then(|rest| rest.strip_suffix("/msg")).is_some_and(|app| !app.is_empty() && !app.contains('/'))
}

fn without_trailing_slash(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    let shorter = path.strip_suffix('/').filter(|shorter| !shorter.is_empty())?;
    let path_and_query = match uri.query() {
        Some(query) => format!("{shorter}?{query}"),
        None => shorter.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path_and_query).ok()?);
    Uri::from_parts(parts).ok()
}

/// The API may be called from any page; its tokens are not cookies.
fn preflight_answer(request: &Request) -> Option<Response> {
    let headers = request.headers();
    let wanted =
        headers.get(ACCESS_CONTROL_REQUEST_METHOD).filter(|_| request.method() == Method::OPTIONS && headers.contains_key(ORIGIN))?;
    let mut response = StatusCode::OK.into_response();
    let answer = response.headers_mut();
    answer.insert(ACCESS_CONTROL_ALLOW_METHODS, wanted.clone());
    if let Some(wanted) = headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    answer.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_way_is_for_creating_messages_only() {
        for (path, expected) in [
            ("/api/v1/app/app_1/msg", true),
            ("/api/v1/app/a%2Fb/msg", true),
            ("/api/v1/app//msg", false),
            ("/api/v1/app/a/b/msg", false),
            ("/api/v1/app/msg", false),
            ("/api/v1/app/a/msg/bulk-expunge", false),
        ] {
            assert_eq!(is_message_create(path), expected, "{path}");
        }
    }

    #[test]
    fn one_trailing_slash_is_optional() {
        let stripped = |uri: &'static str| without_trailing_slash(&Uri::from_static(uri)).map(|uri| uri.to_string());
        assert_eq!(stripped("/api/v1/app/").as_deref(), Some("/api/v1/app"));
        assert_eq!(stripped("/api/v1/app/?limit=1").as_deref(), Some("/api/v1/app?limit=1"));
        assert_eq!(stripped("/"), None);
        assert_eq!(stripped("/api/v1/app"), None);
    }
}
