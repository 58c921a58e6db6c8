//! What the API counts. Everything else that `/metrics` shows is counted where it happens.

use std::sync::Arc;

use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use crate::door::DoorMetrics;
use crate::problem::Problem;
use crate::state::Api;

/// The counters of the API; clones share them. Register them once, in the registry that [`crate::router`] gets.
#[derive(Debug, Clone)]
pub struct ApiMetrics {
    /// The parts of the two families below that every created message counts in, found once.
    messages_created: Counter,
    post_seconds: Histogram,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<MethodLabel, Histogram, fn() -> Histogram>,
    pub(crate) messages_accepted: Counter,
    pub(crate) messages_repeated: Counter,
    pub(crate) accept_seconds: Histogram,
    pub(crate) door: DoorMetrics,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: MethodName,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabel {
    method: MethodName,
}

/// A closed list: a label that clients choose would grow without bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(clippy::upper_case_acronyms, reason = "these are the names of the methods")]
enum MethodName {
    GET,
    POST,
    PUT,
    PATCH,
    DELETE,
    OTHER,
}

impl From<&Method> for MethodName {
    fn from(method: &Method) -> Self {
        match *method {
            Method::GET => Self::GET,
            Method::POST => Self::POST,
            Method::PUT => Self::PUT,
            Method::PATCH => Self::PATCH,
            Method::DELETE => Self::DELETE,
            _ => Self::OTHER,
        }
    }
}

/// From a quarter of a millisecond to eight seconds.
pub(crate) fn latency_histogram() -> Histogram {
    Histogram::new(exponential_buckets(0.000_25, 2.0, 16))
}

impl Default for ApiMetrics {
    fn default() -> Self {
        let requests: Family<RequestLabels, Counter> = Family::default();
        let request_seconds: Family<MethodLabel, Histogram, fn() -> Histogram> = Family::new_with_constructor(latency_histogram);
        Self {
            messages_created: requests.get_or_create_owned(&RequestLabels { method: MethodName::POST, status: 202 }),
            post_seconds: request_seconds.get_or_create_owned(&MethodLabel { method: MethodName::POST }),
            requests,
            request_seconds,
            messages_accepted: Counter::default(),
            messages_repeated: Counter::default(),
            accept_seconds: latency_histogram(),
            door: DoorMetrics::default(),
        }
    }
}

impl ApiMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("hookpost_http_requests", "Requests answered", metrics.requests.clone());
        registry.register(
            "hookpost_http_request_duration_seconds",
            "From the first byte of the head to the answer",
            metrics.request_seconds.clone(),
        );
        registry.register("hookpost_messages_accepted", "Messages accepted and on disk", metrics.messages_accepted.clone());
        registry.register(
            "hookpost_messages_repeated",
            "Creations answered from an earlier one with the same idempotency key, and repeated events at sources",
            metrics.messages_repeated.clone(),
        );
        registry.register("hookpost_accept_duration_seconds", "From calling the store to the fsync", metrics.accept_seconds.clone());
        metrics.door.register(registry);
        metrics
    }

    pub(crate) fn request_started(&self) -> Instant {
        Instant::now()
    }

    pub(crate) fn request_ended(&self, method: &Method, status: StatusCode, started: Instant) {
        let seconds = started.elapsed().as_secs_f64();
        if status == StatusCode::ACCEPTED && method == Method::POST {
            self.messages_created.inc();
            self.post_seconds.observe(seconds);
            return;
        }
        let method = MethodName::from(method);
        self.requests.get_or_create(&RequestLabels { method, status: status.as_u16() }).inc();
        self.request_seconds.get_or_create(&MethodLabel { method }).observe(seconds);
    }
}

/// `GET /metrics`
pub(crate) fn show(api: &Api, registry: &Arc<Registry>) -> Result<Response, Problem> {
    api.engine.refresh_gauges();
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry).map_err(|_| Problem::Internal)?;
    let mut response = Response::new(text.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    Ok(response)
}
