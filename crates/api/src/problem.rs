//! Everything that can go wrong, as clients see it. The only place where errors become HTTP.
//!
//! Bodies have two shapes, which clients rely on: `{"code", "detail"}`, and for 422 `{"detail": [{"loc", "msg", "type"}]}`. What is not there is never
//! a 5xx, because clients retry those.

use aide::OperationOutput;
use axum::response::{IntoResponse, Response};
use hookpost_domain::Invalid;
use hookpost_store::{AcceptError, Unavailable, WriteError};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

/// How long a producer should wait when the store cannot take anything.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("5");

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Problem {
    BadRequest {
        code: &'static str,
        detail: String,
    },
    /// No token, or not a valid one.
    Unauthenticated,
    Forbidden,
    /// The sentence says what was not found.
    NotFound(&'static str),
    MethodNotAllowed,
    Conflict {
        code: &'static str,
        detail: String,
    },
    PayloadTooLarge {
        bytes_max: usize,
    },
    /// Fields that break a rule; never empty.
    Invalid(Vec<FieldError>),
    /// The tenant may not use more; the sentence names the limit.
    LimitReached {
        detail: String,
        retry_after_s: u64,
    },
    Unavailable,
    /// This server, for a reason of its own; another may.
    NotServing {
        code: &'static str,
        detail: &'static str,
    },
    Internal,
}

/// One thing that is wrong with a request, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "ValidationError")]
pub(crate) struct FieldError {
    /// Where: `["body", "uid"]`, `["query", "limit"]`, as deep as it is.
    pub(crate) loc: Vec<String>,
    /// The rule that is broken, as a sentence.
    pub(crate) msg: String,
    /// `value_error`, `value_error.missing`, `value_error.jsondecode` or `type_error`.
    pub(crate) r#type: &'static str,
}

pub(crate) const VALUE_ERROR: &str = "value_error";
pub(crate) const TYPE_ERROR: &str = "type_error";
pub(crate) const MISSING: &str = "value_error.missing";
pub(crate) const JSON_DECODE: &str = "value_error.jsondecode";

/// The body of a problem that is not about fields.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "HttpErrorOut")]
pub(crate) struct ErrorOut<'a> {
    /// A word for programs.
    code: &'a str,
    /// A sentence for people.
    detail: &'a str,
}

/// The body of a 422.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "HTTPValidationError")]
pub(crate) struct ValidationErrorOut {
    detail: Vec<FieldError>,
}

impl Problem {
    pub(crate) const NOT_FOUND: Self = Self::NotFound("Entity not found");
    pub(crate) const APPLICATION_NOT_FOUND: Self = Self::NotFound("Application not found");

    /// One wrong field of the body.
    pub(crate) fn body(field: &str, rule: impl Into<String>) -> Self {
        let mut wrong = Wrong::in_body();
        wrong.add(field, rule);
        wrong.problem()
    }

    /// One wrong parameter of the path.
    pub(crate) fn path(parameter: &str, rule: impl Into<String>) -> Self {
        let mut wrong = Wrong { place: "path", errors: Vec::new() };
        wrong.add(parameter, rule);
        wrong.problem()
    }

    /// The same, for an object that stands in the field of another.
    pub(crate) fn inside(mut self, field: &str) -> Self {
        if let Self::Invalid(errors) = &mut self {
            for error in errors {
                error.loc.insert(1, field.to_owned());
            }
        }
        self
    }

    /// The same for a list whose parameters stand in the body.
    pub(crate) fn into_body_place(mut self) -> Self {
        if let Self::Invalid(errors) = &mut self {
            for place in errors.iter_mut().filter_map(|error| error.loc.first_mut()) {
                "body".clone_into(place);
            }
        }
        self
    }

