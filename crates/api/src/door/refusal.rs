//! Why a request was turned away, as its sender is told: a status, a word and a sentence. Never a secret, nor what a signature should have been.

use std::borrow::Cow;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use hookpost_domain::receipt;
use hookpost_engine::schema::SCHEMA_MISMATCH;
use hookpost_shaping::Unreadable;
use hookpost_store::{AcceptError, Unavailable};
use http::header::{CONNECTION, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use crate::extract::json_response;
use crate::problem::Problem;

/// How long a provider should wait where nobody can say.
const RETRY_AFTER_SOON: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: Cow<'static, str>,
    pub(crate) detail: Cow<'static, str>,
    retry_after: Option<Duration>,
    /// For the owner of the source, and not for the sender.
    hint: Option<Box<str>>,
    /// What the provider's scheme said, for the diagnosis.
    pub(super) by_scheme: Option<hookpost_providers::Rejection>,
}

#[derive(Debug, Serialize)]
struct RefusalOut<'a> {
    code: &'a str,
    detail: &'a str,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code: code.into(), detail: detail.into(), retry_after: None, hint: None, by_scheme: None }
    }

    fn later(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    pub(super) fn no_such_source() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "No source has this URL; perhaps its token was rotated.")
    }

    /// Of the words by which receipts say that nobody called.
    pub(super) fn no_method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "This is no method of HTTP.")
    }

    pub(super) fn disabled() -> Self {
        Self::new(StatusCode::NOT_FOUND, "source_disabled", "This source is disabled.")
    }

    /// Not the sender's mistake: it may try again once the settings are mended.
    pub(super) fn unusable(field: &str, rule: &str) -> Self {
        let detail = format!("The settings of this source cannot be used: `{field}` {rule}.");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "source_unusable", detail).later(RETRY_AFTER_SOON)
    }

    pub(super) fn body_too_large(bytes_max: usize) -> Self {
        let detail = format!("The body is too large: this source takes at most {bytes_max} bytes.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
    }

    pub(super) fn headers_too_large(detail: String) -> Self {
        Self::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", detail)
    }

    pub(super) fn rate_limited(per_second: u16, wait: Duration) -> Self {
        let detail = format!("This source takes at most {per_second} requests a second; try again later.");
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail).later(wait)
    }

    /// The limits of the tenant.
    pub(super) fn by_rules(problem: Problem) -> Self {
        match problem {
            Problem::LimitReached { detail, retry_after_s } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "tenant_limit_reached", detail).later(Duration::from_secs(retry_after_s))
            }
            _ => Self::unavailable(),
        }
    }

    pub(super) fn too_many_in_flight(max: u16) -> Self {
        let detail = format!("This source works on {max} requests already; try again later.");
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_in_flight", detail).later(Duration::from_secs(1))
    }

    pub(super) fn too_many_bytes() -> Self {
        let detail = "Too many large requests are being read at this moment; try again later.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "too_busy", detail).later(Duration::from_secs(1))
    }

    pub(super) fn slow_body(seconds: u64) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "slow_body", format!("The body did not arrive within {seconds} seconds."))
    }

    pub(super) fn incomplete_body() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "incomplete_body", "The body ended before it was complete.")
    }

    /// `hint`: which lists the address is not in.
    pub(super) fn address_not_allowed(hint: Option<String>) -> Self {
        let detail = "This source takes no requests from this address.";
        Self { hint: hint.map(Into::into), ..Self::new(StatusCode::FORBIDDEN, "address_not_allowed", detail) }
    }

    pub(super) fn schema_mismatch(detail: String) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, SCHEMA_MISMATCH, detail)
    }

    /// The store may still do it; the repetition is then a duplicate.
    pub(super) fn too_slow() -> Self {
        let detail =
            "The request could not be written down in time; try again later. If it was after all, its repetition makes no second message.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "too_slow", detail).later(RETRY_AFTER_SOON)
    }

    pub(super) fn application_gone() -> Self {
        Self::new(StatusCode::NOT_FOUND, "application_not_found", "The application of this source does not exist any more.")
    }

    fn unavailable() -> Self {
        let detail = "The store cannot take anything now; nothing was kept. Try again later.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail).later(RETRY_AFTER_SOON)
    }

    /// Its settings changed between the request and now.
    pub(super) fn handshake_refused() -> Self {
        Self::new(StatusCode::FORBIDDEN, "handshake_refused", "This source has a secret already, and takes no other from a handshake.")
    }

    /// Whether the sender is still sending something that is worth reading to its end, so that it hears the answer.
    pub(super) fn reads_on(&self) -> bool {
        !matches!(&*self.code, "slow_body" | "incomplete_body")
    }

    /// Whether anything of it is written down: where the store is the trouble, another write would not help.
    pub(super) fn leaves_receipt(&self) -> bool {
        !matches!(&*self.code, "not_found" | "too_slow" | "unavailable")
    }

    /// As the receipt has it. `hint`: of a diagnosis.
    pub(super) fn rejection(&self, hint: Option<String>) -> receipt::Rejection {
        let hint = hint.or_else(|| self.hint.as_deref().map(str::to_owned));
        receipt::Rejection { code: self.code.clone().into_owned(), detail: self.detail.clone().into_owned(), hint }
    }
}

impl From<hookpost_providers::Rejection> for Refusal {
    fn from(rejection: hookpost_providers::Rejection) -> Self {
        let status = StatusCode::from_u16(rejection.code.status()).unwrap_or(StatusCode::UNAUTHORIZED);
        Self { by_scheme: Some(rejection.clone()), ..Self::new(status, rejection.code.as_str(), rejection.detail) }
    }
}

impl From<Unreadable> for Refusal {
    fn from(unreadable: Unreadable) -> Self {
        let status = match &unreadable {
            Unreadable::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Unreadable::UnknownEncoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Unreadable::BrokenEncoding(_) | Unreadable::NotJson(_) | Unreadable::NotForm(_) => StatusCode::BAD_REQUEST,
        };
        Self::new(status, unreadable.code(), unreadable.to_string())
    }
}

impl From<Unavailable> for Refusal {
    fn from(error: Unavailable) -> Self {
        tracing::error!(target: "hookpost::store", %error, "a request at a source could not be taken");
        Self::unavailable()
    }
}

impl From<AcceptError> for Refusal {
    fn from(error: AcceptError) -> Self {
        match error {
            AcceptError::Unavailable(error) => error.into(),
            // Messages of sources have no `eventId`, so the application is all that can be missing.
            AcceptError::ApplicationNotFound | AcceptError::DuplicateEventId => Self::application_gone(),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&RefusalOut { code: &self.code, detail: &self.detail }).unwrap_or_default();
        let mut response = json_response(self.status, body);
        if let Some(after) = self.retry_after {
            let seconds = after.as_millis().div_ceil(1000).clamp(1, 3600) as u64;
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::REQUEST_TIMEOUT {
            // The rest of the body would be taken for the next request.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
