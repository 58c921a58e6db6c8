//! What verification says: an event, a handshake with its answer, or a rejection with its reason. Holds no rules.

use std::fmt;

use hookpost_domain::time::Timestamp;
use http::{HeaderName, HeaderValue};
use thiserror::Error;

use crate::settings::Secret;

/// A request that is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verified {
    Event(Event),
    /// The provider asks whether we are who it thinks, and must get this answer. It is no message for anyone.
    Handshake(Handshake),
}

impl Verified {
    pub fn event(&self) -> &Event {
        match self {
            Self::Event(event) => event,
            Self::Handshake(handshake) => &handshake.event,
        }
    }

    /// The answer that the provider insists on; without one, any 2xx will do.
    pub fn answer(&self) -> Option<&Answer> {
        match self {
            Self::Event(event) => event.answer.as_ref(),
            Self::Handshake(handshake) => Some(&handshake.answer),
        }
    }
}

/// What a verified request is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// The id that the provider repeats when it repeats the event.
    pub id: Option<String>,
    pub event_type: Option<String>,
    /// When it was signed, where the scheme says so.
    pub timestamp: Option<Timestamp>,
    /// The scheme that it was verified by; empty for a handshake that nothing vouches for.
    pub scheme: &'static str,
    /// The answer that the provider insists on, where a bare 2xx is not enough.
    pub answer: Option<Answer>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    pub answer: Answer,
    /// What could be read of id and type; a handshake that nothing vouches for has none.
    pub event: Event,
    /// The secret that the provider hands over in this handshake, to be stored in the settings.
    pub secret: Option<Secret>,
}

/// A complete HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Vec<u8>,
}

/// Why a request is not believed: a code that stays, and one sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{detail}")]
pub struct Rejection {
    pub code: RejectionCode,
    pub detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RejectionCode {
    /// A header that the scheme needs is not there.
    MissingHeader,
    /// A header is there and not what the scheme defines.
    MalformedHeader,
    /// The signature or token belongs into the body or the query, and is not there.
    MissingSignature,
    /// The body is not what the scheme needs to read in it.
    MalformedBody,
    /// The timestamp cannot be read.
    MalformedTimestamp,
    /// No signature matches.
    BadSignature,
    /// The signature matches, and was made too long ago.
    StaleTimestamp,
    /// The signature matches, and was made too far in the future.
    FutureTimestamp,
    /// The request names a key or certificate that the settings do not have.
    UnknownKey,
    /// A token, password or organization id is another one.
    BadToken,
    /// The claims of a JWT are for someone else, or are not enough.
    BadClaims,
    /// The sender's address is on no list.
    AddressNotAllowed,
    /// A handshake asks in a way that must not be agreed to.
    HandshakeRefused,
    /// The settings have no secret yet, so only the handshake that brings it is believed.
    NoSecret,
}

impl RejectionCode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MissingHeader => "missing_header",
            Self::MalformedHeader => "malformed_header",
            Self::MissingSignature => "missing_signature",
            Self::MalformedBody => "malformed_body",
            Self::MalformedTimestamp => "malformed_timestamp",
            Self::BadSignature => "bad_signature",
            Self::StaleTimestamp => "stale_timestamp",
            Self::FutureTimestamp => "future_timestamp",
            Self::UnknownKey => "unknown_key",
            Self::BadToken => "bad_token",
            Self::BadClaims => "bad_claims",
            Self::AddressNotAllowed => "address_not_allowed",
            Self::HandshakeRefused => "handshake_refused",
            Self::NoSecret => "no_secret",
        }
    }

    /// The status that providers expect: those that probe with bad signatures want a 401.
    pub fn status(self) -> u16 {
        match self {
            Self::AddressNotAllowed | Self::HandshakeRefused => 403,
            _ => 401,
        }
    }
}

impl fmt::Display for RejectionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a request cannot be signed, as a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct CannotSign(pub String);

impl CannotSign {
    pub(crate) fn new(detail: impl Into<String>) -> Self {
        Self(detail.into())
    }
}

impl Rejection {
    pub(crate) fn new(code: RejectionCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    pub(crate) fn missing_header(name: &HeaderName) -> Self {
        Self::new(RejectionCode::MissingHeader, format!("The header `{name}` is missing."))
    }

    pub(crate) fn bad_signature() -> Self {
        Self::new(RejectionCode::BadSignature, "No signature matches: another secret, or the request was changed on its way.")
    }
}

impl Answer {
    pub(crate) fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// What a challenge asked for comes back as text that no browser takes for anything else.
    pub(crate) fn text(body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![
            (http::header::CONTENT_TYPE, HeaderValue::from_static("text/plain")),
            (http::header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        ];
        Self { status: 200, headers, body: body.into() }
    }

    pub(crate) fn json(body: &serde_json::Value) -> Self {
        let headers = vec![(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        Self { status: 200, headers, body: body.to_string().into_bytes() }
    }
}