    pub(crate) fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::BadRequest { code, detail: detail.into() }
    }

    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::Conflict { code: "conflict", detail: detail.into() }
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest { .. } => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict { .. } => StatusCode::CONFLICT,
            Self::PayloadTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::LimitReached { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable | Self::NotServing { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn into_body(self) -> Vec<u8> {
        let (code, detail) = match self {
            Self::Invalid(detail) => return json(&ValidationErrorOut { detail }),
            Self::BadRequest { code, detail } | Self::Conflict { code, detail } => (code, detail),
            Self::Unauthenticated => ("authentication_failed", "Invalid token".to_owned()),
            Self::Forbidden => ("insufficient access", "Insufficient access for the given operation.".to_owned()),
            Self::NotFound(detail) => ("not_found", detail.to_owned()),
            Self::MethodNotAllowed => {
                ("method_not_allowed", "This path does not have this method; the Allow header names those it has.".to_owned())
            }
            Self::PayloadTooLarge { bytes_max } => {
                ("payload_too_large", format!("Request payload is too large: at most {bytes_max} bytes are taken."))
            }
            Self::Unavailable => ("unavailable", "The store cannot do this now. Nothing was changed; try again later.".to_owned()),
            Self::LimitReached { detail, .. } => ("tenant_limit_reached", detail),
            Self::NotServing { code, detail } => (code, detail.to_owned()),
            Self::Internal => ("internal_error", "Something went wrong on our side; the log of the server says what.".to_owned()),
        };
        json(&ErrorOut { code, detail: &detail })
    }
}

fn json(body: &impl Serialize) -> Vec<u8> {
    // Structs of strings always serialise.
    serde_json::to_vec(body).unwrap_or_default()
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let retry_after = match &self {
            Self::LimitReached { retry_after_s, .. } => Some(HeaderValue::from(*retry_after_s)),
            Self::Unavailable | Self::NotServing { .. } => Some(RETRY_AFTER_SECONDS),
            _ => None,
        };
        let mut response = Response::new(self.into_body().into());
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(retry_after) = retry_after {
            response.headers_mut().insert(RETRY_AFTER, retry_after);
        }
        response
    }
}

/// Every operation may answer with the same problems; `openapi.rs` adds them once.
impl OperationOutput for Problem {
    type Inner = Self;
}

impl From<Unavailable> for Problem {
    fn from(error: Unavailable) -> Self {
        tracing::error!(target: "hookpost::store", error = %error, "a request could not be served");
        Self::Unavailable
    }
}

impl From<WriteError> for Problem {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::NotFound => Self::NOT_FOUND,
            WriteError::Conflict { .. } => Self::conflict(capitalised(&error.to_string())),
            WriteError::LimitReached(detail) => Self::bad_request("limit_reached", detail),
            WriteError::Refused(Invalid(rule)) => Self::bad_request("generic_error", rule),
            WriteError::Unavailable(error) => error.into(),
        }
    }
}

impl From<AcceptError> for Problem {
    fn from(error: AcceptError) -> Self {
        match error {
            AcceptError::DuplicateEventId => Self::conflict("A message with this eventId exists already."),
            AcceptError::ApplicationNotFound => Self::APPLICATION_NOT_FOUND,
            AcceptError::Unavailable(error) => error.into(),
        }
    }
}

fn capitalised(sentence: &str) -> String {
    let mut chars = sentence.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// Collects what is wrong with a request, so that a client learns of everything at once.
#[derive(Debug)]
pub(crate) struct Wrong {
    place: &'static str,
    errors: Vec<FieldError>,
}

impl Wrong {
    pub(crate) fn in_body() -> Self {
        Self { place: "body", errors: Vec::new() }
    }

    pub(crate) fn in_query() -> Self {
        Self { place: "query", errors: Vec::new() }
    }

    /// `field` may be a path: `channels.3`.
    pub(crate) fn add(&mut self, field: &str, rule: impl Into<String>) {
        let loc = std::iter::once(self.place).chain(field.split('.')).map(str::to_owned).collect();
        self.errors.push(FieldError { loc, msg: rule.into(), r#type: VALUE_ERROR });
    }

    /// Unwraps what was parsed, or notes why it could not be.
    pub(crate) fn check<T>(&mut self, field: &str, parsed: Result<T, Invalid>) -> Option<T> {
        parsed.map_err(|Invalid(rule)| self.add(field, rule)).ok()
    }

    /// The same for a field that need not be there. `None` also where it was wrong: ask [`Self::nothing`] before using it.
    pub(crate) fn optional<I, T>(&mut self, field: &str, input: Option<I>, parse: impl FnOnce(I) -> Result<T, Invalid>) -> Option<T> {
        input.and_then(|input| self.check(field, parse(input)))
    }

    /// The same for each item of a list.
    pub(crate) fn each<I, T>(
        &mut self,
        field: &str,
        inputs: impl IntoIterator<Item = I>,
        parse: impl Fn(I) -> Result<T, Invalid>,
    ) -> Vec<T> {
        let parsed = inputs.into_iter().enumerate();
        parsed.filter_map(|(index, input)| self.check(&format!("{field}.{index}"), parse(input))).collect()
    }

    /// `Ok` where nothing was found to be wrong.
    pub(crate) fn nothing(self) -> Result<(), Problem> {
        if self.errors.is_empty() { Ok(()) } else { Err(self.problem()) }
    }

    pub(crate) fn problem(self) -> Problem {
        Problem::Invalid(self.errors)
    }
}
