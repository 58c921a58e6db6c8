//! What the engine needs of the network: one request, one bounded answer.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hookpost_domain::delivery::TransportErrorKind;
use http::{HeaderMap, Method, Uri};

#[async_trait]
pub trait Transport: Send + Sync + std::fmt::Debug {
    /// Sends once. Never follows a redirect, never reaches a forbidden address, and ends within `timeout` for the whole
    /// exchange: connecting, headers and body.
    async fn send(&self, request: OutgoingRequest) -> Result<Answer, TransportError>;

    /// The same for whoever needs the whole answer: a body of more than `body_bytes_kept` bytes is an error and is read no further.
    async fn fetch(&self, request: OutgoingRequest) -> Result<Answer, TransportError>;
}

#[derive(Debug, Clone)]
pub struct OutgoingRequest {
    pub method: Method,
    pub uri: Uri,
    /// Complete but for `host` and `content-length`.
    pub headers: HeaderMap,
    pub body: Bytes,
    pub timeout: Duration,
    pub body_bytes_kept: usize,
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub status_code: u16,
    pub headers: HeaderMap,
    /// At most `body_bytes_kept` bytes.
    pub body: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportError {
    pub kind: TransportErrorKind,
    /// A sentence for the person who looks at the attempt; no secrets.
    pub message: String,
}
